"""Fits the approximations in src/kernel/math.rs and writes reference values to test them with.

Every approximation is a polynomial with the least largest weighted error on its interval, found by a linear program on
a Chebyshev grid:

  exp(r)       on [-ln 2 / 2, ln 2 / 2], relative error, first two coefficients fixed at 1
  erf(x) / x   in x^2 on [0, EDGE], relative error
  erfcx(x)     = exp(x^2) erfc(x), in x on [EDGE, 4], error weighted by exp(-x^2), so that of erf = 1 - exp(-x^2) erfcx
  (tanh(x) / x - 1) / x^2   in x^2 on [0, TANH_EDGE], error weighted by its share in tanh

The coefficients are rounded to f32, the f32 evaluation is emulated over a dense grid against mpmath, and its largest
error is printed in units in the last place.

usage: make.py       prints the coefficients, writes expected.json beside this file
"""

import json
import pathlib

import mpmath
import numpy as np
from scipy.optimize import linprog

HERE = pathlib.Path(__file__).parent
EDGE, TOP, TANH_EDGE = 1.0, 4.0, 0.625
f32, f64 = np.float32, np.float64


def fit(low, high, degree, target, weight, fixed=(), points=1000):
    """Coefficients, lowest first, of the polynomial closest to target on [low, high], and the weighted error."""
    nodes = np.cos(np.linspace(0, np.pi, points))
    x = (low + high) / 2 + (high - low) / 2 * nodes
    goal = np.array([float(target(mpmath.mpf(float(v)))) for v in x])
    goal = goal - sum(c * x**i for i, c in enumerate(fixed))
    w = np.array([weight(v) for v in x])
    # columns in a well-conditioned basis: Chebyshev, times the power that the fixed coefficients leave
    free = degree + 1 - len(fixed)
    basis = np.polynomial.chebyshev.chebvander(nodes, free - 1) * (x ** len(fixed))[:, None]
    scale = 1e5  # the error is about 1e-8, the solver's tolerance is absolute
    a = np.vstack([np.hstack([s * basis * w[:, None] * scale, -np.ones((points, 1))]) for s in (1, -1)])
    rhs = np.concatenate([s * goal * w * scale for s in (1, -1)])
    c = np.zeros(free + 1)
    c[-1] = 1
    solution = linprog(c, a, rhs, bounds=[(None, None)] * (free + 1), method="highs-ds",
                       options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10})
    series = np.polynomial.chebyshev.Chebyshev(solution.x[:-1], domain=[low, high])
    tail = series.convert(kind=np.polynomial.Polynomial).coef
    return np.concatenate([fixed, tail]), solution.x[-1] / scale


def fused(a, b, c):
    """A fused multiply-add: the f64 product of f32 values is exact and its sum nearly so before the one rounding."""
    return (np.asarray(a, f64) * np.asarray(b, f64) + np.asarray(c, f64)).astype(f32)


def horner(coefficients, x):
    value = np.full_like(x, f32(coefficients[-1]))
    for c in coefficients[-2::-1]:
        value = fused(value, x, f32(c))
    return value


def evaluate_exp(p, x):
    n = np.rint(x.astype(f64) * f64(f32(np.log2(np.e)))).astype(f32)
    r = fused(n, f32(2.12194440e-4), fused(n, f32(-0.693359375), x))
    return (horner(p, r).astype(f64) * 2.0 ** n.astype(f64)).astype(f32)


def evaluate_erf(near, far, exp, x):
    a = np.abs(x)
    tail = fused(-evaluate_exp(exp, -(a * a)), horner(far, np.minimum(a, f32(TOP))), f32(1))
    return np.where(a < f32(EDGE), x * horner(near, x * x), np.copysign(tail, x))


def evaluate_tanh(near, exp, x):
    a = np.abs(x)
    u = x * x
    far = f32(1) - f32(2) / (evaluate_exp(exp, np.minimum(f32(2) * a, f32(80))) + f32(1))
    return np.where(a < f32(TANH_EDGE), fused(x * u, horner(near, u), x), np.copysign(far, x))


def ulps(got, want):
    return np.max(np.abs(got.astype(f64) - want) / np.spacing(np.abs(want).astype(f32)).astype(f64))


def erfcx(x):
    return mpmath.exp(x * x) * mpmath.erfc(x)


def main():
    mpmath.mp.dps = 40
    half = np.log(2) / 2 * 1.0001
    near_erf = lambda u: mpmath.erf(mpmath.sqrt(u)) / mpmath.sqrt(u) if u > 1e-20 else 2 / mpmath.sqrt(mpmath.pi)
    near_tanh = lambda u: (mpmath.tanh(mpmath.sqrt(u)) / mpmath.sqrt(u) - 1) / u if u > 1e-20 else mpmath.mpf(-1) / 3

    exp, exp_error = fit(-half, half, 6, mpmath.exp, lambda r: np.exp(-r), fixed=(1.0, 1.0))
    near, near_error = fit(1e-12, EDGE**2, 6, near_erf, lambda u: 1.0)
    far, far_error = fit(EDGE, TOP, 8, erfcx, lambda x: np.exp(-x * x))
    flat, flat_error = fit(1e-12, TANH_EDGE**2, 4, near_tanh, lambda u: u)

    def dense(top):
        return np.concatenate([np.linspace(-top, top, 40001), np.exp(np.linspace(-30, np.log(top), 5001))]).astype(f32)

    def exact(function, x):
        return np.array([float(function(mpmath.mpf(float(v)))) for v in x])

    x = dense(86)
    print(f"# exp: fit {exp_error:.2g}, f32 {ulps(evaluate_exp(exp, x), exact(mpmath.exp, x)):.2f} ulp")
    print("EXP", [f32(c).item() for c in exp])
    x = dense(6)
    worst = ulps(evaluate_erf(near, far, exp, x), exact(mpmath.erf, x))
    print(f"# erf: fits {near_error:.2g} and {far_error:.2g}, f32 {worst:.2f} ulp")
    print("ERF_NEAR", [f32(c).item() for c in near])
    print("ERFCX", [f32(c).item() for c in far])
    x = dense(12)
    worst = ulps(evaluate_tanh(flat, exp, x), exact(mpmath.tanh, x))
    print(f"# tanh: fit {flat_error:.2g}, f32 {worst:.2f} ulp")
    print("TANH_NEAR", [f32(c).item() for c in flat])

    x = np.unique(np.concatenate([np.linspace(-10, 10, 321), np.exp(np.linspace(-18, 4.4, 120)),
                                  -np.exp(np.linspace(-18, 4.4, 120))]).astype(f32))
    expected = {"x": x.astype(f64).tolist()}
    for name, function in (("erf", mpmath.erf), ("tanh", mpmath.tanh), ("exp", mpmath.exp)):
        expected[name] = exact(function, x).tolist()
    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")


main()
