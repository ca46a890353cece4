//! The words of tiny models, their tokenizer files, and sentences made of them.

use crate::random::Splitmix;
use serde_json::{Map, Value, json};

/// The special tokens, first in every vocabulary.
pub const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Single signs that stand alone.
const SIGNS: &str = ".,!?'-:;()";

/// The least vocabulary: special tokens, signs, and letters and digits at the start of a word and inside one.
pub const LEAST: usize = 5 + 10 + 2 * 36;

/// Common words, most useful first.
const WORDS: &str = "the a of to and in is it on for with as was at by be this that are from or an not but all \
    they we he she his her you i one two three first last new old good bad small large long short high low warm cold \
    red blue green white black man woman child dog cat bird fish horse tree flower river sea hill road house door \
    window table chair book letter word song day night morning evening year time water bread milk tea fire stone wood \
    iron gold light rain snow wind sun moon star walks runs sits sleeps eats drinks sees hears finds gives takes makes \
    opens closes holds reads writes sings plays works waits asks answers near under over behind between before after \
    again always never often very quite almost here there today tomorrow quickly slowly quietly";

/// A vocabulary of `len` tokens; beyond the common words it goes on with made ones.
pub fn tokens(len: usize) -> Vec<String> {
    let mut tokens: Vec<String> = SPECIAL.iter().map(|token| (*token).to_owned()).collect();
    tokens.extend(SIGNS.chars().map(String::from));
    let inside = ('a'..='z').chain('0'..='9');
    tokens.extend(inside.clone().map(String::from));
    tokens.extend(inside.map(|sign| format!("##{sign}")));
    // Single letters are there already.
    tokens.extend(WORDS.split_whitespace().filter(|word| word.len() > 1).map(str::to_owned));
    let made = |mut number: usize| {
        // Two syllables and more, each a consonant and a vowel, none of them an English word above.
        let mut word = String::from("qu");
        while number > 0 {
            let (consonant, vowel) = (number % 15, number / 15 % 5);
            word.extend(
                ["bdfgklmnprstvxz".chars().nth(consonant), "aeiou".chars().nth(vowel)].into_iter().flatten(),
            );
            number /= 75;
        }
        word
    };
    let missing = len.saturating_sub(tokens.len());
    tokens.extend((1..=missing).map(made));
    tokens.truncate(len);
    tokens
}

/// Sentences of common words, three to twelve each; the same for the same name.
pub fn sentences(name: &str, count: usize) -> Vec<String> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut random = Splitmix::named(name);
    let mut sentence = || {
        let len = 3 + random.below(10);
        let text: Vec<&str> = (0..len).map(|_| words[random.below(words.len())]).collect();
        format!("{}.", text.join(" "))
    };
    (0..count).map(|_| sentence()).collect()
}

/// `tokenizer_config.json`.
pub(super) fn settings(positions: usize) -> Value {
    json!({
        "do_lower_case": true, "do_basic_tokenize": true, "tokenize_chinese_chars": true, "strip_accents": null,
        "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
        "tokenizer_class": "BertTokenizer", "model_max_length": positions,
    })
}

/// `special_tokens_map.json`.
pub(super) fn special_map() -> Value {
    json!({
        "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
    })
}

/// `tokenizer.json`, with the truncation and padding that releases carry and readers must ignore.
pub(super) fn tokenizer(tokens: &[String], max_tokens: usize) -> Value {
    let added = |(id, token): (usize, &&str)| {
        json!({ "id": id, "special": true, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false })
    };
    let added: Vec<Value> = SPECIAL.iter().enumerate().map(added).collect();
    let vocabulary: Map<String, Value> =
        tokens.iter().zip(0..).map(|(token, id)| (token.clone(), json!(id))).collect();
    let special = |token: &str, kind: usize| json!({ "SpecialToken": { "id": token, "type_id": kind } });
    let text = |which: &str, kind: usize| json!({ "Sequence": { "id": which, "type_id": kind } });
    let known = |token: &str, id: usize| json!({ "id": token, "ids": [id], "tokens": [token] });
    json!({
        "version": "1.0",
        "truncation": { "max_length": max_tokens, "strategy": "LongestFirst", "stride": 0 },
        "padding": { "strategy": { "Fixed": max_tokens }, "direction": "Right", "pad_to_multiple_of": null,
                     "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]" },
        "added_tokens": added,
        "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                        "strip_accents": null, "lowercase": true },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("[CLS]", 0), text("A", 0), special("[SEP]", 0)],
            "pair": [special("[CLS]", 0), text("A", 0), special("[SEP]", 0), text("B", 1), special("[SEP]", 1)],
            "special_tokens": { "[CLS]": known("[CLS]", 2), "[SEP]": known("[SEP]", 3) },
        },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                   "max_input_chars_per_word": 100, "vocab": vocabulary },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn vocabularies_grow_without_repeating() {
        assert_eq!(tokens(LEAST).last().map(String::as_str), Some("##9"));
        for len in [LEAST, 160, 1000, 9000] {
            let tokens = tokens(len);
            let different: BTreeSet<&String> = tokens.iter().collect();
            assert_eq!((tokens.len(), different.len()), (len, len));
        }
    }
}
