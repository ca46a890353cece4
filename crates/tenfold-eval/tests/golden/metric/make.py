"""Expected values of the correlation and classification metrics. Run: python make.py > cases.json"""

import json

import numpy as np
from scipy import stats


def correlations(rng):
    """Lists with and without ties, small and large, on different scales."""
    shapes = [(2, None, 1.0), (3, None, 1.0), (10, 3, 1.0), (50, 5, 1e-6), (200, None, 1e6), (400, 26, 1.0)]
    for size, levels, scale in shapes:
        a = rng.normal(size=size)
        b = 0.6 * a + 0.8 * rng.normal(size=size)
        if levels:  # few distinct values, so that many are tied
            a, b = (np.round(x * levels / 3) / levels for x in (a, b))
        a, b = a * scale + 3 * scale, b
        a, b = (np.round(x, 12) for x in (a, b))
        yield {
            "a": a.tolist(),
            "b": b.tolist(),
            "ranks_a": stats.rankdata(a, method="average").tolist(),
            "pearson": float(stats.pearsonr(a, b).statistic),
            "spearman": float(stats.spearmanr(a, b).statistic),
        }


def classifications(rng):
    """Binary decisions, balanced and not. F1 from precision and recall, Matthews as a correlation of 0 and 1."""
    for size, positive, flip in [(4, 0.5, 0.25), (20, 0.5, 0.3), (100, 0.1, 0.1), (300, 0.9, 0.4), (500, 0.5, 0.6)]:
        expected = rng.random(size) < positive
        expected[:2] = [True, False]
        predicted = expected ^ (rng.random(size) < flip)
        predicted[:2] = [True, True]
        predicted[2:4] = [False, True]
        hits = float(np.sum(predicted & expected))
        precision, recall = hits / np.sum(predicted), hits / np.sum(expected)
        yield {
            "predicted": predicted.tolist(),
            "expected": expected.tolist(),
            "accuracy": float(np.mean(predicted == expected)),
            "f1": float(2 / (1 / precision + 1 / recall)),
            "matthews": float(np.corrcoef(predicted.astype(float), expected.astype(float))[0, 1]),
        }


def main():
    rng = np.random.default_rng(17)
    cases = {"correlations": list(correlations(rng)), "classifications": list(classifications(rng))}
    print(json.dumps(cases, separators=(",", ":")))


main()
