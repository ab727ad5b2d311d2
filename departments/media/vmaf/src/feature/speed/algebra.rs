//! Linear algebra of 25x25 matrices in single precision, with the roundings of libvmaf.
//!
//! Where chroma is nearly flat, the covariance is so nearly singular that the order of roundings decides the fourth digit
//! of a score. So the textbook methods are used that libvmaf uses, one rounding for one rounding: eigenvalues by
//! Householder's reduction to three diagonals and implicit QR steps with Wilkinson's shift (Golub and Van Loan, Matrix
//! Computations, 8.3), systems by Householder's QR decomposition and back substitution (5.2). Products with the zeros of a
//! reflection, which change nothing, are left out.

use super::AREA;

/// A square matrix.
pub(super) type Matrix = [[f32; AREA]; AREA];

/// What counts as nothing: of a number beside its neighbours on the diagonal, and of a pivot.
pub(super) const LEAST: f64 = 1e-6;
/// QR steps; libvmaf takes what there is after so many.
const MAX_STEPS: usize = 500;

/// Several right-hand sides or solutions: `AREA` rows of `columns` numbers.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    pub(super) columns: usize,
    pub(super) values: Vec<f32>,
}

impl Columns {
    pub(super) fn new(columns: usize) -> Self {
        Self { columns, values: vec![0.0; AREA * columns] }
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..][..self.columns]
    }

    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.columns..][..self.columns]
    }
}

/// One for zero and above, else minus one.
fn sign(x: f32) -> f32 {
    if x >= 0.0 { 1.0 } else { -1.0 }
}

fn hypotenuse(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

/// The sum of products, from the first on.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}

/// `to += factor * from`.
fn add_multiple(to: &mut [f32], factor: f32, from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

/// Eigenvalues of a symmetric matrix.
pub(super) fn eigenvalues(matrix: &Matrix) -> [f32; AREA] {
    let (mut diagonal, mut beside) = three_diagonals(matrix);
    cut(&diagonal, &mut beside);
    let (mut last, mut steps) = (AREA - 1, 0);
    while last > 0 && steps < MAX_STEPS {
        if beside[last - 1] == 0.0 {
            last -= 1;
            continue;
        }
        let first = (1..last).rev().find(|&place| beside[place - 1] == 0.0).unwrap_or(0);
        let (diagonal, beside) = (&mut diagonal[first..=last], &mut beside[first..last]);
        qr_step(diagonal, beside);
        cut(diagonal, beside);
        steps += 1;
    }
    diagonal
}

/// The diagonal, and the one beside it, of a similar matrix that has nothing else.
fn three_diagonals(matrix: &Matrix) -> ([f32; AREA], [f32; AREA - 1]) {
    let mut a = *matrix;
    for column in 0..AREA - 2 {
        let start = column + 1;
        let mut v: [f32; AREA] = std::array::from_fn(|row| a[row][column]);
        let below = dot(&v[start + 1..], &v[start + 1..]).sqrt();
        if below == 0.0 {
            continue;
        }
        let alpha = v[start];
        let beta = -sign(alpha) * hypotenuse(alpha, below);
        let tau = (beta - alpha) / beta;
        let scale = alpha - beta;
        for value in &mut v[start + 1..] {
            *value /= scale;
        }
        a[start][column] = beta;
        if tau == 0.0 {
            continue;
        }
        v[start] = 1.0;
        let v = &v[start..];
        let mut x = [0.0; AREA];
        for (x, row) in x[start..].iter_mut().zip(&a[start..]) {
            *x = row[start..].iter().zip(v).fold(0.0, |sum, (a, v)| sum + tau * a * v);
        }
        let x = &mut x[start..];
        let factor = (-0.5 * f64::from(tau) * f64::from(dot(x, v))) as f32;
        add_multiple(x, factor, v);
        for (place, row) in a[start..].iter_mut().enumerate() {
            let (x_here, v_here) = (x[place], v[place]);
            for (value, (x, v)) in row[start..].iter_mut().zip(x.iter().zip(v)) {
                *value -= x_here * v + v_here * x;
            }
        }
    }
    (std::array::from_fn(|i| a[i][i]), std::array::from_fn(|i| a[i + 1][i]))
}

/// Makes nothing of what is next to nothing beside the diagonal.
fn cut(diagonal: &[f32], beside: &mut [f32]) {
    for (value, pair) in beside.iter_mut().zip(diagonal.windows(2)) {
        if f64::from(value.abs()) < LEAST * f64::from(pair[0].abs() + pair[1].abs()) {
            *value = 0.0;
        }
    }
}

/// The eigenvalue of the last 2x2 block that is nearer to its last element.
fn shift(diagonal: &[f32], beside: &[f32]) -> f32 {
    let n = diagonal.len();
    let (before, last, off) = (diagonal[n - 2], diagonal[n - 1], beside[n - 2]);
    let half = (before - last) / 2.0;
    if half > 0.0 {
        last - off * (off / (half + hypotenuse(half, off)))
    } else if half == 0.0 {
        last - off.abs()
    } else {
        last + off * (off / (-half + hypotenuse(half, off)))
    }
}

/// Cosine and sine of the rotation that takes `(a, b)` to the first axis.
fn rotation(a: f32, b: f32) -> (f32, f32) {
    let length = |t: f32| (1.0 / f64::from(1.0 + t * t).sqrt()) as f32;
    if b == 0.0 {
        (1.0, 0.0)
    } else if b.abs() > a.abs() {
        let t = -a / b;
        (length(t) * t, length(t))
    } else {
        let t = -b / a;
        (length(t), length(t) * t)
    }
}

/// One implicit QR step: a rotation of each pair of neighbours, of which the first makes the shift and the others chase
/// what it leaves outside the three diagonals.
fn qr_step(diagonal: &mut [f32], beside: &mut [f32]) {
    let n = diagonal.len();
    let mut mu = shift(diagonal, beside);
    if LEAST * f64::from(mu.abs()) > f64::from(diagonal[0].abs() + beside[0].abs()) {
        mu = 0.0;
    }
    let (mut x, mut z) = (diagonal[0] - mu, beside[0]);
    // The pair that is rotated: its diagonal, what is between, and what follows; `bulge` is outside.
    let (mut upper, mut between) = (diagonal[0], beside[0]);
    let (mut before, mut bulge) = (0.0_f32, 0.0_f32);
    for k in 0..n - 1 {
        let (c, s) = rotation(x, z);
        let lower = diagonal[k + 1];
        let after = beside.get(k + 1).copied().unwrap_or(0.0);
        let rotated_before = c * before - s * bulge;
        let rotated_upper = c * (c * upper - s * between) + s * (s * lower - c * between);
        let rotated_between = c * (s * upper + c * between) - s * (s * between + c * lower);
        let rotated_lower = s * (s * upper + c * between) + c * (s * between + c * lower);
        before = rotated_between;
        bulge = -s * after;
        upper = rotated_lower;
        between = c * after;
        diagonal[k] = rotated_upper;
        if k > 0 {
            beside[k - 1] = rotated_before;
        }
        if k + 2 < n {
            beside[k + 1] = between;
        }
        (x, z) = (before, bulge);
    }
    diagonal[n - 1] = upper;
    beside[n - 2] = before;
}

/// `X` of `A X = B`; nothing where a pivot is.
pub(super) fn solved(a: &Matrix, b: &Columns) -> Option<Columns> {
    let turned = rotation_to_triangle(a);
    let mut triangle = [[0.0; AREA]; AREA];
    for (row, weights) in triangle.iter_mut().zip(&turned) {
        for (weight, from) in weights.iter().zip(a) {
            add_multiple(row, *weight, from);
        }
    }
    let mut x = Columns::new(b.columns);
    for i in (0..AREA).rev() {
        let pivot = triangle[i][i];
        if f64::from(pivot.abs()) < LEAST {
            return None;
        }
        let (own, below) = x.values[i * b.columns..].split_at_mut(b.columns);
        for (k, weight) in turned[i].iter().enumerate() {
            add_multiple(own, *weight, b.row(k));
        }
        for (known, weight) in below.chunks_exact(b.columns).zip(&triangle[i][i + 1..]) {
            add_multiple(own, -weight, known);
        }
        for value in own {
            *value /= pivot;
        }
    }
    Some(x)
}

/// The orthogonal matrix `Qᵀ` that makes `A` upper triangular.
fn rotation_to_triangle(a: &Matrix) -> Matrix {
    let mut rest = *a;
    let mut turned: Matrix = std::array::from_fn(|i| std::array::from_fn(|j| f32::from(u8::from(i == j))));
    for k in 0..AREA - 1 {
        let mut v: [f32; AREA] = std::array::from_fn(|i| if i < k { 0.0 } else { rest[i][k] });
        // The sign is the given matrix's, not that of what is left of it; libvmaf's is.
        v[k] += sign(a[k][k]) * dot(&v, &v).sqrt();
        let length = dot(&v, &v).sqrt();
        for value in &mut v {
            *value /= length;
        }
        reflect(&mut rest, &v, k);
        reflect(&mut turned, &v, k);
    }
    turned
}

/// `(I - 2vvᵀ) M`, of which the rows before `from` stay, as `v` has nothing there.
fn reflect(matrix: &mut Matrix, v: &[f32; AREA], from: usize) {
    let before = *matrix;
    for (i, row) in matrix.iter_mut().enumerate().skip(from) {
        let mut sum = [0.0; AREA];
        for (k, other) in before.iter().enumerate().skip(from) {
            let weight = -2.0 * v[i] * v[k];
            let weight = if i == k { weight + 1.0 } else { weight };
            add_multiple(&mut sum, weight, other);
        }
        *row = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Positive definite: a diagonal and neighbours.
    fn example() -> Matrix {
        std::array::from_fn(|i| {
            std::array::from_fn(|j| match i.abs_diff(j) {
                0 => 4.0 + i as f32,
                distance => 1.0 / (distance * distance) as f32,
            })
        })
    }

    #[test]
    fn eigenvalues_have_the_trace_and_the_squares_of_the_matrix() {
        let a = example();
        let values = eigenvalues(&a).map(f64::from);
        let trace: f64 = (0..AREA).map(|i| f64::from(a[i][i])).sum();
        let squares: f64 = a.iter().flatten().map(|&value| f64::from(value).powi(2)).sum();
        assert!((values.iter().sum::<f64>() / trace - 1.0).abs() < 1e-6);
        assert!((values.iter().map(|value| value * value).sum::<f64>() / squares - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_solution_solves() {
        let a = example();
        let wanted: [[f32; 3]; AREA] = std::array::from_fn(|i| [1.0, i as f32, (i % 3) as f32 - 1.0]);
        let mut b = Columns::new(3);
        for (i, row) in a.iter().enumerate() {
            for (weight, wanted) in row.iter().zip(&wanted) {
                add_multiple(b.row_mut(i), *weight, wanted);
            }
        }
        let found = solved(&a, &b).unwrap();
        for (i, wanted) in wanted.iter().enumerate() {
            for (found, wanted) in found.row(i).iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-4, "{i}: {found} {wanted}");
            }
        }
    }

    #[test]
    fn what_is_next_to_nothing_has_no_solution() {
        let small = example().map(|row| row.map(|value| value * 1e-8));
        assert!(solved(&small, &Columns::new(1)).is_none());
        let mut flat = example();
        flat[7] = [0.0; AREA];
        for row in &mut flat {
            row[7] = 0.0;
        }
        assert!(eigenvalues(&flat).iter().any(|&value| f64::from(value) < LEAST));
    }
}
