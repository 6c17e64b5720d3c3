//! What tunnels lead to on a Docker host.

use towline_shared::policy::Permission;
use towline_shared::tunnel::{TunnelEnd, TunnelRefusal};

use super::super::{Duplex, Reached};
use super::exec;
use super::host::Host;

pub(super) async fn lead_to(host: &Host, end: TunnelEnd) -> Reached {
    match end {
        TunnelEnd::DockerApi => docker_api(host).await,
        TunnelEnd::Exec(exec) => exec::begin(host, exec).await,
    }
}

/// The engine's socket is root on the host, so that its owner has to have said so.
async fn docker_api(host: &Host) -> Reached {
    if host.access.docker_api == Permission::Deny {
        let why = "the host's policy does not allow its Docker API to be used through the control plane; its owner allows \
                   it by docker_api = \"allow\" in the agent's policy file and a restart of the agent";
        return Err((TunnelRefusal::Policy, why.to_owned()));
    }
    match host.engine.socket().await {
        Ok(socket) => Ok(Box::new(socket) as Box<dyn Duplex>),
        Err(error) => Err((TunnelRefusal::Unavailable, error.to_string())),
    }
}
