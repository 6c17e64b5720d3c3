//! How long a receiver asks to be left alone.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderMap, header};

/// The longest that is heeded.
pub const MAX_WAIT: Duration = Duration::from_hours(24);

/// What `Retry-After` says (RFC 9110, section 10.2.3), in seconds or as a time; some say parts of a second.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let said = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = said.parse::<f64>().ok().filter(|seconds| !seconds.is_nan());
    let wait = match seconds {
        Some(seconds) => Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(MAX_WAIT),
        None => until(said)?,
    };
    Some(wait.min(MAX_WAIT))
}

fn until(said: &str) -> Option<Duration> {
    let at = DateTime::parse_from_rfc2822(said).ok()?;
    Some((at.to_utc() - Utc::now()).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_receiver_says_how_long_to_wait() {
        let at = |seconds| {
            let at = Utc::now() + TimeDelta::seconds(seconds);
            at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
        };
        for (said, wait) in [
            ("30".to_owned(), Some(30..=30)),
            (" 1.5 ".to_owned(), Some(1..=1)),
            ("0".to_owned(), Some(0..=0)),
            ("-1".to_owned(), Some(0..=0)),
            (i64::MAX.to_string(), Some(86_400..=86_400)),
            ("inf".to_owned(), Some(86_400..=86_400)),
            ("NaN".to_owned(), None),
            (at(100), Some(97..=100)),
            (at(-100), Some(0..=0)),
            (at(1_000_000), Some(86_400..=86_400)),
            ("soon".to_owned(), None),
            (String::new(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, said.parse().unwrap());
            let found = retry_after(&headers).map(|wait| wait.as_secs());
            match wait {
                Some(range) => assert!(range.contains(&found.unwrap()), "{said} {found:?}"),
                None => assert_eq!(found, None, "{said}"),
            }
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
