//! Every input that fuzzing kept, again.

use std::collections::BTreeSet;

use backlot_fuzz::{TARGETS, corpus, target};

#[test]
fn every_kept_input_is_survived() {
    for target in TARGETS {
        let file = corpus::file(target.name);
        let text =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let inputs = corpus::read(&text).unwrap();
        assert!(!inputs.is_empty(), "{} keeps no input", file.display());
        for input in inputs {
            target.run(&input);
        }
    }
}

#[test]
fn a_corpus_is_kept_shortest_first_and_within_its_limits() {
    let inputs = BTreeSet::from([vec![7; 3], vec![1], vec![9; corpus::LONGEST_INPUT + 1], vec![]]);
    let text = corpus::write(inputs);
    assert_eq!(corpus::read(&text).unwrap(), [vec![], vec![1], vec![7, 7, 7]]);
    let folder = tempfile::tempdir().unwrap();
    corpus::unpack(&corpus::read(&text).unwrap(), folder.path()).unwrap();
    assert_eq!(corpus::pack(folder.path()).unwrap().len(), 3);
}

#[test]
fn an_unknown_target_is_named() {
    assert_eq!(target("y4n").unwrap_err().to_string(), "no fuzz target `y4n`; `cargo xtask fuzz` lists them");
}
