//! Values, parameters, answers and errors of single statements, the same on both backends.

use backlot_ledger::testing::{on_each_backend, open};
use backlot_ledger::{ConstraintKind, Error, Ledger, Migration, Timestamp, Tx, Value, params};

const TABLES: &[Migration] = &[Migration {
    version: 1,
    name: "things",
    sql: "CREATE TABLE things (
              id {identity}, name TEXT NOT NULL UNIQUE, size BIGINT CHECK (size >= 0), ratio DOUBLE PRECISION,
              body BYTEA, parent BIGINT REFERENCES things (id));
          CREATE INDEX things_size ON things (size);",
}];

fn with_things(url: &str) -> Ledger {
    let ledger = open(url);
    ledger.migrate("things", TABLES).unwrap();
    ledger
}

fn write<T: Send + 'static>(
    ledger: &Ledger,
    f: impl FnOnce(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    ledger.write_blocking(f)
}

#[test]
fn values_come_back_as_they_went_in() {
    on_each_backend("values", |url| {
        let ledger = with_things(url);
        let (id, row) = write(&ledger, |tx| {
            let sql = "INSERT INTO things (name, size, ratio, body) VALUES ($1, $2, $3, $4) RETURNING id";
            let id: i64 =
                tx.query_one(sql, params!["ein Däumling 🎬", i64::MAX, 0.1, vec![0u8, 255, 7]])?.get(0)?;
            let row = tx
                .query_one("SELECT name, size, ratio, body, parent FROM things WHERE id = $1", params![id])?;
            Ok((id, row))
        })
        .unwrap();
        assert_eq!(id, 1);
        assert_eq!(
            row.values(),
            params!["ein Däumling 🎬", i64::MAX, 0.1, vec![0u8, 255, 7], Value::from(None::<i64>)]
        );
        assert_eq!(row.get::<Option<i64>>(4).unwrap(), None);
        assert_eq!(row.get::<Timestamp>(1).unwrap().micros(), i64::MAX);
    });
}

#[test]
fn parameters_go_by_number_not_by_order() {
    on_each_backend("numbers", |url| {
        let ledger = open(url);
        let sql = "SELECT CAST($2 AS TEXT), CAST($1 AS TEXT), CAST($2 AS TEXT), '$1', \"a$2\" FROM (SELECT 9 AS \"a$2\") t";
        let row = write(&ledger, move |tx| tx.query_one(sql, params!["first", "second"])).unwrap();
        assert_eq!(row.values(), params!["second", "first", "second", "$1", 9i64]);
    });
}

#[test]
fn sums_and_counts_are_integers() {
    on_each_backend("sums", |url| {
        let ledger = with_things(url);
        let row = write(&ledger, |tx| {
            let rows: Vec<Vec<Value>> = [10_000i64, 0, 123_456_789_012, 40_000_000]
                .iter()
                .map(|n| params![format!("n{n}"), *n].to_vec())
                .collect();
            assert_eq!(tx.execute_many("INSERT INTO things (name, size) VALUES ($1, $2)", &rows)?, 4);
            tx.query_one("SELECT COUNT(*), SUM(size), MAX(size), SUM(CASE WHEN size < 0 THEN 1 ELSE 0 END) FROM things", &[])
        })
        .unwrap();
        assert_eq!(row.values(), params![4i64, 123_496_799_012i64, 123_456_789_012i64, 0i64]);
    });
}

#[test]
fn averages_are_reals() {
    on_each_backend("averages", |url| {
        let ledger = with_things(url);
        let average = write(&ledger, |tx| {
            let rows =
                [params!["a", 1i64].to_vec(), params!["b", 2i64].to_vec(), params!["c", 2i64].to_vec()];
            tx.execute_many("INSERT INTO things (name, size) VALUES ($1, $2)", &rows)?;
            tx.query_one("SELECT AVG(size), AVG(-size) FROM things", &[])
        })
        .unwrap();
        let (mean, negative): (f64, f64) = (average.get(0).unwrap(), average.get(1).unwrap());
        assert!((mean - 5.0 / 3.0).abs() < 1e-12 && (negative + 5.0 / 3.0).abs() < 1e-12, "{average:?}");
    });
}

#[test]
fn affected_rows_are_counted() {
    on_each_backend("affected", |url| {
        let ledger = with_things(url);
        let counts = write(&ledger, |tx| {
            let upsert = "INSERT INTO things (name, size) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
            let first = tx.execute(upsert, params!["a", 1i64])?;
            let again = tx.execute(upsert, params!["a", 1i64])?;
            let returning =
                tx.execute("UPDATE things SET size = 5 WHERE name = $1 RETURNING id", params!["a"])?;
            let none = tx.execute_many(upsert, &[])?;
            let deleted = tx.execute("DELETE FROM things", &[])?;
            Ok([first, again, returning, none, deleted])
        });
        assert_eq!(counts.unwrap(), [1, 0, 1, 0, 1]);
    });
}

#[test]
fn many_rows_keep_their_order_values_and_errors() {
    on_each_backend("many", |url| {
        let ledger = with_things(url);
        // A prime number: whatever is sent together, some rows are left over.
        let row = |n: i64| params![format!("n{n}"), (n % 3 > 0).then_some(n)].to_vec();
        let insert = "INSERT INTO things (name, size) VALUES ($1, $2)";
        let rows: Vec<Vec<Value>> = (0..3001).map(row).collect();
        assert_eq!(write(&ledger, move |tx| tx.execute_many(insert, &rows)).unwrap(), 3001);
        let found = write(&ledger, |tx| tx.query("SELECT name, size FROM things ORDER BY id", &[])).unwrap();
        assert_eq!(
            found.iter().map(|found| found.values().to_vec()).collect::<Vec<_>>(),
            (0..3001).map(row).collect::<Vec<_>>()
        );

        let mut twice: Vec<Vec<Value>> = (5000..5200).map(row).collect();
        twice[150] = row(5010);
        let error = write(&ledger, move |tx| tx.execute_many(insert, &twice)).unwrap_err();
        assert!(matches!(error, Error::Constraint { kind: ConstraintKind::Unique, .. }), "{error}");
        let mut odd: Vec<Vec<Value>> = (6000..6200).map(row).collect();
        odd[100].pop();
        let error = write(&ledger, move |tx| tx.execute_many(insert, &odd)).unwrap_err();
        assert!(matches!(error, Error::Parameter { .. }), "{error}");
        let count = write(&ledger, |tx| tx.query_one("SELECT COUNT(*) FROM things", &[])).unwrap();
        assert_eq!(count.get::<i64>(0).unwrap(), 3001);
    });
}

#[test]
fn constraints_are_told_apart() {
    on_each_backend("constraints", |url| {
        let ledger = with_things(url);
        write(&ledger, |tx| tx.execute("INSERT INTO things (name) VALUES ('a')", &[])).unwrap();
        for (sql, expected) in [
            ("INSERT INTO things (name) VALUES ('a')", ConstraintKind::Unique),
            ("INSERT INTO things (id, name) VALUES (1, 'b')", ConstraintKind::Unique),
            ("INSERT INTO things (name) VALUES (NULL)", ConstraintKind::NotNull),
            ("INSERT INTO things (name, size) VALUES ('c', -1)", ConstraintKind::Check),
            ("INSERT INTO things (name, parent) VALUES ('d', 99)", ConstraintKind::ForeignKey),
        ] {
            let error = write(&ledger, |tx| tx.execute(sql, &[])).unwrap_err();
            let Error::Constraint { kind, .. } = &error else { panic!("{sql}: {error}") };
            assert_eq!(*kind, expected, "{sql}");
            assert_eq!(error.is_unique_violation(), expected == ConstraintKind::Unique);
        }
        let count =
            ledger.read_blocking(|tx| tx.query_one("SELECT COUNT(*) FROM things", &[])?.get::<i64>(0));
        assert_eq!(count.unwrap(), 1);
    });
}

#[test]
fn misuse_is_a_clear_error() {
    on_each_backend("misuse", |url| {
        let ledger = with_things(url);
        for (sql, values, expected) in [
            ("SELEKT 1", params![].to_vec(), "sql error:"),
            (
                "SELECT size FROM things WHERE id = $1",
                params![].to_vec(),
                "parameter count is 0, the statement has 1",
            ),
            ("SELECT size FROM things WHERE id = $1", params![1i64, 2i64].to_vec(), "parameter count is 2"),
            ("COMMIT", params![].to_vec(), "transaction control is the ledger's own"),
            (" savepoint x", params![].to_vec(), "transaction control is the ledger's own"),
            ("SELECT 1; SELECT 2", params![].to_vec(), "sql error:"),
        ] {
            let error = write(&ledger, move |tx| tx.query(sql, &values)).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{sql}: {error}");
            assert!(!error.contains('\n'), "{error:?}");
        }
        let none = write(&ledger, |tx| tx.query_one("SELECT 1 FROM things", &[])).unwrap_err().to_string();
        assert_eq!(none, "expected one row, found 0 rows for: SELECT 1 FROM things");
        let many =
            write(&ledger, |tx| tx.query_opt("SELECT 1 UNION ALL SELECT 2", &[])).unwrap_err().to_string();
        assert_eq!(many, "expected at most one row, found 2 rows for: SELECT 1 UNION ALL SELECT 2");
        let written = ledger.read_blocking(|tx| tx.execute("DELETE FROM things", &[])).unwrap_err();
        assert!(matches!(written, Error::ReadOnly { .. }), "{written}");
        let made = ledger.read_blocking(|tx| tx.execute("CREATE TABLE t (a BIGINT)", &[])).unwrap_err();
        assert!(matches!(made, Error::ReadOnly { .. }), "{made}");
    });
}

#[test]
fn a_failed_statement_voids_its_transaction() {
    on_each_backend("void", |url| {
        let ledger = with_things(url);
        let swallowed = write(&ledger, |tx| {
            tx.execute("INSERT INTO things (name) VALUES ('kept?')", &[])?;
            let _ = tx.execute("INSERT INTO things (name) VALUES (NULL)", &[]);
            let next = tx.query("SELECT 1", &[]).unwrap_err();
            assert!(matches!(next, Error::Aborted { .. }), "{next}");
            Ok(())
        });
        assert!(matches!(swallowed, Err(Error::Aborted { .. } | Error::Constraint { .. })), "{swallowed:?}");
        let count =
            ledger.read_blocking(|tx| tx.query_one("SELECT COUNT(*) FROM things", &[])?.get::<i64>(0));
        assert_eq!(count.unwrap(), 0);
    });
}

#[test]
fn attempts_undo_only_themselves() {
    on_each_backend("attempts", |url| {
        let ledger = with_things(url);
        write(&ledger, |tx| {
            tx.execute("INSERT INTO things (name) VALUES ('a')", &[])?;
            let refused = tx.attempt(|tx| {
                tx.execute("INSERT INTO things (name) VALUES ('b')", &[])?;
                tx.attempt(|tx| tx.execute("INSERT INTO things (name) VALUES ('c')", &[]))?;
                tx.execute("INSERT INTO things (name) VALUES ('a')", &[])
            });
            assert!(refused.unwrap_err().is_unique_violation());
            let kept = tx.attempt(|tx| tx.execute("INSERT INTO things (name) VALUES ('d')", &[]))?;
            assert_eq!(kept, 1);
            Ok(())
        })
        .unwrap();
        let names: Vec<String> = ledger
            .read_blocking(|tx| {
                tx.query("SELECT name FROM things ORDER BY name", &[])?
                    .iter()
                    .map(|row| row.get(0))
                    .collect::<Result<_, Error>>()
            })
            .unwrap();
        assert_eq!(names, ["a", "d"]);
    });
}

#[test]
fn urls_are_checked() {
    for (url, expected) in [
        ("mysql://x/y", "the scheme is unknown"),
        ("sqlite://relative.db", "the path is not absolute"),
        ("sqlite:///tmp/", "names a directory"),
        ("postgres://u:hidden@h", "names no database"),
        ("postgres://u:hidden@h/d?sslmode=perhaps", "sslmode=perhaps is unknown"),
        ("postgres://u:hidden@h/d?nonsense=1", "nonsense"),
        ("sqlite:///no/such/directory/l.db", "the directory /no/such/directory does not exist; create it"),
        ("postgres://u:hidden@127.0.0.1:1/d", "cannot be reached"),
    ] {
        let error = Ledger::open(url).err().unwrap().to_string();
        assert!(error.contains(expected), "{url}: {error}");
        assert!(!error.contains("hidden"), "{error}");
    }
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    std::fs::write(&path, "certainly not a database, but long enough to have a header ".repeat(100)).unwrap();
    let error = Ledger::open(&format!("sqlite://{}", path.display())).err().unwrap();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}
