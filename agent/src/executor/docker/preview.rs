//! What applying a release would change on this host, found without changing anything.
//!
//! Whether a service changes is what compose's own hashes and the engine's image ids say, as for any deploy. Which of
//! its keys differ is told from the release that came up last, of which the files are kept: with the secrets of today,
//! so that a secret whose value alone has changed shows as a change without a key. Values of secrets are masked.

mod compare;

use std::collections::HashMap;

use towline_shared::outcome::Step;
use towline_shared::preview::Preview;
use towline_shared::spec::Proposal;

use super::child::Compose;
use super::deploy::{hashes, prepare, private_dotenv};
use super::engine::{EngineError, Resource};
use super::job::Job;
use super::kept::{self, Last};
use super::model::Model;
use super::resolve::Request;
use super::source;
use super::stop::Stop;
use super::survey::Wanted;
use compare::{Engine, compare};

/// Looks at what a release would change.
pub(super) async fn run(job: &mut Job<'_>, proposal: &Proposal) -> Result<Preview, Stop> {
    let turn = job.host.turn(job.project);
    let _turn = job.bounded(turn.lock()).await?;
    let (deploy, tree) = source::over(job, &proposal.deploy, proposal.source.as_ref()).await?;
    job.task.progress.begin(Step::Preparing).await?;
    let mut compose = job.compose()?;
    let former = match kept::last(job) {
        Some(last) => former(job, &last, &compose).await,
        None => None,
    };
    let resolved = prepare(job, &deploy, &compose, tree.as_ref()).await?;
    job.open().await?;
    for warning in &resolved.warnings {
        job.note(warning).await;
    }
    job.engine_at_start().await?;
    compose.env_file = Some(private_dotenv(job, &deploy)?);
    let model = resolved.model;
    let engine = look(job, &model, &compose).await?;
    job.refuse_foreign_containers(&engine.containers)?;
    let preview = compare(&model, former.as_deref(), &engine, &|value| {
        job.masker.mask_text(value)
    });
    job.note("nothing was changed").await;
    Ok(preview.limited())
}

/// The release that came up last as it would be resolved today; nothing if that cannot be done any more.
async fn former(job: &Job<'_>, last: &Last, compose: &Compose) -> Option<std::sync::Arc<Model>> {
    let policy = job.policy();
    let request = Request {
        deploy: &last.deploy,
        owner: (job.task.spec.project, job.task.spec.target),
        compose,
        policy: &policy,
        job_dir: &job.task.dir.join("former"),
        home: &job.folder,
        tree: None,
    };
    let resolved = job.bounded(job.host.models.resolve(&request)).await;
    Some(resolved.ok()?.ok()?.model)
}

/// What the engine has of the project, and what it should have.
async fn look(job: &Job<'_>, model: &Model, compose: &Compose) -> Result<Engine, Stop> {
    let home = job.folder.files();
    let hashes = job
        .bounded(hashes(compose, &job.task.dir, &home, &model.text))
        .await??;
    let engine = &job.host.engine;
    let (containers, networks, volumes) = job
        .bounded(async {
            let containers = engine.observe(job.project).await?;
            let networks = engine.networks(job.project).await?;
            let volumes = engine.volumes(job.project).await?;
            Ok::<_, EngineError>((containers, networks, volumes))
        })
        .await??;
    let mut wanted = HashMap::new();
    for service in &model.services {
        let image_id = job.bounded(engine.image_id(&service.image)).await??;
        let hash = hashes.get(&service.name).cloned().unwrap_or_default();
        wanted.insert(service.name.clone(), Wanted { hash, image_id });
    }
    let names = |resources: Vec<Resource>| {
        resources
            .into_iter()
            .map(|resource| resource.name)
            .collect()
    };
    Ok(Engine {
        wanted,
        containers,
        networks: names(networks),
        volumes: names(volumes),
    })
}
