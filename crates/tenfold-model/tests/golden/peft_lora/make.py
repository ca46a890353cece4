"""Writes LoRA adapters for the tiny models beside this folder, made by PEFT, and what transformers makes of them, in double precision.

usage: python make.py      (needs torch, transformers, peft, safetensors)
"""

import json
import pathlib
import shutil

import peft
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

here = pathlib.Path(__file__).parent
sequences = [[2, 5, 6, 7, 3], [2, 3], [2, 30, 11, 8, 8, 9, 17, 21, 5, 12, 14, 6, 10, 3]]

# Name, class, base, and what differs from the defaults. Every B is drawn, since PEFT starts from 0.
cases = [
    ("bert", AutoModel, "tiny_bert", dict(r=3, lora_alpha=5, target_modules=["query", "value", "output.dense"], rank_pattern={"value": 2},
                                          alpha_pattern={"layer.1.attention.self.value": 7})),
    ("task", AutoModelForSequenceClassification, "tiny_bert", dict(r=4, lora_alpha=8, target_modules=["key", "intermediate.dense"],
                                                                   task_type="SEQ_CLS")),
    ("gpt2", AutoModelForCausalLM, "tiny_gpt2", dict(r=2, lora_alpha=6, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True,
                                                     task_type="CAUSAL_LM")),
    ("llama", AutoModelForCausalLM, "tiny_llama", dict(r=4, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "v_proj", "down_proj"],
                                                       task_type="CAUSAL_LM")),
]
for name, kind, base, settings in cases:
    torch.manual_seed(31)
    extra = {"num_labels": 3} if name == "task" else {}
    model = peft.get_peft_model(kind.from_pretrained(here.parent / base, **extra), peft.LoraConfig(**settings)).eval()
    with torch.no_grad():
        for path, weight in model.named_parameters():
            if "lora_B" in path or "modules_to_save" in path:
                weight.copy_(0.3 * torch.randn_like(weight))
    folder = here / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = base
    config["target_modules"] = sorted(config["target_modules"])
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    double = model.double()
    expected = []
    with torch.no_grad():
        for ids in sequences:
            found = double(input_ids=torch.tensor([ids]))
            found = found.last_hidden_state if name == "bert" else found.logits
            expected.append({"ids": ids, "values": found.flatten().tolist()})
    (folder / "expected.json").write_text(json.dumps(expected))
    # A fresh classifier has random biases and a pooler that the adapter does not hold: the base keeps its own.
    print(name, sorted(p.name for p in folder.iterdir()))
