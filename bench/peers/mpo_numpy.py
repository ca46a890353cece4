"""Full-rank MPO with spectra (symmetric gauge, five cores) of every matrix of BERT-base, in NumPy.

The peer of `crates/tenfold-linalg/examples/decompose_bert.rs`: the same shapes, factor lists, result and precision (f32
weights in memory to f64 cores and spectra), one matrix after another with the BLAS threads inside.

Routes:
  svd   TT-SVD: one thin SVD (LAPACK gesdd) per bond, singular values shared by both sides. What the papers describe and
        what a NumPy user writes; the default.
  gram  the algorithm of tenfold-linalg: eigenvectors of X X^T from whichever side is short, partial traces for the outer
        bonds. Without that crate's check for ill-conditioned input. Here to tell the gain of the algorithm from that of
        the program.

usage: mpo_numpy.py [--only NAME] [--route svd|gram] [--share F] [--threads N] [--check] [--json]
--share F does only that share of each group (at least one matrix) and scales the times up.
"""

import argparse
import json
import os
import resource
import sys
import time

GROUPS = [
    ("attention", [3, 4, 4, 4, 4], [4, 4, 4, 4, 3], 49),
    ("ffn-in", [4, 4, 8, 6, 4], [3, 4, 4, 4, 4], 12),
    ("ffn-out", [3, 4, 4, 4, 4], [4, 4, 8, 6, 4], 12),
    ("embedding", [4, 8, 20, 12, 4], [4, 4, 4, 4, 3], 1),
]

parser = argparse.ArgumentParser()
parser.add_argument("--only")
parser.add_argument("--route", default="svd", choices=["svd", "gram"])
parser.add_argument("--share", type=float, default=1.0)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--check", action="store_true")
parser.add_argument("--json", action="store_true")
args = parser.parse_args()
for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = str(args.threads)

import numpy as np  # noqa: E402  (the thread count is read on import)


def interleave(w, i, j):
    order = [axis for k in range(len(i)) for axis in (k, len(i) + k)]
    return w.astype(np.float64).reshape(i + j).transpose(order).reshape(-1)


def scale(cores, spectra):
    """Root of the singular values on either side of every bond; cores arrive left-orthogonal."""
    for k, s in enumerate(spectra):
        root = np.sqrt(np.maximum(s, 1e-10 * s[0]))
        cores[k] *= root
        cores[k + 1] /= root[:, None, None]
    return cores, spectra


def mpo_svd(w, i, j):
    rest, left, cores, spectra = interleave(w, i, j), 1, [], []
    for a, b in zip(i[:-1], j[:-1]):
        u, s, v = np.linalg.svd(rest.reshape(left * a * b, -1), full_matrices=False)
        cores.append(u.reshape(left, a * b, -1))
        spectra.append(s)
        v *= s[:, None]
        rest, left = v, len(s)
    cores.append(rest.reshape(left, -1, 1))
    return scale(cores, spectra)


def falling(gram):
    values, vectors = np.linalg.eigh(gram)
    return np.sqrt(np.maximum(values[::-1], 0)), vectors[:, ::-1]


def mpo_gram(w, i, j):
    n, blocks = len(i), [a * b for a, b in zip(i, j)]
    x = interleave(w, i, j)
    lefts = [int(np.prod(blocks[:k])) for k in range(1, n)]
    center = sum(l * l <= x.size for l in lefts)
    bases = [None] * (n - 1)
    if center:
        m = x.reshape(lefts[center - 1], -1)
        gram = m @ m.T
        for k in range(center, 0, -1):
            bases[k - 1] = falling(gram)
            d = len(gram) // blocks[k - 1]
            gram = np.trace(gram.reshape(d, blocks[k - 1], d, blocks[k - 1]), axis1=1, axis2=3)
        x = bases[center - 1][1].T @ m
    if center < n - 1:
        m = x.reshape(-1, int(np.prod(blocks[center + 1:])))
        gram = m.T @ m
        for k in range(center + 1, n):
            bases[k - 1] = falling(gram)
            d = len(gram) // blocks[k]
            gram = np.trace(gram.reshape(blocks[k], d, blocks[k], d), axis1=0, axis2=2)
        x = m @ bases[center][1]
    cores = []
    for k in range(n):
        if k < center:
            u = bases[k][1].reshape(-1, blocks[k] * bases[k][1].shape[1])
            core = bases[k - 1][1].T @ u if k else u
        elif k > center:
            v = np.ascontiguousarray(bases[k - 1][1].T)
            core = v.reshape(-1, len(bases[k][1])) @ bases[k][1] if k < n - 1 else v
        else:
            core = x
        left = len(bases[k - 1][0]) if k else 1
        core = core.reshape(left, blocks[k], -1)
        # Outside the center both roots point outward; in the center they divide.
        if 0 < k <= center:
            core = core / np.sqrt(bases[k - 1][0])[:, None, None]
        elif k > center:
            core = core * np.sqrt(bases[k - 1][0])[:, None, None]
        if k < center:
            core = core * np.sqrt(bases[k][0])
        elif center <= k < n - 1:
            core = core / np.sqrt(bases[k][0])
        cores.append(core)
    return cores, [s for s, _ in bases]


def rebuild(cores, i, j):
    out = np.ones((1, 1))
    for core in cores:
        out = (out @ core.reshape(core.shape[0], -1)).reshape(-1, core.shape[2])
    n = len(i)
    order = [2 * k for k in range(n)] + [2 * k + 1 for k in range(n)]
    mixed = [d for pair in zip(i, j) for d in pair]
    return out.reshape(mixed).transpose(order).reshape(int(np.prod(i)), -1)


def entropy(s):
    v = s**2 / np.sum(s**2)
    v = v[v > 0]
    return float(-np.sum(v * np.log(v)))


rng = np.random.default_rng(17)
mpo = {"svd": mpo_svd, "gram": mpo_gram}[args.route]
groups, total = [], 0.0
for name, i, j, count in GROUPS:
    if args.only and args.only != name:
        continue
    rows, cols = int(np.prod(i)), int(np.prod(j))
    done = max(1, round(count * args.share))
    weights = [0.04 * rng.standard_normal((rows, cols), dtype=np.float32) for _ in range(done)]
    parameters, entropies = 0, []
    start = time.perf_counter()
    for w in weights:
        cores, spectra = mpo(w, i, j)
        parameters += sum(c.size for c in cores)
        entropies.append(entropy(spectra[1]))
        if args.check:
            error = np.linalg.norm(rebuild(cores, i, j) - w) / np.linalg.norm(w)
            print(f"{name}: relative rebuild error {error:.2e}", file=sys.stderr)
    seconds = (time.perf_counter() - start) * count / done
    total += seconds
    groups.append({"group": name, "rows": rows, "cols": cols, "count": count, "measured": done,
                   "seconds": round(seconds, 4), "parameters": parameters * count // done,
                   "central_entropy": round(float(np.mean(entropies)), 6)})
    if not args.json:
        print(f"{name:10} {count:3} x {rows:5} x {cols:4}  {seconds:8.3f} s  {1e3 * seconds / count:8.2f} ms each"
              f"  entropy {groups[-1]['central_entropy']:.4f}", flush=True)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
if args.json:
    print(json.dumps({"program": f"numpy-{args.route}", "threads": args.threads, "seconds": round(total, 4),
                      "peak_mib": round(peak), "numpy": np.__version__, "groups": groups}))
else:
    print(f"total {total:.3f} s on {args.threads} threads, peak resident {peak:.0f} MiB")
