//! Forms, as browsers send them.

use std::fmt::Write as _;

/// What such a body says to be.
pub const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// The fields as one text.
pub fn encode(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        escape(&mut text, name);
        text.push('=');
        escape(&mut text, value);
    }
    text
}

/// Everything but letters, digits and what RFC 3986 reserves for no use.
fn escape(to: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            to.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(to, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_would_end_a_field_is_escaped() {
        let fields = [("a[0]", "x&y=z"), ("mail", "é+1@example.org ")];
        assert_eq!(
            super::encode(&fields),
            "a%5B0%5D=x%26y%3Dz&mail=%C3%A9%2B1%40example.org%20"
        );
        assert_eq!(super::encode(&[]), "");
    }
}
