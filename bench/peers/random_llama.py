"""A decoder of the LLaMA family with random weights, as an f16 GGUF file: something to time that need not be trained. Its tokenizer is
copied from another GGUF file, so every program can read text with it.

usage: random_llama.py OUT.gguf --tokenizer FROM.gguf [--width 1024] [--hidden 2816] [--layers 16] [--heads 16] [--kv-heads 4] [--seed 1]
Needs gguf and numpy from PyPI.
"""

import argparse

import gguf
import numpy

arguments = argparse.ArgumentParser()
arguments.add_argument("out")
arguments.add_argument("--tokenizer", required=True)
arguments.add_argument("--width", type=int, default=1024)
arguments.add_argument("--hidden", type=int, default=2816)
arguments.add_argument("--layers", type=int, default=16)
arguments.add_argument("--heads", type=int, default=16)
arguments.add_argument("--kv-heads", type=int, default=4)
arguments.add_argument("--positions", type=int, default=1024)
arguments.add_argument("--seed", type=int, default=1)
args = arguments.parse_args()

random = numpy.random.default_rng(args.seed)
head = args.width // args.heads
reader = gguf.GGUFReader(args.tokenizer)
writer = gguf.GGUFWriter(args.out, "llama")
for field in reader.fields.values():
    if not field.name.startswith("tokenizer."):
        continue
    kind = field.types[0]
    if kind == gguf.GGUFValueType.ARRAY:
        writer.add_array(field.name, field.contents())
    else:
        writer.add_key_value(field.name, field.contents(), kind)
vocabulary = len(reader.fields["tokenizer.ggml.tokens"].contents())
writer.add_context_length(args.positions)
writer.add_embedding_length(args.width)
writer.add_block_count(args.layers)
writer.add_feed_forward_length(args.hidden)
writer.add_head_count(args.heads)
writer.add_head_count_kv(args.kv_heads)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_dimension_count(head)
writer.add_rope_freq_base(10000.0)
writer.add_vocab_size(vocabulary)
writer.add_file_type(1)


def matrix(name, rows, cols):
    values = random.standard_normal((rows, cols), dtype=numpy.float32) * cols**-0.5
    writer.add_tensor(name, values.astype(numpy.float16))


def ones(name):
    writer.add_tensor(name, numpy.ones(args.width, dtype=numpy.float32))


matrix("token_embd.weight", vocabulary, args.width)
for layer in range(args.layers):
    block = f"blk.{layer}."
    ones(block + "attn_norm.weight")
    ones(block + "ffn_norm.weight")
    matrix(block + "attn_q.weight", args.width, args.width)
    matrix(block + "attn_k.weight", args.kv_heads * head, args.width)
    matrix(block + "attn_v.weight", args.kv_heads * head, args.width)
    matrix(block + "attn_output.weight", args.width, args.width)
    matrix(block + "ffn_gate.weight", args.hidden, args.width)
    matrix(block + "ffn_up.weight", args.hidden, args.width)
    matrix(block + "ffn_down.weight", args.width, args.hidden)
ones("output_norm.weight")
matrix("output.weight", vocabulary, args.width)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
