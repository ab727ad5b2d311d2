//! `token`: what it makes opens doors, until it is revoked.

use crate::support::Lot;

#[test]
fn a_token_opens_its_doors_until_it_is_revoked() {
    let lot = Lot::new();
    let server = lot.up(&["--no-worker"]);
    let runs = "/runs/api/v1/runs";
    assert_eq!(server.get(runs, None).0, 401);
    let made = lot
        .run(&["token", "create", "ci", "--scope", "runs:read", "--expires", "1d", "--output", "json"])
        .ends(0)
        .json();
    let token = made["token"].as_str().unwrap();
    assert_eq!(server.get(runs, Some(token)).0, 200);
    assert_eq!(server.get("/events/api/v1/events", Some(token)).0, 403);
    let listed = lot.run(&["token", "list"]).ends(0).out;
    assert!(listed.contains("ci") && listed.contains("runs:read") && !listed.contains(token), "{listed}");
    lot.run(&["token", "create", "ci", "--scope", "admin"]).ends(2).complains_of(&["\"ci\"", "taken"]);
    lot.run(&["token", "revoke", "ci"]).ends(0);
    assert_eq!(server.get(runs, Some(token)).0, 401);
    lot.run(&["token", "revoke", "ci"]).ends(1).complains_of(&["\"ci\"", "token list"]);
    lot.run(&["token", "create", "x", "--scope", "Runs"]).ends(2).complains_of(&["\"Runs\"", "runs:read"]);
    lot.run(&["token", "create", "x", "--scope", "admin", "--expires", "soon"])
        .ends(2)
        .complains_of(&["\"soon\"", "30d"]);
}
