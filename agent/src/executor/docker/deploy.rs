//! Bringing a compose project to the state its files describe.
//!
//! Prepare (no effect) → the gate → build → apply → verify. What interrupts, an agent's restart or
//! an engine's, leads back to looking at the engine and doing what is left.

mod apply;
pub(super) mod build;
mod hand_over;
mod look;
mod settle;
mod verify;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use towline_shared::failpoint::reach;
use towline_shared::outcome::{FailureReason, Step};
use towline_shared::policy::Rule;
use towline_shared::spec::{Deploy, GitSource, PinnedImage, ProjectFile, Work};

use super::EnginePlace;
use super::child::{self, Compose};
use super::engine::{EngineError, Observed};
use super::job::{Effects, Ended, FALSE_OUTAGES, Interrupted, Job};
use super::kept;
use super::model::{Model, Source};
use super::push;
use super::resolve::{Request, Resolved};
use super::source::{self, Tree};
use super::stop::Stop;
use super::survey::Left;
use super::verdict::{Failure, Restarts, Terms};
use super::watch::{Watch, Watched};
use crate::task::Start;

/// How often to look at the containers although nothing was heard of them.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many of a failed container's last lines end the log.
const LAST_LINES: u32 = 30;
/// How long to wait for them: an engine that hangs must not hang the verdict.
const LAST_LINES_PATIENCE: Duration = Duration::from_secs(10);
/// An engine that ends stops its containers first: so long may that take.
const ENGINE_ENDS: Duration = Duration::from_secs(20);
/// How often to look whether an engine ends.
const ENGINE_LOOK: Duration = Duration::from_millis(200);
const HASHES_TIMEOUT: Duration = Duration::from_mins(1);

/// A deploy at work.
struct Deployment<'j, 'a> {
    job: &'j mut Job<'a>,
    deploy: &'j Deploy,
    /// The commit that it is built from.
    source: Option<&'j GitSource>,
    /// What services run, whatever their references name today.
    pins: &'j [PinnedImage],
    settled: Settled,
    compose: Compose,
    model: Arc<Model>,
    images: Images,
    watch: Watch,
    /// The containers that serve until new ones do.
    giving_way: HashSet<String>,
    before: Restarts,
    engine_lost: Option<DateTime<Utc>>,
    /// How often it seemed to lose an engine that answers all the while.
    false_outages: u32,
    /// Since when the containers that were unhealthy before have time to recover.
    recovering_since: Option<DateTime<Utc>>,
}

/// Whether the images that the project builds are those of this job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Images {
    /// Some are to be built.
    Due,
    /// All are there, and are not at the registry that they go to.
    Unpushed,
    /// All are there, as far as they are built here.
    Built,
}

/// Whether the images that are settled already are on the host, each under a name that leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    Due,
    Done,
}

/// How a phase went.
enum Phase<T> {
    Done(T),
    /// The engine went away; compose's words, if it was compose that noticed.
    Outage(Option<String>),
}

/// Does a deploy to its end, with the images that are settled already, over the commit that it is built from.
pub(super) async fn run(
    job: &mut Job<'_>,
    deploy: &Deploy,
    pins: &[PinnedImage],
    source: Option<&GitSource>,
) -> Result<Vec<PinnedImage>, Stop> {
    let turn = job.host.turn(job.project);
    let _turn = job.bounded(turn.lock()).await?;
    let Some(source) = source else {
        return bring(job, deploy, pins, None).await;
    };
    let tree = source::take(job, source, &deploy.files).await?;
    let whole = Deploy {
        files: tree.files.clone(),
        ..deploy.clone()
    };
    bring(job, &whole, pins, Some((source, &tree))).await
}

/// Brings a project, all of whose files are known, to its state.
async fn bring(
    job: &mut Job<'_>,
    deploy: &Deploy,
    pins: &[PinnedImage],
    from: Option<(&GitSource, &Tree)>,
) -> Result<Vec<PinnedImage>, Stop> {
    let (source, tree) = from.unzip();
    job.task.progress.begin(Step::Preparing).await?;
    let mut compose = job.compose()?;
    let resolved = prepare(job, deploy, &compose, tree).await?;
    reach("agent: resolved a project");
    let model = settle::judged(Arc::clone(&resolved.model), pins);
    if model.has_builds() {
        push::refuse(job)?;
    }
    job.builds = model.built();
    job.open().await?;
    for warning in &resolved.warnings {
        job.note(warning).await;
    }
    let lasting = tree.map(|tree| tree.lasting(deploy, &resolved.placed));
    let before = enter(job, &resolved.model, resolved.placed).await?;
    compose.env_file = Some(private_dotenv(job, deploy)?);
    let watch = Watch::start(Watched {
        engine: job.host.engine.clone(),
        project: job.project.to_owned(),
        since_us: job.limits.began.timestamp_micros(),
        log: job.task.log.clone(),
        masker: job.masker.clone(),
    });
    if matches!(job.task.spec.work, Work::Relayed(_)) {
        refuse_builds(&model)?;
    }
    let is_applied = job.start == Start::Resumed(Some(Step::Verifying));
    let images = if model.has_builds() && !is_applied {
        Images::Due
    } else {
        Images::Built
    };
    let mut deployment = Deployment {
        job,
        deploy: lasting.as_ref().unwrap_or(deploy),
        source,
        pins,
        settled: Settled::Due,
        compose,
        model,
        images,
        watch,
        giving_way: HashSet::new(),
        before,
        engine_lost: None,
        false_outages: 0,
        recovering_since: None,
    };
    let left = deployment.take_up().await?;
    deployment.converge(left).await
}

pub(super) async fn prepare(
    job: &Job<'_>,
    deploy: &Deploy,
    compose: &Compose,
    tree: Option<&Tree>,
) -> Result<Resolved, Stop> {
    let policy = job.policy();
    let request = Request {
        deploy,
        owner: (job.task.spec.project, job.task.spec.target),
        compose,
        policy: &policy,
        job_dir: &job.task.dir,
        home: &job.folder,
        tree,
    };
    let resolved = tokio::select! {
        biased;
        () = job.task.cancel.cancelled() => Err(Stop::Cancelled),
        resolved = job.host.models.resolve(&request) => resolved,
    }?;
    refuse_mounts(job, &resolved.model)?;
    Ok(resolved)
}

/// Refuses files of the project that containers mount, where they run on a host that does not have them.
fn refuse_mounts(job: &Job<'_>, model: &Model) -> Result<(), Stop> {
    let (EnginePlace::Elsewhere { url }, Some(mount)) = (&job.host.place, model.mounts.first())
    else {
        return Ok(());
    };
    Err(Stop::failed(
        FailureReason::PolicyRefused,
        format!(
            "`./{}` is mounted into a container, and {url} has no files of the project: put it into the image, into a named \
             volume, or into a config with `content`; or enrol an agent on that host (rule {})",
            mount.path,
            Rule::BindMounts
        ),
    ))
}

/// Refuses what is to be built, where another host was to have built all of it.
fn refuse_builds(model: &Model) -> Result<(), Stop> {
    let mut services = model.services.iter();
    match services.find(|service| service.source == Source::Build) {
        None => Ok(()),
        Some(service) => Err(Stop::failed(
            FailureReason::RelayFailed,
            format!(
                "the image of service `{}` was not built by the host that builds for this one; retry",
                service.name
            ),
        )),
    }
}

/// The project's `.env` where no container can change it: compose takes variables from there that
/// would steer it, and the one beside the files may be mounted.
pub(super) fn private_dotenv(job: &Job<'_>, deploy: &Deploy) -> Result<PathBuf, Stop> {
    let beside = Path::new(&deploy.compose_file).with_file_name(".env");
    let file = deploy
        .files
        .iter()
        .find(|file| Path::new(&file.path) == beside);
    let path = job.task.dir.join("dotenv");
    let written = std::fs::write(&path, file.map_or(&[][..], |file| &file.content));
    written.map_err(|error| Stop::internal("cannot write the job's folder", &error))?;
    Ok(path)
}

/// The first effects: the project's files come to where its containers mount them.
async fn enter(
    job: &mut Job<'_>,
    model: &Model,
    files: Vec<ProjectFile>,
) -> Result<Restarts, Stop> {
    job.engine_at_start().await?;
    let containers = job.bounded(job.host.engine.observe(job.project)).await??;
    reach("agent: looked at the containers");
    job.refuse_foreign_containers(&containers)?;
    let folder = job.folder.clone();
    let mounts = model.mounts.clone();
    let is_unbounded = job
        .host
        .policy
        .bind_mounts
        .iter()
        .any(|path| folder.files().starts_with(path));
    let left = child::left_by(job.task.attempt.job).is_some();
    if !left {
        job.alone().await?;
    }
    job.task.progress.begin(Step::Applying).await?;
    job.effects = Effects::Made;
    let synced = tokio::task::spawn_blocking(move || {
        folder.create()?;
        if !is_unbounded {
            folder.check_mounts(&mounts)?;
        }
        folder.sync(&files, &mounts)
    });
    synced
        .await
        .map_err(|error| Stop::failed(FailureReason::Internal, error.to_string()))??;
    Ok(containers
        .into_iter()
        .map(|container| (container.id, container.restarts))
        .collect())
}

impl Deployment<'_, '_> {
    /// What there is to do when the job is begun, or taken up after a restart of the agent.
    async fn take_up(&mut self) -> Result<Left, Stop> {
        if !matches!(
            self.job.start,
            Start::Resumed(Some(
                Step::Applying | Step::Building | Step::Publishing | Step::Verifying
            ))
        ) {
            return Ok(Left::Everything);
        }
        self.job
            .note("the agent was restarted; looking at what was done before")
            .await;
        if let Some(running) = child::left_by(self.job.task.attempt.job) {
            let ended = self
                .job
                .attend(running, Some((&mut self.watch, &self.before)))
                .await;
            if let Err(interrupted) = ended {
                return Err(self.given_up(interrupted).await);
            }
        }
        self.look_again().await
    }

    /// Applies and verifies until the project runs as it should.
    async fn converge(&mut self, mut left: Left) -> Result<Vec<PinnedImage>, Stop> {
        loop {
            match self.bring_up(&left).await? {
                Phase::Done(containers) => {
                    self.check_images(&containers)?;
                    let ran = self.ran(&containers).await?;
                    kept::keep(self.job, self.deploy, &ran).await;
                    return Ok(ran);
                }
                Phase::Outage(words) => self.mind_outage(words).await?,
            }
            left = self.look_again().await?;
        }
    }

    /// An engine that answers all the while was not the reason, however often it looks so.
    async fn mind_outage(&mut self, words: Option<String>) -> Result<(), Stop> {
        if self.is_engine_gone().await? {
            return Ok(());
        }
        self.false_outages += 1;
        if self.false_outages <= FALSE_OUTAGES {
            return Ok(());
        }
        let words = words.unwrap_or_else(|| "containers are stopped by somebody else".to_owned());
        Err(Stop::failed(FailureReason::ComposeFailed, words))
    }

    async fn bring_up(&mut self, left: &Left) -> Result<Phase<Vec<Observed>>, Stop> {
        if let Phase::Outage(words) = self.settle().await? {
            return Ok(Phase::Outage(words));
        }
        if let Phase::Outage(words) = self.build().await? {
            return Ok(Phase::Outage(words));
        }
        match self.apply(left).await? {
            Phase::Done(()) => self.verify().await,
            Phase::Outage(words) => Ok(Phase::Outage(words)),
        }
    }

    /// Whether the engine is gone, or goes away now: its containers may be stopped already.
    async fn is_engine_gone(&mut self) -> Result<bool, Stop> {
        let patience = Instant::now()
            + if self.watch.stopped().is_empty() {
                Duration::ZERO
            } else {
                ENGINE_ENDS
            };
        loop {
            if self
                .job
                .bounded(self.job.host.engine.ping())
                .await?
                .is_err()
            {
                self.engine_lost.get_or_insert_with(Utc::now);
                return Ok(true);
            }
            if Instant::now() >= patience {
                return Ok(false);
            }
            self.job.bounded(tokio::time::sleep(ENGINE_LOOK)).await?;
        }
    }

    /// Has compose do something with the project's model.
    async fn compose(&mut self, arguments: &[&str], attention: Attention) -> Result<Ended, Stop> {
        let model = Arc::clone(&self.model);
        self.compose_on(&model.text, arguments, attention).await
    }

    /// Has compose do something with a model.
    async fn compose_on(
        &mut self,
        model: &[u8],
        arguments: &[&str],
        attention: Attention,
    ) -> Result<Ended, Stop> {
        let folder = self.job.folder.files();
        let folder_text = folder.display().to_string();
        let arguments = [&on_model(&folder_text), arguments].concat();
        let watch = match attention {
            Attention::Containers => Some((&mut self.watch, &self.before)),
            Attention::Output => None,
        };
        let ended = self
            .job
            .run_compose(&self.compose, &folder, &arguments, model, watch)
            .await;
        match ended {
            Ok(ended) => Ok(ended),
            Err(interrupted) => Err(self.given_up(interrupted).await),
        }
    }

    async fn observe(&self) -> Result<Result<Vec<Observed>, EngineError>, Stop> {
        self.job
            .bounded(self.job.host.engine.observe(self.job.project))
            .await
    }

    /// What there is and stays.
    async fn standing(&self) -> Result<Phase<Vec<Observed>>, Stop> {
        match self.observe().await? {
            Ok(mut containers) => {
                containers.retain(|container| !self.giving_way.contains(&container.id));
                Ok(Phase::Done(containers))
            }
            Err(error) if error.is_outage() => Ok(Phase::Outage(None)),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until something happens, or until this time, or for a moment.
    async fn wait(&mut self, until: Option<DateTime<Utc>>) -> Result<(), Stop> {
        let settled = until.map(|until| (until - Utc::now()).to_std().unwrap_or_default());
        let limit = Instant::now() + settled.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
        let watch = &mut self.watch;
        let event = async {
            tokio::select! {
                () = watch.changed() => {}
                () = tokio::time::sleep_until(limit) => {}
            }
        };
        self.job.bounded(event).await
    }

    async fn given_up(&mut self, interrupted: Interrupted) -> Stop {
        match interrupted {
            Interrupted::Stop(stop) => stop,
            Interrupted::Crashed(failure) => self.tell(failure).await,
        }
    }

    /// From when on what was unhealthy before has time to recover; the first time, the log says so.
    async fn recovering_since(&mut self) -> Result<DateTime<Utc>, Stop> {
        if let Some(since) = self.recovering_since {
            return Ok(since);
        }
        let began = self.job.limits.began;
        for container in self.observe().await?.unwrap_or_default() {
            if container.was_unhealthy_before(began) {
                let seconds = container.health_patience.num_seconds();
                let note = format!(
                    "{} was unhealthy before this deploy, which does not change it; it has {seconds} s to become healthy",
                    container.source
                );
                self.job.note(&note).await;
            }
        }
        Ok(*self.recovering_since.insert(Utc::now()))
    }

    fn terms(&self, settle: TimeDelta, since: DateTime<Utc>) -> Terms<'_> {
        Terms {
            before: &self.before,
            began: self.job.limits.began,
            settle,
            since,
            now: Utc::now(),
        }
    }

    /// Ends the log with what a failed container printed last.
    async fn tell(&mut self, failure: Failure) -> Stop {
        let Failure {
            reason,
            message,
            container,
            source,
        } = failure;
        self.job
            .note(&format!("{message}. The last lines of {source}:"))
            .await;
        let last = self.watch.last_lines(&container, &source, LAST_LINES);
        let last = tokio::time::timeout(LAST_LINES_PATIENCE, last).await;
        match last.unwrap_or_else(|_| Ok(Vec::new())) {
            Ok(lines) if lines.is_empty() => self.job.note("(it has printed nothing)").await,
            Ok(lines) => {
                for line in lines {
                    self.job.task.log.send(line).await;
                }
            }
            Err(error) => self.job.note(&error.to_string()).await,
        }
        Stop::Told { reason, message }
    }
}

/// Compose's hash of each service of a model whose files live, or would live, in that home.
pub(super) async fn hashes(
    compose: &Compose,
    folder: &Path,
    home: &Path,
    model: &[u8],
) -> Result<HashMap<String, String>, Stop> {
    let home = home.display().to_string();
    let arguments = [&on_model(&home)[..], &["config", "--hash", "*"]].concat();
    let output = compose.output(folder, &arguments, model);
    let output = tokio::time::timeout(HASHES_TIMEOUT, output).await;
    match output {
        Ok(Ok(output)) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let pairs = text.lines().filter_map(|line| line.split_once(' '));
            Ok(pairs
                .map(|(service, hash)| (service.to_owned(), hash.trim().to_owned()))
                .collect())
        }
        _ => Err(Stop::failed(
            FailureReason::Internal,
            "`docker compose config --hash` failed on a resolved project",
        )),
    }
}

/// What is looked at while compose works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attention {
    /// What it prints.
    Output,
    /// That, and the containers: one that cannot come up ends it.
    Containers,
}

/// The arguments by which compose reads the project's model from its standard input.
pub(super) const fn on_model(folder: &str) -> [&str; 4] {
    ["--project-directory", folder, "--file", "-"]
}
