//! What people ask to be done at once in a cluster, and what of that makes sense.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use towline_shared::cluster::{ClusterAction, Workload, WorkloadKind};
use utoipa::ToSchema;

use super::cluster::check_namespace;
use super::names::InvalidName;

/// The most pods that a workload can be given: a typing error must not fill a cluster.
pub const MAX_REPLICAS: u32 = 1000;
/// The longest name of an object, in bytes: that of a DNS subdomain.
const MAX_OBJECT: usize = 253;
/// How much of a name that is none is shown, in characters.
const SHOWN: usize = 63;

/// What can be done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Give a workload new pods, in the way of its own updates.
    Restart,
    /// Give a workload another number of pods, until it is deployed again.
    Scale,
    /// Delete a pod; what it belongs to makes another.
    DeletePod,
}

impl Act {
    /// The action's name in the audit log.
    pub const fn audited(self) -> &'static str {
        match self {
            Self::Restart => "cluster.restart",
            Self::Scale => "cluster.scale",
            Self::DeletePod => "cluster.delete_pod",
        }
    }
}

/// What somebody asks for, as they say it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What is to be done.
    pub act: Act,
    /// To what kind of workload; to none, when it is a pod.
    pub kind: Option<WorkloadKind>,
    /// The workload's or the pod's name.
    pub name: String,
    /// How many pods there are to be.
    pub replicas: Option<u32>,
    /// The namespace; that of the project or the agent's own choice, when nothing is said.
    pub namespace: Option<String>,
}

impl Asked {
    /// What its agent is asked to do. What makes no sense is refused by its field.
    pub fn action(&self) -> Result<ClusterAction, InvalidName> {
        check_object(&self.name)?;
        if let Some(namespace) = &self.namespace {
            check_namespace(namespace)?;
        }
        if self.act != Act::Scale && self.replicas.is_some() {
            return Err(invalid(
                "replicas",
                "only `scale` takes a number of pods".to_owned(),
                "leave it out, or ask for `scale`",
            ));
        }
        match self.act {
            Act::Restart => self.workload().map(ClusterAction::Restart),
            Act::Scale => Ok(ClusterAction::Scale(self.scalable()?, self.replicas()?)),
            Act::DeletePod => match self.kind {
                None => Ok(ClusterAction::DeletePod(self.name.clone())),
                Some(_) => Err(invalid(
                    "kind",
                    "`delete_pod` takes the name of a pod, and no kind".to_owned(),
                    "leave it out",
                )),
            },
        }
    }

    /// What the audit log says of it.
    pub fn detail(&self, target: &str) -> Value {
        let mut detail = json!({ "target": target, "name": self.name });
        if let Some(namespace) = &self.namespace {
            detail["namespace"] = json!(namespace);
        }
        if let Some(kind) = self.kind {
            detail["kind"] = json!(kind);
        }
        if let Some(replicas) = self.replicas {
            detail["replicas"] = json!(replicas);
        }
        detail
    }

    fn workload(&self) -> Result<Workload, InvalidName> {
        let missing = || {
            invalid(
                "kind",
                "it is not said what kind of workload is meant".to_owned(),
                "give `deployment`, `stateful_set` or `daemon_set`",
            )
        };
        Ok(Workload {
            kind: self.kind.ok_or_else(missing)?,
            name: self.name.clone(),
        })
    }

    fn scalable(&self) -> Result<Workload, InvalidName> {
        let workload = self.workload()?;
        if workload.kind == WorkloadKind::DaemonSet {
            return Err(invalid(
                "kind",
                "a DaemonSet has a pod on each node, and no number to set".to_owned(),
                "scale a Deployment or a StatefulSet",
            ));
        }
        Ok(workload)
    }

    fn replicas(&self) -> Result<u32, InvalidName> {
        let wrong = |message| invalid("replicas", message, "give a number from 0 to 1000");
        match self.replicas {
            None => Err(wrong(
                "it is not said how many pods there are to be".to_owned(),
            )),
            Some(replicas @ 0..=MAX_REPLICAS) => Ok(replicas),
            Some(replicas) => Err(wrong(format!("{replicas} is more than {MAX_REPLICAS}"))),
        }
    }
}

/// Checks the name of an object in a cluster: what may stand in a path there, and in the log.
fn check_object(name: &str) -> Result<(), InvalidName> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = name.len() <= MAX_OBJECT
        && name.starts_with(is_plain)
        && name.ends_with(is_plain)
        && name.chars().all(|c| is_plain(c) || matches!(c, '-' | '.'));
    if fits {
        return Ok(());
    }
    // It may be as long as a request is.
    let shown: String = name.chars().take(SHOWN).collect();
    Err(InvalidName {
        field: "name",
        message: format!("{shown:?} cannot be a name in a cluster"),
        remedy: format!(
            "use at most {MAX_OBJECT} lower-case letters, digits, hyphens and dots, with a letter or a digit at both ends"
        ),
    })
}

fn invalid(field: &'static str, message: String, remedy: &str) -> InvalidName {
    InvalidName {
        field,
        message,
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(act: Act, kind: Option<WorkloadKind>, replicas: Option<u32>) -> Asked {
        Asked {
            act,
            kind,
            name: "web".to_owned(),
            replicas,
            namespace: None,
        }
    }

    fn web(kind: WorkloadKind) -> Workload {
        Workload {
            kind,
            name: "web".to_owned(),
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_field() {
        use WorkloadKind::{DaemonSet, Deployment, StatefulSet};
        let table = [
            (
                asked(Act::Restart, Some(DaemonSet), None),
                Ok(ClusterAction::Restart(web(DaemonSet))),
            ),
            (asked(Act::Restart, None, None), Err("kind")),
            (
                asked(Act::Restart, Some(Deployment), Some(1)),
                Err("replicas"),
            ),
            (
                asked(Act::Scale, Some(StatefulSet), Some(0)),
                Ok(ClusterAction::Scale(web(StatefulSet), 0)),
            ),
            (
                asked(Act::Scale, Some(Deployment), Some(1000)),
                Ok(ClusterAction::Scale(web(Deployment), 1000)),
            ),
            (
                asked(Act::Scale, Some(Deployment), Some(1001)),
                Err("replicas"),
            ),
            (asked(Act::Scale, Some(Deployment), None), Err("replicas")),
            (asked(Act::Scale, Some(DaemonSet), Some(1)), Err("kind")),
            (asked(Act::Scale, None, Some(1)), Err("kind")),
            (
                asked(Act::DeletePod, None, None),
                Ok(ClusterAction::DeletePod("web".to_owned())),
            ),
            (asked(Act::DeletePod, Some(Deployment), None), Err("kind")),
            (asked(Act::DeletePod, None, Some(1)), Err("replicas")),
        ];
        for (asked, expected) in table {
            let action = asked.action().map_err(|error| error.field);
            assert_eq!(action, expected, "{asked:?}");
        }
    }

    #[test]
    fn names_are_those_of_a_cluster() {
        let (longest, longer) = ("a".repeat(253), "a".repeat(254));
        for name in ["web", "web-5d4f.x2x", "0", &longest] {
            assert_eq!(check_object(name), Ok(()), "{name}");
        }
        for name in ["", "Web", "-web", "web-", "a/b", "..", "a\nb", "ä", &longer] {
            assert!(check_object(name).is_err(), "{name:?}");
        }
        let mut asked = asked(Act::DeletePod, None, None);
        asked.namespace = Some("a".repeat(64));
        assert_eq!(
            asked.action().map_err(|error| error.field),
            Err("namespace")
        );
    }

    #[test]
    fn what_was_asked_for_is_told_whole() {
        let mut asked = asked(Act::Scale, Some(WorkloadKind::StatefulSet), Some(3));
        asked.namespace = Some("shop".to_owned());
        assert_eq!(
            asked.detail("k8s"),
            json!({"target": "k8s", "namespace": "shop", "kind": "stateful_set", "name": "web", "replicas": 3})
        );
    }
}
