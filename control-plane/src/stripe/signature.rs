//! Signatures of Stripe's events (scheme `v1`): HMAC-SHA256 under a shared secret over the time, a full stop and the raw
//! body, in hexadecimal.

use chrono::{DateTime, TimeDelta, Utc};
use ring::hmac;
use subtle::{Choice, ConstantTimeEq as _};

use super::event::EventError;
use crate::domain::hex::hex;

/// The header that has the time and the signatures.
pub const HEADER: &str = "stripe-signature";

/// How far the clocks may lie apart, with the time on the way: what Stripe's own libraries allow.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// The most bytes of the header.
const MAX_HEADER: usize = 4096;
/// The most signatures that are compared: there are two while a secret is exchanged.
const MAX_SIGNATURES: usize = 16;
/// A time as digits: enough for longer than there will be events.
const MAX_DIGITS: usize = 12;

/// The secret of an endpoint, as Stripe shows it: its very characters are the key.
pub struct SigningSecret(hmac::Key);

impl SigningSecret {
    pub fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    fn tag(&self, time: &str, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(time.as_bytes());
        context.update(b".");
        context.update(body);
        hex(context.sign().as_ref())
    }

    /// Checks that one of the signatures is right, and that it was made lately. Takes as long whichever it is, and
    /// whichever of its characters is wrong.
    pub fn verify(&self, header: &str, body: &[u8], now: DateTime<Utc>) -> Result<(), EventError> {
        if header.len() > MAX_HEADER {
            return Err(EventError::Signature);
        }
        let parts = || {
            header
                .split(',')
                .filter_map(|part| part.trim().split_once('='))
        };
        let mut times = parts().filter(|(name, _)| *name == "t");
        let (Some((_, time)), None) = (times.next(), times.next()) else {
            return Err(EventError::Signature);
        };
        check_time(time, now)?;
        let right = self.tag(time, body);
        let given = parts()
            .filter(|(name, _)| *name == "v1")
            .take(MAX_SIGNATURES);
        let mut is_right = Choice::from(0);
        for (_, signature) in given {
            is_right |= right.as_bytes().ct_eq(signature.as_bytes());
        }
        if is_right.into() {
            Ok(())
        } else {
            Err(EventError::Signature)
        }
    }
}

/// The header of an event that is sent at a time, as Stripe makes it.
pub fn sign(secret: &str, at: DateTime<Utc>, body: &[u8]) -> String {
    let time = at.timestamp().to_string();
    format!(
        "t={time},v1={}",
        SigningSecret::new(secret).tag(&time, body)
    )
}

fn check_time(text: &str, now: DateTime<Utc>) -> Result<(), EventError> {
    let is_number =
        (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: Option<i64> = if is_number { text.parse().ok() } else { None };
    let apart = seconds.map(|seconds| now.timestamp().abs_diff(seconds));
    match apart {
        Some(apart) if apart <= TOLERANCE.num_seconds().unsigned_abs() => Ok(()),
        _ => Err(EventError::Signature),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECRET: &str = "whsec_test_secret";
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    const TIME: i64 = 1_800_000_000;

    fn at(late: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(TIME + late, 0).unwrap()
    }

    fn takes(header: &str, body: &[u8], late: i64) -> bool {
        let verified = SigningSecret::new(SECRET).verify(header, body, at(late));
        verified.is_ok()
    }

    /// Computed with another program: `printf '%s' "$T.$BODY" | openssl dgst -sha256 -hmac "$SECRET"`.
    const RIGHT: &str = "8a6563dbee1eccda632491deb091d19e764aadddcd0ace8d9516599526831c89";

    #[test]
    fn a_right_signature_of_lately_is_taken() {
        let whole = format!("t={TIME},v1={RIGHT}");
        assert_eq!(sign(SECRET, at(0), BODY), whole);
        let wrong = "0".repeat(64);
        for header in [
            whole.clone(),
            format!("t={TIME},v1={wrong},v1={RIGHT},v0={wrong}"),
            format!("v1={RIGHT}, t={TIME}"),
        ] {
            assert!(takes(&header, BODY, 0), "{header}");
        }
        for late in [-300, 300] {
            assert!(takes(&whole, BODY, late));
        }
        for late in [-301, 301, 1_000_000] {
            assert!(!takes(&whole, BODY, late), "{late}");
        }
        assert!(!takes(&whole, br#"{"id":"evt_2"}"#, 0));
    }

    #[test]
    fn anything_else_is_not() {
        let wrong = "0".repeat(64);
        let other = TIME + 1;
        for header in [
            String::new(),
            "t=,v1=".to_owned(),
            format!("v1={RIGHT}"),
            format!("t={TIME}"),
            format!("t={TIME},v1={wrong}"),
            format!("t={TIME},v0={RIGHT}"),
            format!("t={TIME},v1={}", &RIGHT[..63]),
            format!("t={TIME},v1={}", RIGHT.to_uppercase()),
            format!("t={other},v1={RIGHT}"),
            format!("t={TIME},t={other},v1={RIGHT}"),
            format!("t=+{TIME},v1={RIGHT}"),
            format!("t={TIME}.0,v1={RIGHT}"),
            format!("t={},v1={RIGHT}", "9".repeat(40)),
            format!("t={TIME},{}v1={RIGHT}", format!("v1={wrong},").repeat(16)),
            format!("t={TIME},v1={RIGHT},{}", " ".repeat(MAX_HEADER)),
        ] {
            assert!(!takes(&header, BODY, 0), "{header}");
        }
    }
}
