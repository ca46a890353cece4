"""The evidence on scaling: small encoders of several depths that share weights or do not, and small decoders with experts of several kinds,
all from nothing, on the same text with the same seeds and steps; and the table of the receipts.

usage: scaling.py OUT --tenfold PROGRAM (--text FOLDER | --train FILE... --valid FILE...) [--study depth|equal|experts]
                  [--kinds dense,share,...] [--depths 6,12,...] [--seeds 1,2,3] [--steps N] [--tokens N] [--lr X] [--packed]
                  [--jobs FILE] [--workers N] [--deadline SECONDS] [--grace SECONDS] [--receipts RECEIPTS] [--text-name NAME]
                  [--no-models] [--words WORDS] [--valid-bytes N] [--watch-tokens N] [--budget N] [--plan-only]
       scaling.py OUT --table [--receipts RECEIPTS] [--tasks FOLDER]
Study `depth` has one width for all; in study `equal` every encoder has the width at which it stores as many parameters as the others, or
BUDGET, as nearly as multiples of 8 allow. Widths are searched with `tenfold plan` and kept in OUT/widths.json, which may be carried along;
--plan-only stops there.
FOLDER holds valid.txt and train.txt or train_slice.txt, one story or line each; several files are copied to OUT/text, which the receipts
name, those to measure on without what is beyond their first 100,000 bytes. Bytes of texts that lie beside the checkout, in ../shared/data:
tinystories/train_slice.txt 694,836, tinystories/valid.txt 14,432, wikitext2/valid.txt 1,121,681 (to train on, its own training part is not
there), wikitext2/test.txt 1,085,267 (to measure on), wiki_demo/wiki_demo.txt 822,433, tinyshakespeare/input.txt 1,059,544. Copies of
receipts in RECEIPTS call the folder of the text NAME.
Kinds whose names begin with `from` continue a run of kind `share` at depth 6 of the same seed, which has to be there with its model; a run
whose model it may be keeps it. A run whose receipt is there, in OUT or RECEIPTS, is not made again; one that the deadline ended goes on in
the next call. Lines of the file of jobs are kind:layers:seed. What is timed is timed alone only if nothing else runs.
"""

import argparse
import concurrent.futures
import functools
import json
import math
import os
import pathlib
import statistics
import subprocess
import threading
import tomllib

import runs
import tasks
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
EQUAL = ["dense", "share", "mpobert", "mpobert-bare"]
STEPS = {"depth": 200, "equal": 200, "experts": 400}
TOKENS = {"depth": 2048, "equal": 2048, "experts": 4096}
RATES = {"depth": 1e-3, "equal": 1e-3, "experts": 2e-3}
NAMES = {"depth": "encoder", "equal": "equal", "experts": "decoder"}
HEADS, WIDTH, MULTIPLE = 4, 128, 8
# Of the file of widths.
LOCK = threading.Lock()

arguments = argparse.ArgumentParser()
arguments.add_argument("out", type=pathlib.Path)
arguments.add_argument("--tenfold", type=pathlib.Path)
arguments.add_argument("--text", type=pathlib.Path)
arguments.add_argument("--train", type=pathlib.Path, nargs="+", help="files to train on, instead of a folder")
arguments.add_argument("--valid", type=pathlib.Path, nargs="+", help="files to measure on, instead of a folder")
arguments.add_argument("--valid-bytes", type=int, default=100_000, help="of every file to measure on as much is read, in whole lines")
arguments.add_argument("--watch-tokens", type=int, default=20_000, help="tokens on which the held-out loss is taken, about")
arguments.add_argument("--text-name", help="what copies of receipts call the folder of the text")
arguments.add_argument("--study", choices=list(STEPS), default="depth")
arguments.add_argument("--kinds")
arguments.add_argument("--depths", default="6,12,24,48")
arguments.add_argument("--seeds", default="1")
arguments.add_argument("--steps", type=int)
arguments.add_argument("--tokens", type=int, help="tokens of a step's batch, about")
arguments.add_argument("--lr", type=float)
arguments.add_argument("--packed", action="store_true", help="join texts and cut them into sequences of the model's length")
arguments.add_argument("--precision", default="bf16", help="of matrix products in training")
arguments.add_argument("--budget", type=int, help="stored parameters in study `equal`; otherwise those of 6 plain layers, 128 wide")
arguments.add_argument("--plan-only", action="store_true", help="search the widths of study `equal` and make no run")
arguments.add_argument("--tasks", type=pathlib.Path, help="folder of the runs of tasks.py, or of copies of their receipts, for the table")
runs.options(arguments)
args = arguments.parse_args()


def relative(path):
    return os.path.relpath(path.resolve(), args.out.resolve())


@functools.cache
def texts():
    """The texts to train and to measure on, as recipes name them, and the folder that they share."""
    if not args.train:
        folder = args.text.resolve()
        name = next(name for name in ("train.txt", "train_slice.txt") if (folder / name).exists())
        return relative(folder / name), relative(folder / "valid.txt"), relative(folder)
    for part, paths in (("train", args.train), ("valid", args.valid)):
        folder = args.out / "text" / part
        folder.mkdir(parents=True, exist_ok=True)
        named = {f"{path.resolve().parent.name}-{path.name}": path for path in paths}
        for name in named.keys() - {path.name for path in folder.iterdir()}:
            whole = named[name].read_bytes()
            ends = whole.rfind(b"\n", 0, args.valid_bytes) if part == "valid" and len(whole) > args.valid_bytes else len(whole)
            (folder / name).write_bytes(whole[: ends + 1])
        if other := {path.name for path in folder.iterdir()} - named.keys():
            raise SystemExit(f"{folder} also has {sorted(other)}; take another folder for runs on other texts")
    return "text/train", "text/valid", "text"


def new(layers, width):
    if args.study == "experts":
        sizes = 'architecture = "gpt2"\nvocabulary = "characters"\npositions = 256'
    else:
        sizes = 'architecture = "bert"\nvocabulary = "wordpiece"\ntokens = 4000\npositions = 128'
    sizes += f"\nwidth = {width}\nhidden = {4 * width}"
    return f'[model.new]\n{sizes}\ntext = "path:{texts()[0]}"\nlayers = {layers}\nheads = {HEADS}\n'


def phase():
    train, valid, _ = texts()
    study, steps = args.study, args.steps or STEPS[args.study]
    objective = 'objective = "language"' if study == "experts" else 'objective = "masked"\ngauge = 8'
    objective += "\npacked = true" if args.packed else ""
    return f"""
[[phase]]
{objective}
tokens    = {args.tokens or TOKENS[study]}
text      = "path:{train}"
steps     = {steps}
precision = "{args.precision}"
optimizer = {{ lr = {args.lr or RATES[study]}, weight-decay = 0.01, beta2 = 0.98, eps = 1e-6 }}
schedule  = {{ warmup = {steps // 10}, decay = "linear" }}
watch     = {{ text = "path:{valid}", every = {max(steps // 8, 1)}, tokens = {args.watch_tokens} }}
checkpoint-every = 100
"""


def recipe(name, kind, layers, seed, width=WIDTH):
    if kind.startswith("from"):
        model = f'[model]\nfrom = "path:encoder-share-6-{seed}/model"\nlayers = {layers}\ncopies = "stack"\n'
    else:
        model = new(layers, width)
    steps = (EXPERTS if args.study == "experts" else DEPTH)[kind]
    measured = 'tasks = ["fidelity@1"]' if args.study == "experts" else 'tasks = ["masked@1"]'
    return f'name = "{name}"\nseed = {seed}\n{model}{steps}{phase()}\n[eval]\n{measured}\ntext = "path:{texts()[1]}"\n'


def run(job):
    kind, layers, seed = job
    width = width_of(kind, layers)["width"] if args.study == "equal" else WIDTH
    name = f"{NAMES[args.study]}-{kind}-{layers}-" + (f"{width}-" if args.study == "equal" else "") + f"{seed}"
    name += f"-lr{args.lr:g}" if args.lr else ""
    text, needed = recipe(name, kind, layers, seed, width), args.study == "depth" and (kind, layers) == ("share", 6)
    renamed = [(f'"path:{texts()[2]}/', f'"path:{args.text_name}/')] if args.text_name else []
    return runs.carry_out(args, name, text, keep=needed, summarize=summary, renamed=renamed)


def summary(path):
    """What one run came to, on a line."""
    found = row_of(tomllib.loads(path.read_text()))
    return {"name": found["name"], "stored": found["stored"], "watched": [round(loss, 3) for loss in found["watched"]]}


def planned(kind, layers, width):
    """Parameters that an encoder stores."""
    name = f"plan-{kind}-{layers}-{width}"
    path = args.out / f"{name}.toml"
    path.write_text(recipe(name, kind, layers, 1, width))
    done = subprocess.run([args.tenfold.resolve(), "plan", path.name, "--json"], cwd=args.out, capture_output=True, text=True)
    path.unlink()
    if done.returncode != 0:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)["totals"]["parameters_after"]


def remembered(key, work):
    """A value of the file of widths, made where it is not there yet."""
    path = args.out / "widths.json"
    read = lambda: json.loads(path.read_text()) if path.exists() else {}
    with LOCK:
        known = read()
    if key not in known:
        value = work()
        with LOCK:
            known = read() | {key: value}
            path.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")
    return known[key]


def width_of(kind, layers):
    """The width at which an encoder stores what the budget says, or as nearly as possible."""
    budget = args.budget or remembered("budget", lambda: planned("dense", 6, WIDTH))
    return remembered(f"{kind}-{layers}-{budget}", lambda: nearest(kind, layers, budget))


def nearest(kind, layers, budget):
    """Halves the range of widths, then looks at the neighbors, since operators are padded for some widths more than for others."""
    stored = functools.cache(lambda times: planned(kind, layers, times * MULTIPLE))
    low, high = 1, 2
    while stored(high) < budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if stored(middle) < budget else (low, middle)
    best = min(range(max(1, low - 2), high + 3), key=lambda times: abs(stored(times) - budget))
    return {"width": best * MULTIPLE, "stored": stored(best)}


def active(whole):
    """Parameters that one token meets: all of what is not experts', and of these as many as the router chooses."""
    record = whole["receipt"]
    chosen = 1 if any(".router.top1" in weight["path"] for weight in record["weights"]) else 2
    idle = 0
    for weight in record["weights"]:
        if " experts, " in weight["form"]:
            (experts, rows, cols), stored = weight["shape"], weight["parameters"]
            own = any(one.get("central") == "own" for one in whole["step"])
            # At full bonds the central core is as large as the matrix.
            shared = rows * cols if "mpo" in weight["form"] and not own else 0
            idle += (stored - shared) * (experts - chosen) // experts
    return record["parameters"]["after"] - idle


def row_of(whole):
    record, model = whole["receipt"], whole["model"]
    rate = f"-lr{whole['phase'][-1]['optimizer']['lr']:g}"
    rate, parts = rate if whole["name"].endswith(rate) else "", whole["name"].removesuffix(rate).split("-")
    row = {"name": whole["name"], "study": parts[0], "layers": model.get("layers") or model["new"]["layers"], "seed": whole["seed"]}
    row["width"] = model["new"]["width"] if "new" in model else WIDTH
    row["kind"] = "-".join(parts[1 : -3 if parts[0] == "equal" else -2]) + rate
    row |= {"stored": record["parameters"]["after"], "active": active(whole)}
    row["watched"] = [found["loss"] for found in record["phases"][-1].get("watched", [])]
    row["steps"] = record["phases"][-1]["steps"]
    row["seconds"] = next((stage["seconds"] for stage in record["stages"] if stage["stage"].startswith("train")), None)
    return row


def table():
    groups, scores = {}, tasks.scores(args.tasks) if args.tasks else {}
    for whole in runs.receipts(args.out, args.receipts):
        if whole["name"].split("-")[0] in NAMES.values():
            found = row_of(whole)
            groups.setdefault(tuple(found[key] for key in ("study", "kind", "layers", "width")), []).append(found)
    for (study, kind, layers, width), found in groups.items():
        row = {"study": study, "kind": kind, "layers": layers, "width": width, "seeds": [one["seed"] for one in found]}
        row |= {"steps": found[0]["steps"], "stored": found[0]["stored"]}
        if study == "decoder":
            row["active"] = found[0]["active"]
        watched = [one["watched"] for one in found if one["watched"]]
        row["first"] = round(watched[0][0], 3) if watched else None
        row |= runs.spread("held_out", [losses[-1] for losses in watched], 3)
        if study == "decoder":
            row |= runs.spread("perplexity", [math.exp(losses[-1]) for losses in watched], 3)
        row |= runs.spread("seconds", [one["seconds"] for one in found if one["seconds"]], 1, deviation=False)
        row |= tasks.spread([scores.get(one["name"], {}) for one in found])
        print(json.dumps(row))


def main():
    args.out.mkdir(parents=True, exist_ok=True)
    texts()
    known = {"depth": list(DEPTH), "equal": EQUAL, "experts": list(EXPERTS)}[args.study]
    kinds = args.kinds.split(",") if args.kinds else known
    depths = [4] if args.study == "experts" else list(map(int, args.depths.split(",")))
    jobs = [(kind, depth, seed) for seed in map(int, args.seeds.split(",")) for depth in depths for kind in kinds]
    if args.jobs:
        jobs = runs.listed(args.jobs, (str, int, int))
    if args.study == "equal":
        with concurrent.futures.ThreadPoolExecutor(args.workers) as pool:
            pairs = list(dict.fromkeys(job[:2] for job in jobs))
            remembered("budget", lambda: planned("dense", 6, WIDTH))
            for (kind, layers), found in zip(pairs, pool.map(lambda pair: width_of(*pair), pairs)):
                print(json.dumps({"kind": kind, "layers": layers} | found), flush=True)
    if not args.plan_only:
        runs.all_of(run, [job for job in jobs if not job[0].startswith("from")], args.workers)
        runs.all_of(run, [job for job in jobs if job[0].startswith("from")], args.workers)


if args.table:
    table()
else:
    main()
