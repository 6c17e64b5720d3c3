//! A command in a container, for a person at a terminal.
//!
//! The engine's side is an upgraded connection of its own: raw bytes where there is a terminal, else the engine's frames, which
//! keep output and errors apart. The person's side are the frames of [`towline_shared::terminal`].

use std::io;

use tokio::io::{
    AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split,
};
use tokio_util::task::AbortOnDropHandle;
use towline_shared::policy::Permission;
use towline_shared::terminal::{
    Exec, FromHost, FromPerson, HEAD, MAX_CONTENT, head, is_container_name,
};
use towline_shared::tunnel::TunnelRefusal;

use super::super::{Duplex, Reached};
use super::engine::{Engine, EngineError, ExecOutput, Started};
use super::host::Host;

/// Begins it; what cannot begin is refused in the engine's words.
pub(super) async fn begin(host: &Host, exec: Exec) -> Reached {
    if host.access.exec == Permission::Deny {
        let why = "the host's policy does not allow commands to be run in its containers; its owner allows it by exec = \
                   \"allow\" in the agent's policy file and a restart of the agent";
        return Err((TunnelRefusal::Policy, why.to_owned()));
    }
    if !is_container_name(&exec.container) {
        return Err((
            TunnelRefusal::Unavailable,
            "that is no container's name".to_owned(),
        ));
    }
    let started = host.engine.exec(&exec).await;
    let started = started.map_err(|error| (TunnelRefusal::Unavailable, words(&error)))?;
    let (near, far) = duplex(2 * MAX_CONTENT);
    let engine = host.engine.clone();
    tokio::spawn(async move { talk(engine, started, far).await });
    Ok(Box::new(near) as Box<dyn Duplex>)
}

fn words(error: &EngineError) -> String {
    if error.is_absent() {
        return "there is no such container on this host, or it does not run".to_owned();
    }
    error.to_string()
}

/// Until the command has printed all, and its end was told. When the person goes, so does the connection to the engine.
async fn talk(engine: Engine, started: Started, person: DuplexStream) {
    let (from, mut to) = split(person);
    let (output, input) = (started.output, started.input);
    let listening = tokio::spawn(listen(engine.clone(), started.id.clone(), from, input));
    let _listening = AbortOnDropHandle::new(listening);
    let ended = tell(output, &mut to).await;
    let last = match ended {
        Ok(()) => engine
            .exec_code(&started.id)
            .await
            .map_or_else(|error| FromHost::Lost(error.to_string()), FromHost::Ended),
        Err(error) => FromHost::Lost(format!("the connection to the engine broke off: {error}")),
    };
    // It fails when the person has gone.
    let _ = to.write_all(&last.encode()).await;
    let _ = to.shutdown().await;
}

async fn tell(mut output: ExecOutput, to: &mut WriteHalf<DuplexStream>) -> io::Result<()> {
    while let Some(said) = output.next().await? {
        to.write_all(&said.encode()).await?;
    }
    Ok(())
}

/// What the person says, until they have gone.
async fn listen(
    engine: Engine,
    id: String,
    mut from: ReadHalf<DuplexStream>,
    mut input: Box<dyn tokio::io::AsyncWrite + Send + Unpin>,
) {
    while let Ok(Some(said)) = next(&mut from).await {
        let done = match said {
            FromPerson::Input(bytes) => input.write_all(&bytes).await,
            FromPerson::InputEnds => input.shutdown().await,
            FromPerson::Size(size) => {
                // A command that has just ended has no terminal any more.
                let _ = engine.resize_exec(&id, size).await;
                Ok(())
            }
        };
        if done.is_err() {
            return;
        }
    }
    let _ = input.shutdown().await;
}

async fn next(from: &mut ReadHalf<DuplexStream>) -> io::Result<Option<FromPerson>> {
    let mut bytes = [0; HEAD];
    match from.read_exact(&mut bytes).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let (kind, length) = head(bytes).map_err(io::Error::other)?;
    let mut content = vec![0; length];
    from.read_exact(&mut content).await?;
    FromPerson::decode(kind, content)
        .map(Some)
        .map_err(io::Error::other)
}
