"""Checkpoints in the layout of GPTQ between this project and GPTQModel with its kernel in PyTorch, on the processor.

usage: gptq_files.py read CHECKPOINT DENSE        ours, read by GPTQModel, against its decoded weights in transformers
       gptq_files.py write DENSE OUT [--bits 4] [--group 64] [--order] [--sym] [--version gptq_v2]
                                                  quantized by GPTQModel, to be read by ours
DENSE is a folder in Hugging Face's layout (`tenfold convert SOURCE DENSE`). Tokens are drawn at random with a seed. One line of JSON with
the largest distance of logits and the largest logit; that of `write` is what quantization changes. Ours reads what it wrote when `read OUT
DENSE` after `tenfold convert path:OUT DENSE` finds no distance but that of rounding. Needs gptqmodel, transformers, torch.
"""

import argparse
import json
import os
import pathlib

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
# Its pool of workers wants two, whatever the processor has.
os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")

import torch
from gptqmodel import BACKEND, GPTQModel, QuantizeConfig
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("way", choices=["read", "write"])
parser.add_argument("source", type=pathlib.Path)
parser.add_argument("other", type=pathlib.Path)
parser.add_argument("--bits", type=int, default=4)
parser.add_argument("--group", type=int, default=64)
parser.add_argument("--order", action="store_true")
parser.add_argument("--sym", action="store_true")
parser.add_argument("--version", default="gptq")
args = parser.parse_args()
torch.set_num_threads(2)
torch.manual_seed(5)


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=ids).logits.double()


def quantized(folder):
    """A checkpoint with the plainest kernel, in single precision."""
    return GPTQModel.load(str(folder), device="cpu", backend=BACKEND.TORCH, dtype=torch.float16).model.float().eval()


def dense(folder, peer):
    """The decoded weights in single precision, all others rounded to half as the kernel's loader does."""
    coded = {name for name, module in peer.named_modules() if hasattr(module, "qweight")}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for name, module in model.named_modules():
        for value in module.parameters(recurse=False) if name not in coded else ():
            value.data = value.data.half().float()
    return model


def tokens(config):
    return torch.randint(0, config.vocab_size, (4, 64))


if args.way == "read":
    model = quantized(args.source)
    ids = tokens(model.config)
    expected, got = logits(dense(args.other, model), ids), logits(model, ids)
else:
    config = dict(bits=args.bits, group_size=args.group, desc_act=args.order, sym=args.sym, format=args.version)
    model = GPTQModel.load(str(args.source), QuantizeConfig(**config), dtype=torch.float32)
    ids = tokens(model.model.config)
    model.quantize([{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in ids], batch_size=1, backend=BACKEND.TORCH)
    model.save(str(args.other))
    model = quantized(args.other)
    expected, got = logits(dense(args.source, model), ids), logits(model, ids)
modules = sum(1 for _, module in model.named_modules() if hasattr(module, "qweight"))
print(json.dumps({"way": args.way, "checkpoint": args.source.name, "quantized": modules,
                  "largest_distance": (expected - got).abs().max().item(), "largest_logit": expected.abs().max().item(),
                  "same_top": (expected.argmax(-1) == got.argmax(-1)).double().mean().item()}))
