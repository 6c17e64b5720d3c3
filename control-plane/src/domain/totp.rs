//! Codes of a second factor: RFC 6238 as the authenticator apps know it, SHA-1, six digits, thirty
//! seconds.

use std::fmt::Write as _;

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use zeroize::Zeroizing;

/// As many bytes as the hash has, which RFC 4226 recommends.
pub const SECRET_BYTES: usize = 20;
/// Seconds that a code is for.
const STEP: u64 = 30;
/// Steps by which a person's clock may be off, either way.
const DRIFT: u64 = 1;
const DIGITS: usize = 6;

/// The step of a moment, given in seconds of Unix time.
pub const fn step_at(seconds: u64) -> u64 {
    seconds / STEP
}

/// The step that a code is for, if it is one of now and later than the last that was taken: a code that
/// somebody looked at over a shoulder works no more.
pub fn matching_step(secret: &[u8], code: &str, now: u64, last: u64) -> Option<u64> {
    let given: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if given.len() != DIGITS || !given.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let around = now.saturating_sub(DRIFT)..=now + DRIFT;
    // Each is computed and compared whole, whichever it is.
    let steps = around.filter(|step| is_equal(&code_at(secret, *step), &given));
    steps.filter(|step| *step > last).max()
}

fn is_equal(one: &str, other: &str) -> bool {
    let differences = one.bytes().zip(other.bytes()).map(|(a, b)| a ^ b);
    one.len() == other.len() && differences.fold(0, |all, byte| all | byte) == 0
}

/// The code of a step.
pub fn code_at(secret: &[u8], step: u64) -> String {
    let number = truncated(secret, step) % 10_u32.pow(6);
    format!("{number:0DIGITS$}")
}

/// RFC 4226, 5.3: the last half byte says where four bytes are taken from.
fn truncated(secret: &[u8], step: u64) -> u32 {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret) else {
        return 0;
    };
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = usize::from(hash[hash.len() - 1] & 0xf);
    let bytes = [hash[at] & 0x7f, hash[at + 1], hash[at + 2], hash[at + 3]];
    u32::from_be_bytes(bytes)
}

/// The secret as people type it.
pub fn in_letters(secret: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(BASE32_NOPAD.encode(secret))
}

/// The address by which authenticator apps take a secret.
pub fn uri(secret: &[u8], email: &str, issuer: &str) -> Zeroizing<String> {
    let (email, issuer) = (escaped(email), escaped(issuer));
    let secret = in_letters(secret);
    Zeroizing::new(format!(
        "otpauth://totp/{issuer}:{email}?secret={}&issuer={issuer}",
        *secret
    ))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(byte.into());
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B, the last six of eight digits.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code_at(SECRET, step_at(seconds)), code, "{seconds}");
        }
    }

    #[test]
    fn a_code_is_taken_around_its_time_and_once() {
        let (now, code) = (step_at(1_234_567_890), "005924");
        for (at, last, taken) in [
            (now, 0, Some(now)),
            (now + 1, 0, Some(now)),
            (now - 1, 0, Some(now)),
            (now + 2, 0, None),
            (now - 2, 0, None),
            (now, now - 1, Some(now)),
            (now, now, None),
            (now, now + 1, None),
        ] {
            assert_eq!(matching_step(SECRET, code, at, last), taken, "{at} {last}");
        }
        assert_eq!(matching_step(SECRET, "005 924", now, 0), Some(now));
        for wrong in ["", "5924", "005925", "0059240", "00592a", "٠٠٥٩٢٤"] {
            assert_eq!(matching_step(SECRET, wrong, now, 0), None, "{wrong}");
        }
    }

    #[test]
    fn an_app_takes_the_secret_by_an_address() {
        assert_eq!(
            uri(SECRET, "ada+1@example.org", "Towline plane").as_str(),
            "otpauth://totp/Towline%20plane:ada%2B1%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Towline%20plane"
        );
    }
}
