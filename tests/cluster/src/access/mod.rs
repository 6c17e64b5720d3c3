//! Who asks, and what they may.

mod rules;
mod tokens;

pub(crate) use rules::{allows, authorize};
pub(crate) use tokens::{Access, User};

/// What is asked of the rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    pub verb: String,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// Of what is no resource.
    pub path: String,
}
