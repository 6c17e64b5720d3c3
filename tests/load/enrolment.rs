//! Set-up and enrolment over the public API, as people and hosts do it.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use anyhow::{Context as _, Result};
use serde_json::json;
use towline_pki::{AgentIdentity, AgentKey, EnrollToken, TrustRoots, tls};
use towline_shared::enrolment::{ENROL_PATH, EnrolRequest, Enrolled};
use towline_tests::api::Api;
use towline_tests::server::ServerProcess;

use crate::agent::Identity;

/// Requests under way at once.
const SIDE_BY_SIDE: usize = 8;

/// Becomes the installation's first user.
pub fn set_up(server: &mut ServerProcess) -> Result<Api> {
    let link = server.setup_link();
    let body = json!({"token": link.token, "email": "load@example.com", "name": "Load"});
    let done = server.public_api().post("/setup", &body).ok();
    let key = done["api_key"]["key"]
        .as_str()
        .context("the set-up gives no API key")?;
    Ok(server.public_api().with_key(key))
}

/// Enrols many hosts, each by a token of its own.
pub fn enrol(api: &Api, server: &ServerProcess, agents: usize) -> Result<Vec<Identity>> {
    let (next, public) = (AtomicUsize::new(0), server.public_api());
    let work = || {
        let mut enrolled = Vec::new();
        loop {
            let number = next.fetch_add(1, SeqCst);
            if number >= agents {
                return Ok(enrolled);
            }
            enrolled.push(enrol_one(api, &public, number)?);
        }
    };
    let parts: Vec<Result<Vec<Identity>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("an enrolment panicked")))
            })
            .collect()
    });
    Ok(parts
        .into_iter()
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect())
}

fn enrol_one(api: &Api, public: &Api, number: usize) -> Result<Identity> {
    let body = json!({"name": format!("load-{number}"), "ttl_minutes": 15});
    let minted = api.post("/enrolment-tokens", &body).ok();
    let token: EnrollToken = minted["token"].as_str().context("no token")?.parse()?;
    let key = AgentKey::generate()?;
    let request = EnrolRequest {
        secret: token.secret.reveal().to_string(),
        csr: key.csr_pem()?,
        hostname: format!("load-{number}"),
        version: env!("CARGO_PKG_VERSION").into(),
    };
    let answer = public
        .post(&format!("/{ENROL_PATH}"), &serde_json::to_value(&request)?)
        .ok();
    let enrolled: Enrolled = serde_json::from_value(answer)?;
    let identity = AgentIdentity::new(&enrolled.certificate, &key)?;
    let tls = tls::agent_client_config(
        &TrustRoots::from_pem(&enrolled.roots)?,
        &identity,
        tls::AgentPurpose::Control,
    )?;
    let address = enrolled
        .agent_address
        .parse()
        .context("the agents' address is host:port")?;
    Ok(Identity { tls, address })
}
