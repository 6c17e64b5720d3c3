//! The values that are put into a template's files.

use std::collections::BTreeMap;

use super::manifest::{Kind, Parameter};

/// The most characters of a value.
const MAX_VALUE: usize = 60;

/// A value that a template does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {remedy}")]
pub struct InvalidValue {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// A value for each parameter.
pub(super) fn complete<'p>(
    parameters: &'p [Parameter],
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<&'p str, String>, InvalidValue> {
    if let Some(unknown) = given
        .keys()
        .find(|name| !parameters.iter().any(|known| known.name == **name))
    {
        let known: Vec<&str> = parameters.iter().map(|known| known.name.as_str()).collect();
        return Err(InvalidValue {
            message: format!("the template has no parameter {unknown:?}"),
            remedy: format!("it has {}", known.join(", ")),
        });
    }
    let value = |parameter: &'p Parameter| {
        let value = given.get(&parameter.name).unwrap_or(&parameter.default);
        check(parameter, value)?;
        Ok((parameter.name.as_str(), value.clone()))
    };
    parameters.iter().map(value).collect()
}

fn check(parameter: &Parameter, value: &str) -> Result<(), InvalidValue> {
    if value.len() <= MAX_VALUE && fits(parameter.kind, value) {
        return Ok(());
    }
    Err(InvalidValue {
        message: format!("{value:?} cannot be the {}", parameter.name),
        remedy: match parameter.kind {
            Kind::Port => "give a port from 1 to 65535".to_owned(),
            Kind::Name => format!(
                "use at most {MAX_VALUE} lower-case letters, digits and underscores, beginning with a letter"
            ),
            Kind::Words => {
                format!(
                    "use at most {MAX_VALUE} letters, digits, blanks and .,!?-, beginning with a letter or a digit"
                )
            }
        },
    })
}

fn fits(kind: Kind, value: &str) -> bool {
    match kind {
        Kind::Port => {
            let digits = value.chars().all(|c| c.is_ascii_digit()) && !value.starts_with('0');
            digits && value.parse::<u16>().is_ok()
        }
        Kind::Name => {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            value.starts_with(|c: char| c.is_ascii_lowercase()) && value.chars().all(plain)
        }
        Kind::Words => {
            let plain = |c: char| c.is_ascii_alphanumeric() || " .,!?-".contains(c);
            value.starts_with(|c: char| c.is_ascii_alphanumeric())
                && value.chars().all(plain)
                && !value.ends_with(' ')
        }
    }
}
