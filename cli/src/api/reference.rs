//! Names and ids: both are accepted wherever one thing is meant.

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::Client;
use crate::exit::{Exit, Failure};

/// What may be meant by a name.
pub trait Nameable {
    /// Where the API lists them, and below which it shows one by its id.
    const PATH: &'static str;
    /// The word for it.
    const WORD: &'static str;
    /// The command that lists all of them.
    const LIST: &'static str;
    /// The command that makes one.
    const MAKE: &'static str;

    /// Its id.
    fn id(&self) -> Uuid;
    /// Its name.
    fn name(&self) -> &str;
    /// Whether a name may still mean it when others of that name exist.
    fn standing(&self) -> Standing {
        Standing::Active
    }
}

/// Whether something is still in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is in use.
    Active,
    /// It only stands in the list.
    Retired,
}

impl Standing {
    /// The standing of what has this status: an agent, or the target that it serves.
    pub(super) fn of(status: &str) -> Self {
        if status == "revoked" {
            Self::Retired
        } else {
            Self::Active
        }
    }
}

/// All of the team.
pub async fn list<T: Nameable + DeserializeOwned>(client: &Client) -> Result<Vec<T>, Failure> {
    client.list(&[T::PATH], &[], None).await
}

/// The one that is meant, by its name or id.
pub async fn find<T: Nameable + DeserializeOwned>(
    client: &Client,
    reference: &str,
) -> Result<T, Failure> {
    match id_of(reference) {
        Some(id) => client.get(&[T::PATH, &id.to_string()], &[]).await,
        None => pick(reference, list(client).await?),
    }
}

/// The id, when the text is one.
pub(super) fn id_of(reference: &str) -> Option<Uuid> {
    Uuid::try_parse(reference).ok()
}

/// The one of the list that has the id.
pub(super) fn by_id<T: Nameable>(id: Uuid, items: Vec<T>) -> Result<T, Failure> {
    items
        .into_iter()
        .find(|item| item.id() == id)
        .ok_or_else(|| {
            Failure::new(Exit::Failed, format!("There is no {} {id}", T::WORD))
                .remedy(format!("`{}` lists them", T::LIST))
        })
}

/// The one of the list that the name means.
pub(super) fn pick<T: Nameable>(name: &str, items: Vec<T>) -> Result<T, Failure> {
    let known = summary(&items);
    let mut named: Vec<T> = items
        .into_iter()
        .filter(|item| item.name() == name)
        .collect();
    if named.len() > 1 && named.iter().any(|item| item.standing() == Standing::Active) {
        named.retain(|item| item.standing() == Standing::Active);
    }
    if named.len() > 1 {
        let ids: Vec<_> = named.iter().map(|item| item.id().to_string()).collect();
        return Err(Failure::new(
            Exit::Failed,
            format!("{name:?} is the name of {} {}s", ids.len(), T::WORD),
        )
        .remedy(format!(
            "use the id of the one you mean: {}",
            ids.join(", ")
        )));
    }
    named.pop().ok_or_else(|| {
        Failure::new(Exit::Failed, format!("There is no {} {name:?}", T::WORD)).remedy(known)
    })
}

/// What there is instead.
fn summary<T: Nameable>(items: &[T]) -> String {
    const SHOWN: usize = 8;
    if items.is_empty() {
        return format!("there are none yet; `{}` makes one", T::MAKE);
    }
    let names: Vec<_> = items.iter().map(Nameable::name).take(SHOWN).collect();
    let further = items.len() - names.len();
    let further = if further > 0 {
        format!(" and {further} more")
    } else {
        String::new()
    };
    format!(
        "use one of {}{further}; `{}` lists them",
        names.join(", "),
        T::LIST
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Clone, Debug)]
    struct Thing(u128, &'static str, Standing);

    impl Nameable for Thing {
        const PATH: &'static str = "things";
        const WORD: &'static str = "thing";
        const LIST: &'static str = "towline things ls";
        const MAKE: &'static str = "towline things create";

        fn id(&self) -> Uuid {
            Uuid::from_u128(self.0)
        }

        fn name(&self) -> &str {
            self.1
        }

        fn standing(&self) -> Standing {
            self.2
        }
    }

    #[test]
    fn a_name_means_one_thing_or_says_which_there_are() {
        use Standing::{Active, Retired};
        let things = vec![
            Thing(1, "a", Active),
            Thing(2, "b", Retired),
            Thing(3, "b", Active),
            Thing(4, "c", Active),
            Thing(5, "c", Active),
            Thing(6, "d", Retired),
        ];
        let table = [
            ("a", Ok(1)),
            ("b", Ok(3)),
            ("d", Ok(6)),
            ("c", Err("2 things")),
            ("e", Err("no thing \"e\"")),
        ];
        for (name, expected) in table {
            match (pick(name, things.clone()), expected) {
                (Ok(thing), Ok(id)) => assert_eq!(thing.0, id, "{name}"),
                (Err(failure), Err(part)) => assert!(failure.sentence().contains(part), "{name}"),
                (got, _) => panic!("{name}: {got:?}"),
            }
        }
        assert_eq!(id_of("not an id"), None);
        let none = pick::<Thing>("a", Vec::new()).unwrap_err();
        let crate::exit::Failure::Told(report) = none else {
            panic!("nothing told")
        };
        assert!(report.remedy.unwrap().contains("towline things create"));
    }
}
