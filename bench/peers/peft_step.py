"""PyTorch and PEFT's time and memory for one step of light fine-tuning: the peer of `tenfold bench recipes/KIND-mrpc.toml`.

What is measured: forward, backward and fused AdamW of BERT with a head for pairs and one of PEFT's methods on it, in f32, on batches of 32
rows of MRPC, tokenized before, padded to the longest of their batch; dropout as published. The median over the timed steps after the
warm-up, and the most memory that the process held, before the model is made and at most.
What would mislead you: another process on the machine; fewer cores than threads. Ours does no work on padding.

usage: peft_step.py MODEL_DIR DATA_DIR KIND [--repeat N] [--warmup N] [--threads N]     KIND: full, lora, dora, ia3, prefix, bitfit
One line of JSON on stdout.
"""

import argparse
import json
import pathlib
import random
import resource
import statistics
import time

import torch
from peft import IA3Config, LoraConfig, PrefixTuningConfig, TaskType, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

ENCODER = r"bert\.encoder\.layer\.\d+\.(attention\.self\.(query|key|value)|attention\.output\.dense|intermediate\.dense|output\.dense)"


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def adapted(model, kind):
    task = {"task_type": TaskType.SEQ_CLS, "modules_to_save": ["classifier"]}
    if kind in ("lora", "dora"):
        return get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=ENCODER, use_dora=kind == "dora", **task))
    if kind == "ia3":
        outer = r"bert\.encoder\.layer\.\d+\.output\.dense"
        modules = r"bert\.encoder\.layer\.\d+\.(attention\.self\.(key|value)|output\.dense)"
        return get_peft_model(model, IA3Config(target_modules=modules, feedforward_modules=outer, **task))
    if kind == "prefix":
        return get_peft_model(model, PrefixTuningConfig(task_type=TaskType.SEQ_CLS, num_virtual_tokens=16))
    for name, leaf in model.named_parameters():
        leaf.requires_grad_(kind == "full" or name.endswith("bias") or name.startswith(("classifier", "bert.pooler")))
    return model


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("model")
    arguments.add_argument("data", type=pathlib.Path)
    arguments.add_argument("kind")
    arguments.add_argument("--repeat", type=int, default=15)
    arguments.add_argument("--warmup", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=2)
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(17)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    lines = (options.data / "glue_mrpc/train.tsv").read_text(encoding="utf-8").split("\n")[1:]
    rows = [line.rstrip("\r").split("\t") for line in lines if line.strip()]
    random.Random(17).shuffle(rows)
    batches = []
    for at in range(options.warmup + options.repeat):
        some = rows[32 * at : 32 * at + 32]
        batch = tokenizer([r[3] for r in some], [r[4] for r in some], truncation=True, max_length=128, padding=True, return_tensors="pt")
        batches.append(batch | {"labels": torch.tensor([int(r[0]) for r in some])})
    before = peak()
    model = adapted(AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=2), options.kind)
    model.train()
    leaves = [leaf for leaf in model.parameters() if leaf.requires_grad]
    optimizer = torch.optim.AdamW(leaves, lr=1e-3, weight_decay=0.01, fused=True)
    times = []
    for at, batch in enumerate(batches):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        model(**batch).loss.backward()
        optimizer.step()
        if at >= options.warmup:
            times.append(1e3 * (time.perf_counter() - start))
    print(json.dumps({
        "engine": "peft", "version": torch.__version__, "kind": options.kind, "threads": options.threads, "repeat": options.repeat,
        "trained": sum(leaf.numel() for leaf in leaves), "ms": round(statistics.median(times), 1), "least_ms": round(min(times), 1),
        "before_bytes": before, "peak_bytes": peak(),
    }))


main()
