"""The evidence on adaptation: one encoder fine-tuned on GLUE rows by every light method and by over-parameterization, from the same rows,
seeds and steps, and the table of the receipts.

usage: adapt.py OUT --tenfold PROGRAM --data DIR [--tasks mrpc,cola,...] [--seeds 1,2,3] [--methods lora,dora,...] [--workers N] [--lr X]
                [--precision bf16] [--jobs FILE] [--deadline SECONDS] [--grace SECONDS] [--receipts FOLDER] [--no-models]
       adapt.py OUT --table
Runs and the first rows of the table are those of glue.py; a row per method follows, with its mean over MRPC, CoLA and STS-B, and per
task and method the mean difference from training everything and, after CaliSr, from the light method alone, over seeds that both have.
Learning rates are those of RATES; names of runs carry another one. FILE has lines
task:method:seed, which are done in its order. A run whose receipt is there, in OUT or FOLDER, is not made again; one that the deadline
ended goes on in the next call.
"""

import argparse
import json
import pathlib
import statistics

import runs
from runs import ENCODER, EPOCHS, MODEL, phase, step, summary_of, tabulate

HEAD = '"pooler.**", "classifier.**"'
BIASES = '"{encoder,embeddings}.**.bias"'
GROW = "select = \"dynamic\", each = 1, most = 3"


def opf(more):
    return step("opf", ENCODER, f"cores = 3\n{more}")


def calisr(more=""):
    return step("calisr", ENCODER, f"probe-interval = 25\nwindow = 3\ndelta = 0.6\n{more}")


def calibrate(light):
    parts = {"attention": "attention.**", "ffn-in": "intermediate.**", "ffn-out": "output.**"}
    parts = "\n".join(f'{name} = "encoder.layer.*.{select}"' for name, select in parts.items())
    return f"\n[phase.calibrate]\nlight = [{light}]\n\n[phase.calibrate.components]\n{parts}\n"


LORA = step("lora", ENCODER, "rank = 8\n")
CHILD = step("childtuning", ENCODER, "trained-share = 0.3\n")
MATRICES = f'["encoder.**.{{query,key,value,dense}}.weight", {HEAD}]'
LIGHT = f'"#auxiliary", "**.bias", "**.LayerNorm.weight", {HEAD}, "embeddings.{{position,token_type}}_embeddings.weight"'

# Steps before training, what trains, and further keys of the phase.
METHODS = {
    "dense": ("", '["**"]', ""),
    "lora": (LORA, f'["#down", "#up", {HEAD}]', ""),
    "dora": (step("lora", ENCODER, "rank = 8\nmagnitude = true\n"), f'["#down", "#up", "#magnitude", {HEAD}]', ""),
    "bitfit": (step("bitfit", BIASES), f"[{BIASES}, {HEAD}]", ""),
    "ia3": (
        step("ia3", '"encoder.**.{key,value}.{weight,bias}"', 'stretch = "outputs"\n')
        + step("ia3", '"encoder.layer.*.output.dense.weight"', 'stretch = "inputs"\n'),
        f'["#scale", {HEAD}]',
        '\n[[phase.group]]\nselect = "#scale"\nweight-decay = 0.0\n',
    ),
    "houlsby": (step("houlsby", '"encoder.**"', "size = 16\n"), f'["**.bottleneck.**", "encoder.**.LayerNorm.**", {HEAD}]', ""),
    "pfeiffer": (step("pfeiffer", '"encoder.**"', "size = 16\n"), f'["**.bottleneck.**", {HEAD}]', ""),
    "prefix": (step("prefix", '"encoder.**"', "rows = 20\n"), f'["**.prefix.**", {HEAD}]', ""),
    "childtuning": (step("childtuning", '"encoder.**"', "trained-share = 0.3\n"), f'["encoder.**", {HEAD}]', ""),
    # Small cores, biases, norms and head, as in row `light` of glue.py without the embedding.
    "mpop": (step("mpop", ENCODER), f"[{LIGHT}]", ""),
    # The large cores are multiplied with all others: they move at a tenth of the rate, as matrices beside low-rank products do.
    "calisr-d-mpop": (step("mpop", ENCODER) + calisr("full-rate = 0.1\n"), '["**"]', f"calibrate = {{ light = [{LIGHT}] }}\n"),
    "calisr-s-mpop": (step("mpop", ENCODER) + calisr("full-rate = 0.1\n"), '["**"]', calibrate(LIGHT)),
    "calisr-d-lora": (LORA + calisr("full-rate = 0.1\n"), MATRICES, f'calibrate = {{ light = ["#down", "#up", {HEAD}] }}\n'),
    "calisr-s-lora": (LORA + calisr("full-rate = 0.1\n"), MATRICES, calibrate(f'"#down", "#up", {HEAD}')),
    "calisr-d-childtuning": (CHILD + calisr(), '["**"]', f'calibrate = {{ light = ["encoder.**", {HEAD}] }}\n'),
    "calisr-s-childtuning": (CHILD + calisr(), '["**"]', calibrate(f'"encoder.**", {HEAD}')),
    "opf-svd": (step("opf", ENCODER, "cores = 2\n"), '["**"]', ""),
    "opf-dynamic": (opf('when = "selected"\n'), '["**"]', f"grow = {{ {GROW} }}\n"),
    "opf-product": (opf('when = "selected"\nas = "product"\n'), '["**"]', f"grow = {{ {GROW} }}\n"),
    "opf-static": (opf('when = "selected"\n'), '["**"]', 'grow = { select = "static", most = 3 }\n'),
}
RATES = {
    "lora": 1e-3,
    "dora": 1e-3,
    "bitfit": 1e-3,
    "ia3": 1e-2,
    "houlsby": 1e-3,
    "pfeiffer": 1e-3,
    "prefix": 3e-3,
    "childtuning": 2e-4,
    "calisr-d-lora": 1e-3,
    "calisr-s-lora": 1e-3,
    "calisr-d-childtuning": 2e-4,
    "calisr-s-childtuning": 2e-4,
    "opf-svd": 2e-5,
    "opf-dynamic": 2e-5,
    "opf-product": 2e-5,
    "opf-static": 2e-5,
}
# Of all others.
DEFAULT_RATE = 1e-4

METRICS = {"mrpc": "f1", "cola": "matthews", "stsb": "spearman", "sst2": "accuracy"}
# Tasks of the mean.
MEAN = ["mrpc", "cola", "stsb"]

arguments = argparse.ArgumentParser()
arguments.add_argument("out", type=pathlib.Path)
arguments.add_argument("--tenfold", type=pathlib.Path)
arguments.add_argument("--data", type=pathlib.Path)
arguments.add_argument("--tasks", default="mrpc,cola,stsb")
arguments.add_argument("--seeds", default="1")
arguments.add_argument("--methods", default=",".join(METHODS))
arguments.add_argument("--lr", type=float)
arguments.add_argument("--precision", default="f32", help="of matrix products in training")
runs.options(arguments)
args = arguments.parse_args()


def run(job):
    task, method, seed = job
    name = f"{task}-{method}-{seed}" + (f"-lr{args.lr:g}" if args.lr else "")
    steps, train, extra = METHODS[method]
    text = f'name = "{name}"\nseed = {seed}\n[model]\nfrom = {MODEL}\n{steps}'
    text += phase(task, EPOCHS[task], args.lr or RATES.get(method, DEFAULT_RATE), train, extra, args.precision)
    return runs.carry_out(args, name, text + f'\n[eval]\ntasks = ["{task}@1"]\n')


def scores():
    """Scores of all runs at their own rates: of task and method, by seed."""
    found = {}
    for whole in runs.receipts(args.out, args.receipts):
        task, rest = whole["name"].split("-", 1)
        method, seed = rest.rsplit("-", 1)
        if task in METRICS and method in METHODS and seed.isdigit():
            one = summary_of(whole)
            found.setdefault((task, method), {})[int(seed)] = (one["healed"] or one["truncated"])[METRICS[task]]
    return found


def compare():
    found = scores()
    for method in METHODS:
        means = [statistics.mean(found[task, method].values()) for task in MEAN if (task, method) in found]
        if len(means) == len(MEAN):
            print(json.dumps({"method": method, "mean_of": MEAN, "mean": round(statistics.mean(means), 1)}))
    for (task, method), own in sorted(found.items()):
        light = method.split("-", 2)[2] if method.startswith("calisr") else None
        for other in filter(None, ["dense" if method != "dense" else None, light]):
            theirs = found.get((task, other), {})
            seeds = sorted(own.keys() & theirs.keys())
            row = {"task": task, "method": method, "against": other, "seeds": seeds}
            print(json.dumps(row | runs.spread("difference", [own[seed] - theirs[seed] for seed in seeds], 2)))


def main():
    args.out.mkdir(parents=True, exist_ok=True)
    seeds, tasks, methods = args.seeds.split(","), args.tasks.split(","), args.methods.split(",")
    jobs = [(task, method, seed) for seed in map(int, seeds) for task in tasks for method in methods]
    if args.jobs:
        jobs = runs.listed(args.jobs, (str, str, int))
    runs.all_of(run, jobs, args.workers)


if args.table:
    tabulate(args.out, args.receipts)
    compare()
else:
    main()
