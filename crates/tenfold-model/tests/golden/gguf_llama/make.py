"""Writes a tiny LLaMA with random weights as a GGUF file of mixed types, and its next-token logits, in double precision.

usage: python make.py      (needs gguf, numpy)
"""

import json
import pathlib

import gguf
import numpy as np

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(23)
WIDTH, LAYERS, HEADS, KEYS, HIDDEN, POSITIONS = 64, 2, 4, 2, 96, 24
HEAD = WIDTH // HEADS
EPS, BASE = 1e-5, 50_000.0
pieces = ["<unk>", "<s>", "</s>", "\u2581"] + [chr(ord("a") + n) for n in range(26)]
pieces += ["th", "in", "he", "\u2581t", "\u2581th", "the", "\u2581the", "er", "an", "ing"]
VOCABULARY = len(pieces)
SPECIAL = gguf.TokenType

writer = gguf.GGUFWriter(here / "model.gguf", "llama")
writer.add_context_length(POSITIONS)
writer.add_embedding_length(WIDTH)
writer.add_block_count(LAYERS)
writer.add_feed_forward_length(HIDDEN)
writer.add_head_count(HEADS)
writer.add_head_count_kv(KEYS)
writer.add_layer_norm_rms_eps(EPS)
writer.add_rope_freq_base(BASE)
writer.add_rope_dimension_count(HEAD)
writer.add_tokenizer_model("llama")
writer.add_token_list(pieces)
writer.add_token_scores([0.0] * 4 + [-float(n) for n in range(VOCABULARY - 4)])
writer.add_token_types([SPECIAL.UNKNOWN, SPECIAL.CONTROL, SPECIAL.CONTROL] + [SPECIAL.NORMAL] * (VOCABULARY - 3))
writer.add_unk_token_id(0)
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)


def turned(matrix, heads):
    """Rows of every head from halves to neighbors."""
    return matrix.reshape(heads, 2, HEAD // 2, -1).swapaxes(1, 2).reshape(matrix.shape)


def put(name, shape, kind, heads=0):
    """Adds a random matrix, and returns what its blocks mean, in the order of rows before turning."""
    values = (rng.standard_normal(shape) * 0.2).astype(np.float32)
    number = gguf.GGMLQuantizationType[kind]
    blocks = gguf.quants.quantize(values, number)
    meant = gguf.quants.dequantize(blocks, number).astype(np.float64)
    if heads:
        blocks = turned(blocks, heads)
    writer.add_tensor(name, np.ascontiguousarray(blocks), raw_dtype=number)
    return meant


def norm(name):
    values = (1 + 0.2 * rng.standard_normal(WIDTH)).astype(np.float32)
    writer.add_tensor(name, values)
    return values.astype(np.float64)


table = put("token_embd.weight", (VOCABULARY, WIDTH), "Q8_0")
last = norm("output_norm.weight")
head = put("output.weight", (VOCABULARY, WIDTH), "F16")
layers = []
for n in range(LAYERS):
    at = f"blk.{n}."
    kinds = [("Q8_0", "Q5_1", "F16", "Q4_1"), ("BF16", "Q4_0", "Q5_0", "F32")][n]
    layers.append({
        "before": norm(at + "attn_norm.weight"),
        "q": put(at + "attn_q.weight", (WIDTH, WIDTH), kinds[0], HEADS),
        "k": put(at + "attn_k.weight", (KEYS * HEAD, WIDTH), kinds[1], KEYS),
        "v": put(at + "attn_v.weight", (KEYS * HEAD, WIDTH), kinds[2]),
        "o": put(at + "attn_output.weight", (WIDTH, WIDTH), kinds[3]),
        "between": norm(at + "ffn_norm.weight"),
        "gate": put(at + "ffn_gate.weight", (HIDDEN, WIDTH), kinds[0]),
        "up": put(at + "ffn_up.weight", (HIDDEN, WIDTH), kinds[1]),
        "down": put(at + "ffn_down.weight", (WIDTH, HIDDEN), kinds[2]),
    })
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()


def rms(x, weight):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * weight


def rotated(x):
    """T x heads x K: the pairs (j, j + K/2) turned by position."""
    rates = BASE ** (-np.arange(HEAD // 2) * 2 / HEAD)
    angles = np.arange(len(x))[:, None, None] * rates
    first, second = x[..., : HEAD // 2], x[..., HEAD // 2 :]
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], -1)


def logits(ids):
    x = table[ids]
    length = len(ids)
    hidden_from = np.triu(np.full((length, length), -np.inf), 1)
    for layer in layers:
        read = rms(x, layer["before"])
        q = rotated((read @ layer["q"].T).reshape(length, HEADS, HEAD))
        k = rotated((read @ layer["k"].T).reshape(length, KEYS, HEAD))
        v = (read @ layer["v"].T).reshape(length, KEYS, HEAD)
        k, v = (np.repeat(one, HEADS // KEYS, 1) for one in (k, v))
        scores = np.einsum("qhk,thk->hqt", q, k) / np.sqrt(HEAD) + hidden_from
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.einsum("hqt,thk->qhk", scores / scores.sum(-1, keepdims=True), v)
        x = x + mixed.reshape(length, WIDTH) @ layer["o"].T
        read = rms(x, layer["between"])
        gate = read @ layer["gate"].T
        x = x + (gate / (1 + np.exp(-gate)) * (read @ layer["up"].T)) @ layer["down"].T
    return rms(x, last) @ head.T


sequences = [[1, 5, 6, 7, 2], [1], [1, 30, 11, 39, 8, 8, 9, 17, 21, 33, 5, 12, 14, 6, 10, 3, 25, 31]]
cases = [{"ids": ids, "logits": logits(ids).flatten().tolist()} for ids in sequences]
(here / "expected.json").write_text(json.dumps(cases))
