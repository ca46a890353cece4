"""Adapters in both directions, LoRA, DoRA and IA3: makes each with PEFT for this program to load, and trains each here for PEFT to load,
and compares what a model with it says. PEFT computes in double precision.

usage: adapter_peft.py BASE-FOLDER DATA RESULT.json [STEPS]      after `cargo build --release -p tenfold --bin tenfold` and
       `cargo build --release -p tenfold-model --example logits`.
       DATA holds MRPC, on which the recipes of this repository train STEPS (20) steps each.
Needs torch, transformers and peft. Prints and writes the largest difference and the largest value of each.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import peft
import torch
import transformers
from safetensors import safe_open
from transformers import AutoModel, AutoModelForSequenceClassification

root = pathlib.Path(__file__).resolve().parents[2]
release = root / "target/release"
base, data, result, *rest = sys.argv[1:]
steps = rest[0] if rest else "20"
matrices = ["query", "value", "dense"]
# Name here, config there, recipe.
kinds = [
    ("lora", peft.LoraConfig(r=8, lora_alpha=16, target_modules=matrices), "lora-mrpc"),
    ("dora", peft.LoraConfig(r=8, lora_alpha=16, target_modules=matrices, use_dora=True), "lora-dora-mrpc"),
    ("ia3", peft.IA3Config(target_modules=["key", "value", "output.dense"], feedforward_modules=["output.dense"]), "ia3-mrpc"),
]


def run(program, *words, folder=None):
    done = subprocess.run([release / program, *map(str, words)], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{program} {words}: {done.stdout}{done.stderr}")
    return done.stdout


def compare(adapter, ours, ids):
    """What PEFT makes of an adapter against lines of numbers."""
    task = peft.PeftConfig.from_pretrained(adapter).task_type
    if task == "SEQ_CLS":
        with safe_open(f"{adapter}/adapter_model.safetensors", "pt") as file:
            outputs = file.get_slice("base_model.model.classifier.weight").get_shape()[0]
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=outputs)
    else:
        model = AutoModel.from_pretrained(base)
    model = peft.PeftModel.from_pretrained(model, adapter).eval().double()
    ours = [torch.tensor(json.loads(line), dtype=torch.float64) for line in ours.splitlines()]
    worst, top = 0.0, 0.0
    with torch.no_grad():
        for sequence, got in zip(json.loads(ids.read_text()), ours, strict=True):
            found = model(input_ids=torch.tensor([sequence]))
            want = (found.logits if task == "SEQ_CLS" else found.last_hidden_state).flatten()
            worst, top = max(worst, (got - want).abs().max().item()), max(top, want.abs().max().item())
    return {"task": task, "sequences": len(ours), "largest_difference": worst, "largest_value": top}


def made_by_peft(config, folder):
    """A random adapter, drawn away from what it starts from."""
    torch.manual_seed(5)
    model = peft.get_peft_model(AutoModel.from_pretrained(base), config)
    with torch.no_grad():
        for path, weight in model.named_parameters():
            if "lora_B" in path:
                weight.copy_(0.02 * torch.randn_like(weight))
            if "magnitude" in path or "ia3_l" in path:
                weight.mul_(1 + 0.1 * torch.randn_like(weight))
    model.save_pretrained(folder)


with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    torch.manual_seed(5)
    ids = scratch / "ids.json"
    tokens = [[101] + torch.randint(1000, 30000, (length,)).tolist() + [102] for length in (1, 7, 30, 64, 126)]
    ids.write_text(json.dumps(tokens))
    table = {}
    for kind, config, recipe in kinds:
        there, trained, here = (scratch / f"{kind}-{word}" for word in ("there", "run", "here"))
        made_by_peft(config, there)
        theirs = compare(there, run("examples/logits", base, ids, there), ids)
        text = (root / f"recipes/{recipe}.toml").read_text()
        lines = [f"steps = {steps}" if line.startswith("steps ") else line for line in text.splitlines()]
        lines = [f'from = ["path:{base}"]' if line.startswith("from ") else line for line in lines]
        (scratch / f"{kind}.toml").write_text("\n".join(lines).replace("warmup = 34", "warmup = 2"))
        run("tenfold", "run", f"{kind}.toml", "--out", trained, "--data", pathlib.Path(data).resolve(), folder=scratch)
        model = trained / "model"
        run("tenfold", "convert", f"path:{model}", here, "--to", "peft", "--base", f"path:{base}")
        ours = compare(here, run("examples/logits", model, ids), ids)
        table[kind] = {"made_by_peft": theirs, "made_here": {"recipe": recipe, "steps": int(steps), **ours}}
        print(kind, json.dumps(table[kind]))
versions = f"peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}"
record = {"bench": "bench/peers/adapter_peft.py", "model": " ".join(pathlib.Path(base).parts[-2:]), "versions": versions, **table}
pathlib.Path(result).write_text(json.dumps(record, indent=1) + "\n")
