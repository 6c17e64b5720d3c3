//! What a cluster is started with.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Whether Services of type `LoadBalancer` get an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadBalancers {
    /// They wait for ever, as where nothing provides one.
    Never,
    /// They get one of 203.0.113.0/24.
    Given,
}

/// Whether there is a metrics server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsServer {
    /// `metrics.k8s.io` is not served.
    Absent,
    /// It has values for nodes and pods.
    Present,
}

/// Of one cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long each controller waits before it reacts.
    pub reaction: Duration,
    /// The time between two bookmarks of a watch that has asked for them; the real one takes a minute.
    pub bookmarks: Duration,
    /// The first pause of a container that crashes, which doubles; the real one begins with ten seconds.
    pub back_off: Duration,
    /// Whether Services get addresses from outside.
    pub load_balancers: LoadBalancers,
    /// Whether there is a metrics server from the start.
    pub metrics: MetricsServer,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            reaction: Duration::from_millis(20),
            bookmarks: Duration::from_secs(5),
            back_off: Duration::from_millis(500),
            load_balancers: LoadBalancers::Never,
            metrics: MetricsServer::Absent,
        }
    }
}
