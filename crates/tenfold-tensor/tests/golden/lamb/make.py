"""Six steps of LAMB on one leaf: by the package torch_optimizer, and as the paper's algorithm 2 in double precision.

torch_optimizer corrects no bias and adapts every leaf; the algorithm is written out for what it leaves open.
"""

import json

import numpy
import torch
import torch_optimizer

SEED, STEPS = 4711, 6
generator = numpy.random.default_rng(SEED)


def leaf(shape, scale):
    start = (scale * generator.standard_normal(shape)).astype(numpy.float32)
    gradients = [generator.standard_normal(shape).astype(numpy.float32) for _ in range(STEPS)]
    return start, gradients


def by_package(start, gradients, case):
    value = torch.nn.Parameter(torch.tensor(start))
    optimizer = torch_optimizer.Lamb(
        [value],
        lr=case["lr"],
        betas=(case["beta1"], case["beta2"]),
        eps=case["eps"],
        weight_decay=case["decay"],
        clamp_value=case["most"],
        debias=False,
    )
    values = []
    for gradient in gradients:
        value.grad = torch.tensor(gradient)
        optimizer.step()
        values.append(value.detach().numpy().copy())
    return values


def by_paper(start, gradients, case):
    x = start.astype(numpy.float64)
    m, v, values = numpy.zeros_like(x), numpy.zeros_like(x), []
    for t, gradient in enumerate(gradients, 1):
        g = gradient.astype(numpy.float64)
        m = case["beta1"] * m + (1 - case["beta1"]) * g
        v = case["beta2"] * v + (1 - case["beta2"]) * g**2
        debias = case["bias_correction"]
        mean = m / (1 - case["beta1"] ** t) if debias else m
        square = v / (1 - case["beta2"] ** t) if debias else v
        update = mean / (numpy.sqrt(square) + case["eps"]) + case["decay"] * x
        phi = min(max(numpy.linalg.norm(x), case["least"]), case["most"])
        ratio = phi / numpy.linalg.norm(update) if case["adapts"] else 1.0
        x = x - case["lr"] * ratio * update
        values.append(x.copy())
    return values


def made(name, make, shape, scale, **settings):
    case = {"name": name, "lr": 0.02, "beta1": 0.9, "beta2": 0.999, "eps": 1e-6, "decay": 0.01}
    case |= {"bias_correction": False, "least": 0.0, "most": 10.0, "adapts": True} | settings
    start, gradients = leaf(shape, scale)
    case["start"] = {"shape": list(shape), "data": [float(x) for x in start.ravel()]}
    case["gradients"] = [[float(x) for x in gradient.ravel()] for gradient in gradients]
    case["values"] = [[float(x) for x in value.ravel()] for value in make(start, gradients, case)]
    return case


cases = [
    made("torch_optimizer", by_package, (7, 19), 0.3),
    made("torch_optimizer, norm above the bound", by_package, (5, 13), 3.0, decay=0.0),
    made("paper", by_paper, (7, 17), 0.3, bias_correction=True),
    made("paper, a core of four indices", by_paper, (2, 3, 3, 5), 0.1, bias_correction=True, decay=0.1),
    made("paper, norm below the bound", by_paper, (3, 11), 0.01, bias_correction=True, least=0.5),
    made("vector", by_paper, (21,), 0.3, bias_correction=True, adapts=False, decay=0.0),
]
print(json.dumps({"cases": cases}))
