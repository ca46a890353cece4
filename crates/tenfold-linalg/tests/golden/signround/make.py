"""Rounding tuned by signs of gradients, with the gradients of PyTorch: rounding passes them on unchanged, clamping passes them on
where it changes nothing.

Nothing is derived by hand here, on purpose: an implementation with its own derivatives must take the same steps and keep the same codes.

usage: python make.py > cases.json
"""

import json

import torch

torch.manual_seed(5)
torch.set_default_dtype(torch.float64)


class Passing(torch.autograd.Function):
    """Rounds, with the gradient of the identity. (x + (round(x) - x).detach() is no whole number always, and clamps find it outside.)"""

    @staticmethod
    def forward(ctx, x):
        return torch.round(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


passing = Passing.apply


def expand(table, width, cols):
    return table.repeat_interleave(width, dim=1)[:, :cols]


def groups(w, width):
    """Extremes of each group, zero included."""
    parts = w.split(width, dim=1)
    low = torch.stack([part.min(dim=1).values.clamp(max=0) for part in parts], dim=1)
    high = torch.stack([part.max(dim=1).values.clamp(min=0) for part in parts], dim=1)
    return low, high


def tune(w, h, bits, width, kind, iterations, ends):
    rows, cols = w.shape
    top, middle = 2**bits - 1, 2 ** (bits - 1)
    low, high = groups(w, width)
    if kind == "asymmetric":
        # The ends that whole zeros leave; what lies farther out is the whole range.
        step = (high - low) / top
        zero = torch.round(-low / step)
        start_low, start_high = -zero * step, (top - zero) * step
        low, high = torch.minimum(low, start_low), torch.maximum(high, start_high)
        a, b = start_low / torch.where(low == 0, 1, low), start_high / torch.where(high == 0, 1, high)
        a, b = torch.where(low == 0, 1, a), torch.where(high == 0, 1, b)
    else:
        high = 2 * torch.maximum(high, -low) / top
        a, b = torch.ones_like(high), torch.ones_like(high)
    v = torch.zeros_like(w)
    best, kept = None, None
    for step in range(iterations + 1):
        v, a, b = (one.detach().requires_grad_() for one in (v, a, b))
        if kind == "asymmetric":
            scale = (high * b - low * a) / top
            zero = passing(-low * a / scale)
        else:
            scale, zero = high * b, torch.full_like(high, middle)
        scale, zero = expand(scale, width, cols), expand(zero, width, cols)
        # A clamp whose bounds themselves let gradients pass, which versions of PyTorch do and do not.
        code = passing(w / scale + v) + zero
        code = torch.where(code < 0, 0.0, torch.where(code > top, float(top), code))
        missed = scale * (code - zero) - w
        costs = (missed @ h * missed).sum(dim=1)
        codes = torch.round(code).detach().to(torch.int64)
        if best is None:
            best, kept = costs.detach().clone(), codes.clone()
        better = costs.detach() < best
        best[better], kept[better] = costs.detach()[better], codes[better]
        if step == iterations:
            break
        costs.sum().backward()
        rate = (1 - step / iterations) / iterations
        with torch.no_grad():
            v = (v - rate * v.grad.sign()).clamp(-0.5, 0.5)
            if ends:
                a = torch.where(a.grad == 0, a, (a - rate * a.grad.sign()).clamp(0.01, 1)) if a.grad is not None else a
                b = torch.where(b.grad == 0, b, (b - rate * b.grad.sign()).clamp(0.01, 1))
    return kept, best


cases = []
for kind in ("asymmetric", "symmetric"):
    for bits, width, iterations, ends in ((2, 8, 30, True), (3, 24, 50, True), (4, 10, 20, False)):
        w = torch.randn(5, 24) * (1 + 3 * (torch.rand(5, 24) < 0.05))
        x = torch.randn(60, 6) @ torch.randn(6, 24) + 0.7 * torch.randn(60, 24)
        h = x.T @ x / 60
        codes, best = tune(w, h, bits, width, kind, iterations, ends)
        cases.append({
            "name": f"{kind}, {bits} bits, groups of {width}", "kind": kind, "bits": bits, "span": width,
            "iterations": iterations, "ends": ends, "rows": 5, "cols": 24,
            "w": w.flatten().tolist(), "h": h.flatten().tolist(),
            "codes": codes.flatten().tolist(), "costs": best.tolist(),
        })
print(json.dumps({"cases": cases}))
