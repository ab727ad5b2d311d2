//! A TCP proxy that makes a server far away: every request waits for the round trip, every new connection for one more (TCP's
//! handshake), every connection has its rate.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is passed on at a time. At 50 MB/s it is 2.6 ms; shorter pieces would make the proxy's waking up the limit on two cores.
const PIECE: usize = 128 << 10;

/// How far away, and how wide.
#[derive(Clone, Copy, Debug)]
pub struct Distance {
    /// What a request waits before it is passed on, and a connection before it is open.
    pub round_trip: Duration,
    /// The bytes that a connection passes back in a second.
    pub rate: f64,
}

/// Passes connections on to a port of this machine, for ever. `passed` counts the bytes that came back.
///
/// # Errors
/// A port that cannot be bound.
pub fn start(upstream: u16, distance: Distance, passed: Arc<AtomicU64>) -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let passed = Arc::clone(&passed);
            std::thread::spawn(move || {
                let Ok(far) = TcpStream::connect(("127.0.0.1", upstream)) else { return };
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let (Ok(near_reader), Ok(far_writer)) = (near.try_clone(), far.try_clone()) else { return };
                let open = Instant::now() + distance.round_trip;
                std::thread::spawn(move || requests(near_reader, far_writer, open, distance.round_trip));
                answers(far, near, distance.rate, &passed);
            });
        }
    });
    Ok(port)
}

/// Passes on what is asked. The near side believes the connection to be open at once; over there it is at `open`.
fn requests(mut near: TcpStream, mut far: TcpStream, open: Instant, wait: Duration) {
    let mut piece = vec![0; PIECE];
    while let Ok(count @ 1..) = near.read(&mut piece) {
        std::thread::sleep(open.saturating_duration_since(Instant::now()) + wait);
        if far.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = far.shutdown(std::net::Shutdown::Write);
}

fn answers(mut far: TcpStream, mut near: TcpStream, rate: f64, passed: &AtomicU64) {
    let mut piece = vec![0; PIECE];
    let mut free = Instant::now();
    while let Ok(count @ 1..) = far.read(&mut piece) {
        // The line is busy with what was passed before; it saves nothing up while it is idle.
        let now = Instant::now();
        free = free.max(now) + Duration::from_secs_f64(count as f64 / rate);
        std::thread::sleep(free.saturating_duration_since(now));
        passed.fetch_add(count as u64, Ordering::Relaxed);
        if near.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = near.shutdown(std::net::Shutdown::Both);
}
