//! The audit journal only grows.

use backlot_ledger::testing::{on_each_backend, open};
use backlot_ledger::{ConstraintKind, Error, JournalEntry};
use serde_json::json;

fn entry(subject: &str, after: i64) -> JournalEntry {
    JournalEntry {
        actor: "ada".into(),
        action: "limit.set".into(),
        subject: subject.into(),
        before: None,
        after: Some(json!({"limit": after, "unit": "„Stück“"})),
    }
}

#[test]
fn entries_are_kept_and_cannot_be_changed() {
    on_each_backend("journal", |url| {
        let ledger = open(url);
        ledger
            .write_blocking(|tx| {
                for (subject, after) in [("queue/a", 1), ("queue/b", 2), ("queue/a", 3)] {
                    tx.journal(&entry(subject, after))?;
                }
                Ok::<_, Error>(())
            })
            .unwrap();
        let all = ledger.read_blocking(|tx| tx.journal_after(0, None, 10)).unwrap();
        assert_eq!(
            all.iter().map(|r| r.subject.as_str()).collect::<Vec<_>>(),
            ["queue/a", "queue/b", "queue/a"]
        );
        assert_eq!(all[0].after, entry("queue/a", 1).after);
        assert_eq!(all[0].before, None);
        let one = ledger.read_blocking(|tx| tx.journal_after(0, Some("queue/a"), 10)).unwrap();
        assert_eq!(one.iter().map(|r| r.id).collect::<Vec<_>>(), [all[0].id, all[2].id]);
        let first_id = all[0].id;
        let rest = ledger.read_blocking(move |tx| tx.journal_after(first_id, None, 1)).unwrap();
        assert_eq!(rest, all[1..2]);

        let mut attacks = vec!["UPDATE ledger_journal SET actor = 'eve'", "DELETE FROM ledger_journal"];
        if ledger.backend() == backlot_ledger::Backend::Postgres {
            attacks.push("TRUNCATE ledger_journal");
        }
        for sql in attacks {
            let refused = ledger.write_blocking(move |tx| tx.execute(sql, &[])).unwrap_err();
            let Error::Constraint { kind: ConstraintKind::Trigger, problem } = &refused else {
                panic!("{sql}: {refused}")
            };
            assert!(problem.contains("append-only"), "{problem}");
        }
        assert_eq!(ledger.read_blocking(|tx| tx.journal_after(0, None, 10)).unwrap(), all);
    });
}
