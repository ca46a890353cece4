"""Operators and low-rank products with rounded factors beside rounded matrices, on stories260k: bytes of the linear maps, perplexity, divergence, flipped tokens.

usage: cores.py OUT --tenfold PROGRAM --models DIR --stories DIR
Texts as in bench/quantize.py: the first 400 stories of the training slice to calibrate on, held-out ones and the last 60 of the slice to measure on, cut to 800
characters. One recipe with a variant a row; one JSON line a variant.
"""

import argparse
import json
import pathlib
import subprocess
import tomllib

CHARACTERS = 800
LAYERS = '"layers.**.{q,k,v,o,gate,up,down}_proj.weight"'
BEST = "clip = true, refits = 1, polish = 2"
arguments = argparse.ArgumentParser()
arguments.add_argument("out", type=pathlib.Path)
for name in ("tenfold", "models", "stories"):
    arguments.add_argument(f"--{name}", type=pathlib.Path, required=True)
options = arguments.parse_args()
out = options.out.resolve()
out.mkdir(parents=True, exist_ok=True)

line = lambda text: " ".join(text.split())[:CHARACTERS]
train = [line(one) for one in (options.stories / "train_slice.txt").read_text().split("<|endoftext|>") if line(one)]
valid = [line(one) for one in (options.stories / "valid.txt").read_text().split("<|endoftext|>") if line(one)]
(out / "calibration.txt").write_text("\n".join(train[:400]) + "\n")
(out / "held-out.txt").write_text("\n".join(valid + train[-60:]) + "\n")


def step(method, rest):
    return f'{{ method = "{method}", select = {LAYERS}, {rest} }}'


few = f"group = 32, {BEST}"
rows = {f"gptq {bits}, group {group}": [step("gptq", f"bits = {bits}, group = {group}, {BEST}")] for bits, group in ((4, 64), (3, 64), (2, 64), (2, 16))}
for bits, shares in ((8, (0.5,)), (4, (0.5, 0.7, 0.9))):
    for share in shares:
        rows[f"mpo of share {share}, {bits} bits"] = [step("mpo", f"cores = 3, share = {share}"), step("cores", f"bits = {bits}, {few}")]
        rows[f"low rank of share {share}, {bits} bits"] = [step("svd", f"share = {share}"), step("cores", f'bits = {bits}, others = "same", {few}')]
for bits in (4, 3):
    rows[f"mpo in full, {bits} bits"] = [step("mpo", "cores = 3"), step("cores", f"bits = {bits}, {few}")]

variants = "".join(f'[[variant]]\nname = "{name}"\nseries = "all"\nstep = [{", ".join(steps)}]\n\n' for name, steps in rows.items())
recipe = f'''name = "cores"

[model]
from = "path:{(options.models / "stories260k").resolve()}"

[calibration]
text = "path:{out / "calibration.txt"}"
tokens = 1000000

{variants}[eval]
tasks = ["fidelity@1"]
text = "path:{out / "held-out.txt"}"
'''
(out / "recipe.toml").write_text(recipe)
subprocess.run([options.tenfold.resolve(), "run", out / "recipe.toml", "--out", out / "run"], check=True, stdout=subprocess.DEVNULL)
receipt = tomllib.loads((out / "run" / "receipt.toml").read_text())["receipt"]
# What is not rounded in any variant: embedding and norms, in four bytes.
whole = receipt["bytes"] if isinstance(receipt["bytes"], int) else receipt["bytes"]["before"]
maps = 4 * 5 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 172 * 64)
with open(out / "cores.jsonl", "w") as lines:
    for one in receipt["variants"]:
        language = one["scores"]["language"]
        row = {"name": one["name"], "map_bytes": one["bytes"] - (whole - maps), "error": one["error"], **language}
        lines.write(json.dumps(row) + "\n")
        print(f'{row["map_bytes"]:>8} {language["divergence"]:.5f} {language["flipped"]:.4f} {language["perplexity"]:.4f}  {one["name"]}')
