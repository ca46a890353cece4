//! The words of the page, for a reader who meets them for the first time.

use super::folded;
use crate::report::markup::Markup;

/// Words and what they mean.
const WORDS: &[(&str, &str)] = &[
    ("cosine", "how far two sentence vectors point the same way: 1 is the same direction, 0 is unrelated"),
    (
        "neighbors kept",
        "of the ten texts closest to a text under the original, the share that is still among its ten",
    ),
    ("form", "how a matrix is stored: whole (dense), or as a product of smaller arrays"),
    ("low rank", "a matrix stored as the product of a tall and a wide one"),
    (
        "MPO",
        "matrix product operator: a matrix stored as a chain of small arrays, its cores, joined by bonds",
    ),
    ("truncated", "right after the rewrite, before any training"),
    (
        "healed",
        "after a short training in which the smaller model learns to give the original\u{2019}s answers",
    ),
    ("output error", "how much a matrix\u{2019}s output changed on real inputs, relative to its size"),
    (
        "stable rank",
        "sum of squared singular values over the largest square: few directions matter where it is small",
    ),
    (
        "STS-B",
        "sentence pairs with people\u{2019}s judgments of similarity; 100 is perfect agreement in order",
    ),
];

/// The list, folded.
pub(crate) fn draw() -> Markup {
    let mut list = Markup::new();
    list.inside("dl", &[("class", "facts")], |page| {
        for (word, meaning) in WORDS {
            page.element("dt", &[], word).element("dd", &[], meaning);
        }
    });
    folded("cosine, form, MPO, healed, stable rank and others explained", &list)
}
