//! The model against its own promises, on notebooks made by chance.

use backlot_notebooks_model::json::{self, Value};
use backlot_notebooks_model::{Notebook, Param, cell_id, diff, python, yaml};
use proptest::prelude::*;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((".*", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn json_that_is_written_reads_back(value in value()) {
        let text = value.to_compact();
        prop_assert_eq!(json::parse(&text).unwrap().to_compact(), text);
        let mut sorted = String::new();
        value.write_sorted(0, &mut sorted);
        let mut again = String::new();
        json::parse(&sorted).unwrap().write_sorted(0, &mut again);
        prop_assert_eq!(sorted, again);
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in ".*") {
        let _ = json::parse(&text);
        let _ = yaml::parse(&text);
        let _ = Notebook::read_as_is(text.as_bytes());
        let _ = Param::from_word(&text);
    }

    #[test]
    fn floats_read_back(value in any::<f64>()) {
        let text = python::float_repr(value);
        prop_assert_eq!(python::parse_float(&text).unwrap().to_bits() << 1, value.to_bits() << 1, "{}", text);
    }

    #[test]
    fn lines_are_the_text(text in "[a-z\r\n\u{b}\u{2028}]*") {
        prop_assert_eq!(python::split_lines(&text).concat(), text);
    }

    #[test]
    fn a_notebook_is_written_to_the_same_bytes(sources in prop::collection::vec(".*", 0..8), output in value()) {
        let mut next = 0;
        let mut notebook = Notebook::new();
        for (index, source) in sources.iter().enumerate() {
            let mut cell = backlot_notebooks_model::Cell::code(cell_id(index as u32), source);
            cell.metadata_mut().insert("kept".to_owned(), output.clone());
            notebook.cells.push(cell);
        }
        let text = notebook.to_text();
        let mut new_id = || { next += 1; cell_id(1000 + next) };
        let again = Notebook::read(text.as_bytes(), &mut new_id).unwrap();
        prop_assert_eq!(again.to_text(), text);
        prop_assert!(diff::diff(&notebook, &again).is_empty());
    }

    #[test]
    fn line_diffs_hold_both_texts(old in "([ab]\n){0,12}", new in "([ab]\n){0,12}") {
        let lines = diff::lines(&old, &new);
        let side = |is_old: bool| lines.iter().filter_map(|line| match line {
            diff::Line::Same(text) => Some(*text),
            diff::Line::Old(text) => is_old.then_some(*text),
            diff::Line::New(text) => (!is_old).then_some(*text),
        }).flat_map(|line| [line, "\n"]).collect::<String>();
        prop_assert_eq!(side(true), old.clone());
        prop_assert_eq!(side(false), new.clone());
    }
}
