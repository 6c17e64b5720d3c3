//! A request on its way to an engine, and what comes back.

use axum::body::Body;
use http::uri::PathAndQuery;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, on};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional_with_sizes};
use towline_shared::ids::AgentId;

use super::answer::Refusal;
use super::joined::joined;
use super::visit::Visitor;
use crate::agents::{NoTunnel, Unreachable};
use crate::store::DockerVisitor;

/// How much of each direction of a stream passes at once, in bytes.
pub(super) const PIECE: usize = 64 * 1024;
/// Headers of one connection, and no other (RFC 9110, section 7.6.1).
const OF_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

impl Visitor {
    /// Has the engine answer.
    pub(super) async fn forward(
        &self,
        visitor: &DockerVisitor,
        asked: PathAndQuery,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let agent = visitor.agent.ok_or_else(|| {
            Refusal::NoTunnel(
                Box::new(visitor.clone()),
                NoTunnel::from(Unreachable::Offline),
            )
        })?;
        let wish = request.headers().get(header::UPGRADE).cloned();
        let downstream = wish.is_some().then(|| on(&mut request));
        let (mut parts, body) = request.into_parts();
        parts.uri = uri_of(agent, asked)?;
        parts.extensions.clear();
        prepare(&mut parts.headers, wish.as_ref());
        let request = Request::from_parts(parts, body);
        let mut response = self
            .shared
            .engines
            .request(request)
            .await
            .map_err(|error| Refusal::of(visitor, &error))?;
        let upgraded = response.headers().get(header::UPGRADE).cloned();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(downstream) = downstream
        {
            self.join(downstream, on(&mut response));
            prepare(response.headers_mut(), upgraded.as_ref().or(wish.as_ref()));
        } else {
            prepare(response.headers_mut(), None);
        }
        Ok(response.map(|body| joined(&self.streams, body)))
    }

    /// From now on bytes go both ways, each to its own end.
    fn join(&self, downstream: OnUpgrade, upstream: OnUpgrade) {
        let over = self.over.clone();
        self.streams.spawn(async move {
            let copied = async {
                let (downstream, upstream) = tokio::try_join!(downstream, upstream)?;
                let mut downstream = TokioIo::new(downstream);
                let mut upstream = TokioIo::new(upstream);
                let copied =
                    copy_bidirectional_with_sizes(&mut downstream, &mut upstream, PIECE, PIECE);
                if copied.await.is_err() {
                    // A client that hears nothing would wait for ever.
                    let _ = downstream.shutdown().await;
                }
                Ok::<_, hyper::Error>(())
            };
            tokio::select! {
                () = over.cancelled() => {}
                copied = copied => if let Err(error) = copied {
                    tracing::debug!(%error, "a stream of the Docker API did not begin");
                },
            }
        });
    }
}

/// What a request is for; an engine has nothing but paths.
pub(super) fn asked_for<B>(request: &Request<B>) -> Result<PathAndQuery, Refusal> {
    let asked = request.uri().path_and_query();
    let asked = asked.filter(|asked| asked.as_str().starts_with('/'));
    asked
        .filter(|_| request.method() != Method::CONNECT)
        .cloned()
        .ok_or(Refusal::Malformed("the request has no path"))
}

fn uri_of(agent: AgentId, asked: PathAndQuery) -> Result<Uri, Refusal> {
    Uri::builder()
        .scheme("http")
        .authority(agent.to_string())
        .path_and_query(asked)
        .build()
        .map_err(|_| Refusal::Malformed("the request's path is none"))
}

/// Takes away what belongs to the connection that headers came on, and says what the next one becomes.
fn prepare(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in OF_CONNECTION.iter().chain(&named) {
        headers.remove(name);
    }
    headers.remove(header::HOST);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn headers_of_a_connection_stay_on_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("connection", "x-other"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "tcp"),
            ("host", "elsewhere"),
            ("x-registry-auth", "kept"),
            ("content-type", "text/plain"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        prepare(&mut headers, Some(&HeaderValue::from_static("tcp")));
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            ["connection", "content-type", "upgrade", "x-registry-auth"]
        );
        assert_eq!(headers["connection"], "Upgrade");
    }

    #[test]
    fn a_request_goes_to_its_agent_whatever_it_names() {
        let agent = AgentId::new();
        let ask = |method: &str, uri: &str| {
            let request = Request::builder().method(method).uri(uri).body(());
            asked_for(&request.unwrap())
        };
        let asked = ask("GET", "http://elsewhere/v1.45/containers/json?all=1").unwrap();
        assert_eq!(
            uri_of(agent, asked).unwrap().to_string(),
            format!("http://{agent}/v1.45/containers/json?all=1")
        );
        for (method, uri) in [
            ("OPTIONS", "*"),
            ("CONNECT", "127.0.0.1:22"),
            ("GET", "elsewhere"),
        ] {
            assert!(ask(method, uri).is_err(), "{method} {uri}");
        }
    }
}
