//! One call: to the integration's own address, with its token, and what comes back judged and bounded.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::Utc;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use super::ForgeError;
use crate::domain::forge::Forge;
use crate::domain::integration::{ForgeAccess, ForgeSite};
use crate::domain::push::kept;
use crate::egress::{Answer, BodyEnd, Egress, MAX_WAIT, retry_after};

/// The most characters of a forge's words that are shown.
const MAX_WORDS: usize = 300;

/// Calls a forge by its token.
#[derive(Clone, Debug)]
pub struct Caller {
    egress: Egress,
    access: ForgeAccess,
    api: String,
}

impl Caller {
    pub fn new(egress: Egress, access: ForgeAccess) -> Self {
        Self {
            egress,
            api: access.site.api(),
            access,
        }
    }

    pub const fn forge(&self) -> Forge {
        self.access.site.forge()
    }

    pub const fn site(&self) -> &ForgeSite {
        &self.access.site
    }

    /// Where the API is.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Reads something.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ForgeError> {
        self.ask(Method::GET, path, None).await
    }

    /// Sends something, and reads what comes of it.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, ForgeError> {
        read(&self.send(method, path, body).await?)
    }

    /// Sends something, and looks whether it was taken.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ForgeError> {
        let url = format!("{}{path}", self.api);
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::ACCEPT, json.clone());
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, json);
        }
        self.call(method, &url, headers, body.into()).await
    }

    /// Calls an address of the API. None other is called with the token.
    pub async fn call(
        &self,
        method: Method,
        url: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, ForgeError> {
        let path = url.strip_prefix(self.api.as_str());
        if !path.is_some_and(|path| path.starts_with('/')) {
            return Err(ForgeError::Request(
                "its address is none of the forge's".to_owned(),
            ));
        }
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::AUTHORIZATION, self.authorization()?);
        let mut request = Request::builder().method(method).uri(url);
        if let Some(all) = request.headers_mut() {
            *all = headers;
        }
        let request = request.body(body.to_vec());
        let request = request.map_err(|error| ForgeError::Request(error.to_string()))?;
        let answer = self.egress.call(request).await?;
        self.judge(answer)
    }

    fn authorization(&self) -> Result<HeaderValue, ForgeError> {
        let token = &self.access.token;
        let text = Zeroizing::new(match &self.access.user {
            Some(user) => {
                let pair = Zeroizing::new(format!("{user}:{}", token.as_str()));
                format!("Basic {}", STANDARD.encode(pair.as_bytes()))
            }
            None => format!("Bearer {}", token.as_str()),
        });
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| ForgeError::Request("the token is no text".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn judge(&self, answer: Answer) -> Result<Answer, ForgeError> {
        let words = || self.words(&answer.body);
        match answer.status {
            200..=299 if answer.end == BodyEnd::Whole => Ok(answer),
            200..=299 => Err(ForgeError::Cut),
            status @ 300..=399 => Err(ForgeError::Moved { status }),
            401 => Err(ForgeError::Unauthorized { words: words() }),
            403 | 429 if answer.status == 429 || is_used_up(&answer.headers) => {
                Err(ForgeError::TooOften {
                    wait: wait(&answer.headers),
                })
            }
            403 => Err(ForgeError::Forbidden { words: words() }),
            404 | 410 => Err(ForgeError::Absent { words: words() }),
            status => Err(ForgeError::Refused {
                status,
                words: words(),
            }),
        }
    }

    /// What a forge says of an error, shortened, and without the token in it.
    fn words(&self, body: &[u8]) -> String {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = &body["error"];
        let texts = [
            &body["message"],
            &error["message"],
            &body["error_description"],
            error,
        ];
        let said = texts.into_iter().find(|one| !one.is_null());
        let mut said = match said {
            None => return String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        // Bitbucket's and GitHub's ways to say what is wrong in particular.
        for more in [&error["detail"]["required"], &body["errors"]] {
            if more.is_array() {
                said = format!("{said} {more}");
            }
        }
        kept(&said.replace(self.access.token.as_str(), "…"), MAX_WORDS)
    }
}

/// What an answer says.
pub fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, ForgeError> {
    serde_json::from_slice(&answer.body).map_err(|error| ForgeError::Unreadable(error.to_string()))
}

/// A header that is a text.
pub fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The scopes that a header lists.
pub fn scopes(headers: &HeaderMap) -> Option<Vec<String>> {
    let listed = text(headers, "x-oauth-scopes")?.split([',', ' ']);
    let names = listed.filter(|name| !name.is_empty());
    Some(names.map(str::to_owned).collect())
}

/// GitHub says by 403, too, that it was asked too often.
fn is_used_up(headers: &HeaderMap) -> bool {
    headers.contains_key(header::RETRY_AFTER)
        || text(headers, "x-ratelimit-remaining") == Some("0")
        || text(headers, "ratelimit-remaining") == Some("0")
}

fn wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = |name| text(headers, name)?.trim().parse::<i64>().ok();
    let until = || {
        let at = seconds("x-ratelimit-reset").or_else(|| seconds("ratelimit-reset"))?;
        Some(at.saturating_sub(Utc::now().timestamp()))
    };
    let reset = || Some(Duration::from_secs(u64::try_from(until()?).unwrap_or(0)));
    let wait = retry_after(headers).or_else(reset)?;
    Some(wait.min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_forge_says_how_long_to_wait() {
        let soon = (Utc::now().timestamp() + 100).to_string();
        let past = (Utc::now().timestamp() - 100).to_string();
        let table = [
            (vec![("retry-after", "30".to_owned())], Some(30..=30)),
            (vec![("x-ratelimit-reset", soon.clone())], Some(98..=100)),
            (vec![("ratelimit-reset", soon)], Some(98..=100)),
            (vec![("x-ratelimit-reset", past)], Some(0..=0)),
            (
                vec![("retry-after", i64::MAX.to_string())],
                Some(86400..=86400),
            ),
            (vec![("retry-after", "-1".to_owned())], Some(0..=0)),
            (vec![("retry-after", "soon".to_owned())], None),
            (vec![], None),
        ];
        for (pairs, expected) in table {
            let found = wait(&headers(&pairs)).map(|wait| wait.as_secs());
            match expected {
                Some(range) => assert!(range.contains(&found.unwrap()), "{pairs:?} {found:?}"),
                None => assert_eq!(found, None, "{pairs:?}"),
            }
        }
        let listed = headers(&[("x-oauth-scopes", "repo, admin:repo_hook".to_owned())]);
        assert_eq!(scopes(&listed).unwrap(), ["repo", "admin:repo_hook"]);
        assert_eq!(scopes(&headers(&[])), None);
    }
}
