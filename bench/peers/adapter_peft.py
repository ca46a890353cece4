"""LoRA adapters in both directions: makes one with PEFT for this program to load, and compares what a model with an adapter says.

usage: adapter_peft.py make BASE-FOLDER ADAPTER-FOLDER IDS      a random adapter of rank 8 on query, value and both dense maps, and ids
       adapter_peft.py compare BASE-FOLDER ADAPTER-FOLDER IDS OURS
       OURS is the output of `cargo run --release -p tenfold-model --example logits MODEL-FOLDER IDS [ADAPTER-FOLDER]`.
Needs torch, transformers and peft. Computes in double precision. compare prints the largest difference and the largest value.
"""

import json
import sys

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from safetensors import safe_open
from transformers import AutoModel, AutoModelForSequenceClassification

what, base, adapter, ids, *rest = sys.argv[1:]
if what == "make":
    torch.manual_seed(5)
    model = get_peft_model(AutoModel.from_pretrained(base), LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value", "dense"]))
    with torch.no_grad():
        for path, weight in model.named_parameters():
            if "lora_B" in path:
                weight.copy_(0.02 * torch.randn_like(weight))
    model.save_pretrained(adapter)
    tokens = [[101] + torch.randint(1000, 30000, (length,)).tolist() + [102] for length in (1, 7, 30, 64, 126)]
    json.dump(tokens, open(ids, "w"))
else:
    config = PeftConfig.from_pretrained(adapter)
    if config.task_type == "SEQ_CLS":
        with safe_open(f"{adapter}/adapter_model.safetensors", "pt") as file:
            outputs = file.get_slice("base_model.model.classifier.weight").get_shape()[0]
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=outputs)
    else:
        model = AutoModel.from_pretrained(base)
    model = PeftModel.from_pretrained(model, adapter).eval().double()
    ours = [torch.tensor(json.loads(line), dtype=torch.float64) for line in open(rest[0])]
    worst, top = 0.0, 0.0
    with torch.no_grad():
        for sequence, got in zip(json.load(open(ids)), ours, strict=True):
            found = model(input_ids=torch.tensor([sequence]))
            want = (found.logits if config.task_type == "SEQ_CLS" else found.last_hidden_state).flatten()
            worst, top = max(worst, (got - want).abs().max().item()), max(top, want.abs().max().item())
    print(json.dumps({"task": config.task_type, "sequences": len(ours), "largest_difference": worst, "largest_value": top}))
