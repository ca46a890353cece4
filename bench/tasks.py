"""The evidence on tasks of encoders that were pre-trained here: every run of scaling.py that is named is fine-tuned on rows of GLUE, and
the table of the receipts.

usage: tasks.py OUT --tenfold PROGRAM --data DIR (--runs RUN... | --from FOLDER) [--tasks mrpc,cola,stsb,sst2] [--seeds 1,2] [--lr X]
                [--epochs N] [--rows N] [--precision bf16] [--jobs FILE] [--workers N] [--deadline SECONDS] [--grace SECONDS]
                [--receipts RECEIPTS] [--no-models] [--words WORDS]
       tasks.py OUT --table [--receipts RECEIPTS]
RUN is a run's folder with its model; FOLDER has such folders, of which all encoders with a receipt and a model are taken. Three epochs a
task, one of SST-2, of whose rows 10,000 are used. Without a rate each encoder gets that of RATES at which it is best on MRPC with seed 4,
of which nothing goes into the table. The seed is that of the encoder when nothing is said. A run whose receipt is there, in OUT or
RECEIPTS, is not made again; one that the deadline ended goes on in the next call. Lines of the file of jobs are task:NAME:seed, NAME being
the name of a run's folder.
"""

import argparse
import json
import os
import pathlib
import tomllib

import runs

TASKS = ["mrpc", "cola", "stsb", "sst2"]
RATES = [1e-4, 3e-4]
SEARCH = 4


def scores(*folders):
    """Of every encoder its scores in every metric of the tasks, one for each seed: {encoder: {(task, metric): [score]}}."""
    found = {}
    for whole in runs.receipts(*folders):
        task, rest = whole["name"].split("-", 1)
        if task in TASKS:
            encoder = found.setdefault(rest.rsplit("-", 1)[0], {})
            for metric, score in runs.summary_of(whole)["healed"].items():
                encoder.setdefault((task, metric), []).append(score)
    return found


def spread(each):
    """Columns of the scores of several encoders; the deviation is that over encoders and seeds together."""
    columns = {}
    for key in dict.fromkeys(key for one in each for key in one):
        columns |= runs.spread("_".join(key), [score for one in each for score in one.get(key, [])], 1)
    return columns


def options():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("out", type=pathlib.Path)
    arguments.add_argument("--tenfold", type=pathlib.Path)
    arguments.add_argument("--data", type=pathlib.Path)
    arguments.add_argument("--runs", type=pathlib.Path, nargs="+", default=[])
    arguments.add_argument("--from", dest="folder", type=pathlib.Path)
    arguments.add_argument("--tasks", default=",".join(TASKS))
    arguments.add_argument("--seeds", help="of fine-tuning; the encoder's own when nothing is said")
    arguments.add_argument("--lr", type=float)
    arguments.add_argument("--epochs", type=int)
    arguments.add_argument("--rows", type=int, help="training rows of every task, to try things; all when nothing is said")
    arguments.add_argument("--precision", default="bf16", help="of matrix products in training")
    runs.options(arguments)
    return arguments.parse_args()


def fine_tune(args, name, task, encoder, seed, rate):
    model = os.path.relpath((encoder / "model").resolve(), args.out.resolve())
    text = f'name = "{name}"\nseed = {seed}\n[model]\nfrom = "path:{model}"\n'
    text += runs.phase(task, args.epochs or runs.EPOCHS[task], rate, precision=args.precision, rows=args.rows)
    return runs.carry_out(args, name, text + f'\n[eval]\ntasks = ["{task}@1"]\n')


def searched(args, encoders):
    """The best rate of every encoder on MRPC; encoders of which a rate is missing are left out."""

    def work(job):
        encoder, rate = job
        found = fine_tune(args, f"search-{encoder.name}-{rate:g}", "mrpc", encoder, SEARCH, rate)
        return found if isinstance(found, str) else found | {"encoder": encoder.name}

    best = {}
    for found in runs.all_of(work, [(encoder, rate) for encoder in encoders for rate in RATES], args.workers):
        best.setdefault(found["encoder"], []).append((sum(found["healed"].values()), -found["rate"]))
    return {name: -max(rates)[1] for name, rates in best.items() if len(rates) == len(RATES)}


def main(args):
    args.out.mkdir(parents=True, exist_ok=True)
    inside = sorted(path.parent for path in args.folder.glob("*/receipt.toml")) if args.folder else []
    found = [path.resolve() for path in args.runs + inside if (path / "model").exists()]
    encoders = {path.name: path for path in found if path.name.split("-")[0] in ("encoder", "equal")}
    rates = {name: args.lr for name in encoders} if args.lr else searched(args, encoders.values())
    own = {name: tomllib.loads((path / "receipt.toml").read_text())["seed"] for name, path in encoders.items()}
    seeds = lambda name: list(map(int, args.seeds.split(","))) if args.seeds else [own[name]]
    jobs = [(task, name, seed) for task in args.tasks.split(",") for name in encoders for seed in seeds(name)]
    if args.jobs:
        jobs = runs.listed(args.jobs, (str, str, int))

    def work(job):
        task, name, seed = job
        if name not in rates:
            return f"{task}-{name}-{seed}: the encoder or its rate is not there"
        return fine_tune(args, f"{task}-{name}-{seed}", task, encoders[name], seed, rates[name])

    runs.all_of(work, jobs, args.workers)


def table(args):
    for encoder, each in sorted(scores(args.out, args.receipts).items()):
        print(json.dumps({"encoder": encoder, "seeds": max(map(len, each.values()))} | spread([each])))


if __name__ == "__main__":
    args = options()
    if args.table:
        table(args)
    else:
        main(args)
