#!/bin/sh
# Times the full MPO decomposition of BERT-base against NumPy, alternating both programs so that drift of the machine
# hits them alike. Raw JSON, one file per run, goes to results/<directory>/.
#
# usage: bench/run_linalg.sh DIRECTORY [RUNS] [PYTHON]      (defaults: 3 runs, python3 with NumPy)
# Run it alone on the machine. Takes about RUNS x (NumPy's 1 to 3 minutes + 10 seconds).
set -eu
cd "$(dirname "$0")/.."
if [ $# -lt 1 ]; then
    sed -n '2,7p' "$0"
    exit 2
fi
out="results/$1"
runs="${2:-3}"
python="${3:-python3}"
threads=2
mkdir -p "$out"

cargo build --release --quiet -p tenfold-linalg --example decompose_bert
{
    echo "revision $(git rev-parse HEAD)"
    echo "rustc $(rustc --version)"
    echo "numpy $("$python" -c 'import numpy; print(numpy.__version__)')"
    echo "cores $(nproc)"
    sed -n 's/^model name[^:]*: */cpu /p' /proc/cpuinfo | head -n 1
    echo "load before $(cut -d ' ' -f 1-3 /proc/loadavg)"
} > "$out/linalg-machine.txt"

run=1
while [ "$run" -le "$runs" ]; do
    target/release/examples/decompose_bert --threads "$threads" --json > "$out/linalg-tenfold-$run.json"
    "$python" bench/peers/mpo_numpy.py --threads "$threads" --json > "$out/linalg-numpy-svd-$run.json"
    "$python" bench/peers/mpo_numpy.py --threads "$threads" --route gram --json > "$out/linalg-numpy-gram-$run.json"
    run=$((run + 1))
done
echo "load after $(cut -d ' ' -f 1-3 /proc/loadavg)" >> "$out/linalg-machine.txt"

"$python" - "$out" <<'SUMMARY'
import glob, json, sys
for program in ("tenfold", "numpy-svd", "numpy-gram"):
    runs = [json.load(open(p)) for p in sorted(glob.glob(f"{sys.argv[1]}/linalg-{program}-*.json"))]
    seconds = sorted(r["seconds"] for r in runs)
    groups = {g["group"]: min(r["groups"][k]["seconds"] for r in runs) for k, g in enumerate(runs[0]["groups"])}
    print(f"{program:11} best {seconds[0]:8.2f} s  median {seconds[len(seconds) // 2]:8.2f} s  "
          f"peak {max(r['peak_mib'] for r in runs)} MiB  " + "  ".join(f"{k} {v:.2f}" for k, v in groups.items()))
SUMMARY
