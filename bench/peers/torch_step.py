"""PyTorch's time for one training step of an encoder: the peer of crates/tenfold-tensor/examples/step.rs.

What is measured: forward + backward + fused AdamW (f32, eager mode, scaled_dot_product_attention, two threads) over
post-norm encoder blocks and a two-class head on the mean of every sequence; no embedding table, no dropout. The
median over the timed repetitions, after warm-up.
Data: fixed random activations; the time does not depend on the values.
What would mislead you: another process on the machine; a PyTorch built without MKL; fewer cores than threads.

usage: torch_step.py [--repeat N] [--warmup N] [--threads N] [--only NAME]
One line of JSON per model on stdout.
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

MODELS = {
    # name: layers, width, heads, hidden, batch, tokens
    "6x384": (6, 384, 12, 1536, 32, 128),
    "12x768": (12, 768, 12, 3072, 8, 128),
}


class Block(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):  # B x T x D
        batch, tokens, width = x.shape
        split = lambda y: y.view(batch, tokens, self.heads, -1).transpose(1, 2)
        a = F.scaled_dot_product_attention(split(self.q(x)), split(self.k(x)), split(self.v(x)))
        x = self.norm1(self.o(a.transpose(1, 2).reshape(batch, tokens, width)) + x)
        return self.norm2(self.down(F.gelu(self.up(x))) + x)


class Encoder(nn.Module):
    def __init__(self, layers, width, heads, hidden):
        super().__init__()
        self.blocks = nn.Sequential(*(Block(width, heads, hidden) for _ in range(layers)))
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        return self.head(self.blocks(x).mean(dim=1))


def measure(name, repeat, warmup):
    layers, width, heads, hidden, batch, tokens = MODELS[name]
    torch.manual_seed(17)
    model = Encoder(layers, width, heads, hidden)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    x = torch.randn(batch, tokens, width)
    targets = torch.arange(batch) % 2
    times = {"forward": [], "backward": [], "update": [], "step": []}
    for i in range(warmup + repeat):
        optimizer.zero_grad(set_to_none=True)
        t0 = time.perf_counter()
        loss = F.cross_entropy(model(x), targets)
        t1 = time.perf_counter()
        loss.backward()
        t2 = time.perf_counter()
        optimizer.step()
        t3 = time.perf_counter()
        if i >= warmup:
            for part, value in zip(times, (t1 - t0, t2 - t1, t3 - t2, t3 - t0)):
                times[part].append(value * 1e3)
    result = {"what": "step", "engine": "torch", "version": torch.__version__, "model": name, "dtype": "f32",
              "threads": torch.get_num_threads(), "repeat": repeat, "loss": loss.item()}
    for part, values in times.items():
        result[part + "_ms"] = round(statistics.median(values), 2)
        result[part + "_min_ms"] = round(min(values), 2)
    print(json.dumps(result), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=MODELS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in MODELS:
        if options.only in (None, name):
            measure(name, options.repeat, options.warmup)


main()
