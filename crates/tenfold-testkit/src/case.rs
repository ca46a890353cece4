//! Every form in a small tree, beside the matrix it must equal: the subjects of the [laws](crate::law).
//!
//! The matrix is worked out from the stored arrays by the form's definition, in double precision and entry by entry,
//! with nothing taken from the crates under test but the arrays themselves.

mod coded;
mod columns;

use crate::random;
pub use coded::rounded;
use coded::{blocks, by_columns, grouped, halves, quant, quantized_cores, rotated, trellis};
use tenfold_linalg::MpoShape;
use tenfold_tensor::{Array, Blocks};
use tenfold_weight::{Address, Form, Path, Tree, form};

/// The weight that the laws look at.
pub const PATH: &str = "head.weight";
/// Another weight of the tree: what `head` shares, or a bystander.
pub const OTHER: &str = "other.weight";

/// A weight in some form, with a bias, in a tree.
#[derive(Clone, Debug)]
pub struct Case {
    /// The form in words.
    pub name: &'static str,
    /// Holds `head.weight`, `head.bias` and whatever `head` shares.
    pub tree: Tree,
    /// Rows O of `head.weight`.
    pub rows: usize,
    /// Columns I of `head.weight`.
    pub cols: usize,
    /// What `head.weight` equals, row-major.
    pub matrix: Vec<f64>,
    /// Where the form gives norms to the rows of the form inside, the norms that those have: the backward pass takes them for
    /// constant.
    pub held: Option<Vec<f64>>,
    /// Dimensions of the inputs that are rounded together before they are multiplied: each row of them to whole multiples of its
    /// largest magnitude over 127. Gradients pass through as if there were no rounding.
    pub rounded: Vec<usize>,
}

/// A form and the matrix it equals.
struct Part {
    form: Form,
    matrix: Vec<f64>,
    rows: usize,
    cols: usize,
    held: Option<Vec<f64>>,
    rounded: Vec<usize>,
}

/// One case for every form and for every nesting that has a path of its own through the code.
pub fn forms() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |name, part: Part, others: Vec<(&str, Form)>| cases.push(Case::new(name, part, others));

    case("dense", dense("d", 6, 4), vec![]);
    case("mpo of one core", mpo("m1", &[6], &[4], (6, 4), usize::MAX), vec![]);
    case("mpo of two cores", mpo("m2", &[3, 4], &[4, 2], (12, 8), usize::MAX), vec![]);
    case("mpo of three cores, truncated", mpo("m3", &[2, 3, 2], &[2, 2, 3], (12, 12), 3), vec![]);
    case("mpo of five cores", mpo("m5", &[2, 2, 2, 1, 2], &[1, 2, 2, 2, 2], (16, 16), 5), vec![]);
    case("mpo with bonds of one", mpo("mb", &[3, 4, 2], &[4, 2, 3], (24, 24), 1), vec![]);
    case("mpo with padded rows", mpo("mr", &[3, 4], &[2, 5], (11, 10), 4), vec![]);
    case("mpo with padded rows and columns", mpo("mp", &[3, 2, 2], &[2, 5, 1], (11, 9), 4), vec![]);
    case("low rank", lowrank("l", 10, 8, 2), vec![]);
    case("low rank, dearer than dense", lowrank("ld", 10, 8, 6), vec![]);
    case("low rank of a tall table", lowrank("lt", 40, 6, 3), vec![]);
    case("sum of dense and low rank", sum(dense("sd", 10, 8), lowrank("sl", 10, 8, 2)), vec![]);
    let chain = mpo("ms", &[3, 4], &[4, 2], (12, 8), 5);
    case("sum of mpo and low rank", sum(chain, lowrank("sm", 12, 8, 1)), vec![]);
    let inner = sum(lowrank("s2", 10, 8, 2), lowrank("s3", 10, 8, 1));
    case("sum of three", sum(dense("s1", 10, 8), inner), vec![]);
    let padded = mpo("mq", &[3, 4], &[2, 5], (11, 9), 4);
    case("sum with a padded mpo", sum(padded, lowrank("sp", 11, 9, 1)), vec![]);

    let owner = dense("o", 6, 4);
    case("shared", owner.shared(OTHER), vec![(OTHER, owner.form)]);
    let owner = mpo("om", &[3, 4], &[4, 2], (12, 8), 4);
    let via = owner.shared("via.weight").form;
    case("shared by way of another", owner.shared(OTHER), vec![(OTHER, via), ("via.weight", owner.form)]);
    let left = dense("ol", 6, 4);
    let right = left.shared("head.weight#left");
    case("sum of a weight with itself", sum(left, right), vec![]);
    let owner = lowrank("or", 10, 8, 2);
    let right = owner.shared(OTHER);
    case("sum with a shared side", sum(dense("os", 10, 8), right), vec![(OTHER, owner.form)]);

    let (part, owner) = central_core_shared();
    case("mpo with the central core of another", part, vec![(OTHER, owner)]);
    case("mpo with a summed core", summed_core(), vec![]);
    let down = dense("dn", 2, 8);
    let up = dense("up", 10, 2);
    case(
        "low rank with the down factor of another",
        product(down.shared(OTHER), up),
        vec![(OTHER, down.form)],
    );
    let up = mpo("pu", &[3, 4], &[2, 1], (12, 2), 4);
    case("low rank with an mpo", product(dense("pd", 2, 30), up), vec![]);

    case("scaled", scaled("z", dense("zd", 6, 4)), vec![]);
    case("scaled mpo with padding", scaled("zp", mpo("zm", &[3, 4], &[2, 5], (11, 9), 4)), vec![]);
    case("scaled, low rank", scaled("zl", lowrank("zr", 10, 8, 2)), vec![]);
    case("sum with a scaled side", sum(dense("zs", 10, 8), scaled("zt", lowrank("zu", 10, 8, 2))), vec![]);
    case("row-scaled", row_scaled("rd", dense("re", 6, 4)), vec![]);
    case("row-scaled mpo with padding", row_scaled("rp", mpo("rm", &[3, 4], &[2, 5], (11, 9), 4)), vec![]);
    case("row-scaled, low rank", row_scaled("rl", lowrank("rr", 10, 8, 2)), vec![]);
    case("scaled on both sides", row_scaled("rb", scaled("rc", dense("rf", 6, 4))), vec![]);
    case(
        "sum with a row-scaled side",
        sum(dense("rs", 10, 8), row_scaled("rt", lowrank("ru", 10, 8, 2))),
        vec![],
    );
    case("row-normed", row_normed("nd", dense("ne", 6, 4)), vec![]);
    case("row-normed sum", row_normed("ns", sum(dense("nt", 10, 8), lowrank("nu", 10, 8, 2))), vec![]);
    case("row-normed mpo with padding", row_normed("np", mpo("nm", &[3, 4], &[2, 5], (11, 9), 4)), vec![]);
    let owner = dense("no", 6, 4);
    case("row-normed, of another", row_normed("nw", owner.shared(OTHER)), vec![(OTHER, owner.form)]);

    case("quant", quant("q", 10, 9, "int4-g4"), vec![]);
    case("quant, symmetric, one group a row", quant("qs", 6, 40, "int3-row-sym"), vec![]);
    case("quant of blocks", blocks("qk", 5, 64, Blocks::Q8_0), vec![]);
    case("sum of quant and low rank", sum(quant("qb", 10, 8, "int2-g8"), lowrank("ql", 10, 8, 2)), vec![]);
    case("mpo of quantized cores", quantized_cores(), vec![]);
    case("quant in half precision", halves("qh", 6, 5), vec![]);
    case("quant by columns", by_columns("qc", 10, 9, "int4-g4"), vec![]);
    case("quant of a trellis", trellis("qt", 20, 12), vec![]);
    case("rotated", rotated("hd", dense("he", 6, 8)), vec![]);
    case("rotated, with a dense factor", rotated("hf", dense("hg", 5, 12)), vec![]);
    case("rotated, of no Hadamard order", rotated("hh", lowrank("hi", 10, 18, 2)), vec![]);
    case(
        "rotated, row-scaled, quant of a trellis by columns",
        rotated("hj", row_scaled("hk", by_columns("hl", 7, 16, "trellis2-w4"))),
        vec![],
    );
    let owner = dense("ho", 6, 8);
    case("rotated, of another", rotated("hp", owner.shared(OTHER)), vec![(OTHER, owner.form)]);
    let owner = quant("qo", 6, 4, "int8-g4");
    case("shared quant", owner.shared(OTHER), vec![(OTHER, owner.form)]);

    case("grouped", grouped("gd", (10, 9), "int4-g4-whole", dense("ge", 10, 3), None), vec![]);
    let tables = (dense("gf", 6, 2), dense("gg", 6, 2));
    case(
        "grouped with shifts",
        grouped("gh", (6, 10), "int3-g5-sym-whole", tables.0, Some(tables.1)),
        vec![],
    );
    let low = lowrank("gi", 12, 4, 1);
    case(
        "grouped, shifts of low rank, scales in half precision",
        grouped("gj", (12, 64), "int2-g16-whole", halves("gk", 12, 4), Some(low)),
        vec![],
    );
    let shift = sum(dense("gl", 10, 4), lowrank("gm", 10, 4, 2));
    case(
        "grouped, summed shifts",
        grouped("gn", (10, 14), "int4-g4-whole", dense("go", 10, 4), Some(shift)),
        vec![],
    );
    let owner = dense("gp", 6, 1);
    case(
        "grouped, scales of another",
        grouped("gq", (6, 5), "int8-row-whole", owner.shared(OTHER), None),
        vec![(OTHER, owner.form)],
    );
    let inner = grouped("gr", (6, 8), "int4-g4-whole", dense("gs", 6, 2), Some(dense("gt", 6, 2)));
    case("scaled, grouped", scaled("gu", inner), vec![]);
    columns::cases(&mut case);

    let owner = dense("zo", 8, 8);
    let up = scaled("zx", mpo("zy", &[3, 4], &[4, 2], (11, 8), 5));
    case(
        "scaled mpo behind a rotation of another",
        product(owner.shared(OTHER), up),
        vec![(OTHER, owner.form)],
    );
    cases
}

impl Case {
    fn new(name: &'static str, part: Part, others: Vec<(&str, Form)>) -> Self {
        let Part { form, rows, cols, matrix, held, rounded } = part;
        let bias = Form::dense(random::array("bias", &[rows]));
        let weights = [(PATH, form), ("head.bias", bias)].into_iter().chain(others);
        let tree = weights.map(|(path, form)| (Path::new(path), form)).collect();
        Self { name, tree, rows, cols, matrix, held, rounded }
    }

    /// `head.weight` as a path.
    pub fn path(&self) -> Path {
        Path::new(PATH)
    }

    /// The tree whose differences are the gradients of `moved`, a tree of this case with other values: what the backward pass
    /// takes for constant stands as it does in the case.
    pub fn holding(&self, moved: &Tree) -> Tree {
        if !self.rounded.is_empty() {
            return self.unrounded(moved);
        }
        let Some(held) = &self.held else { return moved.clone() };
        let part = |name| moved.get(&self.path()).ok().and_then(|form| form.part(name)).cloned();
        let (Some(inner), Some(norms)) = (part("inner"), part("norms")) else {
            panic!("{}: no form that gives norms", self.name)
        };
        let fixed = held.iter().map(|norm| (1.0 / norm) as f32).collect();
        let fixed = Form::dense(Array::from_vec(fixed, &[self.rows]));
        let mut tree = moved.clone();
        tree.insert(self.path(), made(Form::row_scaled(made(Form::row_scaled(inner, fixed)), norms)));
        tree
    }

    /// The tree without rounding of inputs: of a matrix of codes, alone or beside columns.
    fn unrounded(&self, moved: &Tree) -> Tree {
        let form = moved.get(&self.path()).unwrap_or_else(|fault| panic!("{}: {fault}", self.name));
        let plain = |form: &Form| form.as_codes().map(|codes| Form::quant(codes.clone()));
        let parted = || Some((form.part("value")?.clone(), plain(form.part("rest")?)?));
        let form = plain(form).or_else(|| {
            let kept: Vec<usize> = (0..self.cols).filter(|at| !self.rounded.contains(at)).collect();
            let (value, rest) = parted()?;
            Some(Form::Columns(made(form::Columns::new(&kept, value, rest))))
        });
        let Some(form) = form else { panic!("{}: no form that rounds inputs", self.name) };
        let mut tree = moved.clone();
        tree.insert(self.path(), form);
        tree
    }

    /// A row of inputs as the weight sees them.
    pub fn seen(&self, x: &[f64]) -> Vec<f64> {
        let top = self.rounded.iter().map(|at| x[*at].abs()).fold(0.0, f64::max);
        let mut seen = x.to_vec();
        if top > 0.0 {
            let step = top / 127.0;
            self.rounded.iter().for_each(|at| seen[*at] = step * (x[*at] / step).round_ties_even());
        }
        seen
    }

    /// The bias.
    pub fn bias(&self) -> Vec<f64> {
        crate::tolerance::widen(random::array("bias", &[self.rows]).data())
    }
}

impl Part {
    fn new(matrix: Vec<f64>, form: Form, (rows, cols): (usize, usize)) -> Self {
        Self { form, matrix, rows, cols, held: None, rounded: Vec::new() }
    }

    /// The same matrix, stored at an address.
    fn shared(&self, owner: &str) -> Self {
        let form = Form::shared(Address::parse(owner), vec![self.rows, self.cols]);
        Self { rounded: self.rounded.clone(), ..Self::new(self.matrix.clone(), form, (self.rows, self.cols)) }
    }
}

fn dense(name: &str, rows: usize, cols: usize) -> Part {
    let value = random::array(name, &[rows, cols]);
    Part::new(crate::tolerance::widen(value.data()), Form::dense(value), (rows, cols))
}

fn lowrank(name: &str, rows: usize, cols: usize, rank: usize) -> Part {
    let (down, up) = (dense(&format!("{name} down"), rank, cols), dense(&format!("{name} up"), rows, rank));
    let value = |part: &Part| part.form.as_array().map_or_else(|| Array::zeros(&[0]), Array::clone);
    let form = made(Form::lowrank(value(&down), value(&up)));
    Part { form, ..product(down, up) }
}

/// `up * down` of any two forms.
fn product(down: Part, up: Part) -> Part {
    let (rows, cols, rank) = (up.rows, down.cols, down.rows);
    let entry = |at: usize| {
        let (row, col) = (at / cols, at % cols);
        (0..rank).map(|k| up.matrix[row * rank + k] * down.matrix[k * cols + col]).sum()
    };
    let matrix = (0..rows * cols).map(entry).collect();
    Part::new(matrix, Form::Lowrank(made(form::Lowrank::new(down.form, up.form))), (rows, cols))
}

/// `inner * diag(columns)` with random columns.
fn scaled(name: &str, inner: Part) -> Part {
    let columns = random::array(&format!("{name} columns"), &[inner.cols]);
    let entry = |(at, value): (usize, &f64)| value * f64::from(columns.data()[at % inner.cols]);
    let matrix = inner.matrix.iter().enumerate().map(entry).collect();
    Part::new(matrix, made(Form::scaled(inner.form, columns)), (inner.rows, inner.cols))
}

/// `diag(rows) * inner` with random rows.
fn row_scaled(name: &str, inner: Part) -> Part {
    let rows = random::array(&format!("{name} rows"), &[inner.rows]);
    let matrix = stretched(&inner, &crate::tolerance::widen(rows.data()));
    Part::new(matrix, made(Form::row_scaled(inner.form, Form::dense(rows))), (inner.rows, inner.cols))
}

/// `inner` with rows of random norms, some of them of the other sign.
fn row_normed(name: &str, inner: Part) -> Part {
    let norms = random::array(&format!("{name} norms"), &[inner.rows]);
    let length = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>().sqrt();
    let held: Vec<f64> = inner.matrix.chunks(inner.cols).map(length).collect();
    let by: Vec<f64> = norms.data().iter().zip(&held).map(|(norm, held)| f64::from(*norm) / held).collect();
    let matrix = stretched(&inner, &by);
    let form = made(Form::row_normed(inner.form, norms));
    Part { held: Some(held), ..Part::new(matrix, form, (inner.rows, inner.cols)) }
}

fn stretched(inner: &Part, by: &[f64]) -> Vec<f64> {
    inner.matrix.iter().enumerate().map(|(at, value)| value * by[at / inner.cols]).collect()
}

fn sum(left: Part, right: Part) -> Part {
    let (rows, cols) = (left.rows, left.cols);
    let matrix = left.matrix.iter().zip(&right.matrix).map(|(a, b)| a + b).collect();
    Part::new(matrix, made(Form::sum(left.form, right.form)), (rows, cols))
}

fn mpo(name: &str, rows: &[usize], cols: &[usize], size: (usize, usize), cap: usize) -> Part {
    let shape = made(MpoShape::new(rows.to_vec(), cols.to_vec()));
    let cores = cores(name, &shape, cap);
    let matrix = contracted(&shape, &cores, size);
    Part::new(matrix, made(Form::mpo(shape, size.0, size.1, cores)), size)
}

/// Two chains that have their central core in common: ours, and the other's form, which owns the core.
fn central_core_shared() -> (Part, Form) {
    let shape = made(MpoShape::new(vec![2, 3, 2], vec![2, 2, 3]));
    let (theirs, mut ours) = (cores("ct", &shape, 3), cores("co", &shape, 3));
    ours[1] = theirs[1].clone();
    let matrix = contracted(&shape, &ours, (12, 12));
    let parts = ours.iter().enumerate().map(|(k, core)| match k {
        1 => Form::shared(Address::parse("other.weight#core.2"), core.shape().to_vec()),
        _ => Form::dense(core.clone()),
    });
    let form = Form::Mpo(made(form::Mpo::from_forms(shape.clone(), 12, 12, parts.collect())));
    (Part::new(matrix, form, (12, 12)), made(Form::mpo(shape, 12, 12, theirs)))
}

/// A chain whose second core is stored as two summands.
fn summed_core() -> Part {
    let shape = made(MpoShape::new(vec![3, 4], vec![4, 2]));
    let mut whole = cores("sc", &shape, 4);
    let delta = random::array("sc delta", whole[1].shape());
    let parts = vec![
        Form::dense(whole[0].clone()),
        made(Form::sum(Form::dense(whole[1].clone()), Form::dense(delta.clone()))),
    ];
    // Summed in single precision, as it is when the core is used.
    whole[1].data_mut().iter_mut().zip(delta.data()).for_each(|(a, b)| *a += b);
    let matrix = contracted(&shape, &whole, (12, 8));
    Part::new(matrix, Form::Mpo(made(form::Mpo::from_forms(shape, 12, 8, parts))), (12, 8))
}

fn cores(name: &str, shape: &MpoShape, cap: usize) -> Vec<Array> {
    let sizes = shape.core_shapes(&shape.capped(cap));
    sizes.iter().enumerate().map(|(k, size)| random::array(&format!("{name} core {k}"), size)).collect()
}

/// The matrix of a chain by definition: W[i1..in, j1..jn] = T1[i1, j1] T2[i2, j2] .. Tn[in, jn], one entry at a time.
fn contracted(shape: &MpoShape, cores: &[Array], (rows, cols): (usize, usize)) -> Vec<f64> {
    let entry = |at: usize| {
        let (row_digits, col_digits) =
            (digits(at / cols, shape.row_factors()), digits(at % cols, shape.col_factors()));
        let mut state = vec![1.0f64];
        for (k, core) in cores.iter().enumerate() {
            let &[left, i, j, right] = core.shape() else { panic!("core {k} has shape {:?}", core.shape()) };
            let at = |a: usize, b: usize| {
                f64::from(core.data()[((a * i + row_digits[k]) * j + col_digits[k]) * right + b])
            };
            state = (0..right).map(|b| (0..left).map(|a| state[a] * at(a, b)).sum()).collect();
        }
        state[0]
    };
    (0..rows * cols).map(entry).collect()
}

/// The digits of a number in a mixed base, most significant first.
fn digits(mut number: usize, base: &[usize]) -> Vec<usize> {
    let mut digits = vec![0; base.len()];
    for (digit, factor) in digits.iter_mut().zip(base).rev() {
        (*digit, number) = (number % factor, number / factor);
    }
    digits
}

/// The cases are fixed, so a part that cannot be built is a mistake in this file.
#[track_caller]
fn made<T, E: std::fmt::Display>(built: Result<T, E>) -> T {
    match built {
        Ok(part) => part,
        Err(fault) => panic!("a case cannot be built: {fault}"),
    }
}
