//! One matrix at a time: its coordinates, its factor lists, its errors.

use std::sync::Arc;
use tenfold_format::config::ModelConfig;
use tenfold_linalg::basis::{Turn, carried_basis, eigenbasis, falling, matched_basis, row_energies};
use tenfold_linalg::{
    Bonds, Gauge, Matrix, Metric, Mpo, MpoShape, RefineOptions, decompose, output_error, refine,
};
use tenfold_method::{Evidence, Options, Value, registry};
use tenfold_model::Model;
use tenfold_weight::{Form, Path, Tree, dense_values};

/// The model with what was seen of it.
pub(crate) struct Seen<'m> {
    pub(crate) layers: usize,
    heads: usize,
    tree: &'m Tree,
    evidence: Evidence,
    /// The residual stream's eigenbasis.
    rotation: Matrix,
    /// The tree that the methods make, the tree that it is measured against, and the evidence there.
    rewritten: Option<(Tree, Tree, Evidence)>,
}

/// Coordinates to try: rows and columns turned, with the moment of the inputs in them.
pub(crate) struct Orders {
    pub(crate) name: &'static str,
    rows: Turn,
    cols: Turn,
}

/// An operator in its coordinates, with what it was made from there.
pub(crate) struct Free {
    pub(crate) error: f64,
    pub(crate) order: &'static str,
    pub(crate) shape: MpoShape,
    kept: Mpo,
    target: Matrix,
    moment: Matrix,
}

impl<'m> Seen<'m> {
    pub(crate) fn new(model: &'m Model, evidence: Evidence) -> Self {
        let tree = &model.tree;
        let evidence = evidence.with_wiring(Arc::clone(tree.wiring()));
        let readers: Vec<Path> = tree.wiring().spaces[0].readers.clone();
        let moment = evidence.joint_moment(readers.iter()).unwrap();
        let rotation = eigenbasis(&moment).unwrap().rotation;
        let ModelConfig::Bert(config) = model.network.config() else {
            panic!("the figures are those of a BERT model")
        };
        let (layers, heads) = (config.layers, config.heads);
        let mut seen = Self { layers, heads, tree, evidence, rotation, rewritten: None };
        seen.rewritten = Some(seen.by_methods(super::REFINED));
        seen
    }

    pub(crate) fn matrix(&self, path: &Path) -> Matrix {
        dense(self.tree, path)
    }

    pub(crate) fn weight(&self, layer: usize, inside: &str) -> Matrix {
        self.matrix(&path(layer, inside))
    }

    pub(crate) fn moment(&self, layer: usize, inside: &str) -> Matrix {
        Matrix::clone(self.evidence.moment(&path(layer, inside)).unwrap())
    }

    /// The coordinates that are free for a matrix.
    pub(crate) fn orders(&self, layer: usize, inside: &str) -> Vec<Orders> {
        let w = self.weight(layer, inside);
        let none = Turn::none(w.rows());
        let turned = || Turn::none(w.cols()).rotated(vec![self.rotation.clone()]).unwrap();
        let by_norm = |m: &Matrix| falling(&row_energies(m));
        match inside {
            "attention.self.query" | "attention.self.value" => {
                let heads = self.head_turn(layer, inside);
                vec![
                    Orders { name: "heads outside", rows: heads.clone(), cols: turned() },
                    Orders {
                        name: "heads inside",
                        rows: heads.ordered(self.inside_out(w.rows())).unwrap(),
                        cols: turned(),
                    },
                ]
            }
            "intermediate.dense" => {
                vec![Orders {
                    name: "units by norm",
                    rows: none.ordered(by_norm(&w)).unwrap(),
                    cols: turned(),
                }]
            }
            _ => {
                let (wide, c) = (self.weight(layer, "intermediate.dense"), self.moment(layer, inside));
                let energy: Vec<f64> = (0..c.rows()).map(|k| c.get(k, k)).collect();
                let rows = none.ordered(by_norm(&w)).unwrap();
                let cols = |order| Turn::none(w.cols()).ordered(order).unwrap();
                vec![
                    Orders { name: "units by norm", rows: rows.clone(), cols: cols(by_norm(&wide)) },
                    Orders { name: "units by energy", rows, cols: cols(falling(&energy)) },
                ]
            }
        }
    }

    /// Rotations inside the heads of query and key, or of value and output.
    fn head_turn(&self, layer: usize, inside: &str) -> Turn {
        let (w, c) = (self.weight(layer, inside), self.moment(layer, inside));
        let written = |m: &Matrix| m.matmul(&c).matmul(&m.transpose());
        let width = w.rows() / self.heads;
        let block =
            |m: &Matrix, h: usize| Matrix::from_fn(width, width, |i, j| m.get(h * width + i, h * width + j));
        let own = written(&w);
        let other = if inside.ends_with("query") {
            written(&self.weight(layer, "attention.self.key"))
        } else {
            let output = self.weight(layer, "attention.output.dense");
            output.transpose().matmul(&output)
        };
        let rotation = |h: usize| match inside.ends_with("query") {
            true => matched_basis(&block(&own, h), &block(&other, h)).unwrap().rotation,
            false => carried_basis(&block(&own, h), &block(&other, h)).unwrap().rotation,
        };
        Turn::none(w.rows()).rotated((0..self.heads).map(rotation).collect()).unwrap()
    }

    /// The index inside a head before the index of the head.
    fn inside_out(&self, rows: usize) -> Vec<usize> {
        let width = rows / self.heads;
        (0..width).flat_map(|k| (0..self.heads).map(move |h| h * width + k)).collect()
    }

    /// The tree that the methods make, the tree that it is measured against, and the evidence there.
    fn by_methods(&self, share: f64) -> (Tree, Tree, Evidence) {
        let apply =
            |name: &str, options: Options, tree: &Tree, evidence: &Evidence, only: fn(&str) -> bool| {
                let method = (registry::find(name).unwrap().build)(&options).unwrap();
                let chosen: Vec<(Path, &Form)> = tree
                    .iter()
                    .filter(|(path, _)| only(path.as_str()))
                    .map(|(path, form)| (path.clone(), form))
                    .collect();
                let settled = method.settle(&chosen, evidence).unwrap().unwrap();
                let jobs: Vec<_> = chosen.into_iter().zip(settled).collect();
                let forms = tenfold_linalg::parallel::map(
                    &jobs,
                    |_| 1,
                    |((path, form), one)| (path.clone(), one.rewrite(path, form, evidence).unwrap()),
                );
                let mut fresh = tree.clone();
                for (path, form) in forms {
                    fresh.insert(path, form);
                }
                fresh
            };
        let turned = apply("basis", Options::default(), self.tree, &self.evidence, |_| true);
        let evidence = self.turned_evidence();
        let word = |text: &str| Value::Text(text.to_owned());
        let options = Options::from([
            ("share", Value::Float(share)),
            ("metric", word("inputs")),
            ("basis", word("free")),
            ("refine", Value::Integer(4)),
        ]);
        let only =
            |path: &str| path.starts_with("encoder.") && path.ends_with("weight") && !path.contains("Norm");
        let made = apply("mpo", options, &turned, &evidence, only);
        (made, turned, evidence)
    }

    /// The evidence in the coordinates that method `basis` chooses, worked out from the old: readers of moved spaces see
    /// turned inputs, all others the same.
    fn turned_evidence(&self) -> Evidence {
        let mut evidence = self.evidence.clone();
        for layer in 0..self.layers {
            let units = Turn::none(self.weight(layer, "intermediate.dense").rows())
                .ordered(falling(&row_energies(&self.weight(layer, "intermediate.dense"))))
                .unwrap();
            let heads = self.head_turn(layer, "attention.self.value");
            for (inside, turn) in [("output.dense", units), ("attention.output.dense", heads)] {
                let moved = turn.moment(&self.moment(layer, inside));
                evidence = evidence.with_inputs(path(layer, inside), moved);
            }
        }
        evidence
    }
}

fn path(layer: usize, inside: &str) -> Path {
    Path::new(format!("encoder.layer.{layer}.{inside}.weight"))
}

fn dense(tree: &Tree, path: &Path) -> Matrix {
    let values = dense_values(tree, path).unwrap();
    Matrix::from_f32(values.data(), values.height(), values.width()).unwrap()
}

/// Balanced factor lists: automatic ones of two, three and five cores, and some of two and three by hand.
fn balanced(rows: usize, cols: usize) -> Vec<MpoShape> {
    let pair = |a: usize, b: usize| {
        let fits = rows.is_multiple_of(a) && cols.is_multiple_of(b);
        fits.then(|| MpoShape::new(vec![a, rows / a], vec![b, cols / b]).unwrap())
    };
    let by_hand = [(24, 16), (16, 24), (4, 96), (48, 16), (12, 32), (8, 48)].map(|(a, b)| pair(a, b));
    let automatic = [2, 3, 5].map(|cores| Some(MpoShape::automatic(rows, cols, cores)));
    by_hand.into_iter().chain(automatic).flatten().collect()
}

/// Lists of two cores that give rows and columns to opposite cores: between an even cut and low rank, which is the list
/// of one times all rows and all columns times one.
fn steep(rows: usize, cols: usize) -> Vec<MpoShape> {
    let mut all = Vec::new();
    for (a, b) in [2, 4, 8, 24].into_iter().flat_map(|a| [2, 16, 24, 96, 192].map(|b| (a, b))) {
        if rows.is_multiple_of(a) && cols.is_multiple_of(b) {
            all.push(MpoShape::new(vec![a, rows / a], vec![b, cols / b]).unwrap());
        }
    }
    all
}

/// The operator as published, best of the balanced lists, errors in a metric.
pub(crate) fn published(w: &Matrix, metric: &Metric<'_>, share: f64) -> Published {
    let errors = balanced(w.rows(), w.cols()).into_iter().filter_map(|shape| {
        let cap = shape.cap_for((share * (w.rows() * w.cols()) as f64) as usize)?;
        let kept = decompose(w, &shape, &Bonds::Cap(cap), Gauge::Sequential).unwrap();
        Some(output_error(w, &kept.rebuild(), metric))
    });
    Published { error: errors.fold(f64::INFINITY, f64::min) }
}

/// The error of the best list.
pub(crate) struct Published {
    pub(crate) error: f64,
}

/// Frobenius error of the operator with automatic factors.
pub(crate) fn automatic(w: &Matrix, cores: usize, share: f64) -> f64 {
    let shape = MpoShape::automatic(w.rows(), w.cols(), cores);
    let cap = shape.cap_for((share * (w.rows() * w.cols()) as f64) as usize).unwrap();
    let kept = decompose(w, &shape, &Bonds::Cap(cap), Gauge::Sequential).unwrap();
    output_error(w, &kept.rebuild(), &Metric::Weights)
}

/// The best operator over coordinates and factor lists, each decomposed with its columns scaled by the inputs' spread. Scales
/// are not counted: they are 1 to 4 numbers per thousand.
pub(crate) fn best(w: &Matrix, orders: &[Orders], share: f64, steep_too: bool, c: &Matrix) -> Free {
    let budget = (share * (w.rows() * w.cols()) as f64) as usize;
    let shapes = if steep_too { steep(w.rows(), w.cols()) } else { balanced(w.rows(), w.cols()) };
    let mut found: Option<Free> = None;
    for one in orders {
        let turned = one.cols.columns(&one.rows.rows(w));
        let moment = one.cols.moment(c);
        let spread: Vec<f64> = (0..w.cols()).map(|k| moment.get(k, k).max(1e-12).sqrt()).collect();
        let target = Matrix::from_fn(w.rows(), w.cols(), |i, j| turned.get(i, j) * spread[j]);
        let moment = Matrix::from_fn(w.cols(), w.cols(), |i, j| moment.get(i, j) / (spread[i] * spread[j]));
        for shape in &shapes {
            let Some(cap) = shape.cap_for(budget) else { continue };
            let kept = decompose(&target, shape, &Bonds::Cap(cap), Gauge::Sequential).unwrap();
            let error = output_error(&target, &kept.rebuild(), &Metric::Inputs(&moment));
            if found.as_ref().is_none_or(|best| error < best.error) {
                let (target, moment) = (target.clone(), moment.clone());
                found = Some(Free { error, order: one.name, shape: shape.clone(), kept, target, moment });
            }
        }
    }
    found.unwrap()
}

/// The error after four passes of least squares.
pub(crate) fn refined(free: &Free) -> f64 {
    let metric = Metric::Inputs(&free.moment);
    let refined = refine(&free.target, &free.kept, &metric, None, &RefineOptions::default()).unwrap();
    *refined.errors.last().unwrap()
}

/// The error of what the methods store.
pub(crate) fn stored(seen: &Seen<'_>, layer: usize, inside: &str) -> f64 {
    let (made, turned, evidence) = seen.rewritten.as_ref().unwrap();
    let path = path(layer, inside);
    let metric = evidence.metric(&path).unwrap();
    output_error(&dense(turned, &path), &dense(made, &path), &metric)
}

/// Standard normal numbers.
pub(crate) fn noise(rows: usize, cols: usize) -> Matrix {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut unit = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    Matrix::from_fn(rows, cols, |_, _| {
        (-2.0 * (1.0 - unit()).ln()).sqrt() * (std::f64::consts::TAU * unit()).cos()
    })
}
