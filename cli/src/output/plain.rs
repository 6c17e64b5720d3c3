//! Text from elsewhere, made safe for a terminal.
//!
//! A log line or a container's name could otherwise move the cursor, hide text, set the window's
//! title or make the terminal answer as if the user typed. Colour sequences are dropped, every
//! other control character is shown as a picture of itself, and characters that reverse or hide
//! text are shown by their number. Tabs stay.

use std::{borrow::Cow, fmt::Write as _};

use super::Reader;

/// The text as the reader may have it.
pub fn for_reader(text: &str, reader: Reader) -> Cow<'_, str> {
    match reader {
        Reader::Terminal => neutral(text),
        Reader::Machine => text.into(),
    }
}

/// The text without anything that a terminal would obey.
pub fn neutral(text: &str) -> Cow<'_, str> {
    if !text.chars().any(obeyed) {
        return text.into();
    }
    let mut clean = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = without_colour_sequence(rest) {
            rest = after;
            continue;
        }
        push_visible(&mut clean, first);
        rest = &rest[first.len_utf8()..];
    }
    clean.into()
}

/// JSON whose strings hold nothing that a terminal would obey. JSON itself escapes the first 32 control
/// characters only; the value stays the same.
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    let is_raw = |character: char| obeyed(character) && !character.is_ascii_whitespace();
    if !json.chars().any(is_raw) {
        return json.into();
    }
    let mut escaped = String::with_capacity(json.len() + 8);
    for character in json.chars() {
        if is_raw(character) {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\u{:04x}", character as u32);
        } else {
            escaped.push(character);
        }
    }
    escaped.into()
}

fn obeyed(character: char) -> bool {
    (character.is_control() && character != '\t') || is_directional(character)
}

/// Marks and overrides of the writing direction, and invisible separators of lines.
const fn is_directional(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push_visible(clean: &mut String, character: char) {
    match character {
        '\t' => clean.push('\t'),
        '\0'..='\x1f' => clean.push(picture(character as u32)),
        '\x7f' => clean.push('\u{2421}'),
        other if obeyed(other) => {
            // Writing to a string cannot fail.
            let _ = write!(clean, "<U+{:04X}>", other as u32);
        }
        other => clean.push(other),
    }
}

/// Unicode has a picture for each of the first 32 control characters.
fn picture(code: u32) -> char {
    char::from_u32(0x2400 + code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// `ESC [ digits and semicolons m`, which only sets colours: gone without a trace.
fn without_colour_sequence(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
    parameters[end..].strip_prefix('m')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_a_terminal_would_obey_is_changed() {
        let table = [
            ("GET /\t200 – naïve 日本 🚀", "GET /\t200 – naïve 日本 🚀"),
            (
                "\x1b[31mred\x1b[0m and \x1b[1;38;5;9mbold\x1b[m",
                "red and bold",
            ),
            ("\x1b]0;title\x07", "␛]0;title␇"),
            ("\x1b[2J\x1b[H", "␛[2J␛[H"),
            ("\x1b[31", "␛[31"),
            ("50 %\r100 %", "50 %␍100 %"),
            ("a\x08b\x7fc\0", "a␈b␡c␀"),
            ("\u{9b}31m", "<U+009B>31m"),
            ("if \u{202e}evil\u{2066}", "if <U+202E>evil<U+2066>"),
            ("\x1b\x1b[0m[0m", "␛[0m"),
        ];
        for (text, expected) in table {
            assert_eq!(neutral(text), expected, "{text:?}");
        }
        assert_eq!(for_reader("\x1b[0m", Reader::Machine), "\x1b[0m");
    }

    #[test]
    fn json_says_the_same_and_does_nothing() {
        let text = "\u{9b}31m \x1b[2J \u{202e}evil \x7f \u{2028} naïve";
        let json = serde_json::to_string_pretty(&[text]).unwrap_or_default();
        let escaped = escaped_json(&json);
        assert!(
            !escaped.chars().any(|c| obeyed(c) && c != '\n'),
            "{escaped}"
        );
        assert_eq!(
            serde_json::from_str::<[String; 1]>(&escaped).ok(),
            Some([text.to_owned()])
        );
    }

    proptest! {
        #[test]
        fn nothing_obeyed_is_left(text in any::<String>()) {
            prop_assert!(!neutral(&text).chars().any(obeyed));
        }
    }
}
