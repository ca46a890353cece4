"""The matrix product of LLM.int8() in PyTorch: loud columns of the inputs in full, all else in 8 bits a row of inputs and a row of
weights, by absmax, multiplied as whole numbers.

usage: make.py       writes expected.json beside this file
"""

import json
import pathlib

import torch

HERE = pathlib.Path(__file__).parent
torch.manual_seed(8)
ROWS, OUTPUTS, WIDTH, LOUD = 6, 11, 70, [3, 41, 69]

x, w = torch.randn(ROWS, WIDTH), torch.randn(OUTPUTS, WIDTH)
x[:, LOUD] *= 12
x[4] = 0
x[5, LOUD] = 0
others = [at for at in range(WIDTH) if at not in LOUD]


def absmax(rows, half):
    """Whole numbers up to 127 in magnitude and one step a row, which files hold in half precision where it is one of weights."""
    step = rows.abs().amax(1, keepdim=True) / 127
    step = step.half().float() if half else step
    # Divisions by a half may round above the largest code.
    codes = torch.where(step > 0, rows / step, 0).round().clamp(-127, 127)
    return codes.to(torch.int64), step.double()


quiet, loud = x[:, others], x[:, LOUD]
inputs, input_steps = absmax(quiet, False)
weights, weight_steps = absmax(w[:, others], True)
output = (inputs @ weights.T).double() * input_steps * weight_steps.T + loud.double() @ w[:, LOUD].double().T
direction = torch.randn(ROWS, OUTPUTS)
# Straight through: the gradient of the product without rounding of inputs.
gradient = torch.zeros(ROWS, WIDTH, dtype=torch.float64)
gradient[:, others] = direction.double() @ (weights.double() * weight_steps)
gradient[:, LOUD] = direction.double() @ w[:, LOUD].double()

flat = lambda t: {"shape": list(t.shape), "data": t.flatten().tolist()}
case = {
    "loud": LOUD,
    "x": flat(x),
    "kept": flat(w[:, LOUD]),
    "codes": flat(weights),
    "steps": flat(weight_steps),
    "output": flat(output),
    "direction": flat(direction),
    "gradient": flat(gradient),
}
(HERE / "expected.json").write_text(json.dumps(case) + "\n")
