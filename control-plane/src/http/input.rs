//! What a request brings: a JSON body, a query, an id in its path, the address it comes from.
//!
//! Each refusal is a problem document that names the field.

use std::convert::Infallible;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::rejection::{BytesRejection, FailedToBufferBody, QueryRejection};
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Request};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::request::Parts;
use http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use towline_shared::ids;

use super::problem::{Kind, Problem};

/// The most bytes of a JSON body.
pub const MAX_JSON: usize = 64 * 1024;
/// How many bytes beyond its limit a body is read and thrown away: a client that still writes when
/// its connection closes never sees the answer.
const DISCARDED: usize = 64 * 1024 * 1024;

/// A JSON body. Unknown fields are refused by the types themselves.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(
                Problem::new(Kind::UnsupportedMedia, "the body must be JSON")
                    .field("Content-Type")
                    .remedy("send Content-Type: application/json"),
            );
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(body_refused)?;
        parse_json(&bytes).map(Self)
    }
}

/// Takes a body of at most `limit` bytes.
pub async fn whole(body: axum::body::Body, limit: usize) -> Result<Bytes, Problem> {
    let mut pieces = body.into_data_stream();
    let (mut taken, mut read) = (BytesMut::new(), 0_usize);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| {
            Problem::new(Kind::Malformed, format!("the body broke off: {error}"))
        })?;
        read += piece.len();
        if read > limit + DISCARDED {
            break;
        }
        if read <= limit {
            taken.extend_from_slice(&piece);
        } else {
            taken = BytesMut::new();
        }
    }
    if read <= limit {
        Ok(taken.freeze())
    } else {
        Err(too_large())
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

/// A body that is over its limit, or broke off.
pub fn body_refused(rejection: BytesRejection) -> Problem {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => too_large(),
        other => Problem::new(Kind::Malformed, other.body_text()),
    }
}

fn too_large() -> Problem {
    Problem::new(Kind::TooLarge, "the body is over the limit of this route")
        .remedy("send less; the documentation of the API names the limits")
}

fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        if cause.is_data() {
            invalid(&path, &cause.to_string())
        } else {
            not_json(&cause)
        }
    })?;
    reader.end().map_err(|cause| not_json(&cause))?;
    Ok(value)
}

fn not_json(cause: &serde_json::Error) -> Problem {
    Problem::new(
        Kind::Malformed,
        format!("the body is not valid JSON: {cause}"),
    )
}

/// A query string.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(query_refused(&rejection)),
        }
    }
}

fn query_refused(rejection: &QueryRejection) -> Problem {
    let mut cause: Option<&(dyn Error + 'static)> = rejection.source();
    while let Some(error) = cause {
        if let Some(told) =
            error.downcast_ref::<serde_path_to_error::Error<serde::de::value::Error>>()
        {
            return invalid(&told.path().to_string(), &told.inner().to_string());
        }
        cause = error.source();
    }
    Problem::new(Kind::Malformed, rejection.body_text())
}

/// serde tells unknown, missing and repeated fields in its message only, between backticks.
fn invalid(path: &str, message: &str) -> Problem {
    let about_a_field = ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start))
        .and_then(|rest| rest.split('`').next());
    let parent = path.strip_suffix('.').unwrap_or(path);
    let field = match (about_a_field, parent) {
        (Some(name), "" | "?") => name.to_owned(),
        (Some(name), parent) if parent == name || parent.ends_with(&format!(".{name}")) => {
            parent.to_owned()
        }
        (Some(name), parent) => format!("{parent}.{name}"),
        (None, parent) => parent.to_owned(),
    };
    Problem::invalid(field, message)
}

/// The id at the end of a path. One that is no id names nothing, like one that names nothing.
#[derive(Debug)]
pub struct Id<T>(pub T);

/// Ids that stand in paths, and what people call what they name.
pub trait Named: std::str::FromStr {
    /// The word for what the id names.
    const WHAT: &'static str;
}

macro_rules! named {
    ($($id:ident: $what:literal),+ $(,)?) => {$(
        impl Named for ids::$id {
            const WHAT: &'static str = $what;
        }
    )+};
}

named! {
    AgentId: "agent",
    ApiKeyId: "API key",
    CertificateId: "certificate for the Docker API that counts",
    DeploymentId: "deployment",
    EnrolmentTokenId: "enrolment token",
    NotificationChannelId: "channel",
    NotificationId: "notification",
    PipelineId: "pipeline",
    PlanId: "plan",
    IdentityId: "linked identity",
    IntegrationId: "integration",
    InvitationId: "open invitation",
    PluginId: "plugin",
    PluginRunId: "run of a plugin",
    ProjectId: "project",
    RegistryId: "registry",
    PushHookId: "push hook",
    SessionId: "session",
    SubscriptionId: "subscription",
    TargetId: "target",
    UserId: "member",
    WebhookId: "webhook",
    WebhookDeliveryId: "webhook delivery",
}

impl<S: Send + Sync, T: Named> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        id_at("id", T::WHAT, parts, state).await.map(Self)
    }
}

/// The person in a path, beside the id of what they have a role on.
#[derive(Debug)]
pub struct MemberId(pub ids::UserId);

impl<S: Send + Sync> FromRequestParts<S> for MemberId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        id_at("member", "member", parts, state).await.map(Self)
    }
}

/// The second id in a path, beside that of what it belongs to.
#[derive(Debug)]
pub struct Second<T>(pub T);

/// Ids that stand second in paths.
pub trait NamedSecond: Named {
    /// The name of the path's variable.
    const PLACE: &'static str;
}

impl NamedSecond for ids::PipelineId {
    const PLACE: &'static str = "pipeline";
}

impl NamedSecond for ids::CertificateId {
    const PLACE: &'static str = "certificate";
}

impl<S: Send + Sync, T: NamedSecond> FromRequestParts<S> for Second<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        id_at(T::PLACE, T::WHAT, parts, state).await.map(Self)
    }
}

async fn id_at<S: Send + Sync, T: std::str::FromStr>(
    place: &str,
    what: &str,
    parts: &mut Parts,
    state: &S,
) -> Result<T, Problem> {
    let found = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
    let Path(parameters) = found.map_err(|_| Problem::not_found(what))?;
    let text = parameters.iter().find(|(name, _)| name == place);
    text.and_then(|(_, text)| text.parse().ok())
        .ok_or_else(|| Problem::not_found(what))
}

/// The segment of a path that is a name, beside the id of what it belongs to.
#[derive(Debug)]
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let nothing = || Problem::not_found("name");
        let Path(parameters) = Path::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| nothing())?;
        let segment = parameters.into_iter().find(|(name, _)| name != "id");
        segment.map(|(_, text)| Self(text)).ok_or_else(nothing)
    }
}

/// The network address a request comes from.
#[derive(Clone, Copy, Debug)]
pub struct From(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for From {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(
            peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip()),
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read counts")]
    struct Outer {
        name: String,
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read counts")]
    struct Inner {
        count: u8,
    }

    fn refused(body: &str) -> (u16, Value) {
        let problem = parse_json::<Outer>(body.as_bytes()).unwrap_err();
        let status = problem.status().as_u16();
        (status, json!(problem.named_field()))
    }

    #[test]
    fn a_refused_body_names_the_field() {
        let table = [
            (r#"{"name":1,"inner":{"count":1}}"#, 422, json!("name")),
            (r#"{"inner":{"count":1}}"#, 422, json!("name")),
            (
                r#"{"name":"a","inner":{"count":300}}"#,
                422,
                json!("inner.count"),
            ),
            (r#"{"name":"a","inner":{}}"#, 422, json!("inner.count")),
            (
                r#"{"name":"a","inner":{"count":1,"more":1}}"#,
                422,
                json!("inner.more"),
            ),
            (r#"{"name":"a","other":1}"#, 422, json!("other")),
            (r#"{"name":"a""#, 400, Value::Null),
            (r#"{"name":"a","inner":{"count":1}} x"#, 400, Value::Null),
            ("", 400, Value::Null),
        ];
        for (body, status, field) in table {
            assert_eq!(refused(body), (status, field), "{body}");
        }
    }
}
