"""Step time of a GPT-2 decoder in PyTorch with feed-forward blocks of one of three kinds: dense, experts in a loop (Switch), experts in a loop whose matrices are
contracted from cores with one shared central core.

usage: experts_torch.py KIND --repeat N --width D --hidden F --layers L --experts E --tokens N --length T --vocabulary V --cores 'R:C' 'R:C'
KIND is dense, moe or mpoe; for mpoe `--cores` gives the row and column factors of both matrices, as 4x4x4x2x2:4x4x4x4x4. Prints JSON: the median,
least and most milliseconds of forward, backward and AdamW.
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

arguments = argparse.ArgumentParser()
arguments.add_argument("kind", choices=["dense", "moe", "mpoe"])
for name, usual in [("repeat", 5), ("width", 256), ("hidden", 1024), ("layers", 4), ("heads", 4), ("experts", 8), ("tokens", 4096), ("length", 256)]:
    arguments.add_argument(f"--{name}", type=int, default=usual)
arguments.add_argument("--vocabulary", type=int, default=128)
arguments.add_argument("--cores", nargs=2)
args = arguments.parse_args()
torch.set_num_threads(2)
torch.manual_seed(0)
D, H, T = args.width, args.heads, args.length


def bonds(rows, cols):
    sizes = [r * c for r, c in zip(rows, cols)]
    full, left = [1], 1
    for size in sizes[:-1]:
        left *= size
        right = 1
        for other in sizes[len(full) :]:
            right *= other
        full.append(min(left, right))
    return full + [1]


class Operator(nn.Module):
    """E matrices of cores around one central core."""

    def __init__(self, text, experts):
        super().__init__()
        self.rows, self.cols = ([int(one) for one in part.split("x")] for part in text.split(":"))
        d = bonds(self.rows, self.cols)
        n = len(self.rows)
        self.center = n // 2
        core = lambda k: nn.Parameter(torch.randn(d[k], self.rows[k], self.cols[k], d[k + 1]) * 0.3)
        self.central = core(self.center)
        outer = [k for k in range(n) if k != self.center]
        self.own = nn.ModuleList([nn.ParameterList([core(k) for k in outer]) for _ in range(experts)])

    def forward(self, expert):
        cores = list(self.own[expert])
        cores.insert(self.center, self.central)
        whole = cores[0]
        for core in cores[1:]:
            left = whole.reshape(-1, core.shape[0])
            whole = (left @ core.reshape(core.shape[0], -1)).reshape(*whole.shape[:-1], *core.shape[1:])
        n = len(cores)
        whole = whole.reshape([size for pair in zip(self.rows, self.cols) for size in pair])
        order = list(range(0, 2 * n, 2)) + list(range(1, 2 * n, 2))
        rows, cols = torch.tensor(self.rows).prod(), torch.tensor(self.cols).prod()
        return whole.permute(order).reshape(rows, cols)


class Feed(nn.Module):
    def __init__(self):
        super().__init__()
        self.kind, E = args.kind, args.experts
        self.up_bias, self.down_bias = nn.Parameter(torch.zeros(args.hidden)), nn.Parameter(torch.zeros(D))
        if self.kind == "mpoe":
            self.up, self.down = (Operator(text, E) for text in args.cores)
        else:
            count = E if self.kind == "moe" else 1
            self.up = nn.ParameterList([nn.Parameter(torch.randn(args.hidden, D) * 0.02) for _ in range(count)])
            self.down = nn.ParameterList([nn.Parameter(torch.randn(D, args.hidden) * 0.02) for _ in range(count)])
        if self.kind != "dense":
            self.router = nn.Linear(D, E, bias=False)

    def block(self, x, up, down):
        return F.linear(F.gelu(F.linear(x, up, self.up_bias), approximate="tanh"), down, self.down_bias)

    def forward(self, x):
        if self.kind == "dense":
            return self.block(x, self.up[0], self.down[0])
        gates = self.router(x).softmax(-1)
        weight, chosen = gates.max(-1)
        y = torch.zeros_like(x)
        for expert in range(args.experts):
            rows = (chosen == expert).nonzero(as_tuple=True)[0]
            if len(rows) == 0:
                continue
            up, down = (self.up(expert), self.down(expert)) if self.kind == "mpoe" else (self.up[expert], self.down[expert])
            y = y.index_add(0, rows, self.block(x[rows], up, down) * weight[rows, None])
        return y


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.LayerNorm(D), nn.LayerNorm(D)
        self.mix, self.out, self.feed = nn.Linear(D, 3 * D), nn.Linear(D, D), Feed()

    def forward(self, x):
        q, k, v = self.mix(self.first(x)).reshape(-1, T, 3, H, D // H).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(-1, D)
        x = x + self.out(mixed)
        return x + self.feed(self.second(x))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(args.vocabulary, D), nn.Embedding(T, D)
        self.layers, self.last = nn.ModuleList([Layer() for _ in range(args.layers)]), nn.LayerNorm(D)

    def forward(self, ids):
        x = (self.words(ids) + self.places(torch.arange(T))).reshape(-1, D)
        for layer in self.layers:
            x = layer(x)
        return self.last(x) @ self.words.weight.T


model = Decoder()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
ids = torch.randint(0, args.vocabulary, (args.tokens // T, T))
times = []
for number in range(args.repeat + 2):
    start = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    logits = model(ids)
    F.cross_entropy(logits, ids.roll(-1, 1).reshape(-1)).backward()
    optimizer.step()
    if number >= 2:
        times.append(1000 * (time.perf_counter() - start))
print(json.dumps({"ms": statistics.median(times), "least_ms": min(times), "most_ms": max(times), "parameters": sum(p.numel() for p in model.parameters())}))
