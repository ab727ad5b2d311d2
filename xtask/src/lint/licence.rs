//! The licences of everything that is built: each package must be usable under licences of the list.
//!
//! A licence expression is SPDX's (ISO/IEC 5962, annex D): licences joined by `AND` (both hold), `OR` (choose one) and
//! `WITH` (an exception), `AND` binding tighter than `OR`. Older packages write `/` for `OR`.

use super::packages::Package;

/// Licences that let us link and ship under Apache-2.0. None of them is of the GPL family, and none will be.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    // The table of root certificates in webpki-roots: data.
    "CDLA-Permissive-2.0",
    // libFuzzer, as old LLVM licensed it: permissive, and in no program that is shipped.
    "NCSA",
    // The fonts in epaint_default_fonts.
    "OFL-1.1",
    "Ubuntu-font-1.0",
];

/// A line for each package that may not be used.
pub(crate) fn problems(packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for package in packages {
        let name = format!("{} {}", package.name, package.version);
        let Some(expression) = &package.licence else {
            problems.push(format!("{name} states no licence expression; use another crate"));
            continue;
        };
        match is_allowed(expression) {
            Ok(true) => {}
            Ok(false) => problems.push(format!(
                "{name} is under `{expression}`; use another crate, or if that licence lets us link it, add it to xtask/src/lint/licence.rs with the reason"
            )),
            Err(why) => problems.push(format!("{name}: `{expression}` is no licence expression ({why}); use another crate")),
        }
    }
    problems
}

fn is_allowed(expression: &str) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = Words { words: spaced.split_whitespace().collect(), next: 0 };
    let answer = words.choice()?;
    match words.peek() {
        None => Ok(answer),
        Some(word) => Err(format!("`{word}` is too much")),
    }
}

/// A recursive-descent reader: choice = all {OR all}, all = one {AND one}, one = ( choice ) | licence [WITH exception].
struct Words<'a> {
    words: Vec<&'a str>,
    next: usize,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.next).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let is_it = self.peek() == Some(word);
        self.next += usize::from(is_it);
        is_it
    }

    fn choice(&mut self) -> Result<bool, String> {
        let mut answer = self.all()?;
        while self.take("OR") {
            answer |= self.all()?;
        }
        Ok(answer)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut answer = self.one()?;
        while self.take("AND") {
            answer &= self.one()?;
        }
        Ok(answer)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.take("(") {
            let answer = self.choice()?;
            return if self.take(")") { Ok(answer) } else { Err("a bracket is open".to_owned()) };
        }
        let licence = self.name()?;
        if self.take("WITH") {
            let exception = self.name()?;
            return Ok(ALLOWED.contains(&format!("{licence} WITH {exception}").as_str()));
        }
        Ok(ALLOWED.contains(&licence))
    }

    fn name(&mut self) -> Result<&'a str, String> {
        match self.peek() {
            Some(word) if !["AND", "OR", "WITH", "(", ")"].contains(&word) => {
                self.next += 1;
                Ok(word)
            }
            Some(word) => Err(format!("a licence is missing before `{word}`")),
            None => Err("a licence is missing at the end".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_weighed() {
        let cases = [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("AGPL-3.0", false),
            ("LGPL-2.1-or-later", false),
            ("MIT/Apache-2.0", true),
            ("Apache-2.0 / GPL-2.0", true),
            ("MIT OR GPL-2.0", true),
            ("MIT AND GPL-2.0", false),
            ("MIT OR GPL-2.0 AND LGPL-2.1", true),
            ("(MIT OR GPL-2.0) AND LGPL-2.1", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-2.0 WITH Classpath-exception-2.0", false),
            ("MIT WITH LLVM-exception", false),
        ];
        for (expression, expected) in cases {
            assert_eq!(is_allowed(expression), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for nonsense in ["", "MIT OR", "(MIT", "MIT)", "AND MIT", "MIT Apache-2.0", "MIT WITH"] {
            assert!(is_allowed(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn problems_name_the_package_and_the_mend() {
        let package = |licence: Option<&str>| Package {
            name: "x".to_owned(),
            version: "1.2.3".to_owned(),
            folder: String::new(),
            licence: licence.map(str::to_owned),
            local_dependencies: Vec::new(),
        };
        let found =
            problems(&[package(Some("MIT")), package(None), package(Some("GPL-3.0")), package(Some("("))]);
        assert_eq!(found.len(), 3);
        assert!(found[0].starts_with("x 1.2.3 states no licence"));
        assert!(found[1].starts_with("x 1.2.3 is under `GPL-3.0`; use another crate"));
        assert!(found[2].contains("is no licence expression"));
    }
}
