"""Writes a tiny BERT with random weights and what transformers makes of four token sequences, in double precision.

usage: python make.py      (needs torch, transformers, safetensors)
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

here = pathlib.Path(__file__).parent
torch.manual_seed(20)
config = BertConfig(
    vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
    max_position_embeddings=16, type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-12,
)
model = BertModel(config).eval()
with torch.no_grad():
    for weight in model.parameters():  # the default initialization leaves biases at 0 and norms at 1
        weight.add_(0.2 * torch.randn_like(weight))
tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
save_file(tensors, here / "model.safetensors", metadata={"format": "pt"})
(here / "config.json").write_text(json.dumps({**config.to_diff_dict(), "architectures": ["BertModel"]}, indent=1))
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [chr(ord("a") + n) for n in range(26)]
(here / "vocab.txt").write_text("\n".join(words + [f"##{chr(ord('a') + n)}" for n in range(9)]) + "\n")

sequences = [[2, 5, 6, 7, 3], [2, 3], [2, 30, 11, 39, 8, 8, 9, 17, 21, 33, 5, 12, 14, 6, 10, 3], [2, 19, 3]]
double = model.double()
expected = []
with torch.no_grad():
    for ids in sequences:
        hidden = double(input_ids=torch.tensor([ids])).last_hidden_state[0]
        mean = hidden.mean(dim=0)
        expected.append({"ids": ids, "hidden": hidden.flatten().tolist(), "vector": (mean / mean.norm()).tolist()})
(here / "expected.json").write_text(json.dumps(expected))
