"""Optimal brain quantization in NumPy, straight from its formulas: one column at a time, with the explicit inverse of the
second moment of the columns that are left.

No triangular factor and no block appears here, on purpose: an implementation that works with both must arrive at the same
codes. Rounding column i to q costs e = w_i - q; the columns left make up for it by -e G[i, j] / G[i, i] with G the inverse
moment of the columns from i on, which is taken anew for every column.

usage: python make.py > cases.json
"""

import json

import numpy as np

rng = np.random.default_rng(31)


def grid(values, bits, kind):
    """Step and zero of each row of a group."""
    largest, middle = 2**bits - 1, 2 ** (bits - 1)
    low = np.minimum(values.min(axis=1), 0)
    high = np.maximum(values.max(axis=1), 0)
    if kind == "asymmetric":
        empty = (low == 0) & (high == 0)
        low, high = np.where(empty, -1, low), np.where(empty, 1, high)
        step = (high - low) / largest
        return step, np.round(-low / step)
    most = np.maximum(high, -low)
    most = np.where(most == 0, 1, most)
    if kind == "symmetric":
        return 2 * most / largest, np.full(len(values), middle)
    signed = np.where(high >= -low, high, low)
    signed = np.where(signed == 0, -1, signed)
    return -signed / middle, np.full(len(values), middle)


def brain(w, h, bits, span, kind, order, damping, fixed):
    """Codes and values in stored order, and half of the damped loss."""
    rows, cols = w.shape
    h = h.copy()
    w = w.copy()
    dead = np.diag(h) == 0
    mean = np.diag(h)[~dead].mean()
    h[dead, dead] = mean
    w[:, dead] = 0
    h = h + damping * mean * np.eye(cols)
    start = w.copy()
    codes, values = np.zeros(w.shape, int), np.zeros(w.shape)
    zeros, steps = {}, {}
    if fixed:
        for group in range(-(-cols // span)):
            steps[group], zeros[group] = grid(w[:, group * span : (group + 1) * span], bits, kind)
    for visit, col in enumerate(order):
        group = (col if fixed else visit) // span
        if group not in steps:
            steps[group], zeros[group] = grid(w[:, order[visit : visit + span]], bits, kind)
        s, z = steps[group], zeros[group]
        codes[:, col] = np.clip(np.round(w[:, col] / s) + z, 0, 2**bits - 1)
        values[:, col] = s * (codes[:, col] - z)
        left = order[visit:]
        inverse = np.linalg.inv(h[np.ix_(left, left)])
        w[:, left] -= np.outer(w[:, col] - values[:, col], inverse[0] / inverse[0, 0])
    missed = start - values
    return codes, values, 0.5 * np.einsum("ij,jk,ik->", missed, h, missed)


def case(name, rows, cols, bits, span, kind, samples, act_order=False, fixed=False, damping=0.01, dead=()):
    w = rng.standard_normal((rows, cols))
    x = rng.standard_normal((samples, cols)) @ (np.eye(cols) + 0.4 * rng.standard_normal((cols, cols)))
    x[:, list(dead)] = 0
    h = x.T @ x / samples
    order = np.argsort(-np.diag(h), kind="stable") if act_order else np.arange(cols)
    codes, values, loss = brain(w, h, bits, min(span, cols), kind, order, damping, fixed)
    return {"name": name, "rows": rows, "cols": cols, "bits": bits, "span": span, "kind": kind, "act_order": act_order,
            "fixed": fixed, "damping": damping, "w": w.ravel().tolist(), "h": h.ravel().tolist(),
            "codes": codes.ravel().tolist(), "values": values.ravel().tolist(), "loss": float(loss)}


print(json.dumps({"cases": [
    case("asymmetric, 3 bit, groups of 8", 6, 24, 3, 8, "asymmetric", 80),
    case("symmetric, 4 bit, whole rows", 5, 20, 4, 1 << 20, "symmetric", 60),
    case("full range, 2 bit, short last group", 9, 22, 2, 8, "full", 70),
    case("act-order, groups by visits", 4, 24, 4, 8, "asymmetric", 50, act_order=True),
    case("act-order, fixed groups", 4, 24, 4, 8, "asymmetric", 50, act_order=True, fixed=True),
    case("dead columns, few samples", 4, 20, 3, 5, "asymmetric", 9, dead=(3, 11)),
    case("8 bit", 3, 16, 8, 16, "asymmetric", 40),
]}))
