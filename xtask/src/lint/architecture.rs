//! Who may depend on whom, by the folder a crate lives in.
//!
//! | in | may depend on |
//! |---|---|
//! | `foundation/` | the foundation |
//! | `departments/X/` | the foundation, the clients, crates of X |
//! | `clients/` | the foundation, the clients, crates of one department |
//! | `backlot/`, `benches/`, `conformance/`, `xtask/` | everything |
//!
//! Dependencies of tests and build scripts count like any other: a neighbour imported in a test is still imported.

use std::collections::{BTreeMap, BTreeSet};

use super::packages::Package;

/// The part of the house that a crate belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Foundation,
    Department(String),
    Client,
    /// Composes the others.
    Top,
}

impl Place {
    fn of(folder: &str) -> Option<Place> {
        let parts: Vec<&str> = folder.split('/').collect();
        match parts[..] {
            ["foundation", _] => Some(Place::Foundation),
            ["departments", name] | ["departments", name, _] => Some(Place::Department(name.to_owned())),
            ["clients", _] => Some(Place::Client),
            ["backlot" | "benches" | "conformance" | "fuzz" | "xtask"] => Some(Place::Top),
            _ => None,
        }
    }
}

/// A line for each rule that the members of the workspace break.
pub(crate) fn problems(members: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut places = BTreeMap::new();
    for member in members {
        problems.extend(misnamed(member));
        match Place::of(&member.folder) {
            Some(place) => {
                places.insert(member.name.as_str(), place);
            }
            None => problems.push(format!(
                "{} lies in {}, which is no part of the house; move it to foundation/NAME, departments/NAME or clients/NAME",
                member.name, member.folder
            )),
        }
    }
    for member in members {
        let Some(place) = places.get(member.name.as_str()) else { continue };
        let mut departments = BTreeSet::new();
        for dependency in &member.local_dependencies {
            let Some(other) = places.get(dependency.as_str()) else { continue };
            let name = &member.name;
            problems
                .extend(forbidden(place, other).map(|why| format!("{name} depends on {dependency}: {why}")));
            if let Place::Department(department) = other {
                departments.insert(department.as_str());
            }
        }
        if *place == Place::Client && departments.len() > 1 {
            let departments: Vec<&str> = departments.into_iter().collect();
            problems.push(format!(
                "{} depends on the departments {}: only backlot, benches, conformance and xtask may name several; talk to their doors",
                member.name,
                departments.join(" and ")
            ));
        }
    }
    problems
}

/// Why a crate at `from` may not depend on one at `to`, with the mend.
fn forbidden(from: &Place, to: &Place) -> Option<String> {
    let top = "the crates at the top compose the house, nothing builds on them; move what is shared down to foundation/";
    match (from, to) {
        (Place::Top, _) | (_, Place::Foundation) => None,
        (_, Place::Top) => Some(top.to_owned()),
        (Place::Foundation, Place::Department(name)) => Some(format!(
            "the foundation knows no department; define a trait in the foundation, implement it in departments/{name}, wire both in backlot/"
        )),
        (Place::Foundation, Place::Client) => {
            Some("a client stands outside the house; move what is shared down to foundation/".to_owned())
        }
        (Place::Department(own), Place::Department(other)) if own != other => Some(format!(
            "departments/{own} may not import departments/{other}; meet through events, work, the store or a foundation trait"
        )),
        (Place::Department(_) | Place::Client, Place::Department(_) | Place::Client) => None,
    }
}

/// A crate is named for its folder, where that alone says too little (`kernels`) for its department and its folder. The clients' folders
/// are named for their language instead.
fn misnamed(member: &Package) -> Option<String> {
    let folder = member.folder.rsplit('/').next().unwrap_or_default();
    let parts: Vec<&str> = member.folder.split('/').collect();
    let is_right = member.name == folder
        || member.name.strip_prefix("backlot-") == Some(folder)
        || matches!(parts[..], ["departments", department, _] if member.name == format!("backlot-{department}-{folder}"))
        || Place::of(&member.folder) == Some(Place::Client);
    (!is_right).then(|| {
        format!("{} lies in {}; call it backlot-{folder}, or rename the folder", member.name, member.folder)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(folder: &str, local_dependencies: &[&str]) -> Package {
        let last = folder.rsplit('/').next().unwrap();
        Package {
            name: if folder == "backlot" { "backlot".to_owned() } else { format!("backlot-{last}") },
            version: "0.1.0".to_owned(),
            folder: folder.to_owned(),
            licence: None,
            local_dependencies: local_dependencies.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    /// A house in which `changed` replaces the member in the same folder, or is added.
    fn house(changed: Package) -> Vec<String> {
        let mut members = vec![
            member("foundation/store", &[]),
            member("foundation/work", &["backlot-store"]),
            member("departments/media", &["backlot-work", "backlot-frames", "backlot-rust"]),
            member("departments/media/frames", &[]),
            member("departments/runs", &["backlot-work"]),
            member("clients/rust", &[]),
            member("clients/python", &["backlot-rust", "backlot-frames", "backlot-media"]),
            member("backlot", &["backlot-media", "backlot-runs", "backlot-work"]),
            member("benches", &["backlot-media", "backlot-runs", "backlot"]),
        ];
        members.retain(|member| member.folder != changed.folder);
        members.push(changed);
        problems(&members)
    }

    #[test]
    fn the_house_as_drawn_is_sound() {
        assert_eq!(house(member("xtask", &[])), Vec::<String>::new());
    }

    #[test]
    fn each_wall_holds() {
        let walls = [
            ("foundation/work", "backlot-media", "the foundation knows no department"),
            ("foundation/work", "backlot-frames", "implement it in departments/media"),
            ("foundation/work", "backlot-rust", "a client stands outside"),
            ("foundation/work", "backlot", "nothing builds on them"),
            ("departments/runs", "backlot-media", "departments/runs may not import departments/media"),
            ("departments/runs", "backlot-frames", "departments/runs may not import departments/media"),
            ("departments/media/frames", "backlot-runs", "departments/media may not import departments/runs"),
            ("departments/media", "backlot-benches", "nothing builds on them"),
            ("clients/python", "backlot", "nothing builds on them"),
        ];
        for (folder, dependency, why) in walls {
            let found = house(member(folder, &[dependency]));
            assert_eq!(found.len(), 1, "{folder} on {dependency}: {found:?}");
            assert!(found[0].contains(why) && found[0].contains(dependency), "{found:?}");
        }
    }

    #[test]
    fn a_client_names_one_department() {
        let found = house(member("clients/python", &["backlot-media", "backlot-frames", "backlot-runs"]));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("media and runs"), "{found:?}");
    }

    #[test]
    fn a_crate_has_a_place_and_its_name() {
        let found = house(member("helpers/strings", &[]));
        assert!(found.len() == 1 && found[0].contains("no part of the house"), "{found:?}");
        let mut odd = member("foundation/series", &[]);
        odd.name = "backlot-timeseries".to_owned();
        let found = house(odd);
        assert!(found.len() == 1 && found[0].contains("call it backlot-series"), "{found:?}");
    }
}
