"""PyTorch's time for one training step of an encoder, or for inference: the peer of crates/tenfold-tensor/examples/step.rs.

What is measured: forward + backward + fused AdamW (scaled_dot_product_attention, two threads) over post-norm encoder
blocks and a two-class head on the mean of every sequence, or the forward pass alone under inference_mode; no embedding
table, no dropout. The median over the timed repetitions, after warm-up; with --compile that includes compiling.
Data: fixed random activations; the time does not depend on the values.
What would mislead you: another process on the machine; a PyTorch built without MKL; fewer cores than threads.

--precision: f32; autocast (f32 weights, bf16 where autocast takes it); bf16 (weights, activations and optimizer in bf16).
--lengths names a file with the lengths of sentences, one a line: batches of as many tokens as the fixed ones, longest
sentences first, padded to the longest of their batch and masked where lengths differ. Only real tokens count.
A step also prints the process's memory: before the model is made, and at most.

usage: torch_step.py [--repeat N] [--warmup N] [--threads N] [--only NAME] [--precision P] [--compile] [--infer BATCH]
                     [--lengths FILE] [--device cuda]
One line of JSON per model on stdout; where compiling fails, a line that says so.
"""

import argparse
import contextlib
import json
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

MODELS = {
    # name: layers, width, heads, hidden, batch, tokens
    "6x384": (6, 384, 12, 1536, 32, 128),
    "12x768": (12, 768, 12, 3072, 8, 128),
}


class Block(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x, mask):  # B x T x D
        batch, tokens, width = x.shape
        split = lambda y: y.view(batch, tokens, self.heads, -1).transpose(1, 2)
        a = F.scaled_dot_product_attention(split(self.q(x)), split(self.k(x)), split(self.v(x)), attn_mask=mask)
        x = self.norm1(self.o(a.transpose(1, 2).reshape(batch, tokens, width)) + x)
        return self.norm2(self.down(F.gelu(self.up(x))) + x)


class Encoder(nn.Module):
    def __init__(self, layers, width, heads, hidden):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
        self.head = nn.Linear(width, 2)

    def forward(self, x, keep=None):  # keep: B x T, 1 for real tokens; None where all are
        mask = None if keep is None else keep.bool()[:, None, None, :]
        for block in self.blocks:
            x = block(x, mask)
        mean = x.mean(dim=1) if keep is None else (x * keep[..., None]).sum(dim=1) / keep.sum(dim=1, keepdim=True)
        return self.head(mean)


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def encoder(options, name):
    torch.manual_seed(17)
    model = Encoder(*MODELS[name][:4]).to(options.device)
    if options.precision == "bf16":
        model = model.to(torch.bfloat16)
    cast = torch.autocast(options.device, dtype=torch.bfloat16) if options.precision == "autocast" else contextlib.nullcontext()
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    return model, torch.compile(model) if options.compile else model, cast, dtype


def described(options, what, name):
    return {"what": what, "engine": "torch", "version": torch.__version__, "model": name, "dtype": options.precision, "device": options.device,
            "compile": options.compile, "threads": torch.get_num_threads(), "repeat": options.repeat}


def step(options, name):
    before = peak_bytes()
    model, run, cast, dtype = encoder(options, name)
    batch, tokens = MODELS[name][4:]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    x = torch.randn(batch, tokens, MODELS[name][1], dtype=dtype, device=options.device)
    targets = torch.arange(batch, device=options.device) % 2
    wait = torch.cuda.synchronize if options.device == "cuda" else lambda: None
    times = {"forward": [], "backward": [], "update": [], "step": []}
    for i in range(options.warmup + options.repeat):
        optimizer.zero_grad(set_to_none=True)
        t0 = time.perf_counter()
        with cast:
            loss = F.cross_entropy(run(x).float(), targets)
        wait()
        t1 = time.perf_counter()
        loss.backward()
        wait()
        t2 = time.perf_counter()
        optimizer.step()
        wait()
        t3 = time.perf_counter()
        if i >= options.warmup:
            for part, value in zip(times, (t1 - t0, t2 - t1, t3 - t2, t3 - t0)):
                times[part].append(value * 1e3)
    result = described(options, "step", name) | {"loss": loss.item(), "before_bytes": before, "peak_bytes": peak_bytes()}
    for part, values in times.items():
        result[part + "_ms"] = round(statistics.median(values), 2)
        result[part + "_min_ms"] = round(min(values), 2)
    print(json.dumps(result), flush=True)


def batches(options, name):
    """Shapes of batches with their lengths."""
    batch, tokens = MODELS[name][4:]
    if not options.lengths:
        return [[tokens] * options.infer]
    found, held = [[]], 0
    for length in sorted((int(line) for line in open(options.lengths)), reverse=True):
        if held + length > batch * tokens:
            found.append([])
            held = 0
        held += length
        found[-1].append(length)
    return found


def infer(options, name):
    model, run, cast, dtype = encoder(options, name)
    model.eval()
    inputs, real = [], 0
    for lengths in batches(options, name):
        x = torch.randn(len(lengths), max(lengths), MODELS[name][1], dtype=dtype)
        keep = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).to(dtype)
        inputs.append((x, None if min(lengths) == max(lengths) else keep))
        real += sum(lengths)
    times = []
    with torch.inference_mode(), cast:
        for i in range(options.warmup + options.repeat):
            start = time.perf_counter()
            for x, keep in inputs:
                run(x, keep)
            if i >= options.warmup:
                times.append((time.perf_counter() - start) * 1e3)
    median = statistics.median(times)
    print(json.dumps(described(options, "inference", name) | {
        "lengths": "file" if options.lengths else "fixed", "batch": options.infer, "tokens": real,
        "inference_ms": round(median, 3), "inference_min_ms": round(min(times), 3),
        "tokens_per_second": round(real / median * 1e3)}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=MODELS)
    parser.add_argument("--precision", choices=["f32", "autocast", "bf16"], default="f32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--infer", type=int)
    parser.add_argument("--lengths")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in MODELS:
        if options.only not in (None, name):
            continue
        try:
            (infer if options.infer else step)(options, name)
        except Exception as error:
            if not options.compile:
                raise
            # Compilers differ from machine to machine, and a peer that cannot compile is still one without.
            print(json.dumps(described(options, "failed", name) | {"error": str(error).splitlines()[0][:200]}), flush=True)


main()
