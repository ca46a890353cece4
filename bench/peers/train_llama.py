"""Trains a small LLaMA whose matrices have rows of whole blocks of 256, on stories, for the comparison of k-quants in run_gguf.sh.

usage: train_llama.py OUT --tokenizer DIR --stories FILE [--seconds 900] [--layers 3] [--width 256] [--hidden 512]
DIR is a model folder with tokenizer.json (`tenfold convert path:shared/models/stories260k DIR`). Stops after so many seconds. OUT becomes a
folder in Hugging Face's layout. Needs torch, transformers, tokenizers.
"""

import argparse
import json
import pathlib
import random
import shutil
import time

import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
parser.add_argument("--stories", type=pathlib.Path, required=True)
parser.add_argument("--seconds", type=float, default=900)
parser.add_argument("--layers", type=int, default=3)
parser.add_argument("--width", type=int, default=256)
parser.add_argument("--hidden", type=int, default=512)
parser.add_argument("--length", type=int, default=256)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--rate", type=float, default=2e-3)
parser.add_argument("--held-out", type=int, default=300, help="stories at the end of the file that are not trained on")
args = parser.parse_args()
torch.set_num_threads(1)
torch.manual_seed(11)
random.seed(11)

tokenizer = Tokenizer.from_file(str(args.tokenizer / "tokenizer.json"))
stories = [" ".join(story.split()) for story in args.stories.read_text(errors="replace").split("<|endoftext|>")]
stories = [story for story in stories if len(story) > 200]
ids = [one.ids for one in tokenizer.encode_batch(stories)]
train = torch.tensor([token for story in ids[: -args.held_out] for token in story])
held_out = torch.tensor([token for story in ids[-args.held_out :] for token in story])
config = LlamaConfig(vocab_size=tokenizer.get_vocab_size(), hidden_size=args.width, intermediate_size=args.hidden,
                     num_hidden_layers=args.layers, num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=512,
                     rms_norm_eps=1e-5, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2)
model = LlamaForCausalLM(config)
optimizer = torch.optim.AdamW(model.parameters(), lr=args.rate, betas=(0.9, 0.95), weight_decay=0.1)


def batch(tokens):
    starts = torch.randint(0, len(tokens) - args.length, (args.batch,))
    return torch.stack([tokens[start : start + args.length] for start in starts])


def loss(tokens):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return model(input_ids=tokens, labels=tokens).loss


begin, step = time.time(), 0
while (elapsed := time.time() - begin) < args.seconds:
    # Up over the first hundred steps, then down to nothing over the time that there is.
    rate = args.rate * min(1, (step + 1) / 100) * (1 - elapsed / args.seconds)
    for group in optimizer.param_groups:
        group["lr"] = rate
    value = loss(batch(train))
    optimizer.zero_grad()
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    step += 1
    if step % 50 == 0:
        print(json.dumps({"step": step, "seconds": round(elapsed), "loss": round(value.item(), 4)}), flush=True)
model.eval()
with torch.no_grad():
    lost = sum(loss(batch(held_out)).item() for _ in range(8)) / 8
model.save_pretrained(args.out)
for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
    if (args.tokenizer / name).is_file():
        shutil.copy(args.tokenizer / name, args.out / name)
print(json.dumps({"steps": step, "tokens": step * args.batch * args.length, "held_out_loss": round(lost, 4),
                  "parameters": sum(one.numel() for one in model.parameters())}))
