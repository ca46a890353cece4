#!/bin/sh
# At equal file size: how far a small trained decoder is from itself after llama.cpp's quantizer with its importance matrix, after ours
# without feedback and with it. All files are read by llama.cpp, whose own program measures the divergence from the f32 file.
#
# usage: [SCHEMES="q2_k q3_k q4_k q5_k q6_k"] [WAYS="rtn gptq-polish"] run_gguf.sh OUT LLAMA_BIN MODEL TEXTS
# LLAMA_BIN: folder with llama-imatrix, llama-quantize, llama-perplexity. MODEL: a source with an embedding table of whole blocks of 32.
# TEXTS: folder with train.txt and held-out.txt, as bench/quantize.py writes them. TENFOLD names another program. k-quants need widths of whole blocks of
# 256. THREADS is that of llama.cpp's programs, which wait for each other busily: 1 on a machine that others use. Both quantize the same tensors to the same types: all matrices of layers, with the table of tokens in q8_0.
set -eu
out=$1 llama=$2 model=$3 texts=$(realpath "$4")
threads=${THREADS:-2}
tenfold=$(realpath "${TENFOLD:-target/release/tenfold}")
mkdir -p "$out"
cd "$out"
# Our own measurement is not what is compared, so it gets a short text.
head -c 2000 "$texts/held-out.txt" > short.txt
"$tenfold" convert "$model" f32.gguf --to gguf --scheme f32 > convert.log
"$llama/llama-imatrix" -m f32.gguf -f "$texts/train.txt" -o importance.gguf -c 256 -b 256 -t "$threads" --no-ppl > imatrix.log 2>&1
ours() {
    cat > "$1.toml" <<X
name = "$1"
[model]
from = ["$model"]
[calibration]
text = "path:$texts/train.txt"
[eval]
text = "path:$PWD/short.txt"
[[step]]
select = "layers.**.{q,k,v,o,gate,up,down}_proj.weight"
method = "$2"
blocks = "$3"
$4
[[step]]
select = "embed_tokens.weight"
method = "rtn"
blocks = "q8_0"
X
    rm -rf "$1"
    "$tenfold" run "$1.toml" --out "$1" > "$1.log" 2>&1
    "$tenfold" convert "path:$1/model" "$1.gguf" --to gguf --scheme f16 >> "$1.log"
}
"$llama/llama-perplexity" -m f32.gguf -f "$texts/held-out.txt" -c 256 -t "$threads" --kl-divergence-base base.kl > base.log 2>&1
measure() {
    # The program ends well, but every now and then without its summary.
    for _ in 1 2 3 4 5 6; do
        "$llama/llama-perplexity" -m "$1.gguf" -f "$texts/held-out.txt" -c 256 -t "$threads" --kl-divergence --kl-divergence-base base.kl \
            > "$1.kl.log" 2>&1
        if grep -q "Mean    KLD" "$1.kl.log"; then break; fi
    done
    python3 - "$1" <<'P'
import json, os, re, sys
name = sys.argv[1]
text = open(f"{name}.kl.log").read()
found = lambda what: float(re.search(what + r"\s*:\s*([-\d.]+)", text).group(1))
print(json.dumps({"file": name, "bytes": os.path.getsize(f"{name}.gguf"), "perplexity": found(r"Mean PPL\(Q\)"),
                  "divergence": found("Mean    KLD"), "same_top": found("Same top p")}))
P
}
for blocks in ${SCHEMES:-q4_0 q5_0 q8_0}; do
    "$llama/llama-quantize" --pure --token-embedding-type q8_0 --imatrix importance.gguf f32.gguf "llama-$blocks.gguf" "$(echo $blocks | tr qk QK)" "$threads" > "llama-$blocks.log" 2>&1
    measure "llama-$blocks"
    for way in ${WAYS:-rtn gptq gptq-refit gptq-polish}; do
        case $way in
            rtn) ours "rtn-$blocks" rtn $blocks 'metric = "inputs"' ;;
            gptq) ours "gptq-$blocks" gptq $blocks "" ;;
            gptq-refit) ours "gptq-refit-$blocks" gptq $blocks "refits = 1" ;;
            gptq-polish) ours "gptq-polish-$blocks" gptq $blocks "refits = 1
polish = 2" ;;
        esac
        measure "$way-$blocks"
    done
done
