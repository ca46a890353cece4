"""Prefixes in both directions: makes one with PEFT for this program to load, and compares what a model with a prefix says.

usage: prefix_peft.py make BASE-FOLDER ADAPTER-FOLDER IDS      20 random keys and values per layer, a head of 2 classes, and ids
       prefix_peft.py compare BASE-FOLDER ADAPTER-FOLDER IDS OURS
       OURS is the output of `cargo run --release -p tenfold-model --example logits MODEL-FOLDER IDS [ADAPTER-FOLDER]`.
Needs torch, transformers and peft; the base is a BERT. Computes in double precision. compare prints the largest difference and the
largest value.
"""

import json
import sys

import torch
from peft import PeftModel, PrefixTuningConfig, get_peft_model
from safetensors import safe_open
from transformers import AutoModelForSequenceClassification


def taking_a_past(bert):
    """PEFT asks the encoder for an argument past_key_values, which newer versions of transformers call cache."""
    plain = bert.forward

    def forward(input_ids=None, attention_mask=None, inputs_embeds=None, past_key_values=None, **_):
        return plain(input_ids=input_ids, attention_mask=attention_mask, inputs_embeds=inputs_embeds, cache=past_key_values)

    bert.forward = forward


what, base, adapter, ids, *rest = sys.argv[1:]
if what == "make":
    torch.manual_seed(5)
    plain = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
    get_peft_model(plain, PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=20)).save_pretrained(adapter)
    tokens = [[101] + torch.randint(1000, 30000, (length,)).tolist() + [102] for length in (1, 7, 30, 64, 126)]
    json.dump(tokens, open(ids, "w"))
else:
    with safe_open(f"{adapter}/adapter_model.safetensors", "pt") as file:
        outputs = file.get_slice("base_model.classifier.weight").get_shape()[0]
    model = PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(base, num_labels=outputs), adapter)
    taking_a_past(model.base_model.bert)
    model = model.eval().double()
    ours = [torch.tensor(json.loads(line), dtype=torch.float64) for line in open(rest[0])]
    worst, top = 0.0, 0.0
    with torch.no_grad():
        for sequence, got in zip(json.load(open(ids)), ours, strict=True):
            mask = torch.ones(1, len(sequence), dtype=torch.long)
            want = model(input_ids=torch.tensor([sequence]), attention_mask=mask).logits.flatten()
            worst, top = max(worst, (got - want).abs().max().item()), max(top, want.abs().max().item())
    print(json.dumps({"sequences": len(ours), "largest_difference": worst, "largest_value": top}))
