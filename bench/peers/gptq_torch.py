"""GPTQ in PyTorch on the processor, in f32: the peer of `crates/tenfold-linalg/examples/quantize.rs`.

Written from algorithm 1 of Frantar et al. 2023 (arXiv 2210.17323), in the order of operations that published programs use: damp the
moment, Cholesky, inverse, upper Cholesky of the inverse; per block of 128 columns a loop over columns, and one product for the columns
behind the block. Grid: asymmetric min-max in groups, whose parameters come from weights that are up to date.

usage: gptq_torch.py DIRECTORY [--threads N] [--runs N] [--bits N]
Writes the weights and moments to DIRECTORY (f32, little-endian, row by row) where they are not there yet, for the other program to read,
and prints one line of JSON per size: the best time of the runs, the cost tr((W - Q) H (W - Q)^T) in f64, and its ratio to that of
plain rounding.
"""

import argparse
import json
import os
import time

import numpy as np
import torch

SIZES = [(768, 768), (2048, 512), (4096, 1024)]

parser = argparse.ArgumentParser()
parser.add_argument("directory")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--runs", type=int, default=3)
parser.add_argument("--bits", type=int, default=4)
args = parser.parse_args()
torch.set_num_threads(args.threads)
largest = 2**args.bits - 1


def parameters(w):
    low, high = w.amin(1).clamp(max=0), w.amax(1).clamp(min=0)
    step = (high - low) / largest
    return step, torch.round(-low / step)


def rounded(w, step, zero):
    return step * (torch.clamp(torch.round(w / step) + zero, 0, largest) - zero)


def gptq(w, h, group, order, block=128, damping=0.01):
    w = w.clone()
    rows, cols = w.shape
    if order:
        visit = torch.argsort(torch.diag(h), descending=True)
        w, h = w[:, visit], h[visit][:, visit]
    h = h.clone()
    dead = torch.diag(h) == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    diagonal = torch.arange(cols)
    h[diagonal, diagonal] += damping * torch.mean(torch.diag(h))
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    values = torch.zeros_like(w)
    for start in range(0, cols, block):
        end = min(start + block, cols)
        here, factor = w[:, start:end].clone(), upper[start:end, start:end]
        out, errors = torch.zeros_like(here), torch.zeros_like(here)
        for i in range(end - start):
            if (start + i) % group == 0:
                stop = min(start + i + group, cols)
                tail = torch.cat([here[:, i : stop - start], w[:, end:stop]], 1)
                step, zero = parameters(tail)
            column = here[:, i]
            q = rounded(column, step, zero)
            out[:, i] = q
            error = (column - q) / factor[i, i]
            here[:, i:] -= error.unsqueeze(1).matmul(factor[i, i:].unsqueeze(0))
            errors[:, i] = error
        values[:, start:end] = out
        w[:, end:] -= errors.matmul(upper[start:end, end:])
    if order:
        values = values[:, torch.argsort(visit)]
    return values


def plain(w, group):
    parts = [rounded(part, *(p.unsqueeze(1) for p in parameters(part))) for part in w.split(group, 1)]
    return torch.cat(parts, 1)


def cost(w, q, h):
    missed = (w - q).double()
    return float(((missed @ h.double()) * missed).sum())


def data(rows, cols):
    """Weights, and the moment of inputs that are correlated and have four channels of large magnitude."""
    os.makedirs(args.directory, exist_ok=True)
    names = [os.path.join(args.directory, f"w-{rows}x{cols}.f32"), os.path.join(args.directory, f"h-{cols}.f32")]
    rng = np.random.default_rng(rows + cols)
    if not os.path.exists(names[0]):
        (0.04 * rng.standard_normal((rows, cols))).astype("<f4").tofile(names[0])
    if not os.path.exists(names[1]):
        x = rng.standard_normal((4 * cols, cols // 8)) @ rng.standard_normal((cols // 8, cols))
        x += 0.7 * np.sqrt(cols // 8) * rng.standard_normal(x.shape)
        x[:, [3, 17, 40, 77]] *= 12
        (x.T @ x / len(x)).astype("<f4").tofile(names[1])
    return [torch.from_numpy(np.fromfile(name, "<f4").reshape(-1, cols)) for name in names]


for rows, cols in SIZES:
    w, h = data(rows, cols)
    base = cost(w, plain(w, 128), h)
    for name, order in [("gptq", False), ("gptq, act-order", True)]:
        best = float("inf")
        for _ in range(args.runs):
            begin = time.perf_counter()
            q = gptq(w, h, 128, order)
            best = min(best, time.perf_counter() - begin)
        found = cost(w, q, h)
        print(json.dumps({"rows": rows, "cols": cols, "name": name, "seconds": round(best, 4),
                          "cost": found, "of_rtn": round(found / base, 5), "torch": torch.__version__}), flush=True)
