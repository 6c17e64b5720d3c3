//! Which release a rollback goes back to.

use towline_shared::ids::{DeploymentId, ReleaseId};

/// A deployment or a removal that succeeded on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// The deployment.
    pub id: DeploymentId,
    /// What it left there.
    pub left: Left,
    /// Whose release it brought back, if it did.
    pub rollback_of: Option<DeploymentId>,
}

/// What a deployment left on its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing: it was a removal.
    Nothing,
    /// A release, with its images by service and id.
    Release {
        /// The files.
        release: Option<ReleaseId>,
        /// What the services run.
        images: Vec<(String, String)>,
    },
}

/// The release before the present one: the deployment that ran it last.
///
/// `last` is the newest deployment that has begun on the target, however it ended; `succeeded` are those that
/// succeeded there, the newest first. After a deployment that failed, or a removal, what ran before it is wanted. A
/// rollback stands where the deployment stands whose release it brought back, so that the next one goes further back
/// and not forth.
pub fn before(last: Option<DeploymentId>, succeeded: &[Past]) -> Option<DeploymentId> {
    let present = succeeded.first().filter(|past| Some(past.id) == last);
    let mut candidates = succeeded.iter().filter(|past| past.left != Left::Nothing);
    let found = match present.filter(|past| past.left != Left::Nothing) {
        None => candidates.next(),
        Some(present) => {
            let place = present.rollback_of.unwrap_or(present.id);
            candidates.find(|past| past.id < place && past.left != present.left)
        }
    };
    found.map(|past| past.rollback_of.unwrap_or(past.id))
}

/// The deployment whose release is there, or should be: `succeeded` as for [`before`].
pub fn present(succeeded: &[Past]) -> Option<DeploymentId> {
    let last = succeeded.first().filter(|past| past.left != Left::Nothing);
    last.map(|past| past.rollback_of.unwrap_or(past.id))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> DeploymentId {
        Uuid::from_u128(number).into()
    }

    /// A deployment of a release of one service.
    fn ran(number: u128, release: u128, image: &str) -> Past {
        Past {
            id: id(number),
            left: Left::Release {
                release: Some(Uuid::from_u128(release).into()),
                images: vec![("web".to_owned(), image.to_owned())],
            },
            rollback_of: None,
        }
    }

    fn back(number: u128, to: &Past) -> Past {
        Past {
            id: id(number),
            rollback_of: Some(to.id),
            ..to.clone()
        }
    }

    #[test]
    fn the_release_before_the_present_one_is_found() {
        let (one, two, again) = (ran(1, 1, "a"), ran(2, 2, "b"), ran(3, 2, "b"));
        let (moved, gone) = (
            ran(4, 2, "c"),
            Past {
                id: id(5),
                left: Left::Nothing,
                rollback_of: None,
            },
        );
        let fourth = ran(6, 3, "d");
        let table: [(&str, u128, Vec<&Past>, Option<u128>); 9] = [
            ("nothing ran", 0, vec![], None),
            ("only one ran", 1, vec![&one], None),
            ("the one before", 2, vec![&two, &one], Some(1)),
            (
                "the same once more is no other",
                3,
                vec![&again, &two, &one],
                Some(1),
            ),
            (
                "the same files, and another image",
                4,
                vec![&moved, &again, &two, &one],
                Some(3),
            ),
            ("after a failure, what ran", 9, vec![&two, &one], Some(2)),
            (
                "after a removal, what ran",
                5,
                vec![&gone, &moved, &one],
                Some(4),
            ),
            ("a failure after a removal", 9, vec![&gone, &moved], Some(4)),
            (
                "a removal in between",
                6,
                vec![&fourth, &gone, &moved],
                Some(4),
            ),
        ];
        for (what, last, succeeded, expected) in table {
            let succeeded: Vec<Past> = succeeded.into_iter().cloned().collect();
            let last = (last > 0).then(|| id(last));
            assert_eq!(before(last, &succeeded), expected.map(id), "{what}");
        }
    }

    #[test]
    fn a_rollback_after_a_rollback_goes_further_back() {
        let (one, two, three) = (ran(1, 1, "a"), ran(2, 2, "b"), ran(3, 3, "c"));
        let first = back(4, &two);
        let mut succeeded = vec![first.clone(), three, two, one.clone()];
        assert_eq!(before(Some(id(4)), &succeeded), Some(id(1)));
        succeeded.insert(0, back(5, &one));
        assert_eq!(
            before(Some(id(5)), &succeeded),
            None,
            "there is nothing before the first"
        );
        // What was deployed on top of a rollback has the release that it brought back before it.
        succeeded.insert(0, ran(6, 6, "f"));
        assert_eq!(before(Some(id(6)), &succeeded), Some(id(1)));
        assert_eq!(
            before(Some(id(9)), &succeeded[2..]),
            Some(id(2)),
            "after a failure, what was brought back"
        );
    }
    #[test]
    fn what_is_there_is_what_came_up_last() {
        let (one, two) = (ran(1, 1, "a"), ran(2, 2, "b"));
        let gone = Past {
            id: id(3),
            left: Left::Nothing,
            rollback_of: None,
        };
        let brought_back = back(4, &one);
        let table: [(Vec<&Past>, Option<u128>); 4] = [
            (vec![], None),
            (vec![&two, &one], Some(2)),
            (vec![&brought_back, &two, &one], Some(1)),
            (vec![&gone, &two], None),
        ];
        for (succeeded, expected) in table {
            let succeeded: Vec<Past> = succeeded.into_iter().cloned().collect();
            assert_eq!(present(&succeeded), expected.map(id), "{succeeded:?}");
        }
    }
}
