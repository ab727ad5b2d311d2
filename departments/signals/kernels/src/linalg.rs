//! Small dense linear algebra: what costs of a few dimensions and the robust PCA need.
//!
//! Matrices are square and symmetric or thin, at most a few dozen wide, so the simplest algorithms that are accurate serve.

use crate::correlate::dot;
use crate::sums::Double;

/// Eigenvalues and eigenvectors of a symmetric matrix by Jacobi's rotations (Golub and Van Loan, Matrix Computations, 8.5).
/// `matrix` holds `size`² values; column `k` of the second result (every `size`th value from `k`) belongs to eigenvalue `k`.
pub(crate) fn symmetric_eigen(matrix: &[f64], size: usize) -> (Vec<f64>, Vec<f64>) {
    /// Converges quadratically; a dozen sweeps reach the last bit.
    const SWEEPS: usize = 60;
    let mut a = matrix.to_vec();
    let mut vectors = vec![0.0; size * size];
    for index in 0..size {
        vectors[index * size + index] = 1.0;
    }
    for _ in 0..SWEEPS {
        let mut changed = false;
        for p in 0..size {
            for q in p + 1..size {
                let off = a[p * size + q];
                let scale = (a[p * size + p] * a[q * size + q]).abs().sqrt();
                if off == 0.0 || off.abs() <= 1e-17 * scale {
                    continue;
                }
                changed = true;
                let theta = (a[q * size + q] - a[p * size + p]) / (2.0 * off);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let t = if theta == 0.0 { 1.0 } else { t };
                let cos = 1.0 / (t * t + 1.0).sqrt();
                let sin = t * cos;
                for k in 0..size {
                    let (left, right) = (a[k * size + p], a[k * size + q]);
                    a[k * size + p] = cos * left - sin * right;
                    a[k * size + q] = sin * left + cos * right;
                }
                for k in 0..size {
                    let (left, right) = (a[p * size + k], a[q * size + k]);
                    a[p * size + k] = cos * left - sin * right;
                    a[q * size + k] = sin * left + cos * right;
                }
                a[p * size + q] = 0.0;
                a[q * size + p] = 0.0;
                for k in 0..size {
                    let (left, right) = (vectors[k * size + p], vectors[k * size + q]);
                    vectors[k * size + p] = cos * left - sin * right;
                    vectors[k * size + q] = sin * left + cos * right;
                }
            }
        }
        if !changed {
            break;
        }
    }
    ((0..size).map(|index| a[index * size + index]).collect(), vectors)
}

/// Eigenvalues below this share of the greatest count as zero.
const RANK_TOLERANCE: f64 = 1e-13;

/// The Moore-Penrose inverse of a symmetric matrix, and its rank.
pub(crate) fn symmetric_pseudo_inverse(matrix: &[f64], size: usize) -> (Vec<f64>, usize) {
    let (values, vectors) = symmetric_eigen(matrix, size);
    let greatest = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let mut inverse = vec![0.0; size * size];
    let mut rank = 0;
    for (k, value) in values.iter().enumerate() {
        if value.abs() <= greatest * RANK_TOLERANCE * size as f64 || *value == 0.0 {
            continue;
        }
        rank += 1;
        for row in 0..size {
            for column in 0..size {
                inverse[row * size + column] += vectors[row * size + k] * vectors[column * size + k] / value;
            }
        }
    }
    (inverse, rank)
}

/// The logarithm of the determinant of a symmetric, positive semidefinite matrix, which is overwritten; negative infinity
/// when it is singular.
pub(crate) fn log_determinant(matrix: &mut [f64], size: usize) -> f64 {
    let mut sum = 0.0;
    for k in 0..size {
        let pivot = matrix[k * size + k];
        if pivot <= 0.0 {
            return f64::NEG_INFINITY;
        }
        sum += libm::log(pivot);
        for row in k + 1..size {
            let factor = matrix[row * size + k] / pivot;
            for column in k + 1..size {
                matrix[row * size + column] -= factor * matrix[k * size + column];
            }
        }
    }
    sum
}

/// What least squares leave: `gram` is the Gram matrix of the regressors and, last, of what they explain; it is overwritten. Regressors
/// that the earlier ones explain are left out, so the answer is the distance from their span in any case.
///
/// The Gram matrix squares the condition of the regressors, so it is eliminated with the 100 bits that its sums have.
pub(crate) fn least_squares_rest(gram: &mut [Double], size: usize) -> f64 {
    /// Of a regressor's own square: what remains below this after the earlier ones is rounding of the signal itself.
    const INDEPENDENT: f64 = 1e-12;
    let last = size - 1;
    let squares: Vec<f64> = (0..size).map(|k| gram[k * size + k].high).collect();
    for k in 0..last {
        let pivot = gram[k * size + k];
        if pivot.high <= INDEPENDENT * squares[k] {
            continue;
        }
        for row in k + 1..size {
            let factor = gram[row * size + k].over(pivot);
            for column in row..size {
                let less = gram[row * size + column].minus(factor.times(gram[k * size + column]));
                gram[row * size + column] = less;
                gram[column * size + row] = less;
            }
        }
    }
    gram[last * size + last].value().max(0.0)
}

/// The singular value decomposition of a table given column after column, by one-sided Jacobi rotations (M. Hestenes, 1958), on the shorter side. Gives left vectors, values and
/// right vectors: vector k of `rows` numbers from k·`rows`, value k, and vector k of as many numbers as there are columns. Values of 0 have vectors of 0.
pub(crate) fn thin_svd(table: &[f64], rows: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    /// Converges quadratically once it is near; a dozen sweeps are usual.
    const SWEEPS: usize = 60;
    let columns = table.len() / rows;
    if columns > rows {
        let transposed: Vec<f64> =
            (0..rows).flat_map(|row| (0..columns).map(move |column| table[column * rows + row])).collect();
        let (left, values, right) = thin_svd(&transposed, columns);
        return (right, values, left);
    }
    let mut left = table.to_vec();
    let mut right = vec![0.0; columns * columns];
    for k in 0..columns {
        right[k * columns + k] = 1.0;
    }
    for _ in 0..SWEEPS {
        let mut changed = false;
        for p in 0..columns {
            for q in p + 1..columns {
                let (a, b) = two_columns(&mut left, rows, p, q);
                let (aa, bb, ab) = (dot(a, a), dot(b, b), dot(a, b));
                if ab == 0.0 || ab.abs() <= 1e-15 * (aa * bb).sqrt() {
                    continue;
                }
                changed = true;
                let zeta = (bb - aa) / (2.0 * ab);
                let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let cos = 1.0 / (1.0 + t * t).sqrt();
                rotate(a, b, cos, cos * t);
                let (a, b) = two_columns(&mut right, columns, p, q);
                rotate(a, b, cos, cos * t);
            }
        }
        if !changed {
            break;
        }
    }
    let mut values = Vec::with_capacity(columns);
    for column in left.chunks_exact_mut(rows) {
        let value = dot(column, column).sqrt();
        values.push(value);
        if value > 0.0 {
            for entry in column {
                *entry /= value;
            }
        }
    }
    (left, values, right)
}

fn two_columns(table: &mut [f64], rows: usize, p: usize, q: usize) -> (&mut [f64], &mut [f64]) {
    let (first, second) = table.split_at_mut(q * rows);
    (&mut first[p * rows..(p + 1) * rows], &mut second[..rows])
}

fn rotate(a: &mut [f64], b: &mut [f64], cos: f64, sin: f64) {
    for (a, b) in a.iter_mut().zip(b) {
        (*a, *b) = (cos * *a - sin * *b, sin * *a + cos * *b);
    }
}

/// Coefficients and standard errors of least squares: `design` holds `regressors` values for each of the targets. `None` when regressors depend on one another
/// or nothing is left to tell the errors by.
pub(crate) fn least_squares_solution(
    design: &[f64],
    regressors: usize,
    target: &[f64],
) -> Option<(Vec<f64>, Vec<f64>)> {
    let count = target.len();
    let size = regressors + 1;
    // Regressors at length 1, so that their units do not matter.
    let lengths: Vec<f64> = (0..regressors)
        .map(|k| design.iter().skip(k).step_by(regressors).map(|value| value * value).sum::<f64>().sqrt())
        .collect();
    if count <= regressors || lengths.iter().any(|length| !(*length > 0.0 && length.is_finite())) {
        return None;
    }
    let entry = |row: usize, k: usize| {
        if k < regressors { design[row * regressors + k] / lengths[k] } else { target[row] }
    };
    let mut gram = vec![0.0; size * size];
    for row in 0..count {
        for a in 0..size {
            for b in a..size {
                gram[a * size + b] += entry(row, a) * entry(row, b);
            }
        }
    }
    for a in 0..size {
        for b in 0..a {
            gram[a * size + b] = gram[b * size + a];
        }
    }
    let square: Vec<f64> =
        (0..regressors).flat_map(|a| gram[a * size..a * size + regressors].to_vec()).collect();
    let (inverse, rank) = symmetric_pseudo_inverse(&square, regressors);
    if rank < regressors {
        return None;
    }
    let solution: Vec<f64> = (0..regressors)
        .map(|a| (0..regressors).map(|b| inverse[a * regressors + b] * gram[b * size + regressors]).sum())
        .collect();
    let rest: f64 = (0..count)
        .map(|row| {
            let fitted: f64 = (0..regressors).map(|k| entry(row, k) * solution[k]).sum();
            (target[row] - fitted) * (target[row] - fitted)
        })
        .sum();
    let variance = rest / (count - regressors) as f64;
    let errors: Vec<f64> =
        (0..regressors).map(|k| (variance * inverse[k * regressors + k]).sqrt() / lengths[k]).collect();
    if errors[0].is_nan() || errors[0] <= 0.0 {
        return None;
    }
    Some((solution.iter().zip(&lengths).map(|(value, length)| value / length).collect(), errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_its_eigenvectors_put_together() {
        let a = [4.0, 1.0, -2.0, 1.0, 3.0, 0.5, -2.0, 0.5, 5.0];
        let (values, vectors) = symmetric_eigen(&a, 3);
        for row in 0..3 {
            for column in 0..3 {
                let sum: f64 =
                    (0..3).map(|k| vectors[row * 3 + k] * values[k] * vectors[column * 3 + k]).sum();
                assert!((sum - a[row * 3 + column]).abs() < 1e-12);
            }
        }
        let product: f64 = values.iter().product();
        assert!((libm::log(product) - log_determinant(&mut a.clone(), 3)).abs() < 1e-12);
        let (inverse, rank) = symmetric_pseudo_inverse(&a, 3);
        assert_eq!(rank, 3);
        let first: f64 = (0..3).map(|k| a[k] * inverse[k * 3]).sum();
        assert!((first - 1.0).abs() < 1e-12);
        assert_eq!(symmetric_pseudo_inverse(&[1.0, 1.0, 1.0, 1.0], 2).1, 1);
    }

    #[test]
    fn a_table_is_its_singular_vectors_put_together() {
        let mut random = crate::testing::Random::new(2);
        for (rows, columns) in [(7, 4), (4, 7), (5, 5), (1, 3)] {
            let table: Vec<f64> = (0..rows * columns).map(|_| random.normal()).collect();
            let (left, values, right) = thin_svd(&table, rows);
            for row in 0..rows {
                for column in 0..columns {
                    let sum: f64 = (0..values.len())
                        .map(|k| left[k * rows + row] * values[k] * right[k * columns + column])
                        .sum();
                    assert!((sum - table[column * rows + row]).abs() < 1e-12, "{rows} x {columns}");
                }
            }
        }
    }

    #[test]
    fn least_squares_are_those_done_by_hand() {
        // y = 1, 3, 2, 5 on 1 and x = 0, 1, 2, 3: slope 1.1, intercept 1.1, rest 2.7.
        let design = [1.0, 0.0, 1.0, 1.0, 1.0, 2.0, 1.0, 3.0];
        let (solution, errors) = least_squares_solution(&design, 2, &[1.0, 3.0, 2.0, 5.0]).unwrap();
        assert!((solution[0] - 1.1).abs() < 1e-12 && (solution[1] - 1.1).abs() < 1e-12);
        assert!((errors[1] - (1.35_f64 / 5.0).sqrt()).abs() < 1e-12);
        assert_eq!(least_squares_solution(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 2, &[1.0, 2.0, 3.0]), None);
    }

    #[test]
    fn a_regressor_twice_explains_no_more() {
        // y = (1, 2, 4) on x = (1, 1, 1), once and twice: the rest is the variance.
        let rest = 21.0 - 49.0 / 3.0;
        assert!((least_squares_rest(&mut [3.0, 7.0, 7.0, 21.0].map(Double::from), 2) - rest).abs() < 1e-12);
        let twice = &mut [3.0, 3.0, 7.0, 3.0, 3.0, 7.0, 7.0, 7.0, 21.0].map(Double::from);
        assert!((least_squares_rest(twice, 3) - rest).abs() < 1e-12);
    }
}
