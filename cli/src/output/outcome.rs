//! Where a deployment is and how it ended, in words.

use chrono::Utc;

use super::{
    Surface, layers, plain, preview,
    style::Style,
    table::{Field, Rows, facts, optional, whole},
    units::{age, bytes, clock, counted, moment, span},
};
use crate::api::deployments::{Deployment, Image, Status};

/// A status as a cell.
pub fn status(deployment: &Deployment) -> Field {
    let word = match (&deployment.status, &deployment.reason) {
        (Status::Failed, Some(reason)) => format!("failed ({reason})"),
        (status, _) => status.as_str().to_owned(),
    };
    Field::styled(word, style(&deployment.status))
}

fn style(status: &Status) -> Style {
    match status {
        Status::Succeeded => Style::Good,
        Status::Failed => Style::Bad,
        Status::Cancelled | Status::Unknown => Style::Warning,
        Status::Queued
        | Status::Offered
        | Status::Accepted
        | Status::Running
        | Status::Other(_) => Style::Busy,
    }
}

/// What goes on right now.
pub fn now(deployment: &Deployment) -> String {
    let target = &deployment.target.name;
    let offline = deployment
        .agent_offline_since
        .map(|since| clock(since, Utc::now()));
    let doing = match (&deployment.status, offline) {
        (Status::Queued | Status::Offered, Some(since)) => {
            format!(
                "waiting: the agent of {target} is offline since {since}; it begins when the agent is back"
            )
        }
        (Status::Queued, None) => format!("waiting for its turn on {target}"),
        (Status::Offered, None) => format!("waiting for the agent of {target}"),
        (Status::Accepted, None) => format!("preparing on {target}"),
        (Status::Running, None) => {
            format!(
                "{} on {target}",
                deployment.step.as_deref().unwrap_or("running")
            )
        }
        (Status::Unknown | Status::Accepted | Status::Running, since) => {
            let since = since
                .map(|since| format!(" since {since}"))
                .unwrap_or_default();
            format!("the agent of {target} is out of reach{since}; the host may still be working")
        }
        (other, _) => other.as_str().to_owned(),
    };
    if deployment.cancel_requested_at.is_some() && deployment.finished_at.is_none() {
        return format!("cancelling; {doing}");
    }
    doing
}

/// How it ended and what to do next.
pub fn end(deployment: &Deployment, surface: Surface) -> String {
    let clean = |text: &str| plain::for_reader(text, surface.reader).into_owned();
    let what = match deployment.kind.as_deref() {
        Some("remove") => "Removal",
        Some("preview") => "Preview",
        _ if deployment.rollback_of.is_some() => "Rollback",
        _ => "Deployment",
    };
    let took = match (deployment.created_at, deployment.finished_at) {
        (Some(created), Some(finished)) => format!(" after {}", span(finished - created)),
        _ => String::new(),
    };
    let head = format!(
        "{what} of {} on {} {}{took}",
        clean(&deployment.project.name),
        clean(&deployment.target.name),
        surface
            .colours
            .paint(style(&deployment.status), deployment.status.as_str()),
    );
    let reason = deployment
        .reason
        .as_ref()
        .filter(|_| deployment.status == Status::Failed);
    let mut lines = vec![match reason {
        Some(reason) => format!("{head} ({})", clean(reason)),
        None => head,
    }];
    let message = deployment
        .message
        .iter()
        .flat_map(|message| message.lines());
    lines.extend(message.map(clean));
    let images = deployment.images.iter().flatten();
    lines.extend(images.map(|image| clean(&image_sentence(image))));
    if deployment.status == Status::Failed {
        let label = surface.colours.paint(Style::Good, "try:");
        lines.push(format!("{label} {}", remedy(deployment)));
    }
    lines.join("\n  ")
}

fn remedy(deployment: &Deployment) -> String {
    if deployment.kind.as_deref() == Some("preview") {
        return "mend the cause and ask again; nothing was changed".to_owned();
    }
    format!(
        "mend the cause and deploy again, or `towline retry {}` for the same files",
        deployment.id
    )
}

/// Which image a service runs.
pub fn image_sentence(image: &Image) -> String {
    format!(
        "{} runs {} ({})",
        image.service,
        image.reference,
        short_id(&image.id)
    )
}

/// As much of an image's id as tells it from others.
pub fn short_id(id: &str) -> String {
    let digest = id.strip_prefix("sha256:").unwrap_or(id);
    digest.chars().take(12).collect()
}

/// What a deployment does, in a word.
fn kind(deployment: &Deployment) -> Option<&str> {
    match deployment.rollback_of {
        Some(_) => Some("rollback"),
        None => deployment.kind.as_deref(),
    }
}

/// A table of deployments.
pub fn table(deployments: &[Deployment], surface: Surface) -> String {
    let now = Utc::now();
    let mut rows = Rows::new(
        surface,
        [
            whole("id"),
            whole("project"),
            whole("target"),
            optional("kind"),
            whole("status"),
            optional("created"),
            optional("took"),
        ],
    );
    for deployment in deployments {
        let took = match (deployment.started_at, deployment.finished_at) {
            (Some(started), Some(finished)) => Some(span(finished - started)),
            (Some(started), None) => Some(span(now - started)),
            (None, _) => None,
        };
        rows.row([
            deployment.id.to_string().into(),
            deployment.project.name.as_str().into(),
            deployment.target.name.as_str().into(),
            kind(deployment).into(),
            status(deployment),
            age(deployment.created_at, now).into(),
            took.into(),
        ]);
    }
    rows.finish("There are no deployments. `towline deploy FOLDER --target TARGET` makes one.")
}

/// All about one deployment.
pub fn details(deployment: &Deployment, surface: Surface) -> String {
    let images = deployment.images.iter().flatten().map(image_sentence);
    let lines = deployment.log.as_ref().map_or(0, |log| log.lines);
    let log = match lines {
        0 => String::new(),
        lines => counted(usize::try_from(lines).unwrap_or(usize::MAX), "line"),
    };
    let list = [
        ("id", deployment.id.to_string()),
        ("project", deployment.project.name.clone()),
        ("target", deployment.target.name.clone()),
        (
            "environment",
            deployment.environment.clone().unwrap_or_default(),
        ),
        ("kind", kind(deployment).unwrap_or_default().to_owned()),
        (
            "rollback of",
            deployment
                .rollback_of
                .map(|id| id.to_string())
                .unwrap_or_default(),
        ),
        ("status", deployment.status.as_str().to_owned()),
        ("step", deployment.step.clone().unwrap_or_default()),
        ("reason", deployment.reason.clone().unwrap_or_default()),
        ("message", deployment.message.clone().unwrap_or_default()),
        ("cancel requested", moment(deployment.cancel_requested_at)),
        (
            "agent offline since",
            moment(deployment.agent_offline_since),
        ),
        (
            "attempts",
            deployment
                .attempts
                .map(|count| count.to_string())
                .unwrap_or_default(),
        ),
        ("images", images.collect::<Vec<_>>().join("\n")),
        ("created", moment(deployment.created_at)),
        ("started", moment(deployment.started_at)),
        ("finished", moment(deployment.finished_at)),
        (
            "release",
            deployment
                .release_id
                .map(|id| id.to_string())
                .unwrap_or_default(),
        ),
        ("log", log),
    ];
    let facts = facts(surface, &list);
    match &deployment.preview {
        Some(found) => format!("{}\n{}", facts.trim_end(), preview::text(found, surface)),
        None if deployment.built.is_empty() => facts,
        None => format!(
            "{}\n\n{}",
            facts.trim_end(),
            layers::table(&deployment.built, surface)
        ),
    }
}

/// `3 files, 12.3 KiB`.
pub fn upload(files: usize, size: u64) -> String {
    format!("{}, {}", counted(files, "file"), bytes(size))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;
    use crate::output::{Reader, style::Colours};

    fn deployment(facts: &Value) -> Deployment {
        let mut whole = json!({
            "id": uuid::Uuid::nil(), "status": "queued",
            "project": {"id": uuid::Uuid::nil(), "name": "shop"},
            "target": {"id": uuid::Uuid::nil(), "name": "web-1"},
        });
        whole
            .as_object_mut()
            .unwrap()
            .extend(facts.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn what_goes_on_is_told_truly() {
        let offline = Utc::now() - chrono::TimeDelta::minutes(5);
        let table = [
            (json!({}), "waiting for its turn on web-1"),
            (json!({"agent_offline_since": offline}), "is offline since "),
            (json!({"status": "accepted"}), "preparing on web-1"),
            (
                json!({"status": "running", "step": "verifying"}),
                "verifying on web-1",
            ),
            (json!({"status": "running"}), "running on web-1"),
            (
                json!({"status": "unknown", "agent_offline_since": offline}),
                "the host may still be working",
            ),
            (
                json!({"status": "running", "step": "applying", "cancel_requested_at": offline}),
                "cancelling; applying",
            ),
            (json!({"status": "later"}), "later"),
        ];
        for (facts, part) in table {
            let said = now(&deployment(&facts));
            assert!(said.contains(part), "{facts} said {said:?}");
        }
    }

    #[test]
    fn an_end_says_how_and_what_next() {
        let surface = Surface {
            reader: Reader::Terminal,
            colours: Colours::Off,
        };
        let failed = deployment(&json!({
            "status": "failed", "reason": "crash_loop", "message": "web exits\nwith 1\u{1b}[2J",
            "created_at": "2026-01-31T12:00:00Z", "finished_at": "2026-01-31T12:00:04.2Z",
        }));
        let text = end(&failed, surface);
        assert!(text.starts_with("Deployment of shop on web-1 failed after 4.2 s (crash_loop)\n  web exits\n  with 1␛[2J\n"));
        assert!(text.contains("towline retry 00000000-"));
        let done = deployment(&json!({
            "status": "succeeded", "kind": "remove",
            "images": [{"service": "web", "reference": "nginx:1", "id": "sha256:0123456789abcdef"}],
        }));
        assert_eq!(
            end(&done, surface),
            "Removal of shop on web-1 succeeded\n  web runs nginx:1 (0123456789ab)"
        );
    }
}
