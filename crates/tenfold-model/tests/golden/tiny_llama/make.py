"""Writes a tiny LLaMA with grouped keys and random weights, and what transformers makes of three token sequences, in double
precision.

usage: python make.py      (needs torch, transformers, safetensors)
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

here = pathlib.Path(__file__).parent
torch.manual_seed(22)
config = LlamaConfig(
    vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, head_dim=4,
    intermediate_size=40, max_position_embeddings=16, rms_norm_eps=1e-5, bos_token_id=2, eos_token_id=3,
    tie_word_embeddings=False,
)
model = LlamaForCausalLM(config).eval()
with torch.no_grad():
    for weight in model.parameters():  # the default initialization leaves norms at 1
        weight.add_(0.2 * torch.randn_like(weight))
tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
save_file(tensors, here / "model.safetensors", metadata={"format": "pt"})
(here / "config.json").write_text(json.dumps({**config.to_diff_dict(), "architectures": ["LlamaForCausalLM"]}, indent=1))
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [chr(ord("a") + n) for n in range(26)]
(here / "vocab.txt").write_text("\n".join(words + [f"##{chr(ord('a') + n)}" for n in range(9)]) + "\n")

sequences = [[2, 5, 6, 7, 3], [2], [2, 30, 11, 39, 8, 8, 9, 17, 21, 33, 5, 12, 14, 6, 10, 3]]
double = model.double()
expected = []
with torch.no_grad():
    for ids in sequences:
        inputs = torch.tensor([ids])
        hidden = double.model(input_ids=inputs).last_hidden_state[0]
        logits = double(input_ids=inputs).logits[0]
        expected.append({"ids": ids, "hidden": hidden.flatten().tolist(), "logits": logits.flatten().tolist()})
(here / "expected.json").write_text(json.dumps(expected))
