//! Support vector regression with a radial kernel, as libsvm's text files give it.

use crate::Error;

/// The most features of a model. libvmaf's models have four to six; libvmaf itself takes 64.
pub(crate) const MAX_FEATURES: usize = 64;
/// The most support vectors. Published models have about 200.
const MAX_VECTORS: usize = 100_000;

/// A trained regression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Svm {
    gamma: f64,
    rho: f64,
    features: usize,
    coefficients: Vec<f64>,
    /// Vectors one after the other, `features` values each.
    vectors: Vec<f64>,
}

impl Svm {
    /// Reads libsvm's text.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let bad = |detail: String| Error::Model(format!("support vectors: {detail}"));
        let (mut gamma, mut rho, mut count) = (None, None, None);
        let mut lines = text.lines();
        loop {
            let line = lines.next().ok_or_else(|| bad("there is no line SV".to_owned()))?;
            let (key, value) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
            let value = value.trim();
            let number =
                || value.parse::<f64>().map_err(|_| bad(format!("{key} is {value:?}, not a number")));
            match key {
                "svm_type" if value == "nu_svr" || value == "epsilon_svr" => {}
                "kernel_type" if value == "rbf" => {}
                "svm_type" | "kernel_type" => {
                    return Err(bad(format!(
                        "{key} {value:?} is not supported; it must be nu_svr with an rbf kernel"
                    )));
                }
                "gamma" => gamma = Some(number()?),
                "rho" => rho = Some(number()?),
                "total_sv" => count = Some(number()? as usize),
                "nr_class" | "" => {}
                "SV" => break,
                other => return Err(bad(format!("unknown line {other:?}"))),
            }
        }
        let (Some(gamma), Some(rho)) = (gamma, rho) else {
            return Err(bad("gamma or rho is missing".to_owned()));
        };
        if !(gamma.is_finite() && rho.is_finite()) {
            return Err(bad("gamma or rho is not finite".to_owned()));
        }
        let mut rows: Vec<(f64, Vec<(usize, f64)>)> = Vec::new();
        for line in lines.filter(|line| !line.trim().is_empty()) {
            if rows.len() == MAX_VECTORS {
                return Err(bad(format!("there are more than {MAX_VECTORS}")));
            }
            rows.push(parse_vector(line).ok_or_else(|| bad(format!("bad line {:?}", shortened(line))))?);
        }
        if count.is_some_and(|count| count != rows.len()) {
            return Err(bad(format!("total_sv is {}, but there are {}", count.unwrap_or(0), rows.len())));
        }
        let features =
            rows.iter().flat_map(|(_, row)| row.iter().map(|(index, _)| *index)).max().unwrap_or(0);
        let mut vectors = vec![0.0; features * rows.len()];
        for (row, (_, values)) in rows.iter().enumerate() {
            for &(index, value) in values {
                vectors[row * features + index - 1] = value;
            }
        }
        Ok(Self {
            gamma,
            rho,
            features,
            coefficients: rows.into_iter().map(|(coefficient, _)| coefficient).collect(),
            vectors,
        })
    }

    /// How many features its vectors have.
    pub(crate) fn features(&self) -> usize {
        self.features
    }

    /// The prediction for `features`; those that its vectors do not have count with their square.
    pub(crate) fn predict(&self, features: &[f64]) -> f64 {
        let width = self.features.max(1);
        let mut sum = 0.0;
        for (coefficient, vector) in self.coefficients.iter().zip(self.vectors.chunks_exact(width)) {
            let mut distance = 0.0;
            for (index, &feature) in features.iter().enumerate() {
                let difference = feature - vector.get(index).copied().unwrap_or(0.0);
                distance += difference * difference;
            }
            sum += coefficient * (-self.gamma * distance).exp();
        }
        sum - self.rho
    }
}

fn parse_vector(line: &str) -> Option<(f64, Vec<(usize, f64)>)> {
    let mut words = line.split_whitespace();
    let coefficient: f64 = words.next()?.parse().ok()?;
    let mut values = Vec::new();
    for word in words {
        let (index, value) = word.split_once(':')?;
        let (index, value): (usize, f64) = (index.parse().ok()?, value.parse().ok()?);
        if !(1..=MAX_FEATURES).contains(&index) || !value.is_finite() {
            return None;
        }
        values.push((index, value));
    }
    coefficient.is_finite().then_some((coefficient, values))
}

fn shortened(line: &str) -> String {
    line.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: &str = "svm_type nu_svr\nkernel_type rbf\ngamma 0.5\nnr_class 2\ntotal_sv 2\nrho -1.5\nSV\n2 1:1 2:0 \n-1 2:1 \n";

    #[test]
    fn a_small_regression_predicts() {
        let svm = Svm::parse(SMALL).unwrap();
        let expected = 2.0 * (-0.5_f64 * 0.0).exp() - (-0.5_f64 * 2.0).exp() + 1.5;
        assert_eq!(svm.predict(&[1.0, 0.0]), expected);
    }

    #[test]
    fn bad_texts_are_refused() {
        for (from, to) in [
            ("nu_svr", "c_svc"),
            ("rbf", "linear"),
            ("SV\n", ""),
            ("gamma 0.5", "gamma x"),
            ("gamma 0.5\n", ""),
            ("total_sv 2", "total_sv 3"),
            ("1:1", "0:1"),
            ("1:1", "65:1"),
            ("1:1", "1"),
            ("rho -1.5", "rho NaN"),
            ("-1 2:1", "inf 2:1"),
        ] {
            assert!(Svm::parse(&SMALL.replacen(from, to, 1)).is_err(), "{from} -> {to}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(svm_type nu_svr\n|gamma 1\n|rho 2\n|SV\n|[0-9: .e-]{0,20}\n){0,12}") {
            if let Ok(svm) = Svm::parse(&text) {
                svm.predict(&[0.5; 6]);
            }
        }
    }
}
