//! What is wrong with a pod, by what the cluster tells of it.

use serde_json::Value;
use towline_shared::outcome::FailureReason;

use super::api::text;

/// What is wrong with a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub patience: Patience,
    pub reason: FailureReason,
    /// The container, if it is one's.
    pub container: Option<String>,
    /// Which of its logs tells more.
    pub log: Which,
    pub message: String,
}

/// How long to wait whether it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It does not.
    None,
    /// A moment: what is missing may come.
    Short,
    /// As long as the job may take.
    Long,
}

/// Which log of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    None,
    /// That of the container before it was started again.
    Previous,
}

/// How often a container may end before it counts as one that always does.
const RESTARTS: i64 = 2;

/// What is wrong with a pod, if anything is.
pub(super) fn of(pod: &Value) -> Option<Trouble> {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let statuses = lists
        .iter()
        .filter_map(|list| pod.pointer(&format!("/status/{list}"))?.as_array())
        .flatten();
    let waiting = statuses.filter_map(of_container);
    waiting
        .min_by_key(|trouble| trouble.patience as u8)
        .or_else(|| unschedulable(pod))
}

fn of_container(status: &Value) -> Option<Trouble> {
    let waiting = status.pointer("/state/waiting")?;
    let reason = text(waiting, "/reason");
    let name = text(status, "/name");
    let restarts = status
        .get("restartCount")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    let said = text(waiting, "/message");
    let (patience, failure, log) = match reason.as_str() {
        "CrashLoopBackOff" if restarts >= RESTARTS => {
            (Patience::None, FailureReason::CrashLoop, Which::Previous)
        }
        "CrashLoopBackOff" => (Patience::Long, FailureReason::CrashLoop, Which::Previous),
        "InvalidImageName" | "ErrImageNeverPull" => {
            (Patience::None, FailureReason::InvalidProject, Which::None)
        }
        "ImagePullBackOff"
        | "ErrImagePull"
        | "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError" => (Patience::Short, FailureReason::Unhealthy, Which::None),
        _ => return None,
    };
    let message = match reason.as_str() {
        "CrashLoopBackOff" => {
            let last = status.pointer("/lastState/terminated");
            let code = last.and_then(|last| last.get("exitCode")?.as_i64());
            let ended = code.map_or_else(String::new, |code| format!(" with exit code {code}"));
            format!("container {name} ends{ended} each time it is started ({restarts} restarts)")
        }
        _ => format!("container {name}: {reason}: {said}"),
    };
    Some(Trouble {
        patience,
        reason: failure,
        container: Some(name),
        log,
        message,
    })
}

fn unschedulable(pod: &Value) -> Option<Trouble> {
    let conditions = pod.pointer("/status/conditions")?.as_array()?;
    let scheduled = conditions
        .iter()
        .find(|condition| text(condition, "/type") == "PodScheduled")?;
    if text(scheduled, "/status") != "False" || text(scheduled, "/reason") != "Unschedulable" {
        return None;
    }
    Some(Trouble {
        patience: Patience::Long,
        reason: FailureReason::Deadline,
        container: None,
        log: Which::None,
        message: format!("it cannot be scheduled: {}", text(scheduled, "/message")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn waiting(reason: &str, restarts: i64) -> Value {
        json!({"status": {"containerStatuses": [
            {"name": "ok", "state": {"running": {}}},
            {"name": "app", "restartCount": restarts, "state": {"waiting": {"reason": reason, "message": "why"}}, "lastState": {"terminated": {"exitCode": 3}}}]}})
    }

    #[test]
    fn troubles_are_told_apart_by_whether_they_pass() {
        let table = [
            (
                waiting("CrashLoopBackOff", 2),
                Patience::None,
                "exit code 3",
            ),
            (waiting("CrashLoopBackOff", 1), Patience::Long, "1 restarts"),
            (
                waiting("ImagePullBackOff", 0),
                Patience::Short,
                "ImagePullBackOff: why",
            ),
            (
                waiting("InvalidImageName", 0),
                Patience::None,
                "InvalidImageName",
            ),
            (
                json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]}}),
                Patience::Long,
                "0/1 nodes",
            ),
        ];
        for (pod, patience, words) in table {
            let found = of(&pod).unwrap_or_else(|| panic!("{pod}"));
            assert_eq!(found.patience, patience, "{pod}");
            assert!(found.message.contains(words), "{}", found.message);
        }
        assert_eq!(of(&waiting("ContainerCreating", 0)), None);
        assert_eq!(of(&json!({})), None);
    }
}
