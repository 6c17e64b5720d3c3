//! The names and addresses under which an engine is reached, read strictly: what a client would never match is a
//! mistake, and said at once rather than at the first connection.

use std::{fmt, net::IpAddr, str::FromStr};

use rustls::pki_types::DnsName;

/// The most names of one certificate; more than any host has, and few enough for every client.
pub const MOST_NAMES: usize = 64;
/// The most characters of a DNS name, and of what stands between its dots.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A name or an address of a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostName {
    /// A DNS name, in small letters.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// What is wrong with an entry, and what to give instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each says itself what it is")]
pub enum Trouble {
    #[error("is empty; leave it out, or give a name as build-1.example.org")]
    Empty,
    #[error("has spaces or control characters; give each name by an option of its own")]
    Spaces,
    #[error("has a scheme or a path; give the host alone")]
    Scheme,
    #[error(
        "has a port or brackets; give the host alone, the port is part of the listening address"
    )]
    Port,
    #[error("is a wildcard; a certificate of this API is for one host: name that")]
    Wildcard,
    #[error("means no single host; give the address by which clients reach it")]
    NoOnesAddress,
    #[error(
        "is an address of one interface (with a zone), which no certificate can name; give a global one"
    )]
    Zone,
    #[error("looks like an IPv4 address and is none; give four numbers of 0 to 255")]
    NoAddress,
    #[error("is no IP address; names are given by --host or --name")]
    NameForAddress,
    #[error(
        "is too long; a name has at most {LONGEST_NAME} characters, and {LONGEST_LABEL} between two dots"
    )]
    TooLong,
    #[error(
        "is no DNS name; use letters, digits and hyphens, with dots between (an international name in its xn-- form)"
    )]
    NoName,
}

/// Why a list of names is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameRefusal {
    /// One of them.
    #[error("{entry:?} {trouble}")]
    Entry {
        /// As it was given.
        entry: String,
        /// What is wrong with it.
        trouble: Trouble,
    },
    /// The same twice.
    #[error("{0:?} is there twice; leave one out")]
    Twice(String),
    /// None at all.
    #[error("there is no name; give at least one name or address by which clients reach the host")]
    None,
    /// Too many.
    #[error(
        "{0} names are more than the {MOST_NAMES} that a certificate takes; give those that clients use"
    )]
    TooMany(usize),
}

impl FromStr for HostName {
    type Err = NameRefusal;

    fn from_str(entry: &str) -> Result<Self, Self::Err> {
        read(entry).map_err(|trouble| refused(entry, trouble))
    }
}

fn refused(entry: &str, trouble: Trouble) -> NameRefusal {
    NameRefusal::Entry {
        entry: entry.to_owned(),
        trouble,
    }
}

fn read(entry: &str) -> Result<HostName, Trouble> {
    if entry.is_empty() {
        return Err(Trouble::Empty);
    }
    if entry.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Trouble::Spaces);
    }
    if let Ok(address) = entry.parse::<IpAddr>() {
        return judged(address);
    }
    if entry.contains('/') {
        return Err(Trouble::Scheme);
    }
    if entry.contains('%') {
        return Err(Trouble::Zone);
    }
    if entry.contains([':', '[', ']']) {
        return Err(Trouble::Port);
    }
    if entry.contains('*') {
        return Err(Trouble::Wildcard);
    }
    name(entry)
}

fn judged(address: IpAddr) -> Result<HostName, Trouble> {
    let broadcast = matches!(address, IpAddr::V4(four) if four.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || broadcast {
        return Err(Trouble::NoOnesAddress);
    }
    match address {
        IpAddr::V6(six) if six.is_unicast_link_local() => Err(Trouble::Zone),
        _ => Ok(HostName::Ip(address.to_canonical())),
    }
}

fn name(entry: &str) -> Result<HostName, Trouble> {
    let labels = || entry.split('.');
    if entry.len() > LONGEST_NAME || labels().any(|label| label.len() > LONGEST_LABEL) {
        return Err(Trouble::TooLong);
    }
    // Clients take such a name for an address, and never for this one.
    let digits = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    if labels()
        .next_back()
        .is_some_and(|last| !last.is_empty() && digits(last))
    {
        return Err(Trouble::NoAddress);
    }
    let plain = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !labels().all(plain) || DnsName::try_from(entry).is_err() {
        return Err(Trouble::NoName);
    }
    Ok(HostName::Dns(entry.to_ascii_lowercase()))
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// The names of one host: at least one, each once, in the order that they were given in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostNames(Vec<HostName>);

impl HostNames {
    /// Reads names (which may be addresses as well) and addresses; the first that is wrong is named.
    pub fn read(
        names: &[impl AsRef<str>],
        addresses: &[impl AsRef<str>],
    ) -> Result<Self, NameRefusal> {
        let names = names.iter().map(|entry| entry.as_ref().parse());
        let addresses = addresses.iter().map(|entry| address(entry.as_ref()));
        let mut read = Vec::new();
        for name in names.chain(addresses) {
            let name = name?;
            if read.contains(&name) {
                return Err(NameRefusal::Twice(name.to_string()));
            }
            read.push(name);
        }
        Self::of(read)
    }

    /// These, each once.
    pub fn of(names: impl IntoIterator<Item = HostName>) -> Result<Self, NameRefusal> {
        let mut once = Vec::new();
        for name in names {
            if !once.contains(&name) {
                once.push(name);
            }
        }
        match once.len() {
            0 => Err(NameRefusal::None),
            1..=MOST_NAMES => Ok(Self(once)),
            many => Err(NameRefusal::TooMany(many)),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &HostName> {
        self.0.iter()
    }
}

fn address(entry: &str) -> Result<HostName, NameRefusal> {
    match entry.parse()? {
        HostName::Dns(_) => Err(refused(entry, Trouble::NameForAddress)),
        address @ HostName::Ip(_) => Ok(address),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_and_addresses_are_read() {
        let read = HostNames::read(
            &["Build-1.Example.ORG", "localhost", "my_host", "10.0.0.5"],
            &["192.0.2.7", "2001:db8::1", "::ffff:192.0.2.8"],
        );
        let written: Vec<String> = read.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            written,
            [
                "build-1.example.org",
                "localhost",
                "my_host",
                "10.0.0.5",
                "192.0.2.7",
                "2001:db8::1",
                "192.0.2.8"
            ]
        );
    }

    #[test]
    fn nonsense_is_named_with_what_to_do() {
        let long = "a".repeat(64);
        let longer = ["abcdefg"; 32].join(".");
        let table = [
            ("", Trouble::Empty),
            ("a b", Trouble::Spaces),
            (" host", Trouble::Spaces),
            ("host\n", Trouble::Spaces),
            ("https://host", Trouble::Scheme),
            ("tcp://host:2376", Trouble::Scheme),
            ("10.0.0.0/8", Trouble::Scheme),
            ("host:2376", Trouble::Port),
            ("10.0.0.5:2376", Trouble::Port),
            ("[::1]", Trouble::Port),
            ("*", Trouble::Wildcard),
            ("*.example.org", Trouble::Wildcard),
            ("a.*.example.org", Trouble::Wildcard),
            ("0.0.0.0", Trouble::NoOnesAddress),
            ("::", Trouble::NoOnesAddress),
            ("224.0.0.1", Trouble::NoOnesAddress),
            ("255.255.255.255", Trouble::NoOnesAddress),
            ("fe80::1", Trouble::Zone),
            ("fe80::1%eth0", Trouble::Zone),
            ("10.0.0.256", Trouble::NoAddress),
            ("10.0.0", Trouble::NoAddress),
            ("2376", Trouble::NoAddress),
            (&long, Trouble::TooLong),
            (&longer, Trouble::TooLong),
            ("-host", Trouble::NoName),
            ("host-.example.org", Trouble::NoName),
            ("a..b", Trouble::NoName),
            ("host.", Trouble::NoName),
            (".host", Trouble::NoName),
            ("ünï", Trouble::NoName),
            ("a,b", Trouble::NoName),
            ("DNS=host", Trouble::NoName),
        ];
        for (entry, trouble) in table {
            assert_eq!(
                entry.parse::<HostName>(),
                Err(refused(entry, trouble)),
                "{entry:?}"
            );
            assert!(
                trouble.to_string().contains([';', ':']),
                "it says what to do"
            );
        }
        let read = |names: &[&str], addresses: &[&str]| HostNames::read(names, addresses);
        assert_eq!(
            read(&[], &["host"]),
            Err(refused("host", Trouble::NameForAddress))
        );
    }

    #[test]
    fn a_list_has_each_name_once_and_not_too_many() {
        let read = |names: &[&str], addresses: &[&str]| HostNames::read(names, addresses);
        assert_eq!(read(&[], &[]), Err(NameRefusal::None));
        for (names, addresses, twice) in [
            (&["host", "HOST"][..], &[][..], "host"),
            (&["10.0.0.5"], &["10.0.0.5"], "10.0.0.5"),
            (&["a"], &["::1", "0:0::1"], "::1"),
        ] {
            assert_eq!(
                read(names, addresses),
                Err(NameRefusal::Twice(twice.to_owned()))
            );
        }
        let many: Vec<String> = (0..=MOST_NAMES).map(|at| format!("host-{at}")).collect();
        assert_eq!(
            HostNames::read(&many, &[""; 0]),
            Err(NameRefusal::TooMany(MOST_NAMES + 1))
        );
        assert!(HostNames::read(&many[1..], &[""; 0]).is_ok());
    }
}
