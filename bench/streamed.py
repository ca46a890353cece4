"""Memory and time of quantizing a decoder of about 1 GB of weights that were drawn at random: all layers at once, layer by layer, and layer
by layer with weights that are read when their turn comes. The memory is the most that the process held, from loading to saving.

usage: streamed.py OUT --tenfold PROGRAM [--layers 20] [--width 1024] [--hidden 2816] [--tokens 1000]
One JSON line a run.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import tomllib

import numpy as np

arguments = argparse.ArgumentParser()
arguments.add_argument("out", type=pathlib.Path)
arguments.add_argument("--tenfold", type=pathlib.Path, required=True)
arguments.add_argument("--layers", type=int, default=20)
arguments.add_argument("--width", type=int, default=1024)
arguments.add_argument("--hidden", type=int, default=2816)
arguments.add_argument("--tokens", type=int, default=1000)
arguments.add_argument("--only", default="at-once;layers;layers, streamed;maps, streamed")
args = arguments.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

SELECT = 'select = "layers.**.{q,k,v,o,gate,up,down}_proj.weight"\n'
WORDS = "the quick brown fox jumps over the lazy dog while seven wizards mix a potion of violet frogs".split()
random = np.random.default_rng(3)
lines = [" ".join(random.choice(WORDS, 40)) for _ in range(200)]
(args.out / "text.txt").write_text("\n".join(lines) + "\n")
(args.out / "few.txt").write_text("\n".join(lines[:3]) + "\n")


def tenfold(text, out):
    (args.out / "run.toml").write_text(text)
    shutil.rmtree(args.out / out, ignore_errors=True)
    subprocess.run([args.tenfold.resolve(), "run", "run.toml", "--out", out], cwd=args.out, check=True, capture_output=True)
    return tomllib.loads((args.out / out / "receipt.toml").read_text())["receipt"]


def write(folder):
    """A decoder in the layout of Hugging Face, written tensor by tensor; its config and vocabulary are those of a small one."""
    sizes = f"width = {args.width}\nhidden = {args.hidden}\nlayers = 1\nheads = 16\npositions = 256\ntied = false\n"
    small = f'name = "small"\n[model.new]\nvocabulary = "bytes"\n{sizes}[[step]]\nmethod = "rtn"\nbits = 8\n{SELECT}[eval]\ntext = "path:few.txt"\n'
    tenfold(small, "small")
    folder.mkdir(exist_ok=True)
    config = json.loads((args.out / "small/model/config.json").read_text()) | {"num_hidden_layers": args.layers}
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(args.out / "small/model/tokenizer.json", folder)
    square, wide, narrow = (args.width, args.width), (args.hidden, args.width), (args.width, args.hidden)
    maps = {f"self_attn.{name}_proj": square for name in "qkvo"} | {"mlp.gate_proj": wide, "mlp.up_proj": wide, "mlp.down_proj": narrow}
    norms = {name: (args.width,) for name in ("input_layernorm", "post_attention_layernorm")}
    table = (config["vocab_size"], args.width)
    shapes = {"model.embed_tokens.weight": table, "lm_head.weight": table, "model.norm.weight": (args.width,)}
    for layer in range(args.layers):
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in (maps | norms).items()}
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            values = np.ones(shape) if len(shape) == 1 else 0.02 * random.standard_normal(shape)
            file.write(values.astype("<f4").tobytes())
    return at


size = write(args.out / "model")
for name in args.only.split(";"):
    order, streamed = name.removesuffix(", streamed"), name.endswith("streamed")
    keys = f'tokens = {args.tokens}\norder = "{order}"\nstreamed = {str(streamed).lower()}\n'
    step = f'[[step]]\nmethod = "gptq"\nbits = 4\ngroup = 128\n{SELECT}'
    text = f'name = "large"\n[model]\nfrom = "path:model"\n[calibration]\ntext = "path:text.txt"\n{keys}{step}[eval]\ntext = "path:few.txt"\n'
    (args.out / "run.toml").write_text(text)
    plan = subprocess.run([args.tenfold.resolve(), "plan", "run.toml", "--json"], cwd=args.out, check=True, capture_output=True)
    planned = json.loads(plan.stdout).get("rewriting", {}).get("peak")
    receipt = tenfold(text, "run")
    stages = {stage["stage"]: round(stage["seconds"], 1) for stage in receipt["stages"]}
    found = {"run": name, "weights": size, "bytes": receipt["bytes"]["after"], "peak": receipt["peak-memory"], "planned": planned}
    language = receipt["truncated"]["language"]
    print(json.dumps(found | {"perplexity": language["perplexity"], "tokens": args.tokens, "seconds": stages}), flush=True)
