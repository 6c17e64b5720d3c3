//! The names and addresses of this host, as its files and the kernel tell them.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use towline_pki::docker::HostName;

/// Interfaces of the engine's own networks, which come and go with projects and nobody reaches from outside.
const OF_ENGINES: [&str; 3] = ["docker", "br-", "veth"];
/// A link-local address means nothing without its interface, and no certificate can name that.
const LINK_SCOPE: &str = "20";

/// The name of the host and its longer ones, `localhost`, and all addresses but those of the engine's networks.
pub fn find() -> Vec<HostName> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut found = names(&read("/proc/sys/kernel/hostname"), &read("/etc/hosts"));
    let four = local_addresses(&read("/proc/net/fib_trie"), &read("/proc/net/route"));
    found.extend(four.into_iter().map(|address| HostName::Ip(address.into())));
    let six = addresses_of_version_6(&read("/proc/net/if_inet6"));
    found.extend(six.into_iter().map(|address| HostName::Ip(address.into())));
    found
}

fn names(hostname: &str, hosts: &str) -> Vec<HostName> {
    let own = hostname.trim();
    let mut found = vec![own];
    for line in hosts.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let names: Vec<&str> = line.split_whitespace().skip(1).collect();
        if names.contains(&own) {
            found.extend(names);
        }
    }
    found.push("localhost");
    // A name that no certificate can bear is none that a client could check.
    let read = found.into_iter().filter_map(|name| name.parse().ok());
    read.collect()
}

/// From the kernel's table: an address of this host stands above `/32 host LOCAL`.
fn local_addresses(table: &str, routes: &str) -> BTreeSet<Ipv4Addr> {
    let networks = networks_of_engines(routes);
    let lines: Vec<&str> = table.lines().map(str::trim).collect();
    let pairs = lines.windows(2);
    let local = pairs.filter(|pair| pair[1] == "/32 host LOCAL");
    let addresses = local.filter_map(|pair| pair[0].strip_prefix("|-- ")?.parse().ok());
    let outside = |address: &Ipv4Addr| {
        let bits = address.to_bits();
        !networks
            .iter()
            .any(|(network, mask)| bits & mask == *network)
    };
    addresses.filter(outside).collect()
}

/// Network and mask of each route over an interface of an engine.
fn networks_of_engines(routes: &str) -> Vec<(u32, u32)> {
    let of_engine = |line: &&str| OF_ENGINES.iter().any(|name| line.starts_with(name));
    let lines = routes.lines().skip(1).filter(of_engine);
    let networks = lines.filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let bits = |at: usize| {
            let word = u32::from_str_radix(words.get(at)?, 16).ok()?;
            // The kernel prints the bytes of the network's order as a number of the machine's.
            Some(u32::from_be_bytes(word.to_ne_bytes()))
        };
        Some((bits(1)?, bits(7)?))
    });
    networks.filter(|(_, mask)| *mask != 0).collect()
}

fn addresses_of_version_6(table: &str) -> BTreeSet<Ipv6Addr> {
    let lines = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[address, _, _, scope, _, interface] = words.as_slice() else {
            return None;
        };
        let wanted =
            scope != LINK_SCOPE && !OF_ENGINES.iter().any(|name| interface.starts_with(name));
        let bits = u128::from_str_radix(address, 16).ok()?;
        wanted.then(|| Ipv6Addr::from_bits(bits))
    });
    lines.collect()
}

/// Where this host is reached when something listens on all addresses.
pub fn reachable(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(four) if four.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(six) if six.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn written(names: &[HostName]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_come_from_the_hosts_file() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1\tbuild-1.example.org build-1 # own\n10.0.0.9 other build-1.not\n";
        assert_eq!(
            written(&names("build-1\n", hosts)),
            ["build-1", "build-1.example.org", "build-1", "localhost"]
        );
        assert_eq!(written(&names("bad name\n", hosts)), ["localhost"]);
    }

    #[test]
    fn addresses_come_from_the_kernel_without_the_engines_own() {
        let table = "Main:\n  |-- 127.0.0.0\n     /8 host LOCAL\n  |-- 127.0.0.1\n     /32 host LOCAL\n  |-- 192.0.2.2\n     /32 host LOCAL\n  |-- 172.17.0.1\n     /32 host LOCAL\n  |-- 192.0.2.255\n     /32 link BROADCAST\n";
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\ndocker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\n";
        let found: Vec<String> = local_addresses(table, routes)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["127.0.0.1", "192.0.2.2"]);
        let table = "00000000000000000000000000000001 01 80 10 80 lo\nfe8000000000000000fc00fffe000001 04 40 20 80 eth0\nfd000000000000000000000000000002 04 40 00 82 eth0\nfd010000000000000000000000000001 05 40 00 82 br-12\n";
        let found: Vec<String> = addresses_of_version_6(table)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["::1", "fd00::2"]);
        assert!(find().contains(&"127.0.0.1".parse().unwrap()));
    }
}
