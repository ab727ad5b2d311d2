//! TLS to a PostgreSQL server with a certificate of a private authority, made here with `openssl`.

use std::path::Path;
use std::process::Command;

use backlot_ledger::testing::{Postgres, skip};
use backlot_ledger::{Error, Ledger};

/// Runs `openssl` in `directory`; false when it is not installed.
fn openssl(directory: &Path, arguments: &str) -> bool {
    let run = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output();
    let Ok(output) = run else { return false };
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    true
}

/// An authority (`ca.pem`) and a server certificate for `address`, readable by the server's account.
fn make_certificates(directory: &Path, address: &str) -> bool {
    std::fs::write(
        directory.join("san"),
        format!("subjectAltName=IP:{address}\nbasicConstraints=CA:FALSE\n"),
    )
    .unwrap();
    let made = openssl(
        directory,
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
    ) && openssl(
        directory,
        "req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr",
    ) && openssl(
        directory,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.pem",
    ) && openssl(
        directory,
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other -keyout other.key -out other.pem",
    );
    if made {
        // PostgreSQL wants to own its key; where the test is not root, it does.
        let _ = Command::new("chown").arg("-R").arg("postgres").arg(directory).output();
    }
    made
}

#[test]
fn ssl_modes_do_what_they_say() {
    let Some(server) = Postgres::start() else { return };
    // A loopback address of its own, so that the usual port is free there.
    let address = format!("127.{}.{}.{}", fastrand::u8(1..255), fastrand::u8(..), fastrand::u8(1..255));
    let directory = tempfile::tempdir().unwrap();
    if !make_certificates(directory.path(), &address) {
        skip("openssl was not found", "apt-get install openssl");
        return;
    }
    let path = directory.path().display();
    let database = server.url("tls").rsplit_once('/').unwrap().1.to_owned();
    let url = |parameters: &str| format!("postgres://backlot@{address}/{database}?{parameters}");
    let is_encrypted = |parameters: &str| {
        let ledger = Ledger::open(&url(parameters))?;
        ledger.write_blocking(|tx| {
            let row = tx.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[])?;
            row.get::<bool>(0)
        })
    };
    let refused = |parameters: &str| is_encrypted(parameters).unwrap_err().to_string();

    server.sql(&format!("ALTER SYSTEM SET listen_addresses = '{address}'")).unwrap();
    restart(&server);
    assert!(!is_encrypted("sslmode=prefer").unwrap(), "a server without TLS");
    assert!(refused("sslmode=require").contains("does not support TLS"), "{}", refused("sslmode=require"));

    server.sql(&format!("ALTER SYSTEM SET ssl_cert_file = '{path}/server.pem'")).unwrap();
    server.sql(&format!("ALTER SYSTEM SET ssl_key_file = '{path}/server.key'")).unwrap();
    server.sql("ALTER SYSTEM SET ssl = on").unwrap();
    restart(&server);
    assert!(!is_encrypted("sslmode=disable").unwrap());
    assert!(is_encrypted("").unwrap(), "prefer is the default");
    assert!(is_encrypted("sslmode=require").unwrap());
    assert!(is_encrypted(&format!("sslmode=verify-full&sslrootcert={path}/ca.pem")).unwrap());
    let unknown = refused("sslmode=verify-full");
    assert!(
        unknown.contains("invalid peer certificate") || unknown.contains("no CA certificates"),
        "{unknown}"
    );
    for mode in ["verify-full", "require"] {
        let wrong = refused(&format!("sslmode={mode}&sslrootcert={path}/other.pem"));
        assert!(wrong.contains("invalid peer certificate"), "{wrong}");
    }
    let missing = refused("sslmode=verify-full&sslrootcert=/no/such/file.pem");
    assert!(missing.contains("sslrootcert /no/such/file.pem"), "{missing}");
    let other_name =
        url(&format!("sslmode=verify-full&sslrootcert={path}/ca.pem")).replace(&address, "127.0.0.254");
    let elsewhere = Ledger::open(&other_name).err();
    assert!(matches!(elsewhere, Some(Error::Unavailable { .. })), "nothing listens there: {elsewhere:?}");
}

fn restart(server: &Postgres) {
    server.stop().unwrap();
    server.start_again().unwrap();
}
