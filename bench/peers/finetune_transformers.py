"""Dense fine-tuning of a sentence encoder with PyTorch and transformers: the peer of this program's objective "task".

usage: finetune_transformers.py MODEL-FOLDER DATA-FOLDER TASK [--seed N] [--lr X] [--epochs N] [--rows N] [--threads N]
       TASK: cola, mrpc, stsb, sst2, qnli
Needs torch and transformers. f32, AdamW (decay 0.01 of matrices), 10 % linear warm-up then linear decay, clipping at 1, batches of
32, at most 128 tokens, dropout 0.1 of hidden vectors and before the classifier and none of attention probabilities, as here.
Prints one JSON object: metrics on the development rows, seconds of training.
"""

import argparse
import json
import math
import random
import sys
import time

import numpy
import torch
from scipy import stats
from transformers import AutoModelForSequenceClassification, AutoTokenizer

arguments = argparse.ArgumentParser()
arguments.add_argument("model")
arguments.add_argument("data")
arguments.add_argument("task")
arguments.add_argument("--seed", type=int, default=1)
arguments.add_argument("--lr", type=float, default=1e-4)
arguments.add_argument("--epochs", type=int, default=3)
arguments.add_argument("--rows", type=int, default=0)
arguments.add_argument("--threads", type=int, default=2)
args = arguments.parse_args()

TEXTS = {"mrpc": (3, 4, 0), "stsb": (7, 8, 9), "sst2": (0, None, 1), "cola": (3, None, 1)}
ENTAILED = {"entailment": 0, "not_entailment": 1}


def table(path, header, columns):
    lines = [line.rstrip("\r") for line in open(path, encoding="utf-8", newline="\n").read().split("\n") if line.strip()]
    first, second, label = columns
    for line in lines[header:]:
        cells = line.split("\t")
        yield cells[first].strip(), cells[second].strip() if second is not None else None, cells[label].strip()


def read(split):
    folder = f"{args.data}/glue_{args.task}"
    if args.task == "qnli" and split == "train":
        rows = map(json.loads, open(f"{folder}/train_9k.jsonl", encoding="utf-8"))
        found = [(row["text_a"].strip(), row["text_b"].strip(), row["label"]) for row in rows]
    elif args.task == "qnli":
        found = list(table(f"{folder}/dev.tsv", 1, (1, 2, 3)))
    else:
        found = list(table(f"{folder}/{split}.tsv", 0 if args.task == "cola" else 1, TEXTS[args.task]))
    convert = {"stsb": float, "qnli": ENTAILED.get}.get(args.task, int)
    return [(a, b, convert(label)) for a, b, label in found]


random.seed(args.seed)
torch.manual_seed(args.seed)
torch.set_num_threads(args.threads)
regression = args.task == "stsb"
tokenizer = AutoTokenizer.from_pretrained(args.model)
model = AutoModelForSequenceClassification.from_pretrained(
    args.model, num_labels=1 if regression else 2, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.0
)
model.float()
train, dev = read("train"), read("dev")
if args.rows:
    train = random.sample(train, min(args.rows, len(train)))


def batch(rows):
    first, second = [row[0] for row in rows], [row[1] for row in rows]
    pair = (first, second) if second[0] is not None else (first,)
    tokens = tokenizer(*pair, truncation=True, max_length=128, padding=True, return_tensors="pt")
    return tokens, torch.tensor([row[2] for row in rows], dtype=torch.float32 if regression else torch.long)


steps = args.epochs * math.ceil(len(train) / 32)
warm = steps // 10
decayed = [p for p in model.parameters() if p.dim() > 1]
others = [p for p in model.parameters() if p.dim() <= 1]
optimizer = torch.optim.AdamW(
    [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}], lr=args.lr
)
rate = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda s: (s + 1) / max(warm, 1) if s < warm else max(0.0, (steps - s) / max(steps - warm, 1))
)
model.train()
start = time.monotonic()
done = 0
for _ in range(args.epochs):
    random.shuffle(train)
    for at in range(0, len(train), 32):
        tokens, labels = batch(train[at : at + 32])
        outputs = model(**tokens).logits
        if regression:
            loss = torch.nn.functional.mse_loss(outputs.squeeze(-1), labels)
        else:
            loss = torch.nn.functional.cross_entropy(outputs, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rate.step()
        done += 1
        if done % 50 == 0:
            print(f"{args.task} seed {args.seed}: step {done} of {steps}", file=sys.stderr)
seconds = time.monotonic() - start

model.eval()
outputs, labels = [], []
with torch.no_grad():
    for at in range(0, len(dev), 64):
        tokens, truth = batch(dev[at : at + 64])
        outputs.append(model(**tokens).logits)
        labels.append(truth)
outputs, labels = torch.cat(outputs).double().numpy(), torch.cat(labels).double().numpy()
if regression:
    scores = {"spearman": stats.spearmanr(outputs[:, 0], labels)[0], "pearson": stats.pearsonr(outputs[:, 0], labels)[0]}
else:
    answer, truth = outputs.argmax(1), labels.astype(int)
    hit = lambda a, b: int(numpy.sum((answer == a) & (truth == b)))
    tp, fp, fn, tn = hit(1, 1), hit(1, 0), hit(0, 1), hit(0, 0)
    root = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    scores = {
        "accuracy": float(numpy.mean(answer == truth)),
        "f1": 2 * tp / max(2 * tp + fp + fn, 1),
        "matthews": (tp * tn - fp * fn) / root if root else 0.0,
    }
result = {"what": "finetune", "engine": "transformers", "task": args.task, "seed": args.seed, "lr": args.lr}
result |= {"epochs": args.epochs, "steps": steps, "rows": len(train), "seconds": round(seconds, 1)}
print(json.dumps(result | {name: round(100 * float(value), 2) for name, value in scores.items()}))
