//! The queue of a UDP socket, as the kernel tells it in `/proc/net/udp` and `/proc/net/udp6`.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use crate::self_metrics::Queue;

/// The number by which the kernel lists a socket.
pub(crate) fn inode(socket: BorrowedFd<'_>) -> Option<u64> {
    fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok().map(|metadata| metadata.ino())
}

/// The queue of the socket with this number; nothing if it is not a UDP socket, or there is no such file here.
pub(crate) fn queue(inode: u64) -> Option<Queue> {
    let tables = ["/proc/net/udp", "/proc/net/udp6"];
    tables.iter().find_map(|table| find(&fs::read_to_string(table).ok()?, inode))
}

/// Columns: number, local and remote address, state, `tx:rx` in hexadecimal, `tr:tm`, retransmits, user, timeout, inode,
/// references, pointer, drops.
fn find(table: &str, inode: u64) -> Option<Queue> {
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if columns.get(9)?.parse() != Ok(inode) {
            return None;
        }
        let (_, waiting) = columns.get(4)?.split_once(':')?;
        let waiting = u64::from_str_radix(waiting, 16).ok()?;
        Some(Queue { waiting, dropped: columns.get(12)?.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_table_is_read() {
        let table = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  469: 0100007F:04D2 00000000:0000 07 00000000:00000F00 00:00000000 00000000     0        0 4711 2 0000000000000000 42
  470: 0100007F:1FBD 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 0
";
        assert_eq!(find(table, 4711), Some(Queue { waiting: 0xF00, dropped: 42 }));
        assert_eq!(find(table, 4712), Some(Queue::default()));
        assert_eq!((find(table, 1), find("", 1), find("x\ny", 1)), (None, None, None));
    }

    #[test]
    fn a_socket_of_our_own_is_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let waiting = UdpSocket::bind("127.0.0.1:0").unwrap();
        waiting.send_to(b"c:n:1", socket.local_addr().unwrap()).unwrap();
        let queue = queue(inode(socket.as_fd()).unwrap()).unwrap();
        assert!(queue.waiting > 0 && queue.dropped == 0, "{queue:?}");
    }
}
