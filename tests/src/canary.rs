//! Values that must be found nowhere, and the forms in which they would be.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};

/// A secret, and every form of it that is looked for.
#[derive(Debug)]
pub struct Canary {
    /// What kind of secret it is.
    pub kind: &'static str,
    forms: Vec<String>,
}

impl Canary {
    /// Of a secret of letters, as people have it.
    pub fn new(kind: &'static str, value: &str) -> Self {
        Self::of_bytes(kind, value.as_bytes())
    }

    /// Of a secret of any bytes.
    pub fn of_bytes(kind: &'static str, value: &[u8]) -> Self {
        assert!(
            value.len() >= 10,
            "{kind}: too short to be told from chance"
        );
        let hex = data_encoding::HEXLOWER.encode(value);
        let mut forms = vec![latin(value), hex.to_uppercase(), hex, in_urls(value)];
        for alphabet in [STANDARD, URL_SAFE] {
            let engine = GeneralPurpose::new(&alphabet, NO_PAD);
            // Behind one or two bytes more, the same bytes are other letters.
            for before in 0..3 {
                let text = engine.encode([&vec![0; before], value].concat());
                let (first, last) = ((before * 8).div_ceil(6), (before + value.len()) * 8 / 6);
                forms.push(text[first..last].to_owned());
            }
        }
        forms.sort();
        forms.dedup();
        Self { kind, forms }
    }
}

/// Bytes as text with one letter for each.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn in_urls(bytes: &[u8]) -> String {
    let letter = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(*byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    bytes.iter().map(letter).collect()
}

/// The kinds of the canaries that `bytes` hold in any form.
pub fn found<'c>(canaries: &'c [Canary], bytes: &[u8]) -> Vec<&'c str> {
    let text = latin(bytes);
    let is_in = |canary: &&Canary| canary.forms.iter().any(|form| text.contains(form.as_str()));
    canaries
        .iter()
        .filter(is_in)
        .map(|canary| canary.kind)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found_wherever_it_stands() {
        let value = "canary/+=%&ü-0123456789";
        let canaries = [
            Canary::new("it", value),
            Canary::new("other", "another-canary"),
        ];
        let url = GeneralPurpose::new(&URL_SAFE, NO_PAD);
        let standard = GeneralPurpose::new(&STANDARD, NO_PAD);
        for before in ["", "a", "ab", "abc", "{\"key\":\""] {
            let whole = format!("{before}{value}\"}}");
            let hex = data_encoding::HEXUPPER.encode(whole.as_bytes());
            let texts = [
                whole.clone(),
                hex.to_lowercase(),
                hex,
                in_urls(whole.as_bytes()),
                url.encode(&whole),
                standard.encode(&whole),
            ];
            for text in texts {
                assert_eq!(found(&canaries, text.as_bytes()), ["it"], "{text}");
            }
        }
        assert!(found(&canaries, b"canary-0123456789").is_empty());
    }
}
