#!/bin/sh
# Reading a prompt and writing tokens with quantized weights, beside llama.cpp: the same files, two threads, in turns.
#
# usage: run_generate.sh OUT LLAMA_BIN TOKENIZER.gguf
# LLAMA_BIN: folder with llama-bench and llama-quantize. TOKENIZER.gguf: a file whose tokenizer the random models get. PYTHON has gguf and
# numpy; TENFOLD names another program. Two decoders, of 189 and of 987 million weights, in Q8_0, Q4_K and Q2_K.
set -eu
out=$1 llama=$2 tokenizer=$3
tenfold=$(realpath "${TENFOLD:-target/release/tenfold}")
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$(dirname "$out")"
{ date -u +%F; nproc; grep -m1 'model name' /proc/cpuinfo; } > "$out"
for size in small large; do
    case $size in
    small) shape="--width 1024 --hidden 2816 --layers 16 --heads 16 --kv-heads 4" ;;
    large) shape="--width 2048 --hidden 5632 --layers 22 --heads 32 --kv-heads 4" ;;
    esac
    # shellcheck disable=SC2086
    "$python" "$(dirname "$0")/peers/random_llama.py" "$work/f16.gguf" --tokenizer "$tokenizer" $shape
    for type in Q8_0 Q4_K_S Q2_K; do
        "$llama/llama-quantize" --pure "$work/f16.gguf" "$work/model.gguf" $type 2 > "$work/quantize.log" 2>&1
        echo "== $size $type, $(stat -c %s "$work/model.gguf") bytes" >> "$out"
        # In turns, since the machine has faster and slower times.
        for _ in 1 2; do
            "$llama/llama-bench" -m "$work/model.gguf" -t 2 -p 128 -n 127 -r 3 2> /dev/null | grep -E 'pp|tg' >> "$out"
            "$tenfold" bench "path:$work/model.gguf" --tokens 128 --batch 1 --repeat 3 --precision int8 2> /dev/null | grep -E 'forward|writing' >> "$out"
        done
    done
done
cat "$out"
