"""Writes a tiny T5 of version 1.0 with random weights, a tokenizer of unigrams, and what transformers makes of pairs of sequences, in
double precision: hidden states, logits, the loss of a batch with gradients of some weights, and greedy answers. The generator of
tiny_t5_gated uses the same functions.

usage: python make.py      (needs torch, transformers, safetensors)
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import T5Config, T5ForConditionalGeneration

START, END = 0, 3
# Lengths on either side, one pair beyond the largest distance that has a range of its own.
PAIRS = [
    ([5, 6, 7, 3], [START, 9, 12]),
    ([3], [START]),
    ([30, 11, 39, 8, 8, 9, 17, 21, 33, 5, 12, 14, 6, 10, 4, 25, 26, 7, 13, 3], [START, 5]),
    ([17, 9, 3], [START, 22, 21, 4, 8, 35, 36, 36, 9, 10, 11, 30, 19, 6, 5, 27, 28, 9]),
]
ANSWERS = [[9, 12, 31], [END], [5, 18, 6, 6, END], [22, 3]]
# Weights whose gradients are written down.
GRADIENTS = [
    "shared",
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
    "decoder.block.0.layer.0.SelfAttention.relative_attention_bias",
    "encoder.final_layer_norm",
    "decoder.block.1.layer.1.EncDecAttention.k",
]


def write(folder, seed, tied, **settings):
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=40, d_model=24, d_kv=5, d_ff=36, num_layers=2, num_decoder_layers=3, num_heads=4,
        relative_attention_num_buckets=8, relative_attention_max_distance=12, layer_norm_epsilon=1e-5,
        dropout_rate=0.0, decoder_start_token_id=START, eos_token_id=END, pad_token_id=0, tie_word_embeddings=tied,
        initializer_factor=0.5, attn_implementation="eager", **settings,
    )
    model = T5ForConditionalGeneration(config).eval()
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(torch.empty(40, 24).normal_())
    with torch.no_grad():
        for weight in model.parameters():  # the default initialization leaves norms at 1
            weight.add_(0.2 * torch.randn_like(weight))
    named = dict(model.named_parameters())
    if tied:
        assert "lm_head.weight" not in named
    save_file({name: value.detach().contiguous() for name, value in named.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    # The fields of published files: releases before 5 of the library have no field for the scale.
    fields = {key: value for key, value in config.to_diff_dict().items() if key != "scale_decoder_outputs"}
    fields = {**fields, "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "tie_word_embeddings": tied}
    fields.pop("attn_implementation", None)
    (folder / "config.json").write_text(json.dumps(fields, indent=1))

    double = model.double()
    cases = []
    for source, ids in PAIRS:
        inputs = {"input_ids": torch.tensor([source]), "decoder_input_ids": torch.tensor([ids])}
        with torch.no_grad():
            found = double(**inputs, output_hidden_states=True)
            greedy = double.generate(inputs["input_ids"], do_sample=False, num_beams=1, max_new_tokens=14, use_cache=False)[0].tolist()
        cases.append({
            "source": source, "ids": ids, "hidden": found.decoder_hidden_states[-1][0].flatten().tolist(),
            "logits": found.logits[0].flatten().tolist(),
            "greedy": greedy[1:],
        })
    rows = []
    for (source, _), answer in zip(PAIRS, ANSWERS):
        ids = [START] + answer[:-1]
        logits = double(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([ids])).logits[0]
        rows.append(torch.nn.functional.cross_entropy(logits, torch.tensor(answer), reduction="none"))
    loss = torch.cat(rows).mean()
    names = GRADIENTS + ([] if tied else ["lm_head"])
    gradients = torch.autograd.grad(loss, [dict(double.named_parameters())[f"{name}.weight"] for name in names])
    expected = {
        "cases": cases, "sources": [source for source, _ in PAIRS], "answers": ANSWERS, "loss": loss.item(),
        "gradients": {f"{name}.weight": gradient.flatten().tolist() for name, gradient in zip(names, gradients)},
    }
    (folder / "expected.json").write_text(json.dumps(expected))
    return double


def tokenizer():
    """Pieces for the letters and some syllables; a text ends with </s>."""
    pieces = [("<pad>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), ("</s>", 0.0)]
    pieces += [(chr(ord("a") + n), -4.0 - 0.01 * n) for n in range(26)]
    pieces += [(f"\u2581{syllable}", -3.0 - 0.01 * n) for n, syllable in enumerate(["ba", "ca", "da", "fo", "go", "the", "a", "in", "on", "er"])]
    unigrams = Tokenizer(models.Unigram(pieces, unk_id=1, byte_fallback=False))
    unigrams.pre_tokenizer = pre_tokenizers.Metaspace()
    unigrams.decoder = decoders.Metaspace()
    unigrams.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", END)])
    unigrams.add_special_tokens([AddedToken(word, special=True) for word in ["<pad>", "<unk>", "</s>"]])
    return unigrams


def main(folder, seed, tied, feed_forward):
    write(folder, seed, tied, feed_forward_proj=feed_forward)
    tokenizer().save(str(folder / "tokenizer.json"), pretty=False)


if __name__ == "__main__":
    main(pathlib.Path(__file__).parent, 31, True, "relu")
