//! The names that people give.

/// Why a text cannot name something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}; {remedy}")]
pub struct InvalidName {
    /// The field in the request.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// The most characters of a name.
pub const MAX_NAME: usize = 63;
/// The most characters of a label.
pub const MAX_LABEL: usize = 100;

/// Checks the name of a project, agent or target: `[a-z0-9][a-z0-9-]{0,62}`. It is also a compose
/// project's name and part of a host name, which is why it is so narrow. What reads as an id is none:
/// requests may name things by either.
pub fn check_name(field: &'static str, name: &str) -> Result<(), InvalidName> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = name.starts_with(is_plain)
        && name.len() <= MAX_NAME
        && name.chars().all(|c| is_plain(c) || c == '-');
    if fits && uuid::Uuid::try_parse(name).is_ok() {
        return Err(InvalidName {
            field,
            message: format!("{name:?} reads as an id"),
            remedy: "choose a name that people can tell from ids".to_owned(),
        });
    }
    if fits {
        return Ok(());
    }
    Err(InvalidName {
        field,
        message: format!("{name:?} cannot be a name"),
        remedy: format!(
            "use at most {MAX_NAME} lower-case letters, digits and hyphens, beginning with a letter or a digit"
        ),
    })
}

/// Checks a free text that people recognize something by.
pub fn check_label(field: &'static str, label: &str) -> Result<(), InvalidName> {
    let length = label.chars().count();
    if !label.trim().is_empty() && length <= MAX_LABEL && !label.chars().any(char::is_control) {
        return Ok(());
    }
    Err(InvalidName {
        field,
        message: "it is empty, too long or has control characters".to_owned(),
        remedy: format!("give 1 to {MAX_LABEL} characters"),
    })
}

/// Checks the name of a secret: what may name an environment variable.
pub fn check_variable(field: &'static str, name: &str) -> Result<(), InvalidName> {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let fits = name.starts_with(is_first)
        && name.len() <= 128
        && name.chars().all(|c| is_first(c) || c.is_ascii_digit());
    if fits {
        return Ok(());
    }
    Err(InvalidName {
        field,
        message: format!("{name:?} cannot name an environment variable"),
        remedy: "use at most 128 letters, digits and underscores, not beginning with a digit"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_narrow() {
        for name in ["a", "shop", "7", "web-2", &"a".repeat(63)] {
            assert!(check_name("name", name).is_ok(), "{name:?}");
        }
        for name in [
            "",
            "-a",
            "Shop",
            "a_b",
            "a b",
            "a.b",
            "ä",
            "a/b",
            &"a".repeat(64),
            "0197c0de-0000-7000-8000-000000000000",
            "0197c0de000070008000000000000000",
        ] {
            assert!(check_name("name", name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn labels_are_one_line() {
        assert!(check_label("name", "Anna's laptop").is_ok());
        for label in ["", "  ", "a\nb", &"a".repeat(101)] {
            assert!(check_label("name", label).is_err(), "{label:?}");
        }
    }

    #[test]
    fn variables_are_what_shells_take() {
        for name in ["PASSWORD", "_x", "A1"] {
            assert!(check_variable("key", name).is_ok(), "{name:?}");
        }
        for name in ["", "1A", "A-B", "A=B", "A B", "Ä", &"A".repeat(129)] {
            assert!(check_variable("key", name).is_err(), "{name:?}");
        }
    }
}
