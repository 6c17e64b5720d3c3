//! What people ask of a cluster beside the objects of a project.

use towline_shared::cluster::{Conflicts, Immutable};

use super::names::InvalidName;

/// The most characters of a namespace's name.
const MAX_NAMESPACE: usize = 63;

/// What a deployment does about what stands in its way; without more it changes nothing then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Insistence {
    /// About fields that belong to another manager.
    pub conflicts: Conflicts,
    /// About objects whose change the cluster does not take.
    pub immutable: Immutable,
}

impl Insistence {
    /// What a request says, which may leave either out.
    pub fn asked(conflicts: Option<Conflicts>, immutable: Option<Immutable>) -> Self {
        Self {
            conflicts: conflicts.unwrap_or_default(),
            immutable: immutable.unwrap_or_default(),
        }
    }

    /// The names in the database.
    pub const fn names(self) -> (&'static str, &'static str) {
        let conflicts = match self.conflicts {
            Conflicts::Refuse => "refuse",
            Conflicts::Force => "force",
        };
        let immutable = match self.immutable {
            Immutable::Refuse => "refuse",
            Immutable::Replace => "replace",
        };
        (conflicts, immutable)
    }

    /// What such names stand for.
    pub fn named(conflicts: &str, immutable: &str) -> Self {
        Self {
            conflicts: match conflicts {
                "force" => Conflicts::Force,
                _ => Conflicts::Refuse,
            },
            immutable: match immutable {
                "replace" => Immutable::Replace,
                _ => Immutable::Refuse,
            },
        }
    }

    /// The field of a request that says more than what goes without saying, if one does.
    pub fn said(self) -> Option<&'static str> {
        match (self.conflicts, self.immutable) {
            (Conflicts::Force, _) => Some("conflicts"),
            (Conflicts::Refuse, Immutable::Replace) => Some("immutable"),
            (Conflicts::Refuse, Immutable::Refuse) => None,
        }
    }
}

/// Checks the name of a namespace: a label as DNS takes it (RFC 1123).
pub fn check_namespace(name: &str) -> Result<(), InvalidName> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = name.len() <= MAX_NAMESPACE
        && name.starts_with(is_plain)
        && name.ends_with(is_plain)
        && name.chars().all(|c| is_plain(c) || c == '-');
    if fits {
        return Ok(());
    }
    Err(InvalidName {
        field: "namespace",
        message: format!("{name:?} cannot be the name of a namespace"),
        remedy: format!(
            "use at most {MAX_NAMESPACE} lower-case letters, digits and hyphens, with a letter or a digit at both ends"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_a_label_of_dns() {
        let longest = "a".repeat(MAX_NAMESPACE);
        for name in ["a", "shop", "shop-2", "0-9", &longest] {
            assert_eq!(check_namespace(name), Ok(()), "{name}");
        }
        let too_long = "a".repeat(MAX_NAMESPACE + 1);
        for name in ["", "-a", "a-", "A", "a.b", "a_b", "ä", "a b", &too_long] {
            assert!(check_namespace(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_insisted_on_is_stored_and_read() {
        for conflicts in [Conflicts::Refuse, Conflicts::Force] {
            for immutable in [Immutable::Refuse, Immutable::Replace] {
                let asked = Insistence {
                    conflicts,
                    immutable,
                };
                let (one, other) = asked.names();
                assert_eq!(Insistence::named(one, other), asked);
                assert_eq!(asked.said().is_none(), asked == Insistence::default());
            }
        }
    }
}
