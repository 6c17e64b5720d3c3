//! YAML as Kubernetes reads it: JSON, with the words of YAML 1.1.
//!
//! `kubectl` reads with go-yaml 2: `yes`, `on` and `y` are truths, `010` is eight, `1_000` is a thousand, dates are texts.
//! Keys stay as they are written, while `kubectl` would make a key `on` a `true`.

use serde_json::{Map, Number, Value};

use crate::yaml::{Scalar, View};

/// What JSON has no word for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoJson {
    /// 1-based.
    pub line: u32,
    /// The number.
    pub text: String,
}

/// The JSON of a node.
pub(super) fn of(view: View<'_>) -> Result<Value, NoJson> {
    if let Some(scalar) = view.scalar() {
        return match scalar {
            Scalar::Quoted(text) => Ok(Value::String(text.to_owned())),
            Scalar::Plain(text) => plain(text).ok_or_else(|| NoJson {
                line: view.line(),
                text: text.to_owned(),
            }),
        };
    }
    if view.is_mapping() {
        let fields = view
            .fields()
            .map(|field| Ok((field.key.to_owned(), of(field.value)?)));
        return Ok(Value::Object(fields.collect::<Result<Map<_, _>, _>>()?));
    }
    let items = view.items().map(of);
    Ok(Value::Array(items.collect::<Result<Vec<_>, _>>()?))
}

/// What a word without quotes is; nothing for numbers that JSON does not have.
fn plain(text: &str) -> Option<Value> {
    let value = match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF"
        | ".nan" | ".NaN" | ".NAN" => return None,
        text => match number(text) {
            Some(number) => Value::Number(number),
            None => Value::String(text.to_owned()),
        },
    };
    Some(value)
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let text = text.replace('_', "");
    integer(&text).or_else(|| decimal(&text))
}

fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let size = u64::from_str_radix(digits, base).ok()?;
    match (negative, i64::try_from(size)) {
        (false, _) => Some(size.into()),
        (true, Ok(size)) => Some((-size).into()),
        (true, Err(_)) => None,
    }
}

/// A number with a point or an exponent, or one too large for an integer.
fn decimal(text: &str) -> Option<Number> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_mantissa = match mantissa.split_once('.') {
        Some(("", after)) => is_digits(after),
        Some((before, "")) => is_digits(before),
        Some((before, after)) => is_digits(before) && is_digits(after),
        None => is_digits(mantissa),
    };
    let is_exponent = exponent
        .is_none_or(|exponent| is_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    if !is_mantissa || !is_exponent {
        return None;
    }
    Number::from_f64(text.parse().ok()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::yaml::Tree;

    fn read(text: &str) -> Result<Value, NoJson> {
        let tree = Tree::read(text).unwrap();
        of(tree.roots().next().unwrap())
    }

    #[test]
    fn words_mean_what_they_mean_to_kubectl() {
        let table = [
            ("yes", json!(true)),
            ("off", json!(false)),
            ("y", json!(true)),
            ("'yes'", json!("yes")),
            ("!!str yes", json!("yes")),
            ("~", json!(null)),
            ("8080", json!(8080)),
            ("010", json!(8)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("08", json!(8.0)),
            ("1_000", json!(1000)),
            ("-7", json!(-7)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.27.1", json!("1.27.1")),
            ("100m", json!("100m")),
            ("1e", json!("1e")),
            ("-", json!([null])),
            ("2026-11-29", json!("2026-11-29")),
            ("10:30", json!("10:30")),
            ("0x", json!("0x")),
            ("[a, {b: no}]", json!(["a", {"b": false}])),
        ];
        for (text, value) in table {
            assert_eq!(read(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_json_does_not_have_is_named() {
        let error = read("a:\n  b: .inf\n").unwrap_err();
        assert_eq!((error.line, error.text.as_str()), (2, ".inf"));
    }
}
