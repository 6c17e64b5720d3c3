//! From a project's files to a model that may be applied.
//!
//! The files are resolved in the job's own folder, which no container can reach, and only after
//! their text was judged: resolving reads files as root. What compose resolves is judged by the
//! host's policy, and that very model is what is applied later; no file is read a second time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use towline_shared::compose;
use towline_shared::ids::{ProjectId, TargetId};
use towline_shared::outcome::FailureReason;
use towline_shared::policy::{HostPolicy, Rule, Violation};
use towline_shared::spec::{Deploy, ProjectFile, Secret};

use super::child::Compose;
use super::folder::{self, ProjectFolder};
use super::model::{self, Model, Move};
use super::source::Tree;
use super::stop::Stop;
use crate::mask::Masker;

/// How long resolving may take; it does nothing but read some files.
const RESOLVE_TIMEOUT: Duration = Duration::from_mins(1);
/// How many violations a message names; the log has all.
const NAMED_VIOLATIONS: usize = 3;
/// How many projects' models are kept.
const KEPT_MODELS: usize = 64;

/// What is resolved.
pub(super) struct Request<'a> {
    pub deploy: &'a Deploy,
    pub owner: (ProjectId, TargetId),
    pub compose: &'a Compose,
    pub policy: &'a HostPolicy,
    /// The job's own folder.
    pub job_dir: &'a Path,
    /// Where the project's files will live.
    pub home: &'a ProjectFolder,
    /// The files, where they are in the job's folder already.
    pub tree: Option<&'a Tree>,
}

/// A resolved project, and what compose warned of.
pub(super) struct Resolved {
    pub model: Arc<Model>,
    pub warnings: Vec<String>,
    /// The files that come to where containers mount them.
    pub placed: Vec<ProjectFile>,
}

/// The models of the last deploys. An unchanged deploy need not be resolved again: a model depends
/// on nothing but what its key covers. Models with secrets in them never reach a disk.
#[derive(Default)]
pub(super) struct Models {
    kept: Mutex<HashMap<String, Kept>>,
}

/// A model, and what it depends on.
type Kept = ([u8; 32], Arc<Model>);

impl Models {
    /// Resolves a project and judges it. Nothing on the engine is touched.
    pub async fn resolve(&self, request: &Request<'_>) -> Result<Resolved, Stop> {
        judge_names(request.compose)?;
        judge_text(request)?;
        let key = key_of(request);
        let known = self.known(&request.deploy.compose_project, key);
        if let Some(model) = known.filter(|_| request.tree.is_none()) {
            return Ok(Resolved {
                model,
                warnings: Vec::new(),
                placed: request.deploy.files.clone(),
            });
        }
        let resolved = resolve(request).await?;
        if !resolved.model.has_builds() && request.tree.is_none() {
            self.keep(&request.deploy.compose_project, key, &resolved.model);
        }
        Ok(resolved)
    }

    fn known(&self, project: &str, key: [u8; 32]) -> Option<Arc<Model>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(project)
            .filter(|(known, _)| *known == key)
            .map(|(_, model)| Arc::clone(model))
    }

    fn keep(&self, project: &str, key: [u8; 32], model: &Arc<Model>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MODELS {
            kept.clear();
        }
        kept.insert(project.to_owned(), (key, Arc::clone(model)));
    }
}

/// All that a model depends on.
fn key_of(request: &Request<'_>) -> [u8; 32] {
    let deploy = request.deploy;
    let program = request
        .compose
        .plugin
        .path
        .metadata()
        .and_then(|metadata| metadata.modified())
        .ok();
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(deploy.compose_project.as_bytes());
    part(deploy.compose_file.as_bytes());
    for file in &deploy.files {
        part(file.path.as_bytes());
        part(&file.content);
        part(&[file.mode as u8]);
    }
    for Secret { name, value } in &request.compose.secrets {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    part(
        format!(
            "{:?} {:?} {:?} {program:?}",
            request.owner, request.policy, request.compose.plugin
        )
        .as_bytes(),
    );
    hash.finalize().into()
}

/// A secret whose name steers docker or the loader would be a way to root.
fn judge_names(compose: &Compose) -> Result<(), Stop> {
    let is_reserved = |secret: &&Secret| {
        compose::is_reserved_variable(&secret.name) || secret.name.contains(['=', '\0'])
    };
    match compose.secrets.iter().find(is_reserved) {
        None => Ok(()),
        Some(secret) => Err(Stop::failed(
            FailureReason::InvalidProject,
            format!(
                "the secret `{}` has a name that steers the host's own programs; give it another",
                secret.name
            ),
        )),
    }
}

/// What only the text can tell: whether resolving it would read files that are not the project's.
fn judge_text(request: &Request<'_>) -> Result<(), Stop> {
    let Deploy {
        files,
        compose_file,
        ..
    } = request.deploy;
    let found = compose::examine(files, compose_file, request.policy);
    let is_vital = |rule| {
        matches!(
            rule,
            Rule::Yaml | Rule::DuplicateKey | Rule::Files | Rule::Environment
        )
    };
    let vital: Vec<_> = found
        .into_iter()
        .filter(|finding| finding.severity == compose::Severity::Error && is_vital(finding.rule))
        .collect();
    let Some(first) = vital.first() else {
        return Ok(());
    };
    let is_refusal = matches!(first.rule, Rule::Files | Rule::Environment);
    let reason = if is_refusal {
        FailureReason::PolicyRefused
    } else {
        FailureReason::InvalidProject
    };
    Err(Stop::failed(
        reason,
        joined(vital.iter().map(ToString::to_string)),
    ))
}

fn joined(messages: impl ExactSizeIterator<Item = String>) -> String {
    let count = messages.len();
    let mut named: Vec<String> = messages.take(NAMED_VIOLATIONS).collect();
    if count > NAMED_VIOLATIONS {
        named.push(format!("and {} more", count - NAMED_VIOLATIONS));
    }
    named.join("\n")
}

async fn resolve(request: &Request<'_>) -> Result<Resolved, Stop> {
    let root = write_files(request).await?;
    let file = root.join(&request.deploy.compose_file);
    let folder = file.parent().unwrap_or(&root);
    let path = |path: &Path| path.display().to_string();
    let (folder_text, file_text) = (path(folder), path(&file));
    let arguments = [
        "--project-directory",
        &folder_text,
        "--file",
        &file_text,
        "config",
        "--format",
        "json",
    ];
    let mut command = request.compose.command(folder, &arguments);
    command.kill_on_drop(true);
    let Ok(output) = tokio::time::timeout(RESOLVE_TIMEOUT, command.output()).await else {
        let message = format!(
            "`docker compose config` did not end within {} s",
            RESOLVE_TIMEOUT.as_secs()
        );
        return Err(Stop::failed(FailureReason::InvalidProject, message));
    };
    let output = output.map_err(|error| {
        let plugin = request.compose.plugin.path.display();
        Stop::failed(
            FailureReason::EngineUnavailable,
            format!("cannot run {plugin}: {error}"),
        )
    })?;
    let messages = compose_messages(&String::from_utf8_lossy(&output.stderr), &root);
    if !output.status.success() {
        let message = if messages.is_empty() {
            "`docker compose config` failed".to_owned()
        } else {
            messages.join("\n")
        };
        return Err(Stop::failed(FailureReason::InvalidProject, message));
    }
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        let message = format!("`docker compose config` gave no JSON: {error}");
        Stop::failed(FailureReason::Internal, message)
    })?;
    judge_model(request, &value, &root)?;
    judge_builds(request, &value)?;
    let home = request.home.files();
    let folders = Move {
        from: &root,
        to: &home,
    };
    let placed = match request.tree {
        None => request.deploy.files.clone(),
        Some(tree) => tree.mounted(&model::all_mounts(&value, &root))?,
    };
    let model = Model::prepare(value, &placed, folders, request.owner);
    Ok(Resolved {
        model: Arc::new(model),
        warnings: messages,
        placed,
    })
}

async fn write_files(request: &Request<'_>) -> Result<PathBuf, Stop> {
    if let Some(tree) = request.tree {
        return Ok(tree.root.clone());
    }
    let job_dir = request.job_dir.to_path_buf();
    let files = request.deploy.files.clone();
    let written = tokio::task::spawn_blocking(move || {
        // Compose's paths are those of the file system itself, so that they can be recognised.
        let root = job_dir.canonicalize().unwrap_or(job_dir).join("project");
        folder::write_private(&root, &files).map(|()| root)
    });
    match written.await {
        Ok(result) => Ok(result?),
        Err(error) => Err(Stop::failed(FailureReason::Internal, error.to_string())),
    }
}

fn judge_model(request: &Request<'_>, model: &serde_json::Value, root: &Path) -> Result<(), Stop> {
    let violations = request.policy.check(model, &root.display().to_string());
    if violations.is_empty() {
        return Ok(());
    }
    let place = |violation: &Violation| {
        let place = place_of(request.deploy, &violation.path);
        let message = violation
            .message
            .replace(&format!("{}/", root.display()), "./");
        format!("{place}: {message} (rule {})", violation.rule)
    };
    Err(Stop::failed(
        FailureReason::PolicyRefused,
        joined(violations.iter().map(place)),
    ))
}

/// What a build is told stays in its image, where everybody reads it who has the image.
fn judge_builds(request: &Request<'_>, model: &serde_json::Value) -> Result<(), Stop> {
    let masker = Masker::new(&request.compose.secrets);
    let services = model["services"].as_object().into_iter().flatten();
    let told = services
        .filter(|(_, service)| masker.is_in(service["build"].to_string().as_bytes()))
        .map(|(name, _)| name);
    match told.min() {
        None => Ok(()),
        Some(name) => {
            let path = format!("services.{name}.build");
            let place = place_of(request.deploy, &path);
            let message = format!(
                "{place}: the build of service `{name}` is told a secret of the project, which its image would keep; \
                 give it by `build.secrets` and read it by `RUN --mount=type=secret`"
            );
            Err(Stop::failed(FailureReason::InvalidProject, message))
        }
    }
}

/// Where something of the model stands in the project's files.
fn place_of(deploy: &Deploy, path: &str) -> String {
    compose::locate(&deploy.files, &deploy.compose_file, path).map_or_else(
        || deploy.compose_file.clone(),
        |place| format!("{}:{}", place.file, place.line),
    )
}

/// What compose printed beside its result, without the job's own paths and decoration.
fn compose_messages(text: &str, root: &Path) -> Vec<String> {
    let text = text.replace(&format!("{}/", root.display()), "");
    text.lines()
        .map(plain_message)
        .filter(|line| !line.is_empty())
        .collect()
}

/// `time="…" level=warning msg="…"` becomes its message.
fn plain_message(line: &str) -> String {
    let line = line.trim();
    let Some((_, message)) = line.split_once(" msg=") else {
        return line.to_owned();
    };
    serde_json::from_str(message).unwrap_or_else(|_| message.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compose_s_messages_are_made_plain() {
        let text = "time=\"2026-01-01T00:00:00Z\" level=warning msg=\"The \\\"X\\\" variable is not set.\"\n\
                    \nvalidating /job/project/compose.yaml: services.web Additional property x is not allowed\n";
        assert_eq!(
            compose_messages(text, Path::new("/job/project")),
            [
                "The \"X\" variable is not set.",
                "validating compose.yaml: services.web Additional property x is not allowed"
            ]
        );
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(joined(["a".to_owned()].into_iter()), "a");
        let five = vec!["x".to_owned(); 5];
        assert_eq!(joined(five.into_iter()), "x\nx\nx\nand 2 more");
    }
}
