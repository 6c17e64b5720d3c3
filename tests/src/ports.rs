//! Free ports.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port of this machine that nobody listens on now, on every address.
pub fn free_port() -> u16 {
    let listener =
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("the machine has a free port");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// A free port on `address`, as `address:port`.
pub fn free_address(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, free_port())
}

/// A port for a container to publish on an engine's own network: tests share an engine, so each process walks through
/// its own stretch below the ephemeral ports.
pub fn published_port() -> u16 {
    const FIRST: u16 = 10_000;
    const STRETCH: u16 = 20;
    const STRETCHES: u16 = 1_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let stretch =
        u16::try_from(std::process::id() % u32::from(STRETCHES)).expect("below a thousand");
    FIRST + stretch * STRETCH + NEXT.fetch_add(1, Ordering::Relaxed) % STRETCH
}
