"""Low-rank approximation in the metric of the inputs and of row weights, by whitening with a matrix root and NumPy's SVD.

The root is inverted here on purpose: an implementation that never inverts it must arrive at the same matrices.
"""

import json

import numpy as np

rng = np.random.default_rng(20240)


def low_rank(a, r):
    u, s, v = np.linalg.svd(a, full_matrices=False)
    return (u[:, :r] * s[:r]) @ v[:r], s


def inputs_case(name, o, i, samples, ranks):
    w = rng.standard_normal((o, i))
    x = rng.standard_normal((samples, i)) * 0.85 ** np.arange(i) @ np.linalg.qr(rng.standard_normal((i, i)))[0]
    c = x.T @ x / samples
    l, q = np.linalg.eigh(c)
    keep = l > 1e-12 * l.max()
    root, inverse = q[:, keep] * np.sqrt(l[keep]), (q[:, keep] / np.sqrt(l[keep])).T
    out = {"name": name, "kind": "inputs", "rows": o, "cols": i, "w": w.ravel().tolist(), "metric": c.ravel().tolist(),
           "spectrum": low_rank(w @ root, 1)[1].tolist(), "cuts": []}
    for r in ranks:
        cut = low_rank(w @ root, r)[0] @ inverse
        e = x @ (w - cut).T  # measured on the inputs themselves
        error = np.linalg.norm(e) / np.linalg.norm(x @ w.T)
        item = {"rank": r, "error": float(error)}
        if keep.all():
            item["matrix"] = cut.ravel().tolist()
        out["cuts"].append(item)
    return out


def rows_case(name, o, i, ranks):
    w = rng.standard_normal((o, i))
    weights = rng.integers(1, 40, o).astype(float)
    d = np.sqrt(weights)[:, None]
    out = {"name": name, "kind": "rows", "rows": o, "cols": i, "w": w.ravel().tolist(), "metric": weights.tolist(),
           "spectrum": low_rank(d * w, 1)[1].tolist(), "cuts": []}
    for r in ranks:
        cut = low_rank(d * w, r)[0] / d
        error = np.linalg.norm(d * (w - cut)) / np.linalg.norm(d * w)
        out["cuts"].append({"rank": r, "error": float(error), "matrix": cut.ravel().tolist()})
    return out


cases = [
    inputs_case("wide", 12, 20, 200, [1, 4, 9]),
    inputs_case("tall", 24, 10, 80, [1, 3, 7]),
    inputs_case("fewer samples than inputs", 14, 18, 9, [1, 4, 8]),
    rows_case("table", 40, 8, [1, 3, 6]),
    rows_case("short table", 6, 15, [1, 4]),
]
print(json.dumps({"cases": cases}))
