"""What rounding to few bits does to the llama2.c models beside the repository: perplexity, divergence from the original and flipped
tokens on held-out stories, for plain rounding, searched ranges and feedback, at equal bytes; with --special, for methods that have sizes of
their own (bits per matrix, low-rank repair, stretched columns, trellis codes), for rounding tuned by signs of gradients, and for what training
after rounding gives back: scales, zero points, adapters.

usage: quantize.py OUT --tenfold PROGRAM --models DIR --stories DIR [--group 64] [--bits 8,4,3,2] [--methods "rtn;gptq"]
                   [--orders "at-once;layers;maps"] [--special "mixed;trellis"]
Texts are whole stories, one a line, cut to CHARACTERS: the first 400 of the training slice to calibrate on, the first held-out ones
and the last 200 of the training slice to measure on; what trains learns the next token of the training slice but for those. One JSON line a run.
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
BEST = "clip = true\nrefits = 1\npolish = 2\n"
NORMS = '"layers.*.{input_layernorm,post_attention_layernorm}.weight"'
# Steps of training after rounding.
TUNED = 400
# Layers, width, width of keys and values, hidden width.
SIZES = {"stories260k": (5, 64, 32, 172), "stories3m_q80": (6, 192, 64, 512)}


def uniform(model, bits, group=64):
    """Bytes of all linear maps in one affine scheme: codes and zero points in runs of 32, the last of whole eights, and a half a group."""
    layers, width, keys, hidden = SIZES[model]
    shapes = [(width, width)] * 2 + [(keys, width)] * 2 + [(hidden, width)] * 2 + [(width, hidden)]
    packed = lambda count: (count // 32 * 32 + -(-(count % 32) // 8) * 8) * bits // 8
    groups = lambda cols: -(-cols // group)
    return layers * sum(rows * (packed(cols) + 2 * groups(cols) + packed(groups(cols))) for rows, cols in shapes)


def tuned(bits, group, rank):
    """Steps and phases that train after GPTQ, by name: tables, adapters, and both kinds of zero points."""
    tables = f"bits = {bits}\ngroup = {group}\nsolver = \"gptq\"\n{BEST}"
    # The low-rank product is a step of its own, after the one that rounds.
    lora = f'method = "gptq"\nbits = {bits}\ngroup = {group}\n{BEST}[[step]]\nselect = {LAYERS}\nmethod = "lora"\nrank = {rank}\n'
    ways = {
        "scales": (f'method = "peqa"\n{tables}', ["#scale"], (1e-3, 3e-3, 1e-2)),
        "scales and shifts": (f'method = "peqa"\nshifts = true\n{tables}', ["#scale", "#shift"], (1e-3, 3e-3, 1e-2)),
        f"qalora rank {rank}": (f'method = "qalora"\nrank = {rank}\n{tables}', ["#down", "#up"], (3e-3, 1e-2, 3e-2)),
        f"lora rank {rank}": (lora, ["#down", "#up"], (3e-3, 1e-2, 3e-2)),
        "lora rank 1": (lora.replace(f"rank = {rank}", "rank = 1"), ["#down", "#up"], (3e-3, 1e-2, 3e-2)),
    }
    phase = '[[phase]]\nobjective = "language"\ntext = "path:tune.txt"\ntokens = 1024\nsteps = {steps}\ntrain = {train}\noptimizer = {{ lr = {rate}, weight-decay = 0.0 }}\n'
    named = lambda name, rate: f"{name}, rate {rate}, int{bits}-g{group}"
    return [
        (named(name, rate), step + phase.format(steps=TUNED, train=json.dumps(train), rate=rate), "")
        for name, (step, train, rates) in ways.items()
        for rate in rates
    ]


# Whole steps, and what they select beside the linear maps. Bytes of mixed are those of one scheme for all, in groups of 64.
SPECIAL = {
    "mixed": [
        (f"mixed {weigh}, as int{bits}-g64", f'method = "mixed"\nbytes = BYTES{bits}\ngroup = 64\nweigh = "{weigh}"\n{BEST}', "")
        for bits in (3, 4)
        for weigh in ("outputs", "alike", "solver")
    ],
    "crucial": [
        (f"mixed crucial, {bits} bits", f'method = "mixed"\nbits = {bits}\ngroup = 64\ntried = [2, 16]\ntogether = "kinds"\nweigh = "solver"\n{BEST}', "")
        for bits in (4, 6, 8, 10, 12)
    ],
    "repair": [
        (
            f"repair rank {rank}, rounds {rounds}, int{bits}-g64",
            f'method = "repair"\nrank = {rank}\nrounds = {rounds}\nfactors = "half"\nbits = {bits}\ngroup = 64\n{BEST}',
            "",
        )
        for bits in (2, 3)
        for rank, rounds in ((2, 1), (4, 1), (4, 5), (8, 1), (8, 5))
    ],
    "finer": [(f"gptq, clip, refit, polish, int{bits}-g{group}", f'method = "gptq"\nbits = {bits}\ngroup = {group}\n{BEST}', "") for bits in (2, 3) for group in (16, 32)],
    "awq": [
        (f"awq {solver}{', folded' if norms else ''}, int{bits}-g64", f'method = "awq"\nsolver = "{solver}"\nbits = {bits}\ngroup = 64\n{BEST if solver == "gptq" else "clip = true" + chr(10)}', norms)
        for bits in (4, 3, 2)
        for solver in ("rtn", "gptq")
        for norms in ("", NORMS)
    ],
    "signround": [
        (f"signround from {start}{', refit, polish' if more else ''}{'' if ends else ', offsets alone'}, int{bits}-g64",
         f'method = "signround"\nfrom = "{start}"\nbits = {bits}\ngroup = 64\nends = {str(ends).lower()}\niterations = {count}\n{more}', "")
        for bits in (4, 3, 2)
        for start, more in (("rtn", ""), ("gptq", ""), ("gptq", "refits = 1\npolish = 2\n"))
        for ends, count in ((True, 200), (False, 200))
    ],
    "tuned": tuned(2, 16, 4),
    "trellis": [
        (f"trellis{bits}-w{window}", f'method = "trellis"\nbits = {bits}\nwindow = {window}\n', "")
        for bits, window in ((2, 8), (2, 10), (2, 12), (2, 14), (3, 12))
    ],
}

arguments = argparse.ArgumentParser()
arguments.add_argument("out", type=pathlib.Path)
arguments.add_argument("--tenfold", type=pathlib.Path, required=True)
arguments.add_argument("--models", type=pathlib.Path, required=True)
arguments.add_argument("--stories", type=pathlib.Path, required=True)
arguments.add_argument("--group", type=int, default=64)
arguments.add_argument("--methods", default=";".join(METHODS), help="some of them, with a semicolon between")
arguments.add_argument("--bits", default="8,4,3,2")
arguments.add_argument("--orders", default="at-once", help="with which other weights rewritten inputs are seen; a semicolon between")
arguments.add_argument("--special", default="", help=f"in their place: some of {';'.join(SPECIAL)}")
arguments.add_argument("--only", default="", help="of the special ones, those whose names hold one of these, with a semicolon between")
arguments.add_argument("--on", default="stories260k;stories3m_q80", help="models")
args = arguments.parse_args()


def stories(name):
    whole = (args.stories / name).read_text(errors="replace").split("<|endoftext|>")
    joined = [" ".join(story.split()) for story in whole]
    return [story[:CHARACTERS] for story in joined if len(story) > 200]


def run(model, name, step, beside="", source=None, order="at-once"):
    source = source or args.models / model
    text = f'name = "{model}"\n[model]\nfrom = ["path:{source.resolve()}"]\n[calibration]\ntext = "path:train.txt"\norder = "{order}"\n'
    if step:
        select = f"[{LAYERS}, {beside}]" if beside else LAYERS
        text += f"[[step]]\nselect = {select}\n{step}"
    (args.out / "run.toml").write_text(text + '[eval]\ntext = "path:held-out.txt"\n')
    command = [args.tenfold.resolve(), "run", "run.toml", "--out", "run"]
    shutil.rmtree(args.out / "run", ignore_errors=True)
    subprocess.run(command, cwd=args.out, check=True, capture_output=True)
    receipt = tomllib.loads((args.out / "run" / "receipt.toml").read_text())["receipt"]
    seconds = sum(stage["seconds"] for stage in receipt["stages"] if stage["stage"] in ("rewrite", "collect evidence"))
    found = {"model": model, "method": name, "order": order, "bytes": receipt["bytes"]["after"]}
    found |= {key: round(value, 4) for key, value in receipt["truncated"]["language"].items()}
    if "healed" in receipt:
        phase = receipt["phases"][0]
        seconds = sum(stage["seconds"] for stage in receipt["stages"] if stage["stage"].startswith("train"))
        found["trained"] = {"steps": phase["steps"], "parameters": phase["trained"]}
        found["trained"] |= {key: round(value, 4) for key, value in receipt["healed"]["language"].items()}
    print(json.dumps(found | {"seconds": round(seconds, 2)}), flush=True)


args.out.mkdir(parents=True, exist_ok=True)
train, held_out = stories("train_slice.txt"), stories("valid.txt")
(args.out / "tune.txt").write_text("\n".join(train[:-200]) + "\n")
(args.out / "train.txt").write_text("\n".join(train[:400]) + "\n")
(args.out / "held-out.txt").write_text("\n".join(held_out + train[400:][-200:]) + "\n")
for model in args.on.split(";"):
    run(model, "original", "")
    for name, step, beside in [one for kind in args.special.split(";") if kind for one in SPECIAL[kind]]:
        if any(part in name for part in args.only.split(";")):
            for bits in (3, 4):
                step = step.replace(f"BYTES{bits}", str(uniform(model, bits)))
            run(model, name, step, beside)
            # Tables back in a scheme of files, measured against the tuned model.
            if "qalora" in step or "peqa" in step:
                shutil.rmtree(args.out / "tuned", ignore_errors=True)
                (args.out / "run" / "model").rename(args.out / "tuned")
                run(model, f"{name}, whole zero points, clamped", 'method = "affine"\nclamp = true\n', source=args.out / "tuned")
    if args.special:
        continue
    for bits in map(int, args.bits.split(",")):
        for name in args.methods.split(";"):
            step = f"{METHODS[name]}bits = {bits}\ngroup = {args.group}\n"
            for order in args.orders.split(";"):
                run(model, f"{name}, int{bits}-g{args.group}", step, order=order)
