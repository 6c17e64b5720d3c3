//! Bringing images that were built here to a registry of the team's.
//!
//! The engine pushes names, so an image has one of the registry's while it goes, and no longer: the name would keep it on
//! this host for ever. What stays is the digest by which any host of the team's pulls the very image. An agent that dies
//! on the way pushes again, of which the registry takes only what it lacks.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use towline_shared::outcome::{FailureReason, Step};
use towline_shared::spec::PinnedImage;

use super::engine::{EngineError, PushError};
use super::job::Job;
use super::kept;
use super::logins::Login;
use super::stop::Stop;
use crate::state_dir::write_durably;

/// How often a push is tried that a registry's trouble has ended. The engine has tried again by itself before that.
const TRIES: u32 = 3;
/// How long to wait before the second try; before each further one four times as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How often the log says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Where it is written down what is pushed.
const RECORD: &str = "pushed.json";
/// How many of a commit's digits are in a tag.
const COMMIT: usize = 12;

/// An image to push.
#[derive(Clone, Debug)]
pub(super) struct Built {
    pub service: String,
    /// What the project calls it.
    pub reference: String,
    pub id: String,
}

/// What a job has pushed: by service, the image and its digest at the registry.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Pushed(BTreeMap<String, (String, String)>);

/// Where a job's images go.
struct Destination {
    repository: String,
    registry: String,
    tag: String,
    login: Login,
}

/// Why a registry does not take an image, as far as an engine's words tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It does not let the login push there.
    Credentials,
    /// It is not who the engine trusts.
    Tls,
    /// A disk is full.
    Full,
    /// It answers with a failure of its own.
    Failing,
    /// It is not reached, or was cut off.
    Unreachable,
    Other,
}

/// What is tried again when the engine is back, or is a digest.
type Tried<T> = Result<Result<T, EngineError>, Stop>;

impl Pushed {
    pub fn of(job: &Job<'_>) -> Self {
        let text = std::fs::read(job.task.dir.join(RECORD)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// The digest of a service's image, if that very image was pushed.
    pub fn digest(&self, service: &str, id: &str) -> Option<&str> {
        let (pushed, digest) = self.0.get(service)?;
        (pushed == id).then_some(digest.as_str())
    }

    /// Tells by which digests a registry has these images.
    pub fn tell(&self, images: &mut [PinnedImage]) {
        for image in images {
            let digest = self.digest(&image.service, &image.id);
            if let Some(digest) = digest.filter(|digest| !image.digests.iter().any(|d| d == digest))
            {
                image.digests.insert(0, digest.to_owned());
            }
        }
    }

    fn write(&self, job: &Job<'_>) -> Result<(), Stop> {
        let written = serde_json::to_vec(self)
            .map_err(std::io::Error::other)
            .and_then(|text| write_durably(&job.task.dir.join(RECORD), &text));
        written.map_err(|error| Stop::internal("cannot write the job's folder", &error))
    }
}

/// Refuses at the beginning what could not be pushed at the end.
pub(super) fn refuse(job: &Job<'_>) -> Result<(), Stop> {
    destination(job, "").map(drop)
}

fn destination(job: &Job<'_>, tag: &str) -> Result<Option<Destination>, Stop> {
    let Some(to) = job.task.terms.push() else {
        return Ok(None);
    };
    let repository = to.repository.clone();
    let registry = repository.split('/').next().unwrap_or_default().to_owned();
    if !job.host.policy.allows_image(&format!("{repository}/image")) {
        let message = format!(
            "the images of this project are pushed to {repository}, and this host works with images of {} alone (rule \
             registries); its owner may add that registry to the agent's policy file",
            job.host.policy.registries.join(", ")
        );
        return Err(Stop::failed(FailureReason::PolicyRefused, message));
    }
    let login = job
        .logins()
        .into_iter()
        .find(|login| login.registry == registry);
    let Some(login) = login else {
        let message = format!(
            "the images of this project are pushed to {repository}, and the team has no login of {registry} any more; add it \
             (`towline registries add {registry} --user USER`), then deploy again"
        );
        return Err(Stop::failed(FailureReason::PushFailed, message));
    };
    Ok(Some(Destination {
        repository,
        registry,
        tag: tag.to_owned(),
        login,
    }))
}

/// The tag under which a job's images go: its commit, or its release.
pub(super) fn tag(commit: Option<&str>, release: impl std::fmt::Display) -> String {
    commit.map_or_else(
        || release.to_string(),
        |commit| commit.chars().take(COMMIT).collect(),
    )
}

/// Pushes what a job has built, where its project says so.
pub(super) async fn run(job: &mut Job<'_>, tag: &str, built: &[Built]) -> Tried<()> {
    let Some(to) = destination(job, tag)? else {
        return Ok(Ok(()));
    };
    let mut pushed = Pushed::of(job);
    let is_due = |one: &&Built| pushed.digest(&one.service, &one.id).is_none();
    let due: Vec<&Built> = built.iter().filter(is_due).collect();
    if due.is_empty() {
        return Ok(Ok(()));
    }
    job.task.progress.begin(Step::Publishing).await?;
    for one in due {
        job.waiting_for = format!("{} to take the image of {}", to.registry, one.service);
        match push(job, &to, one).await? {
            Ok(digest) => {
                job.note(&format!("{} is {digest}", one.service)).await;
                let image = (one.id.clone(), digest);
                pushed.0.insert(one.service.clone(), image);
                pushed.write(job)?;
            }
            Err(outage) => return Ok(Err(outage)),
        }
    }
    Ok(Ok(()))
}

async fn push(job: &Job<'_>, to: &Destination, one: &Built) -> Tried<String> {
    let name = format!("{}/{}", to.repository, kept::component(&one.service));
    let full = format!("{name}:{}", to.tag);
    let engine = &job.host.engine;
    let before = match job.bounded(engine.image_id(&full)).await? {
        Ok(before) => before,
        Err(error) => return outage(error),
    };
    if let Err(error) = job.bounded(engine.tag(&one.id, &name, &to.tag)).await? {
        return outage(error);
    }
    job.note(&format!("pushing the image of {} to {full}", one.service))
        .await;
    let pushed = tries(job, to, one, &name).await;
    let digest = match pushed {
        Ok(Ok(())) => digest_of(job, one, &name).await,
        Ok(Err(error)) => Ok(Err(error)),
        Err(stop) => Err(stop),
    };
    // Whatever came of it. The job's end does not wait for an engine that is away: the next try takes the name away.
    let _ = match before {
        Some(other) if other != one.id => engine.tag(&other, &name, &to.tag).await,
        _ if one.reference == full => Ok(()),
        _ => engine.untag(&full).await,
    };
    digest
}

fn outage<T>(error: EngineError) -> Tried<T> {
    if error.is_outage() {
        Ok(Err(error))
    } else {
        Err(error.into())
    }
}

/// Under which digest the registry has it now.
async fn digest_of(job: &Job<'_>, one: &Built, name: &str) -> Tried<String> {
    let image = match job.bounded(job.host.engine.image(&one.id)).await? {
        Ok(image) => image,
        Err(error) => return outage(error),
    };
    let digests = image.map(|image| image.digests).unwrap_or_default();
    let own = format!("{name}@");
    match digests.into_iter().find(|digest| digest.starts_with(&own)) {
        Some(digest) => Ok(Ok(digest)),
        None => Err(Stop::failed(
            FailureReason::PushFailed,
            format!("the engine has pushed {name}, and does not tell its digest; try again"),
        )),
    }
}

async fn tries(job: &Job<'_>, to: &Destination, one: &Built, name: &str) -> Tried<()> {
    let mut wait = FIRST_WAIT;
    for left in (0..TRIES).rev() {
        let words = match once(job, to, name).await? {
            Ok(()) => return Ok(Ok(())),
            Err(PushError::Engine(error)) if error.is_outage() => return Ok(Err(error)),
            Err(error) => error.to_string(),
        };
        let fault = Fault::of(&words);
        if left == 0 || !fault.may_pass() {
            return Err(refused(to, one, fault, &words));
        }
        let note = format!(
            "{} does not take it now: {words}; trying again in {} s",
            to.registry,
            wait.as_secs()
        );
        job.note(&note).await;
        job.bounded(tokio::time::sleep(wait)).await?;
        wait *= 4;
    }
    Ok(Ok(()))
}

/// Has the engine push, and tells how far it is.
async fn once(job: &Job<'_>, to: &Destination, name: &str) -> Result<Result<(), PushError>, Stop> {
    let engine = &job.host.engine;
    let told = match job.bounded(engine.push(name, &to.tag, &to.login)).await? {
        Ok(told) => told,
        Err(error) => return Ok(Err(PushError::Engine(error))),
    };
    let mut told = Box::pin(told);
    let (mut layers, mut next) = (Layers::default(), Instant::now() + TELL_EVERY);
    while let Some(status) = job.bounded(told.next()).await? {
        match status {
            Ok(status) => layers.take(&status),
            Err(error) => return Ok(Err(error)),
        }
        if Instant::now() >= next {
            job.note(&layers.words("so far")).await;
            next = Instant::now() + TELL_EVERY;
        }
    }
    job.note(&layers.words("in all")).await;
    Ok(Ok(()))
}

/// How many layers went, and how many needed not.
#[derive(Debug, Default)]
struct Layers {
    sent: u32,
    there: u32,
}

impl Layers {
    /// The engine's words, one of a layer that is done or not.
    fn take(&mut self, status: &str) {
        match status {
            "Pushed" => self.sent += 1,
            "Layer already exists" => self.there += 1,
            other if other.starts_with("Mounted from") => self.there += 1,
            _ => {}
        }
    }

    fn words(&self, when: &str) -> String {
        format!(
            "{} layers sent {when}, {} were there already",
            self.sent, self.there
        )
    }
}

impl Fault {
    fn of(words: &str) -> Self {
        let has = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
        if has(&[
            "unauthorized",
            "Unauthorized",
            "no basic auth credentials",
            "authentication required",
            "denied",
            "insufficient_scope",
            "403 Forbidden",
        ]) {
            Self::Credentials
        } else if has(&["x509:", "tls:", "HTTP response to HTTPS client"]) {
            Self::Tls
        } else if has(&["no space left on device", "disk quota exceeded"]) {
            Self::Full
        } else if has(&[
            "status: 5",
            " 500 ",
            " 502 ",
            " 503 ",
            " 504 ",
            "toomanyrequests",
            "status: 429",
        ]) {
            Self::Failing
        } else if has(&[
            "dial tcp",
            "connection refused",
            "connection reset",
            "no such host",
            "timeout",
            "Timeout",
            "EOF",
            "broken pipe",
        ]) {
            Self::Unreachable
        } else {
            Self::Other
        }
    }

    /// Whether the same may work in a moment.
    const fn may_pass(self) -> bool {
        matches!(self, Self::Failing | Self::Unreachable)
    }
}

fn refused(to: &Destination, one: &Built, fault: Fault, words: &str) -> Stop {
    let Destination {
        registry,
        repository,
        login,
        ..
    } = to;
    let advice = match fault {
        Fault::Credentials => format!(
            "Its user {} may not push to {repository}: look at the rights there, or give the login another password \
             (`towline registries set-password {registry}`), then retry",
            login.user
        ),
        Fault::Tls => format!(
            "This host's engine does not trust it: put the certificate of its authority into \
             /etc/docker/certs.d/{registry}/ca.crt on the host, then retry"
        ),
        Fault::Full => {
            "A disk is full, the registry's or this host's: free space there, then retry".to_owned()
        }
        Fault::Failing => {
            format!("It failed {TRIES} times: look at the registry's own log, then retry")
        }
        Fault::Unreachable => format!(
            "This host did not reach it {TRIES} times: check the registry's name and port, and what is between, then retry"
        ),
        Fault::Other => "Mend what it says, then retry".to_owned(),
    };
    let message = format!(
        "the registry {registry} does not take the image of service `{}`: {}. {advice}",
        one.service,
        words.trim_end_matches('.')
    );
    Stop::failed(FailureReason::PushFailed, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_says_tells_what_is_wrong() {
        let table = [
            ("unauthorized: authentication required", Fault::Credentials),
            (
                "denied: requested access to the resource is denied",
                Fault::Credentials,
            ),
            (
                "received unexpected HTTP status: 403 Forbidden",
                Fault::Credentials,
            ),
            (
                "Get \"https://r/v2/\": x509: certificate signed by unknown authority",
                Fault::Tls,
            ),
            (
                "http: server gave HTTP response to HTTPS client",
                Fault::Tls,
            ),
            ("write /x: no space left on device", Fault::Full),
            (
                "received unexpected HTTP status: 500 Internal Server Error",
                Fault::Failing,
            ),
            ("toomanyrequests: slow down", Fault::Failing),
            (
                "Get \"http://r/v2/\": dial tcp 127.0.0.1:9: connect: connection refused",
                Fault::Unreachable,
            ),
            ("Patch \"http://r/v2/\": EOF", Fault::Unreachable),
            ("manifest invalid: manifest invalid", Fault::Other),
        ];
        for (words, fault) in table {
            assert_eq!(Fault::of(words), fault, "{words}");
        }
    }

    #[test]
    fn a_tag_is_the_commit_or_the_release() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(tag(Some(commit), "release"), "0123456789ab");
        assert_eq!(tag(None, "release"), "release");
    }

    #[test]
    fn a_digest_is_told_of_the_very_image_alone() {
        let mut pushed = Pushed::default();
        let digest = "r/web@sha256:2".to_owned();
        pushed
            .0
            .insert("web".into(), ("sha256:1".into(), digest.clone()));
        let image = |id: &str| PinnedImage {
            service: "web".into(),
            reference: "shop-web".into(),
            id: id.into(),
            digests: vec!["other".into()],
        };
        let mut images = [image("sha256:1"), image("sha256:3")];
        pushed.tell(&mut images);
        pushed.tell(&mut images);
        assert_eq!(images[0].digests, [digest, "other".to_owned()]);
        assert_eq!(images[1].digests, ["other"]);
    }
}
