//! Parameters as source code, in the twelve languages that papermill knows.
//!
//! A language is a table row: how it writes each kind of value, an assignment and a comment. What no row says follows the common
//! rule: numbers as Python writes them, texts in double quotes with Python's `unicode_escape`.

use crate::param::{Key, Param, Parameters};
use crate::python::{float_repr, shell_quote, unicode_escape};

/// Why parameters cannot be written as code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    /// Neither the kernel nor the language is known.
    #[error("No parameter translator functions specified for kernel '{kernel}' or language '{language}'")]
    UnknownLanguage {
        /// The kernel's name.
        kernel: String,
        /// The language's name.
        language: String,
    },
    /// The language has no way to write such a value.
    #[error("{language} has no literal for {what}; pass it as text and parse it in the notebook")]
    NoLiteral {
        /// The language.
        language: &'static str,
        /// The kind of value.
        what: &'static str,
    },
}

/// A language that parameters can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Python, also for Sparkmagic's `pysparkkernel`.
    Python,
    /// R, also for Sparkmagic's `sparkrkernel`.
    R,
    /// Scala, also for Sparkmagic's `sparkkernel`.
    Scala,
    /// Julia.
    Julia,
    /// MATLAB.
    Matlab,
    /// C# of .NET Interactive.
    CSharp,
    /// F# of .NET Interactive.
    FSharp,
    /// PowerShell of .NET Interactive.
    PowerShell,
    /// Bash.
    Bash,
}

/// The names under which kernels and languages are registered.
pub const REGISTERED: [(&str, Language); 12] = [
    ("python", Language::Python),
    ("R", Language::R),
    ("scala", Language::Scala),
    ("julia", Language::Julia),
    ("matlab", Language::Matlab),
    (".net-csharp", Language::CSharp),
    (".net-fsharp", Language::FSharp),
    (".net-powershell", Language::PowerShell),
    ("pysparkkernel", Language::Python),
    ("sparkkernel", Language::Scala),
    ("sparkrkernel", Language::R),
    ("bash", Language::Bash),
];

impl Language {
    /// The language of a registered name.
    pub fn named(name: &str) -> Option<Language> {
        REGISTERED.iter().find(|(known, _)| *known == name).map(|(_, language)| *language)
    }

    /// The language of a notebook: by its kernel's name, else by its language's.
    ///
    /// # Errors
    /// Neither is known.
    pub fn find(kernel: &str, language: &str) -> Result<Language, TranslateError> {
        Language::named(kernel).or_else(|| Language::named(language)).ok_or_else(|| {
            TranslateError::UnknownLanguage { kernel: kernel.to_owned(), language: language.to_owned() }
        })
    }

    fn title(self) -> &'static str {
        match self {
            Language::Python => "Python",
            Language::R => "R",
            Language::Scala => "Scala",
            Language::Julia => "Julia",
            Language::Matlab => "MATLAB",
            Language::CSharp => "C#",
            Language::FSharp => "F#",
            Language::PowerShell => "PowerShell",
            Language::Bash => "Bash",
        }
    }

    /// A comment of one line.
    pub fn comment(self, text: &str) -> String {
        let comment = match self {
            Language::Scala | Language::CSharp => format!("// {text}"),
            Language::Matlab => format!("% {text}"),
            Language::FSharp => format!("(* {text} *)"),
            _ => format!("# {text}"),
        };
        comment.trim().to_owned()
    }

    /// An assignment of an expression to a name.
    pub fn assign(self, name: &str, expression: &str) -> String {
        match self {
            // A name of R cannot begin with an underscore.
            Language::R => format!("{} = {expression}", name.trim_start_matches('_')),
            Language::Scala => format!("val {name} = {expression}"),
            Language::CSharp => format!("var {name} = {expression};"),
            Language::FSharp => format!("let {name} = {expression}"),
            Language::PowerShell => format!("${name} = {expression}"),
            Language::Bash => format!("{name}={expression}"),
            Language::Python | Language::Julia | Language::Matlab => format!("{name} = {expression}"),
        }
    }

    /// A value as an expression.
    ///
    /// # Errors
    /// The language has no literal for it.
    pub fn expression(self, value: &Param) -> Result<String, TranslateError> {
        match value {
            Param::None => self.none(),
            Param::Str(text) => Ok(self.string(text)),
            Param::Bool(value) => Ok(self.bool(*value).to_owned()),
            Param::Int(digits) => Ok(self.int(digits)),
            Param::Float(value) => Ok(self.float(*value)),
            Param::Dict(members) => self.dict(members),
            Param::List(items) => self.list(items),
        }
    }

    /// The source of a parameters cell: a comment, then one assignment to a line.
    ///
    /// # Errors
    /// As [`Language::expression`].
    ///
    /// ```
    /// # use backlot_notebooks_model::{Language, Param, Parameters};
    /// let all: Parameters = [("_n".to_owned(), Param::Bool(true))].into_iter().collect();
    /// assert_eq!(Language::R.code(&all, "Parameters")?, "# Parameters\nn = TRUE\n");
    /// # Ok::<(), backlot_notebooks_model::TranslateError>(())
    /// ```
    pub fn code(self, parameters: &Parameters, comment: &str) -> Result<String, TranslateError> {
        let mut code = self.comment(comment) + "\n";
        let end = if self == Language::Matlab { ";\n" } else { "\n" };
        for (name, value) in parameters.iter() {
            code.push_str(&self.assign(name, &self.expression(value)?));
            code.push_str(end);
        }
        Ok(code)
    }

    fn no_literal(self, what: &'static str) -> TranslateError {
        TranslateError::NoLiteral { language: self.title(), what }
    }

    fn none(self) -> Result<String, TranslateError> {
        let none = match self {
            Language::Python | Language::Scala | Language::FSharp => "None",
            Language::R => "NULL",
            Language::Julia => "nothing",
            Language::Matlab => "NaN",
            Language::PowerShell => "$Null",
            Language::Bash => "",
            Language::CSharp => return Err(self.no_literal("an absent value")),
        };
        Ok(none.to_owned())
    }

    fn bool(self, value: bool) -> &'static str {
        let (yes, no) = match self {
            Language::Python => ("True", "False"),
            Language::R => ("TRUE", "FALSE"),
            Language::PowerShell => ("$True", "$False"),
            _ => ("true", "false"),
        };
        if value { yes } else { no }
    }

    fn int(self, digits: &str) -> String {
        let is_long = digits.parse::<i32>().is_err();
        let has_longs = matches!(self, Language::Scala | Language::CSharp | Language::FSharp);
        if is_long && has_longs { format!("{digits}L") } else { digits.to_owned() }
    }

    fn float(self, value: f64) -> String {
        let named = match self {
            Language::Python => ["float('nan')", "float('inf')", "float('-inf')"],
            Language::PowerShell => {
                ["[double]::NaN", "[double]::PositiveInfinity", "[double]::NegativeInfinity"]
            }
            _ => return float_repr(value),
        };
        match value {
            value if value.is_nan() => named[0].to_owned(),
            f64::INFINITY => named[1].to_owned(),
            f64::NEG_INFINITY => named[2].to_owned(),
            value => float_repr(value),
        }
    }

    fn string(self, text: &str) -> String {
        let quote = match self {
            Language::Bash => return shell_quote(text),
            Language::Matlab => "\"\"",
            Language::PowerShell => "`\"",
            _ => "\\\"",
        };
        format!("\"{}\"", unicode_escape(text).replace('"', quote))
    }

    /// A key in quotes. One that is no text stands in quotes as Python would print it, unescaped.
    fn key(self, key: &Key) -> String {
        match key {
            Key::Str(text) => self.string(text),
            Key::Other(value) => format!("\"{}\"", value.to_text()),
        }
    }

    fn items(self, items: &[Param], separator: &str) -> Result<String, TranslateError> {
        let items: Result<Vec<String>, _> = items.iter().map(|item| self.expression(item)).collect();
        Ok(items?.join(separator))
    }

    fn list(self, items: &[Param]) -> Result<String, TranslateError> {
        let separator = match self {
            Language::FSharp => "; ",
            Language::Bash => " ",
            _ => ", ",
        };
        let items = self.items(items, separator)?;
        Ok(match self {
            Language::Python | Language::Julia => format!("[{items}]"),
            Language::R => format!("list({items})"),
            Language::Scala => format!("Seq({items})"),
            Language::Matlab => format!("{{{items}}}"),
            Language::CSharp => format!("new [] {{ {items} }}"),
            Language::FSharp => format!("[ {items} ]"),
            Language::PowerShell => format!("@({items})"),
            Language::Bash => format!("({items})"),
        })
    }

    fn dict(self, members: &[(Key, Param)]) -> Result<String, TranslateError> {
        let pairs = |write: &dyn Fn(String, String) -> String, separator: &str| {
            let pairs: Result<Vec<String>, TranslateError> = members
                .iter()
                .map(|(key, value)| Ok(write(self.key(key), self.expression(value)?)))
                .collect();
            Ok::<String, TranslateError>(pairs?.join(separator))
        };
        let between = |middle: &'static str, separator: &str| {
            pairs(&|key, value| format!("{key}{middle}{value}"), separator)
        };
        Ok(match self {
            Language::Python => format!("{{{}}}", between(": ", ", ")?),
            Language::R => format!("list({})", between(" = ", ", ")?),
            Language::Scala => format!("Map({})", between(" -> ", ", ")?),
            Language::Julia => format!("Dict({})", between(" => ", ", ")?),
            Language::PowerShell => format!("@{{{}}}", between(" = ", "\n ")?),
            Language::CSharp => {
                let pairs = pairs(&|key, value| format!("{{ {key} , {value} }}"), ", ")?;
                format!("new Dictionary<string,Object>{{ {pairs} }}")
            }
            Language::FSharp => {
                let pairs = pairs(&|key, value| format!("({key}, {value} :> IComparable)"), "; ")?;
                format!("[ {pairs} ] |> Map.ofList")
            }
            Language::Matlab => {
                let array = |key: &Key| match key {
                    Key::Str(text) => format!("'{}'", unicode_escape(text).replace('\'', "''")),
                    Key::Other(value) => format!("'{}'", value.to_text()),
                };
                let keys: Vec<String> = members.iter().map(|(key, _)| array(key)).collect();
                let values: Result<Vec<String>, _> =
                    members.iter().map(|(_, value)| self.expression(value)).collect();
                format!("containers.Map({{{}}}, {{{}}})", keys.join(", "), values?.join(", "))
            }
            Language::Bash => return Err(self.no_literal("a dictionary")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(value: i64) -> Param {
        Param::Int(value.to_string())
    }

    #[test]
    fn every_language_writes_a_list_in_a_dictionary() {
        let value =
            Param::Dict(vec![(Key::Str("k\"".to_owned()), Param::List(vec![int(1), Param::Bool(true)]))]);
        let expected = [
            (Language::Python, r#"{"k\"": [1, True]}"#),
            (Language::R, r#"list("k\"" = list(1, TRUE))"#),
            (Language::Scala, r#"Map("k\"" -> Seq(1, true))"#),
            (Language::Julia, r#"Dict("k\"" => [1, true])"#),
            (Language::Matlab, "containers.Map({'k\"'}, {{1, true}})"),
            (Language::CSharp, r#"new Dictionary<string,Object>{ { "k\"" , new [] { 1, true } } }"#),
            (Language::FSharp, r#"[ ("k\"", [ 1; true ] :> IComparable) ] |> Map.ofList"#),
            (Language::PowerShell, "@{\"k`\"\" = @(1, $True)}"),
        ];
        for (language, code) in expected {
            assert_eq!(language.expression(&value).unwrap(), code);
        }
        let error = Language::Bash.expression(&value).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Bash has no literal for a dictionary; pass it as text and parse it in the notebook"
        );
    }

    #[test]
    fn numbers_beyond_32_bits_are_long_where_that_is_a_type() {
        assert_eq!(Language::Scala.expression(&int(2_147_483_647)).unwrap(), "2147483647");
        assert_eq!(Language::Scala.expression(&int(-2_147_483_649)).unwrap(), "-2147483649L");
        assert_eq!(Language::Julia.expression(&int(2_147_483_648)).unwrap(), "2147483648");
    }

    #[test]
    fn the_kernel_is_asked_before_the_language() {
        assert_eq!(Language::find("sparkkernel", "python"), Ok(Language::Scala));
        assert_eq!(Language::find("python3", "python"), Ok(Language::Python));
        assert_eq!(
            Language::find("unregistered", "lang").unwrap_err().to_string(),
            "No parameter translator functions specified for kernel 'unregistered' or language 'lang'"
        );
    }

    #[test]
    fn a_cell_is_a_comment_and_assignments() {
        let all: Parameters = [("a".to_owned(), Param::None), ("b".to_owned(), int(2))].into_iter().collect();
        assert_eq!(Language::Matlab.code(&all, "Parameters").unwrap(), "% Parameters\na = NaN;\nb = 2;\n");
        assert_eq!(Language::Bash.code(&all, "").unwrap(), "#\na=\nb=2\n");
    }
}
