//! Signatures of webhooks as Standard Webhooks has them (version `v1`): HMAC-SHA256 under a shared secret over the
//! message's id, its time and its raw body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::hmac;
use subtle::{Choice, ConstantTimeEq as _};

/// What stands before a secret's base64.
pub const SECRET_PREFIX: &str = "whsec_";
/// How many bytes a secret may have.
pub const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// How far the clocks of sender and receiver may lie apart, with the time on the way.
pub const TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// The most bytes of each of the three headers.
pub const MAX_HEADER: usize = 4096;
/// The most signatures of one message that are compared: a sender has two while a secret is exchanged.
pub const MAX_SIGNATURES: usize = 16;

const VERSION: &str = "v1,";
/// A time as digits: enough for longer than there will be webhooks.
const MAX_DIGITS: usize = 12;

/// A secret that signs and verifies.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

/// The headers that come with a message.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `webhook-id`: the same however often the message is sent.
    pub id: &'a str,
    /// `webhook-timestamp`: the seconds since 1970 at which it was sent.
    pub timestamp: &'a str,
    /// `webhook-signature`: signatures with spaces between.
    pub signature: &'a str,
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The text is no secret.
    #[error("a secret is {SECRET_PREFIX} and the base64 of 24 to 64 bytes")]
    Secret,
    /// The id is empty, too long, or has characters that no id has. A full stop would let a part of the body pass for
    /// a part of the id.
    #[error("webhook-id is not one to {MAX_HEADER} visible characters without a full stop")]
    Id,
    /// The time is no number of seconds.
    #[error("webhook-timestamp is not a number of seconds")]
    Timestamp,
    /// The time is too far from now.
    #[error("webhook-timestamp is more than five minutes from now")]
    OutOfTime,
    /// No signature was made with one of the secrets.
    #[error("webhook-signature has no signature of this message")]
    Signature,
}

impl SigningKey {
    /// Reads a secret; its prefix may be left out.
    pub fn parse(secret: &str) -> Result<Self, SignatureError> {
        let body = secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret);
        let bytes = STANDARD.decode(body).map_err(|_| SignatureError::Secret)?;
        if SECRET_BYTES.contains(&bytes.len()) {
            Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
        } else {
            Err(SignatureError::Secret)
        }
    }

    /// The signature of a message, as a header has it.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let tag = self.tag(id, &timestamp.to_string(), body);
        format!("{VERSION}{}", STANDARD.encode(tag.as_ref()))
    }

    fn tag(&self, id: &str, timestamp: &str, body: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        context.sign()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}

/// Checks that a message was signed with one of the secrets, and lately. Takes as long whichever signature is right,
/// and whichever of its bytes is wrong.
pub fn verify(
    keys: &[SigningKey],
    signed: Signed<'_>,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<(), SignatureError> {
    check_id(signed.id)?;
    check_time(signed.timestamp, now)?;
    if signed.signature.len() > MAX_HEADER {
        return Err(SignatureError::Signature);
    }
    let given: Vec<_> = signed
        .signature
        .split(' ')
        .filter_map(|one| STANDARD.decode(one.strip_prefix(VERSION)?).ok())
        .take(MAX_SIGNATURES)
        .collect();
    let mut is_right = Choice::from(0);
    for key in keys {
        let tag = key.tag(signed.id, signed.timestamp, body);
        for signature in &given {
            is_right |= tag.as_ref().ct_eq(signature);
        }
    }
    if is_right.into() {
        Ok(())
    } else {
        Err(SignatureError::Signature)
    }
}

fn check_id(id: &str) -> Result<(), SignatureError> {
    let fits = (1..=MAX_HEADER).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'.');
    if fits {
        Ok(())
    } else {
        Err(SignatureError::Id)
    }
}

fn check_time(text: &str, now: DateTime<Utc>) -> Result<(), SignatureError> {
    let is_number =
        (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: i64 =
        if is_number { text.parse().ok() } else { None }.ok_or(SignatureError::Timestamp)?;
    let apart = now.timestamp().abs_diff(seconds);
    if apart <= TOLERANCE.num_seconds().unsigned_abs() {
        Ok(())
    } else {
        Err(SignatureError::OutOfTime)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The vector that the libraries of Standard Webhooks are tested with.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIME: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn key() -> SigningKey {
        SigningKey::parse(SECRET).unwrap()
    }

    fn verified(signed: Signed<'_>, body: &[u8], late: i64) -> Result<(), SignatureError> {
        let now = DateTime::from_timestamp(TIME + late, 0).unwrap();
        verify(&[key()], signed, body, now)
    }

    fn whole() -> Signed<'static> {
        Signed {
            id: ID,
            timestamp: "1614265330",
            signature: SIGNATURE,
        }
    }

    #[test]
    fn signs_and_verifies_as_the_others_do() {
        assert_eq!(key().sign(ID, TIME, BODY), SIGNATURE);
        assert_eq!(verified(whole(), BODY, 0), Ok(()));
        let bare = SECRET.strip_prefix(SECRET_PREFIX).unwrap();
        assert_eq!(
            SigningKey::parse(bare).unwrap().sign(ID, TIME, BODY),
            SIGNATURE
        );
    }

    #[test]
    fn one_right_signature_among_several_is_enough() {
        let other = SigningKey::parse(&format!("{SECRET_PREFIX}{}", STANDARD.encode([7; 32])));
        let other = other.unwrap();
        let wrong = other.sign(ID, TIME, BODY);
        let many = |count: usize| format!("{} {SIGNATURE}", vec![wrong.as_str(); count].join(" "));
        let table = [
            (format!("{wrong} {SIGNATURE}"), Ok(())),
            (format!("v1a,AAAA v2,xx  {SIGNATURE} junk"), Ok(())),
            (many(MAX_SIGNATURES - 1), Ok(())),
            (many(MAX_SIGNATURES), Err(SignatureError::Signature)),
            (wrong.clone(), Err(SignatureError::Signature)),
            (String::new(), Err(SignatureError::Signature)),
            ("v1,".to_owned(), Err(SignatureError::Signature)),
            (
                SIGNATURE.replace("v1,", "v1 "),
                Err(SignatureError::Signature),
            ),
            (
                format!("{}{SIGNATURE}", " ".repeat(MAX_HEADER)),
                Err(SignatureError::Signature),
            ),
        ];
        for (signature, expected) in table {
            let signed = Signed {
                signature: &signature,
                ..whole()
            };
            assert_eq!(verified(signed, BODY, 0), expected, "{signature}");
        }
        let now = DateTime::from_timestamp(TIME, 0).unwrap();
        assert_eq!(verify(&[other, key()], whole(), BODY, now), Ok(()));
        assert!(verify(&[], whole(), BODY, now).is_err());
    }

    #[test]
    fn what_was_changed_is_refused_by_name() {
        use SignatureError::{Id, OutOfTime, Signature, Timestamp};
        let long = "x".repeat(MAX_HEADER + 1);
        let table = [
            (ID, "1614265331", 0, Signature),
            ("msg_other", "1614265330", 0, Signature),
            ("", "1614265330", 0, Id),
            ("msg.1", "1614265330", 0, Id),
            ("msg 1", "1614265330", 0, Id),
            (long.as_str(), "1614265330", 0, Id),
            (ID, "", 0, Timestamp),
            (ID, "+1614265330", 0, Timestamp),
            (ID, "1614265330.5", 0, Timestamp),
            (ID, "9999999999999", 0, Timestamp),
            (ID, "1614265330", 301, OutOfTime),
            (ID, "1614265330", -301, OutOfTime),
        ];
        for (id, timestamp, late, expected) in table {
            let signed = Signed {
                id,
                timestamp,
                ..whole()
            };
            assert_eq!(
                verified(signed, BODY, late),
                Err(expected),
                "{id:?} {timestamp:?}"
            );
        }
        for late in [-300, 300] {
            assert_eq!(verified(whole(), BODY, late), Ok(()));
        }
        assert_eq!(
            verified(whole(), br#"{"test": 2432232315}"#, 0),
            Err(Signature)
        );
    }

    #[test]
    fn a_secret_is_long_enough_and_does_not_print() {
        for length in [0, 16, 23, 65, 1000] {
            let text = format!("{SECRET_PREFIX}{}", STANDARD.encode(vec![1; length]));
            assert_eq!(
                SigningKey::parse(&text).unwrap_err(),
                SignatureError::Secret
            );
        }
        for text in ["whsec_hunter2!", "whsec_", ""] {
            assert_eq!(SigningKey::parse(text).unwrap_err(), SignatureError::Secret);
        }
        assert_eq!(format!("{:?}", key()), "SigningKey([redacted])");
    }
}
