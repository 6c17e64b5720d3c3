//! What names, keys and values may be made of.

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn too_long(most: usize) -> String {
    format!("must be no more than {most} characters")
}

fn faults(text: &str, most: usize, fits: bool, words: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if text.len() > most {
        faults.push(too_long(most));
    }
    if !fits {
        faults.push(words.to_owned());
    }
    faults
}

/// A name with dots.
pub(super) fn subdomain(text: &str) -> Vec<String> {
    faults(text, 253, text.split('.').all(is_label), SUBDOMAIN)
}

/// A name without.
pub(super) fn label(text: &str) -> Vec<String> {
    faults(text, 63, is_label(text), LABEL)
}

/// A name that begins with a letter.
pub(super) fn label_1035(text: &str) -> Vec<String> {
    let starts = text.starts_with(|letter: char| letter.is_ascii_lowercase());
    faults(text, 63, is_label(text) && starts, LABEL_1035)
}

fn is_qualified(text: &str) -> bool {
    let ends = |letter: char| letter.is_ascii_alphanumeric();
    let inner = |letter: char| ends(letter) || "-_.".contains(letter);
    text.chars().all(inner) && text.starts_with(ends) && text.ends_with(ends)
}

/// The value of a label.
pub(super) fn label_value(text: &str) -> Vec<String> {
    faults(text, 63, text.is_empty() || is_qualified(text), VALUE)
}

/// The key of a label or annotation.
pub(super) fn label_key(text: &str) -> Vec<String> {
    let (prefix, name) = text
        .split_once('/')
        .map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let mut all = Vec::new();
    if let Some(prefix) = prefix {
        let faults = subdomain(prefix).into_iter();
        all.extend(faults.map(|fault| format!("prefix part {fault}")));
    }
    if name.is_empty() {
        all.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        all.push("name part must be no more than 63 characters".to_owned());
    }
    if !is_qualified(name) {
        all.push(KEY.to_owned());
    }
    all
}

/// The key of a value of a ConfigMap or Secret.
pub(super) fn config_key(text: &str) -> Vec<String> {
    let inner = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    faults(
        text,
        253,
        !text.is_empty() && text.chars().all(inner),
        CONFIG_KEY,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    type Check<'a> = &'a dyn Fn(&str) -> Vec<String>;

    #[test]
    fn names_are_what_they_may_be() {
        let table: [(Check<'_>, &str, usize); 12] = [
            (&subdomain, "a.b-c", 0),
            (&subdomain, "A", 1),
            (&subdomain, "a..b", 1),
            (&label, "a.b", 1),
            (&label, "1a", 0),
            (&label_1035, "1a", 1),
            (&label_value, "", 0),
            (&label_value, "a b", 1),
            (&label_key, "example.com/a_b", 0),
            (&label_key, "/a", 1),
            (&config_key, "A_b.c", 0),
            (&config_key, "a/b", 1),
        ];
        for (check, text, count) in table {
            assert_eq!(check(text).len(), count, "{text:?}: {:?}", check(text));
        }
    }
}
