"""Writes prefixes for the tiny models beside this folder, made by PEFT, and what transformers makes of them, in double precision.

usage: python make.py      (needs torch, transformers, peft, safetensors)
"""

import json
import pathlib
import shutil

import peft
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

here = pathlib.Path(__file__).parent
sequences = [[2, 5, 6, 7, 3], [2, 3], [2, 30, 11, 8, 8, 9, 17, 21, 5, 3]]


def taking_a_past(bert):
    """PEFT asks the encoder for an argument past_key_values, which newer versions of transformers call cache."""
    plain = bert.forward

    def forward(input_ids=None, attention_mask=None, inputs_embeds=None, past_key_values=None, **_):
        return plain(input_ids=input_ids, attention_mask=attention_mask, inputs_embeds=inputs_embeds, cache=past_key_values)

    bert.forward = forward


# Name, class, base, rows, and what differs from the defaults.
cases = [
    ("task", AutoModelForSequenceClassification, "tiny_bert", 3, dict(task_type="SEQ_CLS")),
    ("gpt2", AutoModelForCausalLM, "tiny_gpt2", 4, dict(task_type="CAUSAL_LM")),
    ("llama", AutoModelForCausalLM, "tiny_llama", 5, dict(task_type="CAUSAL_LM")),
    ("projected", AutoModelForCausalLM, "tiny_llama", 2, dict(task_type="CAUSAL_LM", prefix_projection=True)),
]
for name, kind, base, rows, settings in cases:
    torch.manual_seed(37)
    extra = {"num_labels": 3} if name == "task" else {}
    config = peft.PrefixTuningConfig(num_virtual_tokens=rows, **settings)
    model = peft.get_peft_model(kind.from_pretrained(here.parent / base, **extra), config).eval()
    if name == "task":
        taking_a_past(model.base_model.bert)
    folder = here / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = base
    if config["modules_to_save"]:
        config["modules_to_save"] = sorted(set(config["modules_to_save"]))
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    double = model.double()
    expected = []
    with torch.no_grad():
        for ids in sequences:
            found = double(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long)).logits
            expected.append({"ids": ids, "values": found.flatten().tolist()})
    (folder / "expected.json").write_text(json.dumps(expected))
    print(name, sorted(p.name for p in folder.iterdir()), found.dtype)
