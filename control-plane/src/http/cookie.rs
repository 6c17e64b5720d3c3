//! The cookie that holds a session's secret, and what a request must show that comes with it.
//!
//! A browser sends cookies with whatever page makes it ask. So a request that changes something counts
//! only if the browser says that a page of this very server made it, and if it has something that no
//! form of a foreign page can bring.

use http::header::{CONTENT_TYPE, COOKIE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::problem::{Kind, Problem};
use crate::config::PublicUrl;
use crate::store::sessions::LASTS;
use crate::store::{NewSession, sign_in_attempts};

/// `__Host-`: browsers take it over HTTPS alone, for this host alone, and for all of its paths.
pub const NAME: &str = "__Host-towline";
/// What a browser keeps that was sent to a provider of identities, until it comes back.
const AWAY: &str = "__Host-towline-away";
/// Any value will do: that it is there shows that a script of ours has asked.
const TOKEN_HEADER: HeaderName = HeaderName::from_static("towline-csrf");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What foreign pages can send by a form, without being asked whether they may.
const FORMS: [&str; 3] = [
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "text/plain",
];

/// The header that gives a browser a session.
pub fn set(new: &NewSession) -> Result<HeaderValue, Problem> {
    value(NAME, &new.token, LASTS.num_seconds())
}

/// The header that takes the session from a browser.
pub fn clear() -> Result<HeaderValue, Problem> {
    value(NAME, "", 0)
}

/// The header by which a browser keeps what it needs to come back from a provider.
pub fn set_away(secret: &str) -> Result<HeaderValue, Problem> {
    value(AWAY, secret, sign_in_attempts::LASTS.num_seconds())
}

/// The header that takes it back.
pub fn clear_away() -> Result<HeaderValue, Problem> {
    value(AWAY, "", 0)
}

fn value(name: &str, token: &str, seconds: i64) -> Result<HeaderValue, Problem> {
    let text = format!("{name}={token}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}");
    let mut value = HeaderValue::try_from(text).map_err(Problem::internal)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The session's secret that a request brings. Browsers send one; of two, one is somebody else's.
pub fn token(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    find(headers, NAME)
}

/// What a browser brings back from a provider.
pub fn away(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    find(headers, AWAY)
}

fn find<'h>(headers: &'h HeaderMap, wanted: &str) -> Result<Option<&'h str>, Problem> {
    let mut tokens = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, value)| *name == wanted && !value.is_empty())
        .map(|(_, value)| value);
    let first = tokens.next();
    if tokens.next().is_some() {
        let detail = format!("the cookie {wanted} is there twice");
        return Err(Problem::new(Kind::Malformed, detail).remedy("sign in again"));
    }
    Ok(first)
}

/// Refuses what a foreign page may have made a browser ask.
pub fn refuse_foreign(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    url: &PublicUrl,
) -> Result<(), Problem> {
    if method.is_safe() || (is_ours(uri, headers, url) && no_form_can(headers)) {
        return Ok(());
    }
    Err(Problem::new(
        Kind::Forbidden,
        "with a session, a change must be asked by a page of this server",
    )
    .remedy(
        "send the headers Origin (this server's address) and Towline-Csrf: 1; a program uses an API key instead",
    ))
}

/// Both headers are the browser's own word, which no page can change. Old browsers say but the second.
fn is_ours(uri: &Uri, headers: &HeaderMap, url: &PublicUrl) -> bool {
    let site = headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
    let origin = headers.get(ORIGIN).and_then(|value| value.to_str().ok());
    let origin_is_ours = origin.map(|origin| {
        let host = uri.authority().map(http::uri::Authority::as_str);
        let host = host.or_else(|| headers.get(HOST).and_then(|value| value.to_str().ok()));
        let asked = host.map(|host| format!("https://{host}"));
        origin == url.to_string() || asked.is_some_and(|asked| asked.eq_ignore_ascii_case(origin))
    });
    match (site, origin_is_ours) {
        (Some(site), Some(ours)) => site == b"same-origin" && ours,
        (Some(site), None) => site == b"same-origin",
        (None, Some(ours)) => ours,
        (None, None) => false,
    }
}

fn no_form_can(headers: &HeaderMap) -> bool {
    if headers.contains_key(TOKEN_HEADER) {
        return true;
    }
    let media = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media = media.and_then(|value| value.split(';').next());
    media.is_some_and(|media| {
        let media = media.trim();
        !FORMS.iter().any(|form| form.eq_ignore_ascii_case(media))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_change_is_taken_from_pages_of_ours_alone() {
        const JSON: (&str, &str) = ("content-type", "application/json");
        const OURS: (&str, &str) = ("origin", "https://plane.example:8443");
        const THEIRS: (&str, &str) = ("origin", "https://evil.example");
        const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");
        let url = "https://plane.example:8443".parse().unwrap();
        let table: &[(&[(&str, &str)], bool)] = &[
            (&[JSON, OURS], true),
            (&[JSON, OURS, SAME], true),
            (&[JSON, SAME], true),
            (&[("towline-csrf", "1"), SAME], true),
            (&[("content-type", "application/x-tar"), SAME], true),
            // By another of its names.
            (
                &[
                    JSON,
                    ("origin", "https://plane:8443"),
                    ("host", "plane:8443"),
                ],
                true,
            ),
            (&[JSON], false),
            (&[SAME], false),
            (&[OURS], false),
            (&[JSON, THEIRS], false),
            (&[JSON, THEIRS, SAME], false),
            (&[JSON, OURS, ("sec-fetch-site", "same-site")], false),
            (&[JSON, ("sec-fetch-site", "cross-site")], false),
            (&[JSON, ("sec-fetch-site", "none")], false),
            (&[JSON, ("origin", "null")], false),
            (&[JSON, ("origin", "http://plane.example:8443")], false),
            (
                &[
                    JSON,
                    ("origin", "https://evil.example"),
                    ("host", "plane:8443"),
                ],
                false,
            ),
            (
                &[("content-type", "text/plain; charset=utf-8"), OURS, SAME],
                false,
            ),
            (
                &[("content-type", "multipart/form-data; boundary=x"), OURS],
                false,
            ),
        ];
        for (pairs, taken) in table {
            let headers = headers(pairs);
            let uri = Uri::from_static("/api/v1/projects");
            let judged = refuse_foreign(&Method::POST, &uri, &headers, &url);
            assert_eq!(judged.is_ok(), *taken, "{pairs:?}");
            assert!(refuse_foreign(&Method::GET, &uri, &headers, &url).is_ok());
        }
        let uri = Uri::from_static("https://plane:8443/api/v1/projects");
        let over_http2 = headers(&[JSON, ("origin", "https://plane:8443")]);
        assert!(refuse_foreign(&Method::PUT, &uri, &over_http2, &url).is_ok());
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        for (text, found) in [
            ("__Host-towline=a", Some("a")),
            ("x=1; __Host-towline=a;y=2", Some("a")),
            ("towline=a", None),
            ("x__Host-towline=a", None),
            ("__Host-towline=", None),
            ("__Host-towline", None),
        ] {
            let headers = headers(&[("cookie", text)]);
            assert_eq!(token(&headers).unwrap(), found, "{text}");
        }
        let twice = headers(&[("cookie", "__Host-towline=a; __Host-towline=b")]);
        assert!(token(&twice).is_err());
    }
}
