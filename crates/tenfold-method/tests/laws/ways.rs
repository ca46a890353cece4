//! How the laws use every method: one entry each.

use tenfold_method::{Options, Value};

/// The ways in which the laws use a method.
pub(crate) struct Ways {
    pub(crate) name: &'static str,
    /// Nothing is cut.
    pub(crate) full: Options,
    /// How far numbers may lie from what they were then, relative to the largest.
    pub(crate) within: f64,
    /// Something is cut.
    pub(crate) cut: Vec<Options>,
    /// Whether `share` is measured on the inputs of the layer rather than on the weights alone.
    pub(crate) inputs: bool,
}

/// Decompositions are in double precision, factors are stored in single.
const EXACT: f64 = 1e-5;

pub(crate) fn ways() -> Vec<Ways> {
    let text = |word: &str| Value::Text(word.to_owned());
    let integer = Value::Integer;
    let magnitude = |key: &str, word: &str| {
        Options::from([("rank", integer(1)), ("magnitude", Value::Flag(true)), (key, text(word))])
    };
    vec![
        Ways {
            name: "affine",
            full: Options::default(),
            within: EXACT,
            cut: vec![Options::from([("clamp", Value::Flag(true))])],
            inputs: false,
        },
        Ways {
            name: "auto",
            full: Options::from([("share", integer(1))]),
            within: EXACT,
            cut: vec![Options::default(), Options::from([("share", Value::Float(0.4))])],
            inputs: true,
        },
        Ways {
            name: "awq",
            full: Options::from([("bits", integer(8)), ("group", integer(8)), ("points", integer(2))]),
            within: 0.02,
            cut: vec![
                Options::from([("solver", text("rtn")), ("points", integer(3))]),
                Options::from([("bits", integer(3)), ("clip", Value::Flag(true)), ("points", integer(1))]),
            ],
            inputs: false,
        },
        Ways {
            name: "basis",
            full: Options::default(),
            within: EXACT,
            cut: vec![Options::from([("heads", text("off")), ("hidden", text("off"))])],
            inputs: false,
        },
        Ways { name: "bitfit", full: Options::default(), within: EXACT, cut: vec![], inputs: false },
        Ways {
            name: "cores",
            full: Options::from([("bits", integer(8)), ("group", integer(8))]),
            within: 0.03,
            cut: vec![
                Options::default(),
                Options::from([("bits", integer(3)), ("others", text("same")), ("clip", Value::Flag(true))]),
                Options::from([("solver", text("rtn")), ("group", integer(0)), ("others", text("whole"))]),
            ],
            inputs: true,
        },
        Ways {
            name: "gptq",
            full: Options::from([("bits", integer(8)), ("group", integer(8))]),
            // Feedback moves numbers by more than the half step that rounding costs.
            within: 0.03,
            cut: vec![
                Options::default(),
                Options::from([
                    ("bits", integer(2)),
                    ("group", integer(0)),
                    ("order", text("falling")),
                    ("polish", integer(1)),
                    ("refits", integer(1)),
                ]),
                Options::from([
                    ("bits", integer(3)),
                    ("order", text("stored")),
                    ("guard", Value::Flag(true)),
                    ("clip", Value::Flag(true)),
                ]),
                Options::from([
                    ("range", text("full")),
                    ("group", integer(5)),
                    ("damping", Value::Float(0.1)),
                ]),
            ],
            inputs: true,
        },
        Ways { name: "houlsby", full: Options::default(), within: EXACT, cut: vec![], inputs: false },
        Ways { name: "pfeiffer", full: Options::default(), within: EXACT, cut: vec![], inputs: false },
        Ways { name: "prefix", full: Options::default(), within: EXACT, cut: vec![], inputs: false },
        Ways { name: "calisr", full: Options::default(), within: EXACT, cut: vec![], inputs: false },
        Ways {
            name: "childtuning",
            full: Options::default(),
            within: EXACT,
            cut: vec![Options::from([("mask", text("random"))])],
            inputs: false,
        },
        Ways {
            name: "ia3",
            full: Options::default(),
            within: EXACT,
            cut: vec![Options::from([("stretch", text("inputs"))])],
            inputs: false,
        },
        Ways {
            name: "llm-int8",
            full: Options::from([("threshold", Value::Float(0.5))]),
            within: 0.005,
            cut: vec![
                Options::default(),
                Options::from([("threshold", Value::Float(0.5)), ("forced", integer(3))]),
                Options::from([("loudest", Value::Float(0.1)), ("kept", text("whole"))]),
                Options::from([("loudest", integer(1)), ("inputs", text("whole"))]),
                Options::from([("threshold", integer(0)), ("forced", integer(1)), ("kept", text("whole"))]),
            ],
            inputs: false,
        },
        Ways {
            name: "lora",
            full: Options::from([("rank", integer(1))]),
            within: EXACT,
            cut: vec![
                Options::from([
                    ("rank", integer(1)),
                    ("init", text("principal")),
                    ("alpha", Value::Float(3.0)),
                ]),
                Options::from([
                    ("rank", integer(1)),
                    ("rank-by", text("stable-rank")),
                    ("scaling", text("root-rank")),
                ]),
                magnitude("init", "principal"),
                magnitude("rank-by", "stable-rank"),
                magnitude("scaling", "root-rank"),
            ],
            inputs: false,
        },
        Ways {
            name: "mixed",
            full: Options::from([("bits", integer(32))]),
            within: EXACT,
            cut: vec![
                Options::from([("bits", integer(7)), ("group", integer(8))]),
                Options::from([
                    ("bits", integer(9)),
                    ("tried", Value::Integers(vec![2, 16])),
                    ("together", text("kinds")),
                    ("weigh", text("solver")),
                ]),
                Options::from([
                    ("bits", Value::Float(20.5)),
                    ("family", text("blocks")),
                    ("weigh", text("alike")),
                    ("solver", text("rtn")),
                ]),
            ],
            inputs: false,
        },
        Ways { name: "moe", full: Options::default(), within: EXACT, cut: vec![], inputs: false },
        Ways {
            name: "mpo",
            full: Options::default(),
            within: EXACT,
            cut: vec![
                Options::from([("bond-max", integer(3))]),
                Options::from([("cores", integer(3)), ("share", Value::Float(0.5))]),
                Options::from([
                    ("cores", integer(2)),
                    ("bond-max", integer(2)),
                    ("gauge", text("symmetric")),
                ]),
                Options::from([("share", Value::Float(0.8)), ("metric", text("inputs"))]),
                Options::from([
                    ("share", Value::Float(0.6)),
                    ("metric", text("inputs")),
                    ("basis", text("free")),
                    ("refine", integer(2)),
                ]),
                Options::from([
                    ("bond-max", integer(4)),
                    ("basis", text("free")),
                    ("refine", integer(1)),
                    ("gauge", text("symmetric")),
                ]),
            ],
            inputs: false,
        },
        Ways {
            name: "mpobert",
            full: Options::from([("rank", integer(1))]),
            within: EXACT,
            cut: vec![
                Options::from([("rank", integer(0)), ("bond-max", integer(3))]),
                Options::from([("rank", integer(1)), ("trained-layers", integer(0)), ("cores", integer(3))]),
                Options::from([
                    ("rank", integer(1)),
                    ("trained-layers", integer(0)),
                    ("new-layers", text("random")),
                    ("scale", text("core")),
                ]),
            ],
            inputs: false,
        },
        Ways { name: "mpoe", full: Options::default(), within: EXACT, cut: vec![], inputs: false },
        Ways { name: "mpop", full: Options::default(), within: EXACT, cut: vec![], inputs: false },
        Ways {
            name: "opf",
            full: Options::default(),
            within: EXACT,
            cut: vec![
                Options::from([("cores", integer(3)), ("as", text("product"))]),
                Options::from([("growth", Value::Float(2.0))]),
                Options::from([("when", text("selected"))]),
            ],
            inputs: false,
        },
        Ways {
            name: "peqa",
            full: Options::from([("bits", integer(8)), ("group", integer(8))]),
            within: 0.005,
            cut: vec![
                Options::from([("bits", integer(2)), ("group", integer(5)), ("shifts", Value::Flag(true))]),
                Options::from([
                    ("group", integer(0)),
                    ("range", text("symmetric")),
                    ("clip", Value::Flag(true)),
                ]),
            ],
            inputs: false,
        },
        Ways {
            name: "qalora",
            full: Options::from([("bits", integer(8)), ("group", integer(8)), ("rank", integer(1))]),
            within: 0.005,
            cut: vec![
                Options::from([
                    ("bits", integer(2)),
                    ("rank", integer(1)),
                    ("merge", Value::Flag(false)),
                    ("solver", text("gptq")),
                    ("polish", integer(1)),
                ]),
                Options::from([
                    ("bits", integer(3)),
                    ("group", integer(0)),
                    ("rank", integer(1)),
                    ("alpha", Value::Float(0.5)),
                    ("range", text("full")),
                ]),
            ],
            inputs: false,
        },
        Ways {
            name: "repair",
            full: Options::from([("bits", integer(8)), ("group", integer(8)), ("rank", integer(1))]),
            within: 0.005,
            cut: vec![
                Options::from([("rank", integer(1)), ("factors", text("half")), ("solver", text("rtn"))]),
                Options::from([
                    ("bits", integer(2)),
                    ("rank", integer(1)),
                    ("rounds", integer(3)),
                    ("metric", text("weights")),
                    ("solver", text("rtn")),
                ]),
            ],
            inputs: false,
        },
        Ways {
            name: "rtn",
            full: Options::from([("bits", integer(8)), ("group", integer(8))]),
            within: 0.005,
            cut: vec![
                Options::default(),
                Options::from([
                    ("bits", integer(3)),
                    ("range", text("symmetric")),
                    ("clip", Value::Flag(true)),
                ]),
                Options::from([
                    ("bits", integer(2)),
                    ("group", integer(0)),
                    ("clip", Value::Flag(true)),
                    ("metric", text("inputs")),
                ]),
            ],
            inputs: false,
        },
        Ways { name: "share", full: Options::default(), within: EXACT, cut: vec![], inputs: false },
        Ways {
            name: "signround",
            full: Options::from([("bits", integer(8)), ("group", integer(8)), ("iterations", integer(5))]),
            within: 0.03,
            cut: vec![
                Options::from([("bits", integer(2)), ("iterations", integer(20))]),
                Options::from([
                    ("bits", integer(3)),
                    ("group", integer(5)),
                    ("iterations", integer(10)),
                    ("from", text("gptq")),
                    ("range", text("symmetric")),
                    ("order", text("falling")),
                ]),
                Options::from([
                    ("bits", integer(4)),
                    ("group", integer(0)),
                    ("iterations", integer(10)),
                    ("ends", Value::Flag(false)),
                    ("range", text("full")),
                ]),
            ],
            inputs: true,
        },
        Ways {
            name: "svd",
            full: Options::default(),
            within: EXACT,
            cut: vec![
                Options::from([("rank", integer(2))]),
                Options::from([("share", Value::Float(0.5)), ("metric", text("inputs"))]),
            ],
            inputs: false,
        },
        Ways {
            name: "trellis",
            full: Options::from([("bits", integer(4)), ("window", integer(5))]),
            within: 0.6,
            cut: vec![
                Options::from([("bits", integer(2)), ("window", integer(6)), ("refit", Value::Flag(false))]),
                Options::from([("bits", integer(1)), ("window", integer(5)), ("seed", integer(9))]),
            ],
            inputs: false,
        },
    ]
}
