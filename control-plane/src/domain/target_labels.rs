//! Labels of targets: what a host is for, in words of the team.

use super::names::InvalidName;

/// The label of hosts that build for others.
pub const BUILDER: &str = "builder";
/// What stands before a label where a target's name may stand, too. No name has a colon.
const PREFIX: &str = "label:";
/// The most labels of a target.
const MAX_LABELS: usize = 16;
/// The most characters of one.
const MAX_LABEL: usize = 40;

/// Checks a target's labels; gives each once, in order.
pub fn check_labels(mut labels: Vec<String>) -> Result<Vec<String>, InvalidName> {
    let invalid = |message: String| InvalidName {
        field: "labels",
        message,
        remedy: format!(
            "give at most {MAX_LABELS} labels of 1 to {MAX_LABEL} lower-case letters, digits and hyphens"
        ),
    };
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = |label: &str| (1..=MAX_LABEL).contains(&label.len()) && label.chars().all(is_plain);
    if let Some(other) = labels.iter().find(|label| !fits(label)) {
        return Err(invalid(format!("{other:?} cannot be a label")));
    }
    labels.sort();
    labels.dedup();
    if labels.len() > MAX_LABELS {
        return Err(invalid(format!("{} are too many", labels.len())));
    }
    Ok(labels)
}

/// The label that is meant, where a text means one and not a target.
pub fn meant(text: &str) -> Option<&str> {
    text.strip_prefix(PREFIX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn labels(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn labels_are_plain_few_and_in_order() {
        let given = check_labels(labels(&["gpu", "builder", "gpu"])).unwrap();
        assert_eq!(given, ["builder", "gpu"]);
        assert_eq!(check_labels(Vec::new()).unwrap(), labels(&[]));
        let long = "a".repeat(MAX_LABEL + 1);
        for wrong in ["", "Builder", "a b", "a:b", "ü", &long] {
            let refused = check_labels(labels(&["x", wrong])).unwrap_err();
            assert_eq!(refused.field, "labels", "{wrong}");
        }
        let many: Vec<String> = (0..=MAX_LABELS).map(|n| format!("l{n}")).collect();
        assert!(check_labels(many[1..].to_vec()).is_ok());
        assert!(check_labels(many).is_err());
    }

    #[test]
    fn a_label_is_told_from_a_target() {
        assert_eq!(meant("label:builder"), Some("builder"));
        assert_eq!(meant("builder"), None);
    }
}
