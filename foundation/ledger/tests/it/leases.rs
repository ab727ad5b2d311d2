//! Leases with a clock that the test drives.

use std::sync::Arc;
use std::time::Duration;

use backlot_ledger::testing::{ManualClock, on_each_backend};
use backlot_ledger::{Error, Lease, Ledger, Options, Timestamp};

const TTL: Duration = Duration::from_secs(10);

fn with_clock(url: &str) -> (Ledger, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
    let options = Options { clock: Some(clock.clone()), ..Default::default() };
    (Ledger::open_with(url, options).unwrap(), clock)
}

fn acquire(ledger: &Ledger, holder: &'static str) -> Option<Lease> {
    ledger.write_blocking(move |tx| tx.lease_acquire("encoder", holder, TTL)).unwrap()
}

fn check(ledger: &Ledger, token: i64) -> Result<(), Error> {
    ledger.write_blocking(move |tx| tx.lease_check("encoder", token))
}

#[test]
fn tokens_grow_with_every_change_of_hands() {
    on_each_backend("tokens", |url| {
        let (ledger, clock) = with_clock(url);
        assert_eq!(ledger.now(), Timestamp::from_micros(1_000_000));
        let first = acquire(&ledger, "a").unwrap();
        assert_eq!((first.token, first.expires.micros()), (1, 11_000_000));
        assert_eq!(acquire(&ledger, "b"), None);

        clock.advance(Duration::from_secs(5));
        let extended = acquire(&ledger, "a").unwrap();
        assert_eq!(
            (extended.token, extended.expires.micros()),
            (1, 16_000_000),
            "the same hands, the same token"
        );

        clock.advance(TTL);
        assert!(
            matches!(check(&ledger, 1), Err(Error::StaleLease { .. })),
            "held before the instant, not at it"
        );
        assert_eq!(acquire(&ledger, "a").unwrap().token, 2, "reacquired after expiry");
        clock.advance(TTL);
        assert_eq!(acquire(&ledger, "b").unwrap().token, 3);
    });
}

#[test]
fn a_stale_holder_is_refused_and_its_write_with_it() {
    on_each_backend("stale", |url| {
        let (ledger, clock) = with_clock(url);
        let old = acquire(&ledger, "a").unwrap();
        check(&ledger, old.token).unwrap();
        clock.advance(TTL);
        let renewed = ledger.write_blocking({
            let old = old.clone();
            move |tx| tx.lease_renew(&old, TTL)
        });
        assert!(matches!(renewed, Err(Error::StaleLease { .. })), "{renewed:?}");
        let new = acquire(&ledger, "b").unwrap();

        let token = old.token;
        let fenced: Result<(), Error> = ledger.write_blocking(move |tx| {
            tx.execute("UPDATE ledger_leases SET expires_at = expires_at + 1000", &[])?;
            tx.lease_check("encoder", token)
        });
        assert_eq!(
            fenced.unwrap_err().to_string(),
            "lease encoder with token 1 is stale: b holds it with token 2; stop working and acquire it anew"
        );
        let held = ledger.read_blocking(|tx| tx.lease_holder("encoder")).unwrap();
        assert_eq!(held, Some(new));
        assert!(matches!(
            ledger.write_blocking(move |tx| tx.lease_release(&old)),
            Err(Error::StaleLease { .. })
        ));
    });
}

#[test]
fn renewal_extends_and_release_frees() {
    on_each_backend("release", |url| {
        let (ledger, clock) = with_clock(url);
        let lease = acquire(&ledger, "a").unwrap();
        clock.advance(Duration::from_secs(9));
        let renewed = ledger.write_blocking(move |tx| tx.lease_renew(&lease, TTL)).unwrap();
        assert_eq!((renewed.token, renewed.expires.micros()), (1, 20_000_000));
        clock.advance(Duration::from_secs(9));
        check(&ledger, 1).unwrap();
        ledger.write_blocking(move |tx| tx.lease_release(&renewed)).unwrap();
        assert!(check(&ledger, 1).is_err());
        assert_eq!(ledger.read_blocking(|tx| tx.lease_holder("encoder")).unwrap(), None);
        assert_eq!(acquire(&ledger, "a").unwrap().token, 2, "a released lease never gives its token again");
        assert!(check(&ledger, 1).is_err());
        let other = ledger.write_blocking(|tx| tx.lease_check("unheard of", 1)).unwrap_err();
        assert!(other.to_string().contains("nobody holds it now"), "{other}");
    });
}
