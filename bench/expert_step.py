"""Step times of decoders with experts here and in PyTorch, taking turns: dense, Switch with dense experts, Switch with experts that share central cores; and
of a deep encoder whose layers share central cores against the same one without sharing.

usage: expert_step.py OUT_JSON TEXT_FILE [--rounds N] [--repeat N] [--only experts|depth]
       expert_step.py OUT_JSON --table
Needs `cargo build --release`; run it with a Python that has PyTorch, alone on the machine. Times are medians over rounds of each round's median.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

EXPERTS = {"dense": "", "moe": '[[step]]\nmethod = "moe"\n', "mpoe": '[[step]]\nmethod = "mpoe"\n'}
ROUTERS = 'select = "h.*.mlp.router"\nexperts = 8\njitter = 0.01\n'
MATRICES = '"encoder.layer.*.**.{query,key,value,dense}.weight"'
# Sharing alone is told from the operators that it needs by the same operators without it.
DEPTH = {
    "dense": "",
    "share": '[[step]]\nmethod = "share"\nselect = "encoder.layer.**"\n',
    "operators": f'[[step]]\nmethod = "mpobert"\nselect = {MATRICES}\nrank = 0\ngroups = 48\n',
    "mpobert": f'[[step]]\nmethod = "mpobert"\nselect = {MATRICES}\nrank = 0\n',
}


def recipe(kind, text, study):
    if study == "experts":
        sizes = 'architecture = "gpt2"\nvocabulary = "characters"\nwidth = 256\nhidden = 1024\nlayers = 4\nheads = 4\npositions = 256\n'
        steps, objective = EXPERTS[kind] + (ROUTERS if EXPERTS[kind] else ""), "language"
    else:
        sizes = 'architecture = "bert"\nvocabulary = "wordpiece"\ntokens = 4000\nwidth = 256\nhidden = 1024\nlayers = 48\nheads = 4\npositions = 128\n'
        steps, objective = DEPTH[kind], "masked"
    return f"""name = "{kind}"
[model.new]
{sizes}text = "path:{text}"
{steps}
[[phase]]
objective = "{objective}"
text = "path:{text}"
tokens = 4096
steps = 10
precision = "f32"
[eval]
tasks = ["{'fidelity' if study == 'experts' else 'masked'}@1"]
text = "path:{text}"
"""


def ours(kind, text, study, repeat):
    root = pathlib.Path(__file__).resolve().parent.parent
    program = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / "release/tenfold"
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"{kind}.toml"
        path.write_text(recipe(kind, text, study))
        environment = os.environ | {"RAYON_NUM_THREADS": "2"}
        plan = subprocess.run([program, "plan", path, "--json"], capture_output=True, text=True, check=True, env=environment)
        done = subprocess.run(
            [program, "bench", path, "--json", "--repeat", str(repeat)], capture_output=True, text=True, check=True, env=environment
        )
    phase = json.loads(done.stdout)["bench"]["phases"][0]
    totals = json.loads(plan.stdout)
    return {key: phase[key] for key in ("ms", "least_ms", "most_ms", "peak_bytes", "trained")} | {"totals": totals.get("plan", totals)["totals"]}


def theirs(kind, repeat, cores):
    script = pathlib.Path(__file__).resolve().parent / "peers/experts_torch.py"
    command = [sys.executable, script, kind, "--repeat", str(repeat)]
    command += ["--cores", *cores] if kind == "mpoe" else []
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("out", type=pathlib.Path)
    arguments.add_argument("text", type=pathlib.Path, nargs="?")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--repeat", type=int, default=5)
    arguments.add_argument("--only", choices=["experts", "depth"])
    # The automatic factors of 1024 x 256 and 256 x 1024 here.
    arguments.add_argument("--cores", nargs=2, default=["4x4x4x4x4:2x4x4x4x2", "2x4x4x4x2:4x4x4x4x4"])
    arguments.add_argument("--table", action="store_true")
    options = arguments.parse_args()
    if not options.table:
        raw = []
        for number in range(options.rounds):
            for study in ["experts", "depth"]:
                if options.only not in (None, study):
                    continue
                for kind in EXPERTS if study == "experts" else DEPTH:
                    found = {"round": number, "study": study, "kind": kind, "ours": ours(kind, options.text.resolve(), study, options.repeat)}
                    if study == "experts":
                        found["theirs"] = theirs(kind, options.repeat, options.cores)
                    raw.append(found)
                    options.out.write_text(json.dumps(raw, indent=1) + "\n")
    raw = json.loads(options.out.read_text())
    for study in dict.fromkeys(one["study"] for one in raw):
        own = lambda kind, side: statistics.median(one[side]["ms"] for one in raw if (one["study"], one["kind"]) == (study, kind))
        for kind in dict.fromkeys(one["kind"] for one in raw if one["study"] == study):
            runs = [one for one in raw if (one["study"], one["kind"]) == (study, kind)]
            line = f"{study:8} {kind:10} {own(kind, 'ours'):8.1f} ms, {own(kind, 'ours') / own('dense', 'ours'):.2f} of dense"
            line += f", {runs[0]['ours']['trained'] / 1e6:.2f} M trained, {runs[0]['ours']['peak_bytes'] / 2**20:.0f} MiB"
            if "theirs" in runs[0]:
                line += f"; PyTorch {own(kind, 'theirs'):8.1f} ms, {own(kind, 'theirs') / own('dense', 'theirs'):.2f} of dense; ours {own(kind, 'ours') / own(kind, 'theirs'):.2f}"
            print(line)


main()
