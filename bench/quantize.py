"""What rounding to few bits does to the llama2.c models beside the repository: perplexity, divergence from the original and flipped
tokens on held-out stories, for plain rounding, searched ranges and feedback, at equal bytes.

usage: quantize.py OUT --tenfold PROGRAM --models DIR --stories DIR [--group 64] [--methods "rtn;gptq"]
Texts are whole stories, one a line, cut to CHARACTERS: the first 400 of the training slice to calibrate on, the first held-out ones
and the last 200 of the training slice to measure on. One JSON line a run.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import tomllib

CHARACTERS = 800
LAYERS = '"layers.**.{q,k,v,o,gate,up,down}_proj.weight"'
METHODS = {
    "rtn": 'method = "rtn"\n',
    "rtn, clip": 'method = "rtn"\nclip = true\nmetric = "inputs"\n',
    "gptq, stored": 'method = "gptq"\norder = "stored"\n',
    "gptq": 'method = "gptq"\n',
    "gptq, clip": 'method = "gptq"\nclip = true\n',
    "gptq, clip, refit": 'method = "gptq"\nclip = true\nrefits = 1\n',
    "gptq, clip, refit, polish": 'method = "gptq"\nclip = true\nrefits = 1\npolish = 2\n',
}

arguments = argparse.ArgumentParser()
arguments.add_argument("out", type=pathlib.Path)
arguments.add_argument("--tenfold", type=pathlib.Path, required=True)
arguments.add_argument("--models", type=pathlib.Path, required=True)
arguments.add_argument("--stories", type=pathlib.Path, required=True)
arguments.add_argument("--group", type=int, default=64)
arguments.add_argument("--methods", default=";".join(METHODS), help="some of them, with a semicolon between")
args = arguments.parse_args()


def stories(name):
    whole = (args.stories / name).read_text(errors="replace").split("<|endoftext|>")
    joined = [" ".join(story.split()) for story in whole]
    return [story[:CHARACTERS] for story in joined if len(story) > 200]


def run(model, name, step):
    text = f'name = "{model}"\n[model]\nfrom = ["path:{(args.models / model).resolve()}"]\n[calibration]\ntext = "path:train.txt"\n'
    if step:
        text += f"[[step]]\nselect = {LAYERS}\n{step}"
    (args.out / "run.toml").write_text(text + '[eval]\ntext = "path:held-out.txt"\n')
    command = [args.tenfold.resolve(), "run", "run.toml", "--out", "run"]
    shutil.rmtree(args.out / "run", ignore_errors=True)
    subprocess.run(command, cwd=args.out, check=True, capture_output=True)
    receipt = tomllib.loads((args.out / "run" / "receipt.toml").read_text())["receipt"]
    seconds = sum(stage["seconds"] for stage in receipt["stages"] if stage["stage"] in ("rewrite", "evidence"))
    found = {"model": model, "method": name, "bytes": receipt["bytes"]["after"]}
    found |= {key: round(value, 4) for key, value in receipt["truncated"]["language"].items()}
    print(json.dumps(found | {"seconds": round(seconds, 2)}), flush=True)


args.out.mkdir(parents=True, exist_ok=True)
train, held_out = stories("train_slice.txt"), stories("valid.txt")
(args.out / "train.txt").write_text("\n".join(train[:400]) + "\n")
(args.out / "held-out.txt").write_text("\n".join(held_out + train[400:][-200:]) + "\n")
for model in ("stories260k", "stories3m_q80"):
    run(model, "original", "")
    for bits in (8, 4, 3, 2):
        for name in args.methods.split(";"):
            step = METHODS[name]
            run(model, f"{name}, int{bits}-g{args.group}", f"{step}bits = {bits}\ngroup = {args.group}\n")
