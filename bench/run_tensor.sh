#!/bin/sh
# Times a training step of this engine against PyTorch, alternating both programs so that drift of the machine hits them
# alike, and an MPO layer against a dense one. All lines of raw JSON go to results/<directory>/tensor.json.
#
# usage: bench/run_tensor.sh DIRECTORY [ROUNDS]      (default: 5 rounds; PYTHON names a Python with PyTorch)
# Run it alone on the machine. Takes about ROUNDS x 1.5 minutes.
set -eu
cd "$(dirname "$0")/.."
if [ $# -lt 1 ]; then
    sed -n '2,6p' "$0"
    exit 2
fi
out="results/$1"
rounds="${2:-5}"
python="${PYTHON:-python3}"
threads=2
mkdir -p "$out"
lines="$(mktemp)"
trap 'rm -f "$lines"' EXIT

cargo build --release --quiet -p tenfold-tensor --examples
before="$(cut -d ' ' -f 1-3 /proc/loadavg)"
export RAYON_NUM_THREADS="$threads"
round=1
while [ "$round" -le "$rounds" ]; do
    for model in 6x384 12x768; do
        target/release/examples/step --only "$model" --repeat 3 --warmup 1 >> "$lines"
        "$python" bench/peers/torch_step.py --only "$model" --repeat 3 --warmup 1 --threads "$threads" >> "$lines"
    done
    target/release/examples/mpo_layer --repeat 11 >> "$lines"
    echo "round $round of $rounds" >&2
    round=$((round + 1))
done

"$python" - "$lines" "$out/tensor.json" "$before" <<'SUMMARY'
import json, os, platform, statistics, subprocess, sys

lines, out, before = sys.argv[1:]
runs = [json.loads(line) for line in open(lines)]
cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
text = lambda *command: subprocess.run(command, capture_output=True, text=True).stdout.strip()
machine = {"cpu": cpu, "cores": os.cpu_count(), "revision": text("git", "rev-parse", "HEAD"),
           "rustc": text("rustc", "--version"), "python": platform.python_version(),
           "load_before": before, "load_after": " ".join(open("/proc/loadavg").read().split()[:3])}
with open(out, "w") as file:
    json.dump({"machine": machine, "runs": runs}, file, indent=1)
    file.write("\n")

steps = [run for run in runs if run["what"] == "step"]
for model in dict.fromkeys(run["model"] for run in steps):
    for part in ("forward", "backward", "update", "step"):
        ms = {engine: statistics.median(r[part + "_ms"] for r in steps if (r["model"], r["engine"]) == (model, engine))
              for engine in ("tenfold", "torch")}
        print(f"{model:8} {part:9} tenfold {ms['tenfold']:9.1f} ms  torch {ms['torch']:9.1f} ms"
              f"  ratio {ms['tenfold'] / ms['torch']:.3f}")
layers = [run for run in runs if run["what"] == "mpo_layer"]
for case in dict.fromkeys((run["rows"], run["bond_max"]) for run in layers):
    mine = [run for run in layers if (run["rows"], run["bond_max"]) == case]
    mpo, dense = (statistics.median(run[key] for run in mine) for key in ("mpo_ms", "dense_ms"))
    print(f"mpo layer rows {case[0]:5} bonds {case[1]:3}  mpo {mpo:8.2f} ms  dense {dense:8.2f} ms  ratio {mpo / dense:.3f}")
SUMMARY
