//! The wire between a host's network namespace and the machine: a veth pair that can be cut, halved and made lossy.
//!
//! Every host sees the machine at the same address, [`MACHINE`], however many hosts there are; each has an address of
//! its own. The machine's firewall is never touched: what is dropped is dropped inside the host's namespace.

use std::{net::Ipv4Addr, process::Command};

use crate::process::output;

/// The machine, where the control plane runs, as every host sees it. It exists while at least one link does.
pub const MACHINE: Ipv4Addr = Ipv4Addr::new(10, 213, 255, 1);

/// Hosts are `10.213.0.1` to `10.213.254.255`, as far as link names tell them apart.
const HOSTS: u32 = 254 * 256;

/// One way through the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the machine to the host.
    ToHost,
    /// From the host to the machine.
    FromHost,
}

/// A link; it goes with its namespace, and when dropped.
#[derive(Debug)]
pub struct Link {
    machine_end: String,
    namespace: u32,
    address: Ipv4Addr,
}

impl Link {
    /// Joins the network namespace of process `namespace` to the machine.
    pub fn join(namespace: u32) -> Self {
        let (machine_end, address) = make_pair(namespace);
        let link = Self {
            machine_end,
            namespace,
            address,
        };
        let (machine, host) = (MACHINE.to_string(), address.to_string());
        ip(&[
            "addr",
            "add",
            &machine,
            "peer",
            &host,
            "dev",
            &link.machine_end,
        ]);
        ip(&["link", "set", &link.machine_end, "up"]);
        link.inside(&["ip", "link", "set", "lo", "up"]);
        link.inside(&["ip", "addr", "add", &host, "peer", &machine, "dev", "eth0"]);
        link.inside(&["ip", "link", "set", "eth0", "up"]);
        link
    }

    /// The host's address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Cuts both directions, as a pulled cable does: nothing is refused, everything is lost.
    pub fn cut(&self) {
        ip(&["link", "set", &self.machine_end, "down"]);
    }

    /// Loses everything that goes one way.
    pub fn cut_one_way(&self, direction: Direction) {
        self.drop_rule(direction, &[]);
    }

    /// Loses `percent` of the packets that go one way.
    pub fn lose(&self, direction: Direction, percent: u8) {
        let probability = format!("{}", f64::from(percent) / 100.0);
        self.drop_rule(
            direction,
            &[
                "-m",
                "statistic",
                "--mode",
                "random",
                "--probability",
                &probability,
            ],
        );
    }

    /// Whole again.
    pub fn heal(&self) {
        self.inside(&["iptables", "-w", "-F", "INPUT"]);
        self.inside(&["iptables", "-w", "-F", "OUTPUT"]);
        ip(&["link", "set", &self.machine_end, "up"]);
    }

    fn drop_rule(&self, direction: Direction, matching: &[&str]) {
        let place = match direction {
            Direction::ToHost => ["INPUT", "-i", "eth0"],
            Direction::FromHost => ["OUTPUT", "-o", "eth0"],
        };
        let rule = [
            &["iptables", "-w", "-A"],
            &place[..],
            matching,
            &["-j", "DROP"],
        ]
        .concat();
        self.inside(&rule);
    }

    fn inside(&self, arguments: &[&str]) {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.namespace.to_string(), "-n", "--"])
            .args(arguments);
        output(command);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The namespace may have taken it along.
        let _ = Command::new("ip")
            .args(["link", "del", &self.machine_end])
            .output();
    }
}

/// The name of the machine's end carries the host's number, so that the kernel keeps two tests from taking one address.
fn make_pair(namespace: u32) -> (String, Ipv4Addr) {
    let start = namespace.wrapping_mul(2_654_435_761) % HOSTS;
    for step in 0..HOSTS {
        let host = 1 + (start + step) % (HOSTS - 1);
        let name = format!("tltest{host}");
        let mut command = Command::new("ip");
        command.args([
            "link",
            "add",
            &name,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            &namespace.to_string(),
        ]);
        let result = command.output().expect("ip starts");
        if result.status.success() {
            return (
                name,
                Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 213, 0, 0)) + host),
            );
        }
        let errors = String::from_utf8_lossy(&result.stderr).into_owned();
        assert!(errors.contains("exists"), "no veth pair: {errors}");
    }
    panic!("all {HOSTS} test links are in use")
}

fn ip(arguments: &[&str]) {
    let mut command = Command::new("ip");
    command.args(arguments);
    output(command);
}
