//! `unsafe` code is denied by the workspace's lints; this keeps a source file from allowing it to itself.

use std::path::Path;

/// Folders of crates that may hold `unsafe` code: kernels and bindings. Such a crate still inherits the lints, and opens each
/// module or call of such code with a reason.
const UNSAFE: &[&str] = &[
    // Borrows the memory of NumPy arrays.
    "clients/python",
    // Kernels are compiled once per instruction set, and calling one is `unsafe` until the processor was asked.
    "departments/media/vmaf",
    "departments/signals/kernels",
];

/// A line for each place in `text`, the content of `file`, that switches the lint off.
pub(crate) fn problems(file: &str, text: &str) -> Vec<String> {
    problems_outside(UNSAFE, file, text)
}

fn problems_outside(folders: &[&str], file: &str, text: &str) -> Vec<String> {
    let extension = Path::new(file).extension();
    let is_source = extension.is_some_and(|extension| extension == "rs" || extension == "toml");
    let is_exempt =
        folders.iter().any(|folder| file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
    if !is_source || is_exempt {
        return Vec::new();
    }
    let lines = text.lines().enumerate().filter(|(_, line)| switches_off(line));
    lines
        .map(|(number, _)| {
            format!(
                "{file}:{} allows unsafe code; write it safely, or list the crate in xtask/src/lint/unsafe_code.rs with the reason",
                number + 1
            )
        })
        .collect()
}

/// `#[allow(unsafe_code)]`, `#![expect(dead_code, unsafe_code, …)]`, and in a manifest `unsafe_code = "warn"`.
fn switches_off(line: &str) -> bool {
    let line: String = line.chars().filter(|c| !c.is_whitespace()).collect();
    let attribute = line.find("unsafe_code").is_some_and(|at| {
        let before = &line[..at];
        let is_attribute = before.starts_with("#[") || before.starts_with("#![");
        is_attribute && ["allow(", "expect(", "warn("].iter().any(|level| before.contains(level))
    });
    attribute
        || ["unsafe_code=\"allow\"", "unsafe_code=\"warn\""].iter().any(|setting| line.starts_with(setting))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_not_excuse_itself() {
        for line in [
            "#![allow(unsafe_code)]",
            "    #[allow(dead_code, unsafe_code, reason = \"fast\")]",
            "#[cfg_attr(unix, expect(unsafe_code))]",
            "unsafe_code = \"allow\"",
        ] {
            assert_eq!(problems("foundation/store/src/lib.rs", line).len(), 1, "{line}");
        }
        for line in [
            "// #[allow(unsafe_code)]",
            "unsafe_code = \"deny\"",
            "#![deny(unsafe_code)]",
            "#[allow(dead_code)]",
        ] {
            assert_eq!(problems("foundation/store/src/lib.rs", line), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn a_kernel_may() {
        let check =
            |file| problems_outside(&["departments/media/vmaf"], file, "#![allow(unsafe_code)]").len();
        assert_eq!(check("departments/media/vmaf/src/avx2.rs"), 0);
        assert_eq!(check("departments/media/vmaf2/src/avx2.rs"), 1);
        assert_eq!(check("docs/media.md"), 0);
    }
}
