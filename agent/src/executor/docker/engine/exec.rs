//! Commands in containers. They are made and looked at by the client; the connection on which one talks is made here, because
//! its bytes must come as they are.

use std::io;

use bollard::exec::{CreateExecOptions, ResizeExecOptions};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, split};
use towline_shared::terminal::{Exec, FromHost, MAX_CONTENT, TerminalSize};

use super::{CALL_TIMEOUT, Engine, EngineError};

/// The most bytes that are read of a refusal.
const MAX_REFUSAL: usize = 16 * 1024;

/// A command that runs.
pub(in crate::executor::docker) struct Started {
    pub id: String,
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    pub output: ExecOutput,
}

/// What a command prints.
pub(in crate::executor::docker) struct ExecOutput {
    from: Box<dyn AsyncRead + Send + Unpin>,
    shape: Shape,
}

/// How the engine sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// As the terminal has it.
    Raw,
    /// In frames: the stream's number, three zeros, the length (Docker's API, "Stream format").
    Framed {
        /// What is left of the present frame, and of which stream.
        left: u32,
        stream: u8,
    },
}

impl Engine {
    /// Begins a command.
    pub async fn exec(&self, exec: &Exec) -> Result<Started, EngineError> {
        let client = self.client().await?;
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(exec.terminal.is_some()),
            cmd: Some(exec.command.clone()),
            ..CreateExecOptions::default()
        };
        let made = self
            .call(client.create_exec(&exec.container, options))
            .await?;
        let body = json!({ "Detach": false, "Tty": exec.terminal.is_some() }).to_string();
        let started = tokio::time::timeout(CALL_TIMEOUT, self.start(&made.id, body));
        let (from, input) = started.await.map_err(|_| EngineError::Hung {
            host: self.host.to_string(),
            seconds: CALL_TIMEOUT.as_secs(),
        })??;
        if let Some(size) = exec.terminal {
            // The terminal is there with the first byte at the latest; until then it has the engine's own size.
            let _ = self.resize_exec(&made.id, size).await;
        }
        let shape = match exec.terminal {
            Some(_) => Shape::Raw,
            None => Shape::Framed { left: 0, stream: 1 },
        };
        Ok(Started {
            id: made.id,
            input,
            output: ExecOutput { from, shape },
        })
    }

    async fn start(
        &self,
        id: &str,
        body: String,
    ) -> Result<
        (
            Box<dyn AsyncRead + Send + Unpin>,
            Box<dyn AsyncWrite + Send + Unpin>,
        ),
        EngineError,
    > {
        let broken = |error: hyper::Error| EngineError::Unclear(error.to_string());
        let socket = self.socket().await?;
        let (mut sender, connection) = handshake(TokioIo::new(socket)).await.map_err(broken)?;
        tokio::spawn(connection.with_upgrades());
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/exec/{id}/start"))
            .header(header::HOST, "docker")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "tcp")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| EngineError::Unclear(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let said = Limited::new(response.into_body(), MAX_REFUSAL)
                .collect()
                .await;
            let said = said.map_or_else(|_| String::new(), |said| message(&said.to_bytes()));
            return Err(EngineError::Refused {
                status: status.as_u16(),
                message: said,
            });
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(broken)?;
        let (from, to) = split(TokioIo::new(upgraded));
        Ok((Box::new(from), Box::new(to)))
    }

    /// Tells a command's terminal its size.
    pub async fn resize_exec(&self, id: &str, size: TerminalSize) -> Result<(), EngineError> {
        let client = self.client().await?;
        let options = ResizeExecOptions {
            height: size.rows,
            width: size.columns,
        };
        self.call(client.resize_exec(id, options)).await
    }

    /// The code by which a command has ended.
    pub async fn exec_code(&self, id: &str) -> Result<i32, EngineError> {
        let client = self.client().await?;
        let known = self.call(client.inspect_exec(id)).await?;
        let code = known.exit_code.and_then(|code| i32::try_from(code).ok());
        code.ok_or_else(|| EngineError::Unclear("a command without a code".to_owned()))
    }
}

fn message(body: &[u8]) -> String {
    let said: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    said.and_then(|said| Some(said.get("message")?.as_str()?.to_owned()))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

impl ExecOutput {
    /// The next piece; nothing when that was all.
    pub async fn next(&mut self) -> io::Result<Option<FromHost>> {
        if let Shape::Framed { left: 0, .. } = self.shape {
            let mut head = [0; 8];
            match self.from.read_exact(&mut head).await {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
            let [stream, _, _, _, length @ ..] = head;
            self.shape = Shape::Framed {
                left: u32::from_be_bytes(length),
                stream,
            };
            if self.shape == (Shape::Framed { left: 0, stream }) {
                return Ok(Some(FromHost::Output(Vec::new())));
            }
        }
        let most = match self.shape {
            Shape::Raw => MAX_CONTENT,
            Shape::Framed { left, .. } => MAX_CONTENT.min(left.try_into().unwrap_or(MAX_CONTENT)),
        };
        let mut bytes = vec![0; most];
        let read = self.from.read(&mut bytes).await?;
        bytes.truncate(read);
        match &mut self.shape {
            _ if read == 0 => Ok(None),
            Shape::Raw => Ok(Some(FromHost::Output(bytes))),
            Shape::Framed { left, stream } => {
                *left -= u32::try_from(read).unwrap_or(*left);
                Ok(Some(match stream {
                    2 => FromHost::Errors(bytes),
                    _ => FromHost::Output(bytes),
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn the_engines_frames_are_taken_apart_however_they_come() {
        let long = "x".repeat(40_000);
        let mut bytes = Vec::new();
        for (stream, text) in [
            (1, &b"out"[..]),
            (2, b"err"),
            (1, b""),
            (1, long.as_bytes()),
        ] {
            bytes.extend_from_slice(&[stream, 0, 0, 0]);
            bytes.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(text);
        }
        let (near, far) = tokio::io::duplex(7);
        let (from, mut to) = (near, far);
        tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut to, &bytes)
                .await
                .unwrap();
        });
        let mut output = ExecOutput {
            from: Box::new(from),
            shape: Shape::Framed { left: 0, stream: 1 },
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while let Some(said) = output.next().await.unwrap() {
            match said {
                FromHost::Output(bytes) => out.extend(bytes),
                FromHost::Errors(bytes) => err.extend(bytes),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            (out.len(), &out[..3], err),
            (40_003, &b"out"[..], b"err".to_vec())
        );
    }
}
