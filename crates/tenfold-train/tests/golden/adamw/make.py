"""Twelve steps of a two-layer network in PyTorch: losses, gradient norms, rates and final weights.

Two optimizer groups, no decay on vectors, clipping by global norm, three steps of warm-up and half a cosine to a floor.
"""

import json
import math

import torch

SEED, STEPS, WARMUP, FLOOR = 20260, 12, 3, 0.1
PEAK, DECAY, CLIP = 0.05, 0.1, 0.5
GROUP_RATE, GROUP_DECAY = 2.0, 0.02

torch.manual_seed(SEED)
torch.set_num_threads(1)
start = {
    "first.weight": 0.5 * torch.randn(7, 5),
    "first.bias": 0.1 * torch.randn(7),
    "second.weight": 0.5 * torch.randn(3, 7),
    "second.bias": 0.1 * torch.randn(3),
}
x, target = torch.randn(16, 5), torch.randn(16, 3)


def factor(step):
    if step < WARMUP:
        return (step + 1) / WARMUP
    progress = (step - WARMUP) / (STEPS - WARMUP)
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))


def numbers(tensor):
    return [float(value) for value in tensor.detach().flatten()]


leaves = {name: torch.nn.Parameter(value.clone()) for name, value in start.items()}
optimizer = torch.optim.AdamW(
    [
        {"params": [leaves["first.weight"]], "weight_decay": DECAY},
        {"params": [leaves["first.bias"], leaves["second.bias"]], "weight_decay": 0.0},
        {"params": [leaves["second.weight"]], "weight_decay": GROUP_DECAY, "lr": PEAK * GROUP_RATE},
    ],
    lr=PEAK,
)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
losses, norms, rates = [], [], []
for _ in range(STEPS):
    optimizer.zero_grad()
    hidden = torch.tanh(torch.nn.functional.linear(x, leaves["first.weight"], leaves["first.bias"]))
    y = torch.nn.functional.linear(hidden, leaves["second.weight"], leaves["second.bias"])
    loss = torch.nn.functional.mse_loss(y, target)
    loss.backward()
    losses.append(loss.item())
    rates.append(optimizer.param_groups[0]["lr"])
    norms.append(float(torch.nn.utils.clip_grad_norm_(leaves.values(), CLIP)))
    optimizer.step()
    schedule.step()

print(
    json.dumps(
        {
            "steps": STEPS,
            "warmup": WARMUP,
            "floor": FLOOR,
            "peak": PEAK,
            "decay": DECAY,
            "clip": CLIP,
            "group_rate": GROUP_RATE,
            "group_decay": GROUP_DECAY,
            "x": {"shape": list(x.shape), "data": numbers(x)},
            "target": {"shape": list(target.shape), "data": numbers(target)},
            "start": {n: {"shape": list(v.shape), "data": numbers(v)} for n, v in start.items()},
            "losses": losses,
            "norms": norms,
            "rates": rates,
            "end": {n: {"shape": list(v.shape), "data": numbers(v)} for n, v in leaves.items()},
        }
    )
)
