//! The parameters cell: where given values go into a notebook, and what a notebook says about its own.
//!
//! A notebook marks the cell with its defaults by the tag `parameters`. Given values become a cell of their own, tagged
//! `injected-parameters`: in the place of an earlier such cell, else after the defaults, else first.

use std::sync::LazyLock;

use regex::Regex;

use crate::json::Value;
use crate::notebook::{Cell, Notebook};
use crate::param::Parameters;
use crate::python::split_lines;
use crate::record;
use crate::translate::{Language, TranslateError};

/// The tag of the cell with the defaults.
pub const TAG: &str = "parameters";

/// The tag of the cell with the given values.
pub const INJECTED_TAG: &str = "injected-parameters";

/// Why parameters cannot be put into a notebook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// The notebook does not say which kernel it is for.
    #[error("No kernel name found in notebook and no override provided; name one with --kernel")]
    NoKernel,
    /// The notebook does not say which language it is in.
    #[error("No language found in notebook and no override provided; name one with --language")]
    NoLanguage,
    /// The values cannot be written in the language.
    #[error(transparent)]
    Translate(#[from] TranslateError),
}

/// How values are put into a notebook.
#[derive(Clone, Copy, Debug, Default)]
pub struct Injection<'a> {
    /// The kernel in place of the notebook's own.
    pub kernel: Option<&'a str>,
    /// The language in place of the notebook's own.
    pub language: Option<&'a str>,
    /// Whether code is shown in reports.
    pub code: CodeInReports,
    /// The comment over the values; `Parameters` if none is given.
    pub comment: Option<&'a str>,
}

/// Whether a report shows the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CodeInReports {
    /// As the notebook says.
    #[default]
    Shown,
    /// Every code cell is marked as hidden.
    Hidden,
}

/// Where the values went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// In the place of the cell that an earlier run put there.
    Replaced(usize),
    /// After the cell with the defaults.
    AfterDefaults(usize),
    /// At the top, since no cell has defaults.
    First,
}

/// The kernel and language that count for a notebook.
///
/// # Errors
/// Neither named nor in the notebook.
pub fn kernel_and_language(
    notebook: &Notebook,
    kernel: Option<&str>,
    language: Option<&str>,
) -> Result<(String, String), InjectError> {
    let kernel =
        kernel.filter(|name| !name.is_empty()).or(notebook.kernel_name()).ok_or(InjectError::NoKernel)?;
    let language = language.filter(|name| !name.is_empty()).or(notebook.language());
    Ok((kernel.to_owned(), language.ok_or(InjectError::NoLanguage)?.to_owned()))
}

/// Puts values into a notebook, and into its record of the run.
///
/// # Errors
/// The language is not known, or cannot write a value.
pub fn inject(
    notebook: &mut Notebook,
    given: &Parameters,
    how: &Injection<'_>,
    id: String,
) -> Result<Placed, InjectError> {
    let (kernel, language) = kernel_and_language(notebook, how.kernel, how.language)?;
    let code = Language::find(&kernel, &language)?.code(given, how.comment.unwrap_or("Parameters"))?;
    let mut cell = Cell::code(id, &code);
    cell.set_tags(&[INJECTED_TAG]);
    if how.code == CodeInReports::Hidden {
        record::hide_code(&mut cell);
    }
    let placed = if let Some(index) = notebook.find_tagged(INJECTED_TAG) {
        notebook.cells[index] = cell;
        Placed::Replaced(index)
    } else if let Some(index) = notebook.find_tagged(TAG) {
        notebook.cells.insert(index + 1, cell);
        Placed::AfterDefaults(index + 1)
    } else {
        notebook.cells.insert(0, cell);
        Placed::First
    };
    notebook.metadata_object(record::KEY).insert("parameters".to_owned(), Value::Object(given.to_json()));
    Ok(placed)
}

/// What a notebook says about one of its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Its type as annotated, if it is.
    pub type_name: Option<String>,
    /// The expression of its default.
    pub default: String,
    /// The comment behind it.
    pub help: String,
}

/// What was found in the cell with the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The parameters in order.
    pub parameters: Vec<Described>,
    /// What could not be read, one line each.
    pub warnings: Vec<String>,
}

static ASSIGNMENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"^(?P<target>\w[\w_]*)\s*"#,
        r#"(:\s*["']?(?P<annotation>\w[\w_\[\],\s]*)["']?\s*)?"#,
        r#"=\s*(?P<value>.*?)"#,
        r#"(\s*#\s*(type:\s*(?P<comment>[^\s]*)\s*)?(?P<help>.*))?$"#,
    ))
    .expect("invariant: the pattern is a constant")
});

/// Reads the parameters of a notebook from its cell with the defaults: their names, types, defaults and help. Only Python can
/// be read; of other languages nothing is known.
///
/// # Errors
/// The notebook has defaults but names no kernel or language, or one that is not known.
pub fn inspect(
    notebook: &Notebook,
    kernel: Option<&str>,
    language: Option<&str>,
) -> Result<Inspection, InjectError> {
    let Some(index) = notebook.find_tagged(TAG) else { return Ok(Inspection::default()) };
    let (kernel, language_name) = kernel_and_language(notebook, kernel, language)?;
    if Language::find(&kernel, &language_name)? != Language::Python {
        let warning =
            format!("Translator for '{language_name}' language does not support parameter introspection.");
        return Ok(Inspection { parameters: Vec::new(), warnings: vec![warning] });
    }
    Ok(inspect_python(notebook.cells[index].source()))
}

/// Reads the assignments of a Python cell.
///
/// ```
/// # use backlot_notebooks_model::parameters::inspect_python;
/// let found = inspect_python("a: int = 3  # how many\n");
/// assert_eq!(found.parameters[0].type_name.as_deref(), Some("int"));
/// assert_eq!(found.parameters[0].help, "how many");
/// ```
pub fn inspect_python(source: &str) -> Inspection {
    let mut found = Inspection::default();
    for definition in definitions(source, &mut found.warnings) {
        let Some(parts) = ASSIGNMENT.captures(&definition) else { continue };
        let part = |name: &str| parts.name(name).map(|part| part.as_str().trim().to_owned());
        let type_name = part("annotation").filter(|name| !name.is_empty()).or(part("comment"));
        found.parameters.push(Described {
            name: part("target").unwrap_or_default(),
            type_name: type_name.filter(|name| !name.is_empty() && name != "None"),
            default: part("value").unwrap_or_default(),
            help: part("help").unwrap_or_default(),
        });
    }
    found
}

/// One line for each assignment: what stands on the lines below it belongs to it, and only its last line keeps its comment.
fn definitions(source: &str, warnings: &mut Vec<String>) -> Vec<String> {
    let mut groups: Vec<Vec<&str>> = vec![Vec::new()];
    for (index, line) in split_lines(source).into_iter().enumerate() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        match bare.matches('=').count() {
            0 => {}
            1 => groups.push(Vec::new()),
            _ => {
                let line = line.trim_end_matches(['\r', '\n']);
                warnings.push(format!("Unable to parse line {} '{line}'.", index + 1));
                groups.push(Vec::new());
                continue;
            }
        }
        if let Some(group) = groups.last_mut() {
            group.push(line);
        }
    }
    let flat = |group: Vec<&str>| {
        let last = group.len().saturating_sub(1);
        let lines = group.into_iter().enumerate().map(|(index, line)| match line.split_once('#') {
            Some((code, _)) if index < last => code.trim(),
            _ => line.trim(),
        });
        lines.collect::<String>()
    };
    groups.into_iter().map(flat).filter(|definition| !definition.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::param::Param;

    fn notebook(tags: &[&[&str]]) -> Notebook {
        let mut notebook = Notebook::new();
        notebook.metadata_object("kernelspec").insert("name".to_owned(), "python3".into());
        notebook.metadata_object("kernelspec").insert("language".to_owned(), "python".into());
        for (index, tags) in tags.iter().enumerate() {
            let mut cell = Cell::code(index.to_string(), "a = 1");
            cell.set_tags(tags);
            notebook.cells.push(cell);
        }
        notebook
    }

    fn given() -> Parameters {
        [("a".to_owned(), Param::Int("2".to_owned()))].into_iter().collect()
    }

    #[test]
    fn values_go_where_papermill_puts_them() {
        let cases: [(&[&[&str]], Placed); 3] = [
            (&[&["parameters"], &["injected-parameters"]], Placed::Replaced(1)),
            (&[&[], &["parameters"], &[]], Placed::AfterDefaults(2)),
            (&[&[]], Placed::First),
        ];
        for (tags, placed) in cases {
            let mut notebook = notebook(tags);
            let done = inject(&mut notebook, &given(), &Injection::default(), "n".to_owned()).unwrap();
            assert_eq!(done, placed);
            let cell = &notebook.cells[notebook.find_tagged(INJECTED_TAG).unwrap()];
            assert_eq!(cell.source(), "# Parameters\na = 2\n");
            assert_eq!(notebook.metadata["papermill"].get("parameters").unwrap().to_compact(), "{\"a\":2}");
        }
    }

    #[test]
    fn a_kernel_must_be_known() {
        let error = inject(&mut Notebook::new(), &given(), &Injection::default(), String::new()).unwrap_err();
        assert_eq!(error, InjectError::NoKernel);
        let how = Injection { kernel: Some("k"), language: Some("brainf"), ..Injection::default() };
        assert!(matches!(
            inject(&mut Notebook::new(), &given(), &how, String::new()).unwrap_err(),
            InjectError::Translate(TranslateError::UnknownLanguage { .. })
        ));
    }

    #[test]
    fn python_defaults_are_described() {
        let source = "# intro\na = 1\nb: List[str] = [\n  'x',  # first\n  'y'\n]  # names\nc = None  # type: int how many\nd = e = 1\nf='#'\n";
        let found = inspect_python(source);
        let rows: Vec<_> = found
            .parameters
            .iter()
            .map(|one| (one.name.as_str(), one.type_name.as_deref(), one.default.as_str(), one.help.as_str()))
            .collect();
        assert_eq!(
            rows,
            [
                ("a", None, "1", ""),
                ("b", Some("List[str]"), "['x','y']", "names"),
                ("c", Some("int"), "None", "how many"),
                ("f", None, "'", "'"),
            ]
        );
        assert_eq!(found.warnings, ["Unable to parse line 8 'd = e = 1'."]);
    }

    #[test]
    fn only_python_is_read() {
        let mut notebook = notebook(&[&["parameters"]]);
        notebook.metadata_object("kernelspec").insert("name".to_owned(), "ir".into());
        let found = inspect(&notebook, None, Some("R")).unwrap();
        assert!(found.parameters.is_empty());
        assert_eq!(found.warnings, ["Translator for 'R' language does not support parameter introspection."]);
    }
}
