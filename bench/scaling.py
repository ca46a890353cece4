"""The evidence on scaling: small encoders of several depths that share weights or do not, and small decoders with experts of several kinds, all from nothing, on
the same text with the same seeds and steps; and the table of the receipts.

usage: scaling.py OUT --tenfold PROGRAM --text FOLDER [--study depth|experts] [--kinds dense,share,...] [--depths 6,12,...] [--seeds 1,2,3]
                  [--steps N] [--lr X]
       scaling.py OUT --table
FOLDER holds train_slice.txt and valid.txt, one story or line each. Kinds whose names begin with `from` continue a run of kind `share` at depth 6 of the same
seed, which has to be there. Runs that are there are not made again; what is timed is timed alone only if nothing else runs.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tomllib

import runs
from runs import step

ATTENTION = '"encoder.layer.*.attention.**.{query,key,value,dense}.weight"'
FEED = '"encoder.layer.*.{intermediate,output}.dense.weight"'


def mpobert(more, rank=8):
    return step("mpobert", ATTENTION, f"rank = {rank}\n{more}") + step("mpobert", FEED, f"rank = 0\n{more}")


DEPTH = {
    "dense": "",
    "share": step("share", '"encoder.layer.**"'),
    "mpobert": mpobert("trained-layers = 0\n"),
    "mpobert-core": mpobert('trained-layers = 0\nscale = "core"\n'),
    "mpobert-unscaled": mpobert(""),
    "mpobert-bare": mpobert("trained-layers = 0\n", rank=0),
    "from-share": mpobert("trained-layers = 6\n"),
    "from-share-core": mpobert('trained-layers = 6\nscale = "core"\n'),
    "from-share-unscaled": mpobert(""),
    "from-share-bare": mpobert("trained-layers = 6\n", rank=0),
}
ROUTERS = '"h.*.mlp.router"'
EXPERTS = {
    "dense": "",
    "moe": step("moe", ROUTERS, "experts = 8\njitter = 0.01\n"),
    "moe-top2": step("moe", ROUTERS, 'experts = 8\njitter = 0.01\nrouter = "noisy-top2"\n'),
    "mpoe": step("mpoe", ROUTERS, "experts = 8\njitter = 0.01\n"),
    "mpoe-mask-0": step("mpoe", ROUTERS, "experts = 8\njitter = 0.01\nmask = 0.0\n"),
    "mpoe-mask-0.5": step("mpoe", ROUTERS, "experts = 8\njitter = 0.01\nmask = 0.5\n"),
    "mpoe-mask-1": step("mpoe", ROUTERS, "experts = 8\njitter = 0.01\nmask = 1.0\n"),
    "mpoe-own": step("mpoe", ROUTERS, 'experts = 8\njitter = 0.01\ncentral = "own"\n'),
    "mpoe-16": step("mpoe", ROUTERS, "experts = 16\njitter = 0.01\n"),
}
STEPS = {"depth": 200, "experts": 400}
RATES = {"depth": 1e-3, "experts": 2e-3}

arguments = argparse.ArgumentParser()
arguments.add_argument("out", type=pathlib.Path)
arguments.add_argument("--tenfold", type=pathlib.Path)
arguments.add_argument("--text", type=pathlib.Path)
arguments.add_argument("--study", choices=["depth", "experts"], default="depth")
arguments.add_argument("--kinds")
arguments.add_argument("--depths", default="6,12,24,48")
arguments.add_argument("--seeds", default="1")
arguments.add_argument("--steps", type=int)
arguments.add_argument("--lr", type=float)
arguments.add_argument("--words", default="", help="further words for the program, such as '--device cuda --offline'")
arguments.add_argument("--table", action="store_true")
args = arguments.parse_args()


def new(text, layers):
    if args.study == "depth":
        sizes = 'architecture = "bert"\nvocabulary = "wordpiece"\ntokens = 4000\nwidth = 128\nhidden = 512\npositions = 128'
    else:
        sizes = 'architecture = "gpt2"\nvocabulary = "characters"\nwidth = 128\nhidden = 512\npositions = 256'
    return f'[model.new]\n{sizes}\ntext = "path:{text}/train_slice.txt"\nlayers = {layers}\nheads = 4\n'


def phase(text):
    study, steps = args.study, args.steps or STEPS[args.study]
    objective = 'objective = "masked"\ntokens = 2048\ngauge = 8' if study == "depth" else 'objective = "language"\ntokens = 4096'
    return f"""
[[phase]]
{objective}
text      = "path:{text}/train_slice.txt"
steps     = {steps}
precision = "bf16"
optimizer = {{ lr = {args.lr or RATES[study]}, weight-decay = 0.01, beta2 = 0.98, eps = 1e-6 }}
schedule  = {{ warmup = {steps // 10}, decay = "linear" }}
watch     = {{ text = "path:{text}/valid.txt", every = {max(steps // 8, 1)} }}
checkpoint-every = 100
"""


def run(job):
    kind, layers, seed = job
    text = args.text.resolve()
    study = "encoder" if args.study == "depth" else "decoder"
    name = f"{study}-{kind}-{layers}-{seed}" + (f"-lr{args.lr:g}" if args.lr else "")
    if kind.startswith("from"):
        source = (args.out / f"{study}-share-6-{seed}" / "model").resolve()
        model = f'[model]\nfrom = "path:{source}"\nlayers = {layers}\ncopies = "stack"\n'
    else:
        model = new(text, layers)
    steps = (DEPTH if args.study == "depth" else EXPERTS)[kind]
    tasks = 'tasks = ["masked@1"]' if args.study == "depth" else 'tasks = ["fidelity@1"]'
    recipe = f'name = "{name}"\nseed = {seed}\n{model}{steps}{phase(text)}\n[eval]\n{tasks}\ntext = "path:{text}/valid.txt"\n'
    return carry_out(name, recipe)


def carry_out(name, text):
    """Runs one recipe in the folder of all; what it says at its end, or what went wrong."""
    (args.out / f"{name}.toml").write_text(text)
    command = [args.tenfold.resolve(), "run", f"{name}.toml", "--out", name, *args.words.split()]
    done = subprocess.run(command, cwd=args.out, capture_output=True, text=True)
    if done.returncode != 0:
        return f"{name}: exit code {done.returncode}\n{done.stderr[-2000:]}"
    record = tomllib.loads((args.out / name / "receipt.toml").read_text())["receipt"]
    watched = [round(found["loss"], 3) for found in record["phases"][-1].get("watched", [])]
    return {"name": name, "stored": record["parameters"]["after"], "watched": watched}


def table():
    rows = {}
    for path in sorted(args.out.glob("*/receipt.toml")) or sorted(args.out.glob("*.toml")):
        whole = tomllib.loads(path.read_text())
        if "receipt" not in whole:
            continue
        record = whole["receipt"]
        study, rest = whole["name"].split("-", 1)
        parts = rest.split("-")
        at = max(i for i, part in enumerate(parts) if part.isdigit())
        seed, key = parts[at], "-".join(parts[:at] + parts[at + 1 :])
        one = record["phases"][-1]
        watched = [found["loss"] for found in one.get("watched", [])]
        seconds = next((stage["seconds"] for stage in record["stages"] if stage["stage"].startswith("train")), None)
        found = {"seed": int(seed), "stored": record["parameters"]["after"], "watched": watched, "seconds": seconds}
        training = next((stage["training"] for stage in record["stages"] if "training" in stage), None)
        if training:
            found["tokens_per_second"] = round(training["tokens"] / training["seconds"]) if "seconds" in training else None
        rows.setdefault((study, key), []).append(found)
    for (study, key), found in rows.items():
        last = [one["watched"][-1] for one in found if one["watched"]]
        row = {"study": study, "kind": key, "seeds": [one["seed"] for one in found], "stored": found[0]["stored"]}
        row["first"] = round(found[0]["watched"][0], 3) if found[0]["watched"] else None
        row["held_out"] = round(statistics.mean(last), 3) if last else None
        if len(last) > 1:
            row["deviation"] = round(statistics.stdev(last), 3)
        row["seconds"] = round(statistics.mean(one["seconds"] for one in found if one["seconds"]), 1)
        print(json.dumps(row))


def main():
    args.out.mkdir(parents=True, exist_ok=True)
    known = DEPTH if args.study == "depth" else EXPERTS
    kinds = args.kinds.split(",") if args.kinds else list(known)
    depths = map(int, args.depths.split(",")) if args.study == "depth" else [4]
    jobs = [(kind, depth, seed) for seed in map(int, args.seeds.split(",")) for depth in depths for kind in kinds]
    runs.all_of(run, jobs, 1)


if args.table:
    table()
else:
    args.workers = 1
    main()
