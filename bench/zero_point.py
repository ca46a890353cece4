"""What the packing fault of zero points in version 1 of GPTQ's layout costs: perplexity of real decoders with the same codes, once with
zero points as they are meant, once as the fault leaves them.

Version 1 stores z - 1. A packer that does not cut the difference to the width of a code writes all ones for z = 0, over every later zero
point of the same 32-bit word; a reader that adds one without cutting finds 2^b in all of them ("overflow"). With a packer that cuts and
such a reader only the zero points of 0 are wrong ("uncut reader"); with a reader that cuts as well nothing is.

usage: zero_point.py OUT --tenfold PROGRAM --models DIR --stories DIR [--groups 32,128]
Prints one line of JSON a run: a model, a width of codes, a method, a size of groups, a packing; with the shares of groups whose zero point
is 0 and of those that are read with another one than was meant. Needs numpy, safetensors.
"""

import argparse
import itertools
import json
import pathlib
import shutil
import subprocess
import tomllib

import numpy as np
from safetensors.numpy import load_file, save_file

CHARACTERS = 800
MODELS = ("stories260k", "stories3m_q80", "babyllama105")
LAYERS = '"layers.**.{q,k,v,o,gate,up,down}_proj.weight"'
METHODS = {"rtn": "", "gptq": 'order = "stored"\n'}

parser = argparse.ArgumentParser()
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--tenfold", type=pathlib.Path, required=True)
parser.add_argument("--models", type=pathlib.Path, required=True)
parser.add_argument("--stories", type=pathlib.Path, required=True)
parser.add_argument("--groups", default="32,128")
parser.add_argument("--bits", default="2,4")
args = parser.parse_args()


def stories(name):
    whole = (args.stories / name).read_text(errors="replace").split("<|endoftext|>")
    joined = [" ".join(story.split()) for story in whole]
    return [story[:CHARACTERS] for story in joined if len(story) > 200]


def tenfold(*words):
    subprocess.run([args.tenfold.resolve(), *words], cwd=args.out, check=True, capture_output=True)


def perplexity(source, step=""):
    """Of a model on the held-out text, after a step; the rewritten model is in OUT/run/model."""
    text = f'name = "zero"\n[model]\nfrom = ["path:{source}"]\n[calibration]\ntext = "path:train.txt"\n{step}'
    (args.out / "run.toml").write_text(text + '[eval]\ntext = "path:held-out.txt"\n')
    shutil.rmtree(args.out / "run", ignore_errors=True)
    tenfold("run", "run.toml", "--out", "run")
    receipt = tomllib.loads((args.out / "run" / "receipt.toml").read_text())["receipt"]
    return receipt["truncated"]["language"]["perplexity"]


def fields(words, bits):
    """The fields of 32-bit words, G x O b / 32, as G x O."""
    per = 32 // bits
    shifts = np.arange(per, dtype=np.uint32) * bits
    return ((words[:, :, None] >> shifts) & ((1 << bits) - 1)).reshape(words.shape[0], -1)


def joined(numbers, bits):
    """Numbers OR-ed into words, not cut to their width: what the fault is."""
    per = 32 // bits
    parts = numbers.reshape(numbers.shape[0], -1, per).astype(np.int64) << (np.arange(per) * bits)
    return (np.bitwise_or.reduce(parts, axis=2) & 0xFFFFFFFF).astype(np.uint32)


def packed(folder, target, bits, cut):
    """Writes the checkpoint of version 2 in `folder` as one of version 1; the shares of zero points that are 0, and that are read as
    others (by a reader that does not cut)."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    tensors = load_file(target / "model.safetensors")
    zero = wrong = count = 0
    for name in [name for name in tensors if name.endswith(".qzeros")]:
        meant = fields(tensors[name].view(np.uint32), bits).astype(np.int64)
        stored = meant - 1
        words = joined(stored & ((1 << bits) - 1) if cut else stored, bits)
        read = fields(words, bits).astype(np.int64) + 1
        zero, wrong, count = zero + (meant == 0).sum(), wrong + (read != meant).sum(), count + meant.size
        tensors[name] = words.view(np.int32)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    for name in ("config.json", "quantize_config.json"):
        text = (target / name).read_text()
        (target / name).write_text(text.replace('"gptq_v2"', '"gptq"'))
    return float(zero / count), float(wrong / count)


args.out.mkdir(parents=True, exist_ok=True)
args.out = args.out.resolve()
train, held_out = stories("train_slice.txt"), stories("valid.txt")
(args.out / "train.txt").write_text("\n".join(train[:150]) + "\n")
(args.out / "held-out.txt").write_text("\n".join(held_out + train[400:][-20:]) + "\n")
originals = {model: perplexity((args.models / model).resolve()) for model in MODELS}
for bits, model in itertools.product(map(int, args.bits.split(",")), MODELS):
    for group, (method, more) in itertools.product(map(int, args.groups.split(",")), METHODS.items()):
        step = f'[[step]]\nselect = {LAYERS}\nmethod = "{method}"\nbits = {bits}\ngroup = {group}\n{more}'
        correct = perplexity((args.models / model).resolve(), step)
        shutil.rmtree(args.out / "v2", ignore_errors=True)
        tenfold("convert", "path:run/model", "v2", "--to", "gptq-v2")
        found = {"model": model, "bits": bits, "group": group, "method": method, "original": originals[model], "correct": correct}
        for packing, cut in (("overflow", False), ("uncut_reader", True)):
            zero, hit = packed(args.out / "v2", args.out / "v1", bits, cut)
            # Files in which no zero point differs are the same.
            found |= {"zero": zero, packing + "_hit": hit, packing: perplexity(args.out / "v1") if hit else correct}
        print(json.dumps({key: round(value, 5) if isinstance(value, float) else value for key, value in found.items()}), flush=True)
