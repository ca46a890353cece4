"""Writes a LoRA and an IA3 adapter for the tiny T5 models beside this folder, made by PEFT, and what transformers makes of them in
double precision where both halves read the same tokens.

usage: python make.py      (needs torch, transformers, peft, safetensors)
"""

import json
import pathlib
import shutil

import peft
import torch
from transformers import T5ForConditionalGeneration

here = pathlib.Path(__file__).parent
sequences = [[2, 5, 6, 7, 3], [2, 3], [2, 30, 11, 8, 8, 9, 17, 21, 5, 12, 14, 6, 10, 3]]
cases = [
    ("lora", "tiny_t5", peft.LoraConfig(r=3, lora_alpha=5, target_modules=["q", "v", "wo"], task_type="SEQ_2_SEQ_LM")),
    ("ia3", "tiny_t5_gated", peft.IA3Config(target_modules=["k", "v", "wo"], feedforward_modules=["wo"], task_type="SEQ_2_SEQ_LM")),
]
for name, base, settings in cases:
    torch.manual_seed(33)
    plain = T5ForConditionalGeneration.from_pretrained(here.parent / base, attn_implementation="eager")
    model = peft.get_peft_model(plain, settings).eval()
    with torch.no_grad():
        for path, weight in model.named_parameters():
            if "lora_B" in path or "ia3_l" in path:
                weight.add_(0.3 * torch.randn_like(weight))
    folder = here / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = base.replace("/", "_")
    for key in ["target_modules", "feedforward_modules"]:
        if config.get(key):
            config[key] = sorted(config[key])
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    double = model.double()
    expected = []
    with torch.no_grad():
        for ids in sequences:
            found = double(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([ids])).logits
            expected.append({"ids": ids, "values": found.flatten().tolist()})
    (folder / "expected.json").write_text(json.dumps(expected))
    print(name, sorted(p.name for p in folder.iterdir()))
