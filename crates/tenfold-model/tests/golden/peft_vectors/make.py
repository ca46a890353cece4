"""Writes DoRA and IA3 adapters for the tiny models beside this folder, made by PEFT, and what transformers makes of them, in double
precision; for one of DoRA the gradients of half the sum of squares of the first sequence's hidden states, too.

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


def dora(**settings):
    return peft.LoraConfig(use_dora=True, **settings)


# Name, class, base, config. Factors start at 0, magnitudes at the norms of rows and vectors at 1: all are drawn anew.
cases = [
    ("dora_bert", AutoModel, "tiny_bert", dora(r=3, lora_alpha=5, target_modules=["query", "value", "output.dense"],
                                               rank_pattern={"value": 2})),
    ("dora_gpt2", AutoModelForCausalLM, "tiny_gpt2", dora(r=2, lora_alpha=6, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True,
                                                          task_type="CAUSAL_LM")),
    ("dora_llama", AutoModelForCausalLM, "tiny_llama", dora(r=4, lora_alpha=6, use_rslora=True,
                                                            target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")),
    ("ia3_bert", AutoModel, "tiny_bert", peft.IA3Config(target_modules=["key", "value", "output.dense"],
                                                        feedforward_modules=["output.dense"])),
    ("ia3_task", AutoModelForSequenceClassification, "tiny_bert", peft.IA3Config(
        target_modules=["key", "value", "intermediate.dense"], feedforward_modules=[], task_type="SEQ_CLS")),
    ("ia3_gpt2", AutoModelForCausalLM, "tiny_gpt2", peft.IA3Config(target_modules=["c_attn", "mlp.c_proj"], fan_in_fan_out=True,
                                                                   feedforward_modules=["mlp.c_proj"], task_type="CAUSAL_LM")),
    ("ia3_llama", AutoModelForCausalLM, "tiny_llama", peft.IA3Config(target_modules=["k_proj", "v_proj", "down_proj"],
                                                                     feedforward_modules=["down_proj"], task_type="CAUSAL_LM")),
]
for name, kind, base, config in cases:
    torch.manual_seed(37)
    extra = {"num_labels": 3} if name.endswith("task") else {}
    model = peft.get_peft_model(kind.from_pretrained(here.parent / base, **extra), config).eval()
    with torch.no_grad():
        for path, weight in model.named_parameters():
            if "lora_B" in path or "modules_to_save" in path:
                weight.copy_(0.3 * torch.randn_like(weight))
            if "magnitude" in path or "ia3_l" in path:
                weight.mul_(1 + 0.3 * torch.randn_like(weight))
    folder = here / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = base
    for key in ("target_modules", "feedforward_modules"):
        if key in config:
            config[key] = sorted(config[key])
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    double = model.double()
    expected = []
    for ids in sequences:
        found = double(input_ids=torch.tensor([ids]))
        found = found.last_hidden_state if name.endswith("bert") else found.logits
        expected.append({"ids": ids, "values": found.flatten().tolist()})
        if name == "dora_bert" and ids is sequences[0]:
            double.zero_grad()
            (0.5 * found.square().sum()).backward()
            module = double.base_model.model.encoder.layer[0].attention.self.query
            leaves = {"down": module.lora_A.default.weight, "up": module.lora_B.default.weight,
                      "norms": module.lora_magnitude_vector.default.weight}
            expected[0]["gradients"] = {leaf: value.grad.flatten().tolist() for leaf, value in leaves.items()}
            expected[0]["scale"] = module.scaling["default"]
    (folder / "expected.json").write_text(json.dumps(expected))
    print(name, sorted(p.name for p in folder.iterdir()))
