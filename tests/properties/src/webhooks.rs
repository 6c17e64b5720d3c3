//! Signatures of webhooks: what is taken was signed, by another reckoning than the reader's own.

use std::fmt::Write as _;

use chrono::DateTime;
use sha2::{Digest as _, Sha256};

use crate::bound::within;
use crate::feed::Feed;
use crate::webhook_reader::{MAX_HEADER, Signed, SigningKey, TOLERANCE, verify};

/// Sixteen signatures at most are decoded, of a header of at most 4 KiB.
const BASE: usize = 64 * 1024;
const BLOCK: usize = 64;

/// A secret, the time, and a message with its headers; then the same message rightly signed, and changed.
pub fn webhook_signature(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let secret = String::from_utf8_lossy(feed.piece()).into_owned();
    let now = i64::try_from(feed.number()).unwrap() * 1_000_000;
    let (id, timestamp) = (text(&mut feed), text(&mut feed));
    let length = feed.number();
    let signature = String::from_utf8_lossy(feed.bytes(length)).into_owned();
    let body = feed.rest();
    let Ok(key) = SigningKey::parse(&secret) else {
        return;
    };
    let raw = raw(&secret);
    let signed = Signed {
        id: &id,
        timestamp: &timestamp,
        signature: &signature,
    };
    if taken(&key, signed, body, now) {
        assert!(signature.contains(&expected(&raw, &id, &timestamp, body)));
        let seconds: i64 = timestamp.parse().unwrap();
        assert!(now.abs_diff(seconds) <= TOLERANCE.num_seconds().unsigned_abs());
        assert!(!id.contains('.') && signature.len() <= MAX_HEADER);
    }
    is_inverse(&key, &raw, now, body);
}

fn text(feed: &mut Feed<'_>) -> String {
    String::from_utf8_lossy(feed.piece()).into_owned()
}

fn taken(key: &SigningKey, signed: Signed<'_>, body: &[u8], now: i64) -> bool {
    let now = DateTime::from_timestamp(now, 0).unwrap();
    within(BASE, || {
        verify(std::slice::from_ref(key), signed, body, now).is_ok()
    })
}

/// What is signed is taken, and not with another body.
fn is_inverse(key: &SigningKey, raw: &[u8], now: i64, body: &[u8]) {
    let (id, timestamp) = ("msg_1", now.to_string());
    let signature = key.sign(id, now, body);
    assert_eq!(signature, expected(raw, id, &timestamp, body));
    let signed = Signed {
        id,
        timestamp: &timestamp,
        signature: &signature,
    };
    assert!(taken(key, signed, body, now));
    assert!(!taken(key, signed, &[body, b" "].concat(), now));
}

/// The secret's bytes, by a decoder of our own: the reader has taken the text, so it is base64.
fn raw(secret: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let body = secret.strip_prefix("whsec_").unwrap_or(secret);
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for digit in body.trim_end_matches('=').bytes() {
        let value = DIGITS.iter().position(|one| *one == digit).unwrap();
        bits = (bits << 6 | u32::try_from(value).unwrap()) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    bytes
}

/// RFC 2104 by hand.
fn expected(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    assert!(key.len() <= BLOCK);
    let pad = |with: u8| -> Vec<u8> {
        let padded = key.iter().copied().chain(std::iter::repeat(0)).take(BLOCK);
        padded.map(|byte| byte ^ with).collect()
    };
    let message = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let inner = Sha256::digest([pad(0x36), message].concat());
    let tag = Sha256::digest([pad(0x5c), inner.to_vec()].concat());
    format!("v1,{}", base64(&tag))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0; 3];
        word[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, word[0], word[1], word[2]]);
        for place in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap();
            let shown = if place <= chunk.len() {
                DIGITS[digit]
            } else {
                b'='
            };
            write!(text, "{}", char::from(shown)).unwrap();
        }
    }
    text
}

/// Messages that are taken, as bytes of [`webhook_signature`].
pub fn seeds() -> Vec<Vec<u8>> {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let key = SigningKey::parse(secret).unwrap();
    let (hours, id, body) = (
        1614_u16,
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b"{\"test\": 2432232314}",
    );
    let now = i64::from(hours) * 1_000_000;
    let right = key.sign(id, now, body);
    let piece = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let seed = |signature: &str| {
        let length = u16::try_from(signature.len()).unwrap().to_le_bytes();
        [
            piece(secret),
            hours.to_le_bytes().to_vec(),
            piece(id),
            piece(&now.to_string()),
            length.to_vec(),
            signature.as_bytes().to_vec(),
            body.to_vec(),
        ]
        .concat()
    };
    vec![
        seed(&right),
        seed(&format!("v1,AAAA v1a,xyz {right}")),
        seed("v2,AAAA"),
    ]
}
