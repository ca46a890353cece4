"""Training among ranks: throughput of two ranks of one thread against one process of two, times of sums, and what they foretell for more.

usage: parallel.py OUT_DIR [--rounds N] [--steps N] [--texts FILE]
       parallel.py OUT_DIR --table
Needs `cargo build --release --features mpi --bin tenfold` and
`cargo build --release -p tenfold-train --features mpi --example sums`, and mpirun; run it alone on the machine.

Throughput: a decoder of 6 layers, width 384, that begins with random weights, learns from plain text, 4096 tokens a step; programs
alternate, and a value is tokens a second of all steps, from the receipt. Sums:
medians of `examples/sums.rs`. The model of more ranks is the usual one of latency and bandwidth (Thakur, Rabenseifner and Gropp 2005,
section 3): for p ranks and n bytes a ring takes 2 (p - 1) a + 2 (p - 1) / p n b, a tree that halves and doubles 2 log2(p) a +
2 (p - 1) / p n b, a tree of whole messages 2 ceil(log2 p) (a + n b); a and 1 / b are those fitted to this machine's memory, and two
networks' by their data sheets. Steps are taken to be as long as one rank's here, each with as many tokens: weak scaling.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
RANKS = (2, 8, 64, 256, 1024)
# Seconds a message takes at least, and bytes a second: of data sheets, with what programs see of them.
NETWORKS = {"10 Gbit/s Ethernet": (2e-5, 1.1e9), "200 Gbit/s InfiniBand": (2e-6, 2.2e10)}
RECIPE = """name = "ranks"
[model.new]
vocabulary = "bytes"
width = 384
layers = 6
heads = 6
hidden = 1536
positions = 256
[[phase]]
objective = "language"
text = "TEXT"
tokens = 4096
steps = STEPS
checkpoint-every = 100000
[eval]
text = "path:EVAL"
"""


def launcher(ranks):
    """mpirun, which refuses root and few processors unless told otherwise."""
    return ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "core", "-n", str(ranks)]


def trained(folder, name, command):
    """Throughput of one run, from its receipt."""
    out = folder / name
    process = subprocess.run([*command, "--out", out, "--fresh"], capture_output=True, text=True)
    if process.returncode != 0:
        sys.exit(f"{name} failed: {process.stderr}")
    receipt = tomllib.loads((out / "receipt.toml").read_text())["receipt"]
    training = next(stage["training"] for stage in receipt["stages"] if "training" in stage)
    return training | {"name": name, "parameters": receipt["parameters"]["after"], "loss": receipt["phases"][0]["last-loss"]}


def measure(options):
    runs = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        recipe = folder / "recipe.toml"
        text = f"path:{options.texts.resolve()}" if options.texts else "shipped"
        # What is measured beside training is kept short.
        (folder / "eval.txt").write_text("A few words.\n")
        text = RECIPE.replace("STEPS", str(options.steps)).replace("TEXT", text)
        recipe.write_text(text.replace("EVAL", str(folder / "eval.txt")))
        run = [RELEASE / "tenfold", "run", recipe]
        for _ in range(options.rounds):
            runs.append(trained(folder, "one process, two threads", [*run, "--threads", "2"]))
            runs.append(trained(folder, "two ranks, one thread each", [*launcher(2), *run, "--threads", "1"]))
            runs.append(trained(folder, "one process, one thread", [*run, "--threads", "1"]))
    sums = subprocess.run([*launcher(2), RELEASE / "examples/sums", "50"], capture_output=True, text=True, check=True)
    sums = [json.loads(line) for line in sums.stdout.splitlines()]
    options.out.mkdir(parents=True, exist_ok=True)
    raw = {"steps": options.steps, "cores": os.cpu_count(), "runs": runs, "sums": sums}
    (options.out / "parallel.json").write_text(json.dumps(raw, indent=1) + "\n")


def fitted(sums):
    """Latency of the smallest message, and seconds a byte of the largest."""
    least, most = sums[0], sums[-1]
    return least["us"] * 1e-6, (most["us"] - least["us"]) * 1e-6 / (most["bytes"] - least["bytes"])


def ring(p, n, a, b):
    return 2 * (p - 1) * a + 2 * (p - 1) / p * n * b


def halving(p, n, a, b):
    return 2 * math.log2(p) * a + 2 * (p - 1) / p * n * b


def tree(p, n, a, b):
    return 2 * math.ceil(math.log2(p)) * (a + n * b)


def table(options):
    raw = json.loads((options.out / "parallel.json").read_text())
    names = dict.fromkeys(run["name"] for run in raw["runs"])
    rates = {name: [run["tokens-per-second"] for run in raw["runs"] if run["name"] == name] for name in names}
    lines = [f"{len(raw['runs']) // len(names)} rounds of {raw['steps']} steps, {raw['cores']} processors", ""]
    lines += ["| training | tokens a second, median | least | most |", "|---|---|---|---|"]
    for name, found in rates.items():
        lines.append(f"| {name} | {statistics.median(found):.0f} | {min(found):.0f} | {max(found):.0f} |")
    one, two, single = rates.values()
    quotients = [b / a for a, b in zip(one, two)]
    lines += ["", f"two ranks against two threads: {statistics.median(quotients):.3f} ({min(quotients):.3f} to {max(quotients):.3f})", ""]
    lines += ["| bytes | sum over 2 ranks, us | GB/s |", "|---|---|---|"]
    for found in raw["sums"]:
        lines.append(f"| {found['bytes']} | {found['us']:.1f} | {found['bytes'] / found['us'] / 1e3:.2f} |")
    parameters = raw["runs"][0]["parameters"]
    n, step = 4 * parameters, 4096 / statistics.median(single)
    # Among two ranks a sum is one exchange of everything, or two of halves: its time is that of n bytes.
    a, b = fitted(raw["sums"])
    kinds = {"this machine's memory": (a, 1 / b), **NETWORKS}
    lines += ["", f"{parameters} parameters, {n / 1e6:.0f} MB of gradients, a step of {1e3 * step:.0f} ms a rank:", ""]
    lines += ["| between ranks | ranks | ring, ms | halving, ms | tree, ms | efficiency, ring | halving | tree |", "|---|---|---|---|---|---|---|---|"]
    for kind, (latency, rate) in kinds.items():
        for p in RANKS:
            times = [f(p, n, latency, 1 / rate) for f in (ring, halving, tree)]
            cells = [f"{1e3 * time:.1f}" for time in times] + [f"{step / (step + time):.3f}" for time in times]
            lines.append(f"| {kind} | {p} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    (options.out / "table.md").write_text(text)
    print(text, end="")


parser = argparse.ArgumentParser()
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--steps", type=int, default=30)
parser.add_argument("--texts", type=pathlib.Path)
parser.add_argument("--table", action="store_true")
options = parser.parse_args()
if not options.table:
    measure(options)
table(options)
