"""Writes a tiny GPT-2 with random weights and what transformers makes of three token sequences, in double precision.

usage: python make.py      (needs torch, transformers, safetensors)
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

here = pathlib.Path(__file__).parent
torch.manual_seed(21)
config = GPT2Config(
    vocab_size=40, n_embd=24, n_layer=2, n_head=3, n_inner=40, n_positions=16, activation_function="gelu_new",
    bos_token_id=2, eos_token_id=3,
)
model = GPT2LMHeadModel(config).eval()
with torch.no_grad():
    for weight in model.parameters():  # the default initialization leaves biases at 0 and norms at 1
        weight.add_(0.2 * torch.randn_like(weight))
# The output matrix is the table of tokens, which is stored once.
tensors = {name: value.contiguous() for name, value in model.state_dict().items() if name != "lm_head.weight"}
save_file(tensors, here / "model.safetensors", metadata={"format": "pt"})
(here / "config.json").write_text(json.dumps({**config.to_diff_dict(), "architectures": ["GPT2LMHeadModel"]}, indent=1))
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [chr(ord("a") + n) for n in range(26)]
(here / "vocab.txt").write_text("\n".join(words + [f"##{chr(ord('a') + n)}" for n in range(9)]) + "\n")

sequences = [[2, 5, 6, 7, 3], [2], [2, 30, 11, 39, 8, 8, 9, 17, 21, 33, 5, 12, 14, 6, 10, 3]]
double = model.double()
expected = []
with torch.no_grad():
    for ids in sequences:
        inputs = torch.tensor([ids])
        hidden = double.transformer(input_ids=inputs).last_hidden_state[0]
        logits = double(input_ids=inputs).logits[0]
        expected.append({"ids": ids, "hidden": hidden.flatten().tolist(), "logits": logits.flatten().tolist()})
(here / "expected.json").write_text(json.dumps(expected))
