//! Matrices to try the laws on, from seeds.

use tenfold_linalg::{Core, Matrix, MpoShape};

/// SplitMix64: a few lines are enough for test matrices.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal.
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    pub(crate) fn matrix(&mut self, rows: usize, cols: usize) -> Matrix {
        Matrix::from_fn(rows, cols, |_, _| self.normal())
    }

    /// Orthogonal by Gram-Schmidt, twice for accuracy.
    pub(crate) fn orthogonal(&mut self, n: usize) -> Matrix {
        let mut q = self.matrix(n, n);
        for i in 0..n {
            for _ in 0..2 {
                for j in 0..i {
                    let dot: f64 = q.row(i).iter().zip(q.row(j)).map(|(a, b)| a * b).sum();
                    for c in 0..n {
                        let v = q.get(j, c);
                        q.data_mut()[i * n + c] -= dot * v;
                    }
                }
            }
            let norm = q.row(i).iter().map(|v| v * v).sum::<f64>().sqrt();
            q.data_mut()[i * n..(i + 1) * n].iter_mut().for_each(|v| *v /= norm);
        }
        q
    }
}

pub(crate) fn kron(a: &Matrix, b: &Matrix) -> Matrix {
    let (rows, cols) = (b.rows(), b.cols());
    Matrix::from_fn(a.rows() * rows, a.cols() * cols, |r, c| {
        a.get(r / rows, c / cols) * b.get(r % rows, c % cols)
    })
}

/// Named matrices of one size: random, decaying, structured, rank-deficient, zero blocks, zero.
pub(crate) fn zoo(rows: usize, cols: usize, seed: u64) -> Vec<(&'static str, Matrix)> {
    let mut random = Random(seed);
    let plain = random.matrix(rows, cols);
    let thin = rows.min(cols).div_ceil(3);
    let decaying = {
        let (left, right) = (random.matrix(rows, thin), random.matrix(thin, cols));
        let scaled = Matrix::from_fn(rows, thin, |r, c| left.get(r, c) * 0.3f64.powi(c as i32));
        scaled.matmul(&right)
    };
    let rank_one = random.matrix(rows, 1).matmul(&random.matrix(1, cols));
    let mut blocks = plain.clone();
    blocks.data_mut()[rows / 2 * cols..].fill(0.0);
    let ramp = Matrix::from_fn(rows, cols, |r, c| (r * cols + c) as f64);
    let one_hot = Matrix::from_fn(rows, cols, |r, c| f64::from(u8::from(r + 1 == rows && c + 1 == cols)));
    let tiny = Matrix::from_fn(rows, cols, |r, c| 1e-30 * plain.get(r, c));
    let near = Matrix::from_fn(rows, cols, |r, c| rank_one.get(r, c) + 1e-9 * plain.get(r, c));
    vec![
        ("random", plain),
        ("decaying", decaying),
        ("rank one", rank_one),
        ("zero blocks", blocks),
        ("ramp", ramp),
        ("one hot", one_hot),
        ("constant", Matrix::from_fn(rows, cols, |_, _| 2.5)),
        ("tiny", tiny),
        ("near rank one", near),
        ("zero", Matrix::zeros(rows, cols)),
    ]
}

/// Shapes with the matrix size they hold; some pad, one has a single core, some have factors of 1.
pub(crate) fn shapes() -> Vec<(MpoShape, usize, usize)> {
    let shape = |rows: &[usize], cols: &[usize]| MpoShape::new(rows.to_vec(), cols.to_vec()).unwrap();
    vec![
        (shape(&[2, 2], &[2, 2]), 4, 4),
        (shape(&[2, 3, 4], &[3, 2, 2]), 24, 12),
        (shape(&[2, 2, 2, 2, 2], &[2, 2, 2, 2, 2]), 32, 32),
        (shape(&[3, 2, 4, 2], &[2, 3, 1, 2]), 48, 12),
        (shape(&[3, 2, 4, 2], &[2, 3, 1, 2]), 41, 11),
        (shape(&[4, 1, 1, 3], &[4, 1, 1, 3]), 12, 12),
        (shape(&[1, 1, 1], &[2, 3, 4]), 1, 24),
        (shape(&[1, 1, 1], &[2, 3, 4]), 1, 20),
        (shape(&[2, 3, 4], &[1, 1, 1]), 24, 1),
        (shape(&[6], &[5]), 6, 5),
        (shape(&[1, 1], &[1, 1]), 1, 1),
        (shape(&[5, 2, 3, 2, 2], &[2, 3, 2, 2, 5]), 117, 119),
    ]
}

/// Random cores with these bonds.
pub(crate) fn cores(random: &mut Random, shape: &MpoShape, bonds: &[usize]) -> Vec<Core> {
    shape
        .core_shapes(bonds)
        .into_iter()
        .map(|[left, row, col, right]| Core {
            left,
            row,
            col,
            right,
            data: (0..left * row * col * right).map(|_| random.normal()).collect(),
        })
        .collect()
}

/// The k-th interleaved unfolding (k sites as rows), written from the definition.
pub(crate) fn unfolding(w: &Matrix, shape: &MpoShape, k: usize) -> Matrix {
    let (rows, cols) = (shape.row_factors(), shape.col_factors());
    let outer: usize = (0..k).map(|s| rows[s] * cols[s]).product();
    let total = shape.padded_rows() * shape.padded_cols();
    Matrix::from_fn(outer, total / outer, |a, b| {
        let mut rest = a * (total / outer) + b;
        let (mut r, mut c) = (0, 0);
        let (mut row_stride, mut col_stride) = (1, 1);
        for s in (0..rows.len()).rev() {
            c += (rest % cols[s]) * col_stride;
            rest /= cols[s];
            col_stride *= cols[s];
            r += (rest % rows[s]) * row_stride;
            rest /= rows[s];
            row_stride *= rows[s];
        }
        if r < w.rows() && c < w.cols() { w.get(r, c) } else { 0.0 }
    })
}
