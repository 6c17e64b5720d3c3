//! Which addresses may be called: those of the internet, and those of networks that are allowed after all.
//!
//! For IPv4 what may not be called is listed (IANA's registry of special-purpose addresses); for IPv6 what may is one
//! network, less what is listed. An IPv6 address that carries an IPv4 address is judged by that one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::network::Network;

/// An address that may not be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} may not be called: it is {why}")]
pub struct Refused {
    /// The address.
    pub address: IpAddr,
    /// What it is.
    pub why: Why,
}

/// Why an address may not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// This machine.
    Loopback,
    /// No machine at all, or this one.
    Unspecified,
    /// A network that is not part of the internet.
    Private,
    /// Between a provider and its customers.
    Shared,
    /// The same wire.
    LinkLocal,
    /// Where a cloud tells its machines their secrets.
    Metadata,
    /// Many machines.
    Multicast,
    /// For documents.
    Documentation,
    /// For measurements.
    Benchmark,
    /// For purposes of its own, or for none yet.
    Reserved,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::Unspecified => "an unspecified address",
            Self::Private => "a private address",
            Self::Shared => "an address of a provider's own network",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "an address of cloud metadata",
            Self::Multicast => "a multicast address",
            Self::Documentation => "an address for documentation",
            Self::Benchmark => "an address for benchmarks",
            Self::Reserved => "a reserved address",
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(first: [u16; 4], prefix: u8) -> Ipv6Net {
    let [a, b, c, d] = first;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

/// The first that fits tells why.
const REFUSED_V4: [(Ipv4Net, Why); 19] = [
    (v4(169, 254, 169, 254, 32), Why::Metadata),
    (v4(100, 100, 100, 200, 32), Why::Metadata),
    (v4(168, 63, 129, 16, 32), Why::Metadata),
    (v4(192, 0, 0, 192, 32), Why::Metadata),
    (v4(0, 0, 0, 0, 8), Why::Unspecified),
    (v4(10, 0, 0, 0, 8), Why::Private),
    (v4(100, 64, 0, 0, 10), Why::Shared),
    (v4(127, 0, 0, 0, 8), Why::Loopback),
    (v4(169, 254, 0, 0, 16), Why::LinkLocal),
    (v4(172, 16, 0, 0, 12), Why::Private),
    (v4(192, 0, 0, 0, 24), Why::Reserved),
    (v4(192, 0, 2, 0, 24), Why::Documentation),
    (v4(192, 88, 99, 0, 24), Why::Reserved),
    (v4(192, 168, 0, 0, 16), Why::Private),
    (v4(198, 18, 0, 0, 15), Why::Benchmark),
    (v4(198, 51, 100, 0, 24), Why::Documentation),
    (v4(203, 0, 113, 0, 24), Why::Documentation),
    (v4(224, 0, 0, 0, 4), Why::Multicast),
    (v4(240, 0, 0, 0, 4), Why::Reserved),
];

/// All global unicast addresses. What is not among them is refused.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0], 3);

const REFUSED_V6: [(Ipv6Net, Why); 11] = [
    (v6([0xfd00, 0x0ec2, 0, 0], 32), Why::Metadata),
    (v6([0xfc00, 0, 0, 0], 7), Why::Private),
    (v6([0xfe80, 0, 0, 0], 10), Why::LinkLocal),
    (v6([0xfec0, 0, 0, 0], 10), Why::Private),
    (v6([0xff00, 0, 0, 0], 8), Why::Multicast),
    // NAT64 of a network's own.
    (v6([0x0064, 0xff9b, 1, 0], 48), Why::Private),
    (v6([0x2001, 2, 0, 0], 48), Why::Benchmark),
    (v6([0x2001, 0x0db8, 0, 0], 32), Why::Documentation),
    (v6([0x3fff, 0, 0, 0], 20), Why::Documentation),
    // Protocols of the IETF, Teredo among them.
    (v6([0x2001, 0, 0, 0], 23), Why::Reserved),
    // The former test network.
    (v6([0x3ffe, 0, 0, 0], 16), Why::Reserved),
];

/// Refuses an address that may not be called.
pub fn judge(allow: &[Network], address: IpAddr) -> Result<(), Refused> {
    let reached = reached(address);
    let is_allowed = |network: &Network| network.contains(address) || network.contains(reached);
    if allow.iter().any(is_allowed) {
        return Ok(());
    }
    match why(reached) {
        None => Ok(()),
        Some(why) => Err(Refused { address, why }),
    }
}

/// The IPv4 address that an IPv6 address leads to (mapped, NAT64, 6to4), or the address itself.
fn reached(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => inner(high, low),
        _ => address,
    }
}

fn why(address: IpAddr) -> Option<Why> {
    match address {
        IpAddr::V4(v4) => {
            let found = REFUSED_V4.iter().find(|(network, _)| network.contains(&v4));
            found.map(|(_, why)| *why)
        }
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Some(Why::Loopback),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(Why::Unspecified),
        IpAddr::V6(v6) => {
            let found = REFUSED_V6.iter().find(|(network, _)| network.contains(&v6));
            let listed = found.map(|(_, why)| *why);
            listed.or((!GLOBAL_V6.contains(&v6)).then_some(Why::Reserved))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn verdict(address: &str, allow: &[&str]) -> Option<Why> {
        let allow: Vec<Network> = allow.iter().map(|one| one.parse().unwrap()).collect();
        judge(&allow, address.parse().unwrap())
            .err()
            .map(|refused| refused.why)
    }

    #[test]
    fn what_is_not_the_internet_is_refused() {
        use Why::{
            Benchmark, Documentation, LinkLocal, Loopback, Metadata, Multicast, Private, Reserved,
            Shared, Unspecified,
        };
        let table = [
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("100.64.0.1", Shared),
            ("100.127.255.255", Shared),
            ("100.100.100.200", Metadata),
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("168.63.129.16", Metadata),
            ("169.254.169.254", Metadata),
            ("169.254.170.2", LinkLocal),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("192.0.0.192", Metadata),
            ("192.0.0.8", Reserved),
            ("192.0.2.1", Documentation),
            ("192.88.99.1", Reserved),
            ("192.168.0.1", Private),
            ("198.18.0.1", Benchmark),
            ("198.19.255.255", Benchmark),
            ("198.51.100.1", Documentation),
            ("203.0.113.1", Documentation),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Reserved),
            ("::", Unspecified),
            ("::1", Loopback),
            ("::7f00:1", Reserved),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:169.254.169.254", Metadata),
            ("::ffff:0:10.0.0.1", Private),
            ("64:ff9b::7f00:1", Loopback),
            ("64:ff9b::a9fe:a9fe", Metadata),
            ("64:ff9b:1::808:808", Private),
            ("100::1", Reserved),
            ("2001::1", Reserved),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Reserved),
            ("2001:2::1", Benchmark),
            ("2001:db8::1", Documentation),
            ("2002:7f00:1::1", Loopback),
            ("2002:c0a8:1::1", Private),
            ("3fff::1", Documentation),
            ("3ffe::1", Reserved),
            ("4000::1", Reserved),
            ("5f00::1", Reserved),
            ("fc00::1", Private),
            ("fd00:ec2::254", Metadata),
            ("fd12:3456::1", Private),
            ("fe80::1", LinkLocal),
            ("fec0::1", Private),
            ("ff02::1", Multicast),
        ];
        for (address, why) in table {
            assert_eq!(verdict(address, &[]), Some(why), "{address}");
        }
    }

    #[test]
    fn the_internet_is_not() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
            "2a00::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            assert_eq!(verdict(address, &[]), None, "{address}");
        }
    }

    #[test]
    fn a_network_is_allowed_in_each_of_its_forms_and_no_other_is() {
        let allow = ["127.0.0.0/8", "fd00::/8"];
        for address in [
            "127.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "fd00::1",
        ] {
            assert_eq!(verdict(address, &allow), None, "{address}");
        }
        for address in ["::1", "10.0.0.1", "fe80::1", "169.254.169.254"] {
            assert!(verdict(address, &allow).is_some(), "{address}");
        }
        assert_eq!(verdict("::ffff:10.0.0.1", &["::ffff:0:0/96"]), None);
    }
}
