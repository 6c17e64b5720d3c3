//! Towline's agent: it runs on a host, dials out, and does the jobs it is given there.
//!
//! The parts, from the outside in: [`link`] keeps the connection, [`agent`] is the one loop that
//! owns all state, [`machine`] the pure rules of that state, [`ledger`] its durable half, [`logs`]
//! the spool of what jobs print, and [`executor`] the seam behind which a container engine works.

pub mod access;
pub mod address;
pub mod agent;
pub mod config;
pub mod dial;
pub mod docker_tls;
pub mod enroll;
pub mod executor;
pub mod https;
pub mod identity;
#[cfg(feature = "kubernetes")]
pub mod in_cluster;
pub mod ledger;
pub mod link;
pub mod logs;
pub mod machine;
pub mod mask;
pub mod metrics;
pub mod policy_file;
pub mod proxy;
pub mod records;
pub mod relay;
pub mod remote_engine;
pub mod report;
#[cfg(test)]
mod small_disk;
pub mod state_dir;
pub mod task;
pub mod upgrade;
