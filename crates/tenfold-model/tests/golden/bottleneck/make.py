"""Writes random bottlenecks for the tiny models beside this folder, and what transformers gives with them, in double precision.

A forward hook on each block's last linear map adds up(f(down h + b)) + c to its result h.

usage: python make.py      (needs torch, transformers, safetensors)
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForCausalLM

here = pathlib.Path(__file__).parent
sequences = [[2, 5, 6, 7, 3], [2, 3], [2, 30, 11, 8, 8, 9, 17, 21, 5, 3]]
UNITS = 4

# Base, class, function and its name in paths, and per layer the map that is hooked and the socket.
cases = [
    ("tiny_bert", AutoModel, F.gelu, "gelu", {"encoder.layer.{}.attention.output.dense": "encoder.layer.{}.attention.output.bottleneck",
                                              "encoder.layer.{}.output.dense": "encoder.layer.{}.output.bottleneck"}),
    ("tiny_gpt2", AutoModelForCausalLM, F.relu, "relu", {"transformer.h.{}.attn.c_proj": "h.{}.attn.bottleneck",
                                                         "transformer.h.{}.mlp.c_proj": "h.{}.mlp.bottleneck"}),
    ("tiny_llama", AutoModelForCausalLM, torch.tanh, "tanh", {"model.layers.{}.self_attn.o_proj": "layers.{}.self_attn.bottleneck",
                                                              "model.layers.{}.mlp.down_proj": "layers.{}.mlp.bottleneck"}),
]
for base, kind, function, word, places in cases:
    torch.manual_seed(41)
    model = kind.from_pretrained(here.parent / base).eval().double()
    width = model.config.hidden_size
    stored = {}

    def hook(path):
        draw = lambda *shape: 0.4 * torch.randn(*shape)
        own = {"down.weight": draw(UNITS, width), "down.bias": draw(UNITS), "up.weight": draw(width, UNITS), "up.bias": draw(width)}
        stored.update({f"{path}.{word}.{name}": value for name, value in own.items()})
        down, b, up, c = (value.double() for value in own.values())
        return lambda module, inputs, h: h + function(h @ down.T + b) @ up.T + c

    for layer in range(model.config.num_hidden_layers):
        for target, socket in places.items():
            model.get_submodule(target.format(layer)).register_forward_hook(hook(socket.format(layer)))
    expected = []
    with torch.no_grad():
        for ids in sequences:
            found = model(input_ids=torch.tensor([ids]))
            found = found.last_hidden_state if kind is AutoModel else found.logits
            expected.append({"ids": ids, "values": found.flatten().tolist()})
    folder = here / base
    folder.mkdir(exist_ok=True)
    save_file(stored, folder / "model.safetensors")
    (folder / "expected.json").write_text(json.dumps(expected))
