//! One connection for images: HTTP/1.1 over TLS to the agents' listener.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use towline_pki::tls::AgentPurpose;
use towline_shared::Fence;
use towline_shared::relay::{FENCE_HEADER, MAX_BODY, MAX_CONFIG, MAX_IMAGES, Received};

use super::body::{Body, Sent, Watch};
use crate::dial::Dialer;
use crate::identity::Identity;
use crate::state_dir::StateDir;

/// How long an answer, or the next bytes of one, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the control plane may take to check a layer that it has whole.
const CHECK_PATIENCE: Duration = Duration::from_mins(10);
/// The most bytes of an answer that is no layer: every image of a job with its configuration.
const MAX_ANSWER: usize = MAX_BODY + MAX_IMAGES * MAX_CONFIG;

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// The control plane will not, and would not the next time.
    Refused(StatusCode, String),
    /// The connection did not last, or there was none, or the control plane cannot now.
    Cut {
        /// How much of a layer had gone over it.
        bytes: u64,
        why: String,
    },
}

impl Failure {
    #[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
    fn cut(why: impl ToString) -> Self {
        Self::Cut {
            bytes: 0,
            why: why.to_string(),
        }
    }
}

/// A connection that is up.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Body>,
    task: JoinHandle<()>,
    host: String,
    fence: String,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// Dials with the certificate that the agent has now.
    pub(super) async fn open(
        dir: &StateDir,
        dialer: &Dialer,
        fence: Fence,
    ) -> Result<Self, Failure> {
        let identity = Identity::load(dir).map_err(Failure::cut)?;
        let address = identity.agent_address().map_err(Failure::cut)?;
        let tls = identity
            .agent_tls(AgentPurpose::Relay)
            .map_err(Failure::cut)?;
        let stream = dialer.tls(&address, tls).await.map_err(Failure::cut)?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(Failure::cut)?;
        let task = tokio::spawn(async move {
            // Who has asked learns of it, too.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            task,
            host: address.to_string(),
            fence: fence.to_string(),
        })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// A small request and its answer.
    pub(super) async fn ask<B: Serialize, A: DeserializeOwned>(
        &mut self,
        method: &Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<A, Failure> {
        let body = body
            .map(postcard::to_stdvec)
            .transpose()
            .map_err(Failure::cut)?;
        let body = Bytes::from(body.unwrap_or_default());
        let request = self.request(
            method,
            path,
            body.len() as u64,
            Body::whole(Full::new(body)),
        )?;
        read(self.send(request).await?).await
    }

    async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Failure> {
        let response = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let response = timeout(PATIENCE, response).await;
        response.map_err(Failure::cut)?.map_err(Failure::cut)
    }

    /// Sends a file from some byte on.
    pub(super) async fn put_file(
        &mut self,
        path: &str,
        file: &Path,
        from: u64,
    ) -> Result<SentFile, Failure> {
        let (body, length, watch) = Body::file(file, from).await.map_err(Failure::cut)?;
        let request = self.request(&Method::PUT, path, length, body)?;
        self.sender.ready().await.map_err(Failure::cut)?;
        let sent = tokio::select! {
            response = self.sender.send_request(request) => match response {
                Ok(response) => read(response).await,
                Err(error) => Err(Failure::cut(error)),
            },
            why = stalled(&watch) => Err(Failure::cut(why)),
        };
        let bytes = watch.bytes();
        match sent {
            Ok(received) => Ok(SentFile { bytes, received }),
            Err(Failure::Cut { why, .. }) => Err(Failure::Cut { bytes, why }),
            refused => refused.map(|received| SentFile { bytes, received }),
        }
    }

    /// Appends what comes to a file, at most so many bytes; tells how many that were.
    pub(super) async fn get_file(
        &mut self,
        path: &str,
        file: &Path,
        most: u64,
    ) -> Result<u64, Failure> {
        let request = self.request(&Method::GET, path, 0, Body::none())?;
        let response = self.send(request).await?;
        if !response.status().is_success() {
            return read::<()>(response).await.map(|()| 0);
        }
        let mut to = File::options()
            .append(true)
            .create(true)
            .open(file)
            .await
            .map_err(full)?;
        let (mut body, mut bytes) = (response.into_body(), 0);
        let came = loop {
            let frame = match timeout(PATIENCE, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => break Ok(bytes),
                Ok(Some(Err(error))) => break Err(error.to_string()),
                Err(_) => break Err("nothing came any more".to_owned()),
            };
            if let Some(data) = frame.data_ref() {
                let room = usize::try_from(most - bytes).unwrap_or(usize::MAX);
                let taken = &data[..data.len().min(room)];
                to.write_all(taken).await.map_err(full)?;
                bytes += taken.len() as u64;
                if taken.len() < data.len() {
                    break Err("more came than there is of it".to_owned());
                }
            }
        };
        to.flush().await.map_err(full)?;
        came.map_err(|why| Failure::Cut { bytes, why })
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        length: u64,
        body: Body,
    ) -> Result<Request<Body>, Failure> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_LENGTH, length)
            .header(FENCE_HEADER, &self.fence)
            .body(body)
            .map_err(Failure::cut)
    }
}

/// A file that was sent, and what the control plane says of it.
pub(super) struct SentFile {
    pub(super) bytes: u64,
    pub(super) received: Received,
}

/// Ends when a file does not get on.
async fn stalled(watch: &Watch) -> &'static str {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (sent, since) = watch.state();
        match sent {
            Sent::Some if since > PATIENCE => return "nothing was taken any more",
            Sent::All if since > CHECK_PATIENCE => return "no answer came",
            _ => {}
        }
    }
}

/// A disk that is full stays so until somebody makes room.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn full(error: std::io::Error) -> Failure {
    let words =
        format!("what comes cannot be written on this host: {error}; make room on its disk");
    Failure::Refused(StatusCode::INSUFFICIENT_STORAGE, words)
}

/// The answer, or the refusal in the control plane's words.
async fn read<A: DeserializeOwned>(response: Response<Incoming>) -> Result<A, Failure> {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect();
    let body = timeout(PATIENCE, body).await.map_err(Failure::cut)?;
    let body = body.map_err(Failure::cut)?.to_bytes();
    if status.is_success() {
        return postcard::from_bytes(&body).map_err(Failure::cut);
    }
    let words = String::from_utf8_lossy(&body[..body.len().min(600)]).into_owned();
    let passes = matches!(status, StatusCode::CONFLICT | StatusCode::REQUEST_TIMEOUT)
        || (status.is_server_error() && status != StatusCode::INSUFFICIENT_STORAGE);
    if passes {
        Err(Failure::cut(format!("{status}: {words}")))
    } else {
        Err(Failure::Refused(status, words))
    }
}
