//! How the laws use every method: one entry each.

use tenfold_method::{Options, Value};

/// The ways in which the laws use a method.
pub(crate) struct Ways {
    pub(crate) name: &'static str,
    /// Nothing is cut.
    pub(crate) full: Options,
    /// Something is cut.
    pub(crate) cut: Vec<Options>,
    /// Whether `share` is measured on the inputs of the layer rather than on the weights alone.
    pub(crate) inputs: bool,
}

pub(crate) fn ways() -> Vec<Ways> {
    let text = |word: &str| Value::Text(word.to_owned());
    let integer = Value::Integer;
    let magnitude = |key: &str, word: &str| {
        Options::from([("rank", integer(1)), ("magnitude", Value::Flag(true)), (key, text(word))])
    };
    vec![
        Ways {
            name: "auto",
            full: Options::from([("share", integer(1))]),
            cut: vec![Options::default(), Options::from([("share", Value::Float(0.4))])],
            inputs: true,
        },
        Ways {
            name: "basis",
            full: Options::default(),
            cut: vec![Options::from([("heads", text("off")), ("hidden", text("off"))])],
            inputs: false,
        },
        Ways { name: "bitfit", full: Options::default(), cut: vec![], inputs: false },
        Ways { name: "houlsby", full: Options::default(), cut: vec![], inputs: false },
        Ways { name: "pfeiffer", full: Options::default(), cut: vec![], inputs: false },
        Ways { name: "prefix", full: Options::default(), cut: vec![], inputs: false },
        Ways { name: "calisr", full: Options::default(), cut: vec![], inputs: false },
        Ways {
            name: "childtuning",
            full: Options::default(),
            cut: vec![Options::from([("mask", text("random"))])],
            inputs: false,
        },
        Ways {
            name: "ia3",
            full: Options::default(),
            cut: vec![Options::from([("stretch", text("inputs"))])],
            inputs: false,
        },
        Ways {
            name: "lora",
            full: Options::from([("rank", integer(1))]),
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
            name: "mpo",
            full: Options::default(),
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
        Ways { name: "mpop", full: Options::default(), cut: vec![], inputs: false },
        Ways {
            name: "opf",
            full: Options::default(),
            cut: vec![
                Options::from([("cores", integer(3)), ("as", text("product"))]),
                Options::from([("growth", Value::Float(2.0))]),
                Options::from([("when", text("selected"))]),
            ],
            inputs: false,
        },
        Ways {
            name: "svd",
            full: Options::default(),
            cut: vec![
                Options::from([("rank", integer(2))]),
                Options::from([("share", Value::Float(0.5)), ("metric", text("inputs"))]),
            ],
            inputs: false,
        },
    ]
}
