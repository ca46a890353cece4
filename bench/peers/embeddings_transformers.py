"""Compares sentence vectors with transformers on a real model: the largest difference of any entry, and least cosine.

usage: embeddings_transformers.py MODEL-FOLDER TEXT-FILE VECTORS
       VECTORS is the output of `cargo run --release -p tenfold-eval --example embed MODEL-FOLDER TEXT-FILE`.
Needs torch and transformers. Computes in double precision, mean pooling, length 1.
"""

import json
import sys

import torch
from transformers import AutoModel, AutoTokenizer

folder, texts, vectors = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModel.from_pretrained(folder).eval().double()
lines = [line for line in open(texts, encoding="utf-8").read().splitlines() if line.strip()]
ours = [torch.tensor(json.loads(line), dtype=torch.float64) for line in open(vectors)]
assert len(lines) == len(ours), f"{len(lines)} texts, {len(ours)} vectors"
worst, least = 0.0, 1.0
with torch.no_grad():
    for line, vector in zip(lines, ours):
        tokens = tokenizer(line, return_tensors="pt", truncation=True, max_length=256)
        mean = model(**tokens).last_hidden_state[0].mean(dim=0)
        expected = mean / mean.norm()
        worst = max(worst, (vector - expected).abs().max().item())
        least = min(least, (vector @ expected / vector.norm()).item())
print(json.dumps({"texts": len(lines), "largest_difference": worst, "least_cosine": least}))
