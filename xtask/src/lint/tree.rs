//! Nothing in the tree leads outside it: no path of one machine, no folder beside the repository.

use std::path::Path;

/// Folders of people's homes. A file that names one works for one person.
const HOMES: &[&str] = &["/home/", "/root/", "/Users/"];
/// The folder beside the repository where working papers lie. Split, so that this line does not name it.
const BESIDE: &str = concat!("..", "/shared");

/// Paths of this very machine, which no file may name: the workspace and the user's home.
pub(crate) fn machine_paths(root: &Path) -> Vec<String> {
    let home = std::env::var_os("HOME").map(std::path::PathBuf::from);
    let paths = [Some(root.to_path_buf()), home].into_iter().flatten();
    // A path of one part (`/root`, `/src`) is too short to tell from a route or a table's name.
    paths
        .filter(|path| path.components().count() > 2)
        .map(|path| path.to_string_lossy().into_owned())
        .collect()
}

/// A line for each place in `text`, the content of `file`, that leads outside.
pub(crate) fn problems(file: &str, text: &str, machine: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", number + 1);
        if occurs(line, BESIDE, |next| !is_name(next)) {
            problems.push(format!(
                "{place} names a folder beside the repository; say what is meant in the tree itself"
            ));
        }
        let home = HOMES.iter().copied().find(|home| occurs(line, home, is_name));
        let machine =
            machine.iter().map(String::as_str).find(|path| occurs(line, path, |next| !is_name(next)));
        if let Some(path) = home.or(machine) {
            problems.push(format!("{place} names `{path}`, a path of one machine; make it relative or take it from the environment"));
        }
    }
    problems
}

/// Whether `path` begins a path in `line` (and is not the tail of a longer one or of a URL) and goes on as `ends` allows;
/// the end of the line counts as a blank.
fn occurs(line: &str, path: &str, ends: impl Fn(char) -> bool) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = &line[..at];
        let begins = before.ends_with("://") || !before.ends_with(|c| is_name(c) || "./~$})>]*".contains(c));
        let after = line[at + path.len()..].chars().next().unwrap_or(' ');
        begins && ends(after)
    })
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str) -> usize {
        problems("docs/x.md", line, &["/src/backlot".to_owned()]).len()
    }

    #[test]
    fn paths_that_lead_outside_are_found() {
        // Put together here, because this file is checked too.
        let outside = [
            format!("see `{BESIDE}/design`"),
            format!("see {BESIDE}"),
            format!("let home = \"{}ann/clips\";", HOMES[0]),
            format!("cd {}work", HOMES[1]),
            "file:///src/backlot/target".to_owned(),
            "path = /src/backlot".to_owned(),
        ];
        for line in &outside {
            assert_eq!(check(line), 1, "{line}");
        }
    }

    #[test]
    fn other_paths_are_left_alone() {
        let inside = [
            "use ../shared_text and a/../../shared-files".to_owned(),
            format!("https://example.org{}page", HOMES[0]),
            format!("$DIR{}x ~{}x", HOMES[0], HOMES[1]),
            format!("route(\"{}{{id}}\")", HOMES[0]),
            "/src/backlot-store and foundation/src/backlot".to_owned(),
        ];
        for line in &inside {
            assert_eq!(check(line), 0, "{line}");
        }
    }

    #[test]
    fn the_line_is_named() {
        let found = problems("a.rs", &format!("\n{}ann\n", HOMES[2]), &[]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("a.rs:2 names `/Users/`"), "{found:?}");
    }
}
