"""Writes a tiny BertForPreTraining with random weights and what transformers makes of pairs of segments, in double precision.

usage: python make.py      (needs torch, transformers, safetensors)
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForPreTraining

here = pathlib.Path(__file__).parent
torch.manual_seed(31)
config = BertConfig(
    vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
    max_position_embeddings=16, type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-12,
)
model = BertForPreTraining(config).eval()
with torch.no_grad():
    for weight in model.parameters():  # the default initialization leaves biases at 0 and norms at 1
        weight.add_(0.2 * torch.randn_like(weight))
model.tie_weights()
model.save_pretrained(here)
(here / "generation_config.json").unlink(missing_ok=True)
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [chr(ord("a") + n) for n in range(26)]
(here / "vocab.txt").write_text("\n".join(words + [f"##{chr(ord('a') + n)}" for n in range(9)]) + "\n")

pairs = [([2, 5, 4, 7, 3], [8, 9, 3]), ([2, 4, 3], []), ([2, 30, 11, 4, 8, 8, 3], [17, 21, 4, 5, 12, 14, 6, 10, 3])]
double = model.double()
expected = []
with torch.no_grad():
    for first, second in pairs:
        ids, types = first + second, [0] * len(first) + [1] * len(second)
        out = double(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types]))
        expected.append({
            "ids": ids, "types": types,
            "tokens": out.prediction_logits[0].flatten().tolist(),
            "order": out.seq_relationship_logits[0].tolist(),
        })
(here / "expected.json").write_text(json.dumps(expected))
