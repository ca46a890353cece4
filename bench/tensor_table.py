"""The cases of bench/run_tensor.sh: what runs in which order, and the table of ratios.

usage: tensor_table.py RESULTS-FOLDER ROUNDS       (after `cargo build --release -p tenfold-tensor --examples`)
In every round each case runs the variants of both engines, one after the other, each in a process of its own. A case's
time is the median over rounds of its best variant; the spread is the least and the largest ratio of one round.
"""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

out, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
EXAMPLES = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release/examples"
THREADS = "2"
COMPILE = os.environ.get("COMPILE", "1") != "0"
LENGTHS = os.environ.get("LENGTHS")
MODELS = ["6x384", "12x768"]


def ours(*words):
    return [str(EXAMPLES / "step"), *words]


def theirs(*words):
    return [sys.executable, "bench/peers/torch_step.py", "--threads", THREADS, *words]


def cases():
    """Name, the key that counts, our variants, theirs."""
    grades = {"f32": (["f32", "bf16x3"], ["f32"]), "bf16": (["bf16"], ["autocast", "bf16"])}
    for model in MODELS:
        for grade, (own, other) in grades.items():
            few = ["--only", model, "--repeat", "3", "--warmup", "1"]
            peers = [theirs(*few, "--precision", one) for one in other]
            if COMPILE:
                peers += [theirs(*few, "--precision", one, "--compile") for one in other]
            yield f"step {model} {grade}", "step_ms", [ours(*few, "--precision", one) for one in own], peers
    for model in MODELS:
        for batch, repeat in (("1", "21"), ("32", "5")):
            for grade, (own, other) in grades.items():
                some = ["--only", model, "--repeat", repeat, "--warmup", "2", "--infer", batch]
                peers = [theirs(*some, "--precision", one) for one in other]
                if COMPILE:
                    peers += [theirs(*some, "--precision", one, "--compile") for one in other]
                yield f"inference {model} batch {batch} {grade}", "inference_ms", [ours(*some, "--precision", one) for one in own], peers
    for model in MODELS[:1] if LENGTHS else []:
        for grade, (own, other) in grades.items():
            whole = ["--only", model, "--repeat", "3", "--warmup", "1", "--infer", "1", "--lengths", LENGTHS]
            peers = [theirs(*whole, "--precision", one) for one in other]
            yield f"sentences {model} {grade}", "inference_ms", [ours(*whole, "--precision", one) for one in own], peers


def run(command):
    """The lines of a program, with the most memory that it held."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"RAYON_NUM_THREADS": THREADS})
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)} failed: {text}")
    return [json.loads(line) | {"most_bytes": usage.ru_maxrss * 1024} for line in text.splitlines()]


def variant(one):
    return one["dtype"] + (" compiled" if one.get("compile") else "")


def best(runs, key):
    """The variant with the least median, and its times by round."""
    times = {}
    for one in runs:
        if key in one:
            times.setdefault(variant(one), {})[one["round"]] = one[key]
    if not times:
        return None, {}
    name = min(times, key=lambda name: statistics.median(times[name].values()))
    return name, times[name]


def row(name, what, own, other, own_name, other_name):
    shared = [own[at] / other[at] for at in own if at in other]
    a, b = statistics.median(own.values()), statistics.median(other.values())
    return {"case": name, "what": what, "ours": a, "ours_variant": own_name, "theirs": b, "theirs_variant": other_name,
            "ratio": round(a / b, 3), "least": round(min(shared), 3), "most": round(max(shared), 3)}


def table(runs):
    for name in dict.fromkeys(one["case"] for one in runs if one["case"] != "mpo layer"):
        mine = [one for one in runs if one["case"] == name]
        key = "step_ms" if name.startswith("step") else "inference_ms"
        (own_name, own), (other_name, other) = (best([one for one in mine if one["engine"] == engine], key) for engine in ("tenfold", "torch"))
        if own and other:
            yield row(name, "ms", own, other, own_name, other_name)
        if name.startswith("step"):
            # Without the libraries themselves: what the process held before there was a model.
            held = lambda engine, of: {variant(one): {one["round"]: of(one)} for one in mine if one["engine"] == engine and key in one}
            memory = {"tenfold": held("tenfold", lambda one: one["most_bytes"]),
                      "torch": held("torch", lambda one: one["most_bytes"] - one["before_bytes"])}
            least = {engine: min(found.items(), key=lambda item: min(item[1].values())) for engine, found in memory.items() if found}
            if len(least) == 2:
                (own_name, own), (other_name, other) = least["tenfold"], least["torch"]
                yield row(f"memory of {name}", "bytes", own, other, own_name, other_name)
    layers = [one for one in runs if one["case"] == "mpo layer"]
    for rows, bonds in dict.fromkeys((one["rows"], one["bond_max"]) for one in layers):
        mine = [one for one in layers if (one["rows"], one["bond_max"]) == (rows, bonds)]
        own, dense = ({one["round"]: one[key] for one in mine} for key in ("mpo_ms", "dense_ms"))
        yield row(f"mpo layer rows {rows} bonds {bonds}", "ms", own, dense, "mpo", "our dense layer")


def main():
    out.mkdir(parents=True, exist_ok=True)
    before, runs = open("/proc/loadavg").read().split()[:3], []
    for at in range(1, rounds + 1):
        for name, _, own, other in cases():
            for pair in range(max(len(own), len(other))):
                for command in own[pair:pair + 1] + other[pair:pair + 1]:
                    runs += [one | {"case": name, "round": at} for one in run(command)]
        runs += [one | {"case": "mpo layer", "round": at} for one in run([str(EXAMPLES / "mpo_layer"), "--repeat", "11"])]
        print(f"round {at} of {rounds}", file=sys.stderr, flush=True)
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    text = lambda *command: subprocess.run(command, capture_output=True, text=True).stdout.strip()
    machine = {"cpu": cpu, "cores": os.cpu_count(), "revision": text("git", "rev-parse", "HEAD"), "rustc": text("rustc", "--version"),
               "python": platform.python_version(), "load_before": before, "load_after": open("/proc/loadavg").read().split()[:3]}
    (out / "tensor.json").write_text(json.dumps({"machine": machine, "runs": runs}, indent=1) + "\n")
    rows = list(table(runs))
    (out / "tensor-table.json").write_text(json.dumps({"machine": machine, "rounds": rounds, "rows": rows}, indent=1) + "\n")
    for one in rows:
        shown = {"ms": "{:10.2f} ms".format, "bytes": lambda x: f"{x / 2**20:9.0f} MiB"}[one["what"]]
        print(f"{one['case']:34} {shown(one['ours'])} {one['ours_variant']:9} {shown(one['theirs'])} {one['theirs_variant']:18}"
              f" ratio {one['ratio']:.3f} ({one['least']:.3f} to {one['most']:.3f})")


main()
