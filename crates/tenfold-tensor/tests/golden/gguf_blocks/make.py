"""Values of random blocks of every scheme, and blocks of random weights under the reference quantizers, from gguf."""

import json
import pathlib

import gguf
import numpy as np

KINDS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
# Where in a block its halves begin.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}
BLOCKS = 3


def blocks(rng, kind):
    """Random bytes, with finite halves in place of what would decode to NaN."""
    _, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    block = rng.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    for at in HALVES[kind]:
        half = block[:, at : at + 2].copy().view(np.float16)
        fine = np.isfinite(half.astype(np.float32))
        half = np.where(fine, half, np.float16(0.25)).astype(np.float16)
        block[:, at : at + 2] = half.view(np.uint8)
    return block


def weights(rng):
    """Ordinary rows, a row of heavy tails, one of ties, one of zeros, one of equal numbers, one that is tiny."""
    rows = [
        rng.standard_normal(64),
        rng.standard_normal(64) * 0.02,
        rng.standard_t(2, 64),
        np.arange(64) % 16 - 7.5,
        np.zeros(64),
        np.full(64, -0.375),
        rng.standard_normal(64) * 1e-7,
    ]
    return np.array(rows, dtype=np.float32)


def main():
    rng = np.random.default_rng(22)
    decoded, encoded = {}, {}
    values = weights(rng)
    for kind in KINDS:
        number = gguf.GGMLQuantizationType[kind]
        block = blocks(rng, kind)
        decoded[kind] = {
            "bytes": block.tobytes().hex(),
            "values": gguf.quants.dequantize(block, number).astype("<f4").tobytes().hex(),
        }
        try:
            encoded[kind] = gguf.quants.quantize(values, number).tobytes().hex()
        except (NotImplementedError, gguf.quants.QuantError):
            pass
    result = {"decoded": decoded, "weights": values.astype("<f4").tobytes().hex(), "encoded": encoded}
    pathlib.Path("expected.json").write_text(json.dumps(result, indent=1) + "\n")


main()
