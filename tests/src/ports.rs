//! Ports that nobody else takes.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    os::{linux::net::SocketAddrExt, unix::net},
    sync::{
        Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

/// Those that tests' programs listen on. They lie below Linux's ephemeral ports (from 32768, `ip-sysctl`), which any
/// outgoing connection may take at any moment.
const LISTENED: std::ops::Range<u16> = 30_000..32_000;

/// The claims of this process, until it ends.
static CLAIMS: Mutex<Vec<net::UnixListener>> = Mutex::new(Vec::new());

/// A port of this machine that nobody listens on now, on every address, and that no other test is given before this
/// process ends.
///
/// # Panics
/// When none is left.
pub fn free_port() -> u16 {
    let from = std::process::id() as usize % LISTENED.len();
    (LISTENED.skip(from))
        .chain(LISTENED.take(from))
        .find(|port| claimed(*port) && TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok())
        .expect("the machine has a free port")
}

/// Whether `port` is ours from now on. The claim is a socket in the abstract namespace, which, as ports do, belongs to a
/// network namespace, and ends with the process however that ends.
fn claimed(port: u16) -> bool {
    let claim = net::SocketAddr::from_abstract_name(format!("towline-tests/port/{port}"))
        .and_then(|name| net::UnixListener::bind_addr(&name));
    let mut claims = CLAIMS.lock().expect("nobody panics with the claims");
    claim.map(|claim| claims.push(claim)).is_ok()
}

/// A free port on `address`, as `address:port`.
pub fn free_address(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, free_port())
}

/// A port for a container to publish on an engine's own network: tests share an engine, so each process walks through
/// its own stretch below those that programs listen on.
pub fn published_port() -> u16 {
    const FIRST: u16 = 10_000;
    const STRETCH: u16 = 20;
    const STRETCHES: u16 = 1_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let stretch =
        u16::try_from(std::process::id() % u32::from(STRETCHES)).expect("below a thousand");
    FIRST + stretch * STRETCH + NEXT.fetch_add(1, Ordering::Relaxed) % STRETCH
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice_or_is_an_outgoing_connections() {
        let ports: HashSet<u16> = (0..50).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| LISTENED.contains(port)));
        assert!(ports.iter().all(|port| !claimed(*port)));
    }
}
