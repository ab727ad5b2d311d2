//! The environment that judges us is the one that is pinned.

use backlot_conformance::{Environment, Error, Pin};

/// The environment, or a loud skip; where everything is required, a failure.
fn environment() -> Option<Environment> {
    Environment::find()
        .map_err(|missing| {
            let message = format!("skipped: {missing}");
            assert!(std::env::var_os("BACKLOT_REQUIRE_ALL").is_none_or(|all| all != "1"), "{message}");
            eprintln!("{message}");
        })
        .ok()
}

#[test]
fn the_judges_are_the_pinned_ones() {
    let Some(environment) = environment() else { return };
    let mut pins = Pin::parse(include_str!("../../requirements.txt"));
    pins.extend(Pin::parse(include_str!("../../requirements-data.txt")));
    assert!(pins.len() > 5, "{pins:?}");
    let installed = environment.versions(&pins).unwrap();
    for pin in &pins {
        let found = installed[&pin.package].as_deref().unwrap_or("nothing");
        assert_eq!(found, pin.version, "{} of the environment; run `cargo xtask setup`", pin.package);
    }
}

#[test]
fn a_package_that_is_not_there_has_no_version() {
    let Some(environment) = environment() else { return };
    let pin = Pin { package: "no-such-package-of-backlot".to_owned(), version: "1".to_owned() };
    assert_eq!(environment.versions(&[pin]).unwrap()["no-such-package-of-backlot"], None);
}

#[test]
fn a_missing_environment_names_the_mend() {
    let error = Environment::at("no/such/folder".into()).unwrap_err();
    assert!(matches!(error, Error::NoEnvironment(_)));
    assert_eq!(error.to_string(), "no Python environment at no/such/folder; run `cargo xtask setup`");
}

#[test]
fn pins_are_read() {
    let pins = Pin::parse("# comment==1\n\nmoto[server]==5.2.5 # judge\nx==1.0 --hash=sha256:00\nloose>=2\n");
    let read: Vec<_> = pins.iter().map(|pin| (pin.package.as_str(), pin.version.as_str())).collect();
    assert_eq!(read, [("moto", "5.2.5"), ("x", "1.0")]);
}
