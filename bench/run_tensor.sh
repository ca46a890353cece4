#!/bin/sh
# Times training steps, inference and memory of this engine against PyTorch, alternating both programs so that drift of
# the machine hits them alike, and an MPO layer against a dense one. Raw JSON goes to results/DIRECTORY/tensor.json, the
# table to results/DIRECTORY/tensor-table.json.
#
# usage: bench/run_tensor.sh DIRECTORY [ROUNDS]      (default: 3 rounds)
# PYTHON names a Python with PyTorch; LENGTHS a file of sentence lengths, one a line, without which that case is left out;
# COMPILE=0 leaves torch.compile out. Run it alone on the machine. Takes about ROUNDS x 6 minutes.
set -eu
cd "$(dirname "$0")/.."
if [ $# -lt 1 ]; then
    sed -n '2,10p' "$0"
    exit 2
fi
cargo build --release --quiet -p tenfold-tensor --examples
exec "${PYTHON:-python3}" bench/tensor_table.py "results/$1" "${2:-3}"
