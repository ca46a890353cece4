"""Values and gradients of PyTorch for attention (also behind a prefix, with biases by distance and to a source), layer norm, GELU, cross entropy and AdamW.

usage: make.py       writes expected.json beside this file
"""

import json
import pathlib

import torch
from torch.nn import functional as F
from transformers.models.t5.modeling_t5 import T5Attention

HERE = pathlib.Path(__file__).parent
torch.manual_seed(20)
torch.use_deterministic_algorithms(True)


def leaf(*shape):
    return torch.randn(*shape, dtype=torch.float32).requires_grad_()


def record(inputs, output, **extra):
    """Inputs, output, a random direction, and the gradients of their inner product."""
    direction = torch.randn_like(output)
    grads = torch.autograd.grad((output * direction).sum(), list(inputs.values()))
    flat = lambda t: {"shape": list(t.shape), "data": t.detach().flatten().tolist()}
    return {
        "inputs": {name: flat(t) for name, t in inputs.items()},
        "output": flat(output),
        "direction": flat(direction),
        "gradients": {name: flat(g) for name, g in zip(inputs, grads)},
        **extra,
    }


def attention(lengths, heads, size, causal):
    q, k, v = (leaf(sum(lengths), heads * size) for _ in range(3))
    parts = []
    start = 0
    for length in lengths:
        split = lambda t: t[start : start + length].view(length, heads, size).transpose(0, 1)
        y = F.scaled_dot_product_attention(split(q), split(k), split(v), is_causal=causal)
        parts.append(y.transpose(0, 1).reshape(length, heads * size))
        start += length
    return record({"q": q, "k": k, "v": v}, torch.cat(parts), lengths=lengths, heads=heads, causal=causal)


def prefixed(lengths, heads, shared, size, rows, causal):
    """Attention of sequences that each have the same rows of keys and values before them; `shared` heads of keys."""
    q = leaf(sum(lengths), heads * size)
    k, v = (leaf(sum(lengths), shared * size) for _ in range(2))
    before = [leaf(rows, shared * size) for _ in range(2)]
    parts = []
    start = 0
    for length in lengths:
        own = lambda t, n: t[start : start + length].view(length, n, size)
        join = lambda first, t: torch.cat([first.view(rows, shared, size), own(t, shared)]).repeat_interleave(heads // shared, 1)
        keys, values = (join(first, t).transpose(0, 1) for first, t in zip(before, (k, v)))
        seen = torch.ones(length, rows + length, dtype=torch.bool)
        seen = seen.tril(rows) if causal else seen
        y = F.scaled_dot_product_attention(own(q, heads).transpose(0, 1), keys, values, attn_mask=seen)
        parts.append(y.transpose(0, 1).reshape(length, heads * size))
        start += length
    inputs = {"q": q, "k": k, "v": v, "prefix_keys": before[0], "prefix_values": before[1]}
    return record(inputs, torch.cat(parts), lengths=lengths, heads=heads, causal=causal)


def bucketed(distances, causal, buckets, farthest):
    """The rows of the table of biases, as T5 takes them."""
    return T5Attention._relative_position_bucket(distances, not causal, buckets, farthest)


def relative(lengths, heads, size, buckets, farthest, causal):
    q, k, v = (leaf(sum(lengths), heads * size) for _ in range(3))
    table = leaf(buckets, heads)
    parts = []
    start = 0
    for length in lengths:
        split = lambda t: t[start : start + length].view(length, heads, size).transpose(0, 1)
        distances = torch.arange(length)[None, :] - torch.arange(length)[:, None]
        bias = table[bucketed(distances, causal, buckets, farthest)].permute(2, 0, 1)
        if causal:
            bias = bias.masked_fill(distances > 0, -torch.inf)
        y = torch.softmax(split(q) @ split(k).transpose(1, 2) + bias, -1) @ split(v)
        parts.append(y.transpose(0, 1).reshape(length, heads * size))
        start += length
    settings = {"lengths": lengths, "heads": heads, "buckets": buckets, "farthest": farthest, "causal": causal}
    return record({"q": q, "k": k, "v": v, "table": table}, torch.cat(parts), **settings)


def across(lengths, keys, heads, size):
    """Sequences that read others, of other lengths, without a scale."""
    q = leaf(sum(lengths), heads * size)
    k, v = (leaf(sum(keys), heads * size) for _ in range(2))
    pieces = [torch.split(t, sizes) for t, sizes in ((q, lengths), (k, keys), (v, keys))]
    parts = []
    for one in zip(*pieces):
        query, key, value = (t.view(len(t), heads, size).transpose(0, 1) for t in one)
        y = torch.softmax(query @ key.transpose(1, 2), -1) @ value
        parts.append(y.transpose(0, 1).reshape(-1, heads * size))
    return record({"q": q, "k": k, "v": v}, torch.cat(parts), lengths=lengths, keys=keys, heads=heads)


def rows_of_distances():
    distances = torch.arange(-130, 131)
    settings = [(32, 128, False), (32, 128, True), (8, 12, False), (8, 12, True), (9, 30, True), (32, 100, True)]
    named = lambda buckets, farthest, causal: {"buckets": buckets, "farthest": farthest, "causal": causal}
    return [{**named(*one), "rows": bucketed(distances, one[2], one[0], one[1]).tolist()} for one in settings]


def layer_norm():
    x, residual, gain, bias = leaf(7, 33), leaf(7, 33), leaf(33), leaf(33)
    y = F.layer_norm(x + residual, (33,), gain, bias, 1e-12)
    return record({"x": x, "residual": residual, "gain": gain, "bias": bias}, y, eps=1e-12)


def linear(approximate):
    x, w, bias = leaf(5, 31), leaf(19, 31), leaf(19)
    return record({"x": x, "w": w, "bias": bias}, F.gelu(F.linear(x, w, bias), approximate=approximate))


def cross_entropy():
    logits = leaf(9, 31)
    targets = torch.randint(31, (9,))
    return record({"logits": logits}, F.cross_entropy(logits * 4, targets), targets=targets.tolist())


def adamw():
    value = leaf(37)
    start = value.detach().tolist()
    optimizer = torch.optim.AdamW([value], lr=3e-2, betas=(0.85, 0.95), eps=1e-6, weight_decay=0.1)
    steps = []
    for i in range(5):
        gradient = torch.randn(37) * 10 ** (i - 3)
        value.grad = gradient.clone()
        optimizer.step()
        steps.append({"gradient": gradient.tolist(), "value": value.detach().tolist()})
    return {"start": start, "lr": 3e-2, "betas": [0.85, 0.95], "eps": 1e-6, "weight_decay": 0.1, "steps": steps}


cases = {
    "attention": attention([5, 1, 9], 2, 7, False),
    "attention_causal": attention([6, 3], 3, 5, True),
    "layer_norm": layer_norm(),
    "gelu": linear("none"),
    "gelu_tanh": linear("tanh"),
    "cross_entropy": cross_entropy(),
    "adamw": adamw(),
    "attention_prefix": prefixed([4, 1, 6], 2, 2, 5, 3, False),
    "attention_prefix_causal": prefixed([5, 2], 4, 2, 3, 2, True),
    "attention_relative": relative([1, 14], 2, 2, 8, 12, False),
    "attention_relative_causal": relative([14, 2], 2, 2, 8, 12, True),
    "attention_across": across([3, 1, 2], [2, 5, 1], 2, 3),
    "buckets": rows_of_distances(),
}
(HERE / "expected.json").write_text(json.dumps(cases) + "\n")
