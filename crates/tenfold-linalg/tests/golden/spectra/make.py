"""Spectra, entropies and truncation errors of small matrices, by NumPy's SVD of the unfoldings themselves.

The MPO side follows the definition: reshape, interleave, unfold, SVD. Truncation by slicing uses the gauge as the
papers' released code defines it (residual factors from two sweeps), not a shortcut.
"""

import json

import numpy as np

rng = np.random.default_rng(20210)


def interleave(w, i, j):
    n = len(i)
    padded = np.zeros((int(np.prod(i)), int(np.prod(j))))
    padded[: w.shape[0], : w.shape[1]] = w
    order = [axis for k in range(n) for axis in (k, n + k)]
    return padded.reshape(list(i) + list(j)).transpose(order)


def unfold(t, k):
    return t.reshape(int(np.prod(t.shape[: 2 * k])), -1)


def spectrum(t, k):
    return np.linalg.svd(unfold(t, k), compute_uv=False)


def entropy(s):
    v = s**2 / np.sum(s**2)
    v = v[v > 0]
    return float(-np.sum(v * np.log(v)))


def sequential(t, i, j, caps):
    """TT-SVD with truncation: the approximation as a flat interleaved array."""
    n = len(i)
    rest, left, cores = t.reshape(1, -1), 1, []
    for k in range(n - 1):
        u, s, v = np.linalg.svd(rest.reshape(left * i[k] * j[k], -1), full_matrices=False)
        r = min(caps[k], len(s))
        cores.append(u[:, :r].reshape(left, -1, r))
        rest, left = s[:r, None] * v[:r], r
    cores.append(rest.reshape(left, -1, 1))
    return contract(cores)


def contract(cores):
    out = np.ones((1, 1))
    for core in cores:
        out = (out @ core.reshape(core.shape[0], -1)).reshape(-1, core.shape[2])
    return out.reshape(-1)


def sliced(t, i, j, caps):
    """Full TT-SVD, conversion to the symmetric gauge by two sweeps, then slicing (well-conditioned input only)."""
    n = len(i)
    rest, left, cores = t.reshape(1, -1), 1, []
    for k in range(n - 1):
        u, s, v = np.linalg.svd(rest.reshape(left * i[k] * j[k], -1), full_matrices=False)
        cores.append(u.reshape(left, -1, len(s)))
        rest, left = s[:, None] * v, len(s)
    cores.append(rest.reshape(left, -1, 1))
    lefts, factor = [], np.ones((1, 1))
    for core in cores[:-1]:
        m = np.tensordot(factor, core, 1)
        _, factor = np.linalg.qr(m.reshape(-1, m.shape[2]))
        lefts.append(factor)
    rights, factor = [], np.ones((1, 1))
    for core in cores[:0:-1]:
        m = np.tensordot(core, factor, 1)
        _, r = np.linalg.qr(m.reshape(m.shape[0], -1).T)
        factor = r.T
        rights.insert(0, factor)
    for k, (l, r) in enumerate(zip(lefts, rights)):
        u, s, v = np.linalg.svd(l @ r, full_matrices=False)
        p = r @ v.T / np.sqrt(s)
        q = (u / np.sqrt(s)).T @ l
        cores[k] = np.tensordot(cores[k], p, 1)
        cores[k + 1] = np.tensordot(q, cores[k + 1], 1)
    bonds = [1] + [min(c, core.shape[2]) for c, core in zip(caps, cores)] + [1]
    return contract([core[: bonds[k], :, : bonds[k + 1]] for k, core in enumerate(cores)])


def case(name, w, i, j, caps_list, slicing):
    t = interleave(w, i, j)
    n = len(i)
    out = {
        "name": name, "rows": w.shape[0], "cols": w.shape[1], "i": i, "j": j, "w": w.ravel().tolist(),
        "spectra": [spectrum(t, k).tolist() for k in range(1, n)],
        "entropy": [entropy(spectrum(t, k)) for k in range(1, n)],
        "truncations": [],
    }
    for caps in caps_list:
        item = {"caps": caps, "sequential": float(np.linalg.norm(sequential(t, i, j, caps) - t.ravel()))}
        if slicing:
            item["sliced"] = float(np.linalg.norm(sliced(t, i, j, caps) - t.ravel()))
        out["truncations"].append(item)
    return out


decay = np.outer(0.8 ** np.arange(32), 0.7 ** np.arange(16)) * rng.standard_normal((32, 16))
low = rng.standard_normal((20, 3)) @ rng.standard_normal((3, 18))
cases = [
    case("normal 24 x 12", rng.standard_normal((24, 12)), [2, 3, 4], [3, 2, 2], [[2, 2], [4, 3], [6, 5]], True),
    case("decaying 32 x 16", decay, [2, 2, 2, 2, 2], [2, 2, 2, 2, 1],
         [[1, 1, 1, 1], [2, 4, 4, 2], [4, 6, 5, 2], [3, 9, 7, 2]], False),
    case("normal 36 x 30", rng.standard_normal((36, 30)), [3, 4, 3], [2, 5, 3], [[3, 3], [6, 4], [5, 8]], True),
    case("padded 22 x 15", rng.standard_normal((22, 15)), [2, 3, 2, 2], [2, 2, 2, 2],
         [[2, 2, 2], [4, 5, 3]], False),
    case("rank three 20 x 18", low, [4, 5], [3, 6], [[3], [7]], False),
]
print(json.dumps({"cases": cases}))
