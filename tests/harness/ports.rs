//! Loopback ports for programs that have to be told one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which the kernel takes ports for outgoing connections: none of those can take a port between here and
/// the start of the program it is for.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A loopback address nobody listens on, never handed out twice in one process.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at the same time begin at different places.
    let offset = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(COUNT)).expect("less than COUNT");
    (0..COUNT)
        .map(|_| {
            let next = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
            SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + (offset + next) % COUNT))
        })
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("one of 12,000 ports is free")
}
