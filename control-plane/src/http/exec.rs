//! Commands in containers, for people at terminals: an upgraded connection, whose bytes are its agent's.
//!
//! The frames on it are written down in `docs/api.md`; they pass unread. What bounds them: the right to it, which is looked at again
//! while the command runs, and the policy of the host's owner.

use std::time::Duration;

use axum::body::Body as AxumBody;
use axum::extract::{FromRequest as _, Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::time::sleep;
use towline_shared::ids::TargetId;
use towline_shared::terminal::{
    Exec, MAX_COMMAND, MAX_WORDS, PROTOCOL, TerminalSize, is_container_name,
};
use towline_shared::tunnel::TunnelEnd;
use utoipa::ToSchema;

use super::auth;
use super::containers::{agent_of, unreachable};
use super::input::{Body, From, Id, Segment};
use super::platform::{OfEngines, refuse_cluster};
use super::problem::{Kind, Problem};
use super::state::Api;
use crate::agents::{NoTunnel, Tunnel};
use crate::domain::permission::Permission;
use crate::store::Tenant;

/// How much of each direction is read at once, in bytes.
const PIECE: usize = 32 * 1024;
/// How often it is looked whether the person may go on.
const LOOK: Duration = Duration::from_secs(15);

/// A command to run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewExec {
    /// The program and its arguments, at most 64 words of 2048 bytes together. No shell is put before them.
    #[schema(example = json!(["sh"]))]
    command: Vec<String>,
    /// The size of the terminal that it is to have; without one, its output and its errors stay apart.
    terminal: Option<Size>,
}

/// How large a terminal is, in characters.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Its height.
    rows: u16,
    /// Its width.
    columns: u16,
}

/// Runs a command in a container, and talks to it: the request asks for its connection to be upgraded (`Connection: Upgrade`, `Upgrade:
/// towline-terminal/1`), over HTTP/1.1. The host's owner must allow it.
#[utoipa::path(post, path = "/targets/{id}/containers/{name}/exec", tag = "targets", operation_id = "exec_in_container",
    params(("id" = Uuid, Path, description = "The target"), ("name" = String, Path, description = "Name or id")),
    request_body = NewExec,
    responses((status = SWITCHING_PROTOCOLS, description = "From now on the connection carries frames of towline-terminal/1")))]
pub async fn exec(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
    Segment(container): Segment,
    From(address): From,
    request: Request,
) -> Result<Response, Problem> {
    refuse_cluster(&api, &tenant, target, OfEngines::Exec).await?;
    let agent = agent_of(&api, &tenant, target).await?;
    let (mut parts, body) = request.into_parts();
    let upgrade = upgrade(&mut parts);
    let request = Request::from_parts(parts.clone(), body);
    let Body(new) = Body::<NewExec>::from_request(request, &()).await?;
    check(&container, &new.command)?;
    let upgrade = upgrade?;
    let detail = json!({ "container": container, "program": new.command[0] });
    api.store.note_exec(&tenant, target, detail).await?;
    let exec = Exec {
        container,
        command: new.command,
        terminal: new.terminal.map(|size| TerminalSize {
            rows: size.rows,
            columns: size.columns,
        }),
    };
    let tunnel = api.agents.open_tunnel(agent, TunnelEnd::Exec(exec)).await;
    let tunnel = tunnel.map_err(closed)?;
    tokio::spawn(join(api, parts, address, upgrade, tunnel));
    let mut response = Response::new(AxumBody::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(PROTOCOL));
    Ok(response)
}

fn upgrade(parts: &mut Parts) -> Result<OnUpgrade, Problem> {
    let asked = parts.headers.get(header::UPGRADE);
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    upgrade
        .filter(|_| asked.is_some_and(|asked| asked == PROTOCOL))
        .ok_or_else(|| {
            Problem::new(Kind::Malformed, "the request asks for no terminal").remedy(format!(
                "send Connection: Upgrade and Upgrade: {PROTOCOL} over HTTP/1.1, as `towline exec` does"
            ))
        })
}

fn check(container: &str, command: &[String]) -> Result<(), Problem> {
    if !is_container_name(container) {
        return Err(Problem::not_found("container"));
    }
    let bytes: usize = command.iter().map(String::len).sum();
    if command.first().is_none_or(String::is_empty) {
        return Err(
            Problem::invalid("command", "there is none").remedy("name a program, such as [\"sh\"]")
        );
    }
    if command.len() > MAX_WORDS || bytes > MAX_COMMAND {
        let detail = format!("more than {MAX_WORDS} words, or than {MAX_COMMAND} bytes of them");
        return Err(Problem::invalid("command", detail)
            .remedy("put it into a file in the container, and run that"));
    }
    Ok(())
}

fn closed(none: NoTunnel) -> Problem {
    match none {
        NoTunnel::Unreachable(why) => unreachable(why),
        NoTunnel::Forbidden(why) => Problem::new(Kind::Forbidden, why),
        NoTunnel::Unavailable(why) => Problem::new(Kind::Conflict, why),
        NoTunnel::TooMany => Problem::new(Kind::Unavailable, none.to_string()),
        NoTunnel::Silent => Problem::new(Kind::Timeout, none.to_string()),
    }
}

/// Copies bytes until either end has had enough, or the person may not go on.
async fn join(
    api: Api,
    parts: Parts,
    address: std::net::IpAddr,
    upgrade: OnUpgrade,
    mut tunnel: Tunnel,
) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let mut person = TokioIo::new(upgraded);
    tokio::select! {
        _ = copy_bidirectional_with_sizes(&mut person, &mut tunnel, PIECE, PIECE) => {}
        () = api.stopping.cancelled() => {}
        () = ends(&api, &parts, address) => {}
    }
}

async fn ends(api: &Api, parts: &Parts, address: std::net::IpAddr) {
    loop {
        sleep(LOOK).await;
        if !auth::still_may(api, address, parts, Permission::Deploy).await {
            return;
        }
    }
}
