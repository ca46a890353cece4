"""Step time and memory of light fine-tuning here and with PEFT, alternating, on rows of MRPC: the table of ratios.

usage: adapt_step.py OUT_JSON MODEL_DIR DATA_DIR [--kinds lora,dora,...] [--rounds N] [--repeat N]
       adapt_step.py OUT_JSON --table
Needs `cargo build --release`; run it with a Python that has PyTorch, transformers and PEFT, alone on the machine (for `prefix` transformers 4
and PEFT 0.15: in newer ones BERT takes no prefix). A time is the median
over rounds of each round's median; the spread is the least and the largest ratio of one round. Memory is the most that a process held;
of theirs what it held before the model was made, the libraries, is taken off. Of ours it covers the timing of passes after the steps, too.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

RECIPES = {"full": "dense", "dora": "lora-dora"}


def run(command):
    """What a program prints, as JSON, and the most memory that it held."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"RAYON_NUM_THREADS": "2"})
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))} failed")
    return json.loads(text) | {"most_bytes": usage.ru_maxrss * 1024}


def measure(options):
    root = pathlib.Path(__file__).resolve().parent.parent
    program = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / "release/tenfold"
    raw = []
    for number in range(options.rounds):
        for kind in options.kinds.split(","):
            recipe = root / f"recipes/{RECIPES.get(kind, kind)}-mrpc.toml"
            ours = run([program, "bench", recipe, "--json", "--data", options.data, "--repeat", str(options.repeat)])
            script = root / "bench/peers/peft_step.py"
            theirs = run([sys.executable, script, options.model, options.data, kind, "--repeat", str(options.repeat)])
            raw.append({"round": number, "kind": kind, "ours": ours, "theirs": theirs})
    options.out.write_text(json.dumps(raw, indent=1) + "\n")


def table(raw):
    for kind in dict.fromkeys(one["kind"] for one in raw):
        runs = [one for one in raw if one["kind"] == kind]
        pairs = [(one["ours"]["bench"]["phases"][0]["ms"], one["theirs"]["ms"]) for one in runs]
        ours, theirs = (statistics.median(side) for side in zip(*pairs))
        ratios = [a / b for a, b in pairs]
        spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
        held = statistics.median(one["ours"]["most_bytes"] for one in runs) / 2**20
        other = statistics.median(one["theirs"]["peak_bytes"] - one["theirs"]["before_bytes"] for one in runs) / 2**20
        print(f"{kind:10} {ours:8.1f} ms {theirs:8.1f} ms  {ours / theirs:.2f} {spread}   {held:6.0f} MiB {other:6.0f} MiB  {held / other:.2f}")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("out", type=pathlib.Path)
    arguments.add_argument("model", type=pathlib.Path, nargs="?")
    arguments.add_argument("data", type=pathlib.Path, nargs="?")
    arguments.add_argument("--kinds", default="full,lora,dora,ia3,bitfit,prefix")
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--repeat", type=int, default=15)
    arguments.add_argument("--table", action="store_true")
    options = arguments.parse_args()
    if not options.table:
        measure(options)
    table(json.loads(options.out.read_text()))


main()
