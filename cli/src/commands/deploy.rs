//! `towline deploy`: a folder onto a target.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use uuid::Uuid;

use super::{
    Session,
    forces::ForceOptions,
    period,
    secrets::SECRET_LIMIT,
    watch::{OnInterrupt, watch},
};
use crate::{
    api::{
        self, Client,
        deployments::{self, Deployment, NewDeployment},
        previews::{self, NewPreview},
        projects::{self, Origin, Project},
        secrets,
        targets::Target,
    },
    exit::{Exit, Failure},
    folder,
    output::{Format, outcome, plain},
    prompt,
};

/// Deploy a folder with a compose file or Kubernetes manifests, or a project as it is, and watch it
///
/// Without a folder nothing is uploaded: the project is deployed with the files it has, over the last commit of its
/// repository's branch where it comes from one (`towline source set`).
///
/// The log goes to stdout, what goes on to stderr. With --json the final deployment goes to stdout
/// as JSON and the log to stderr.
#[derive(Debug, Args)]
pub struct Deploy {
    /// The folder with the compose file or the manifests; .towlineignore in it leaves files out
    #[arg(required_unless_present = "project")]
    folder: Option<PathBuf>,
    /// Where it goes: a target's name or id
    #[arg(long, short)]
    target: String,
    /// The project's name or id; it is made when no project has the name [default: the folder's name]
    #[arg(long, short)]
    project: Option<String>,
    /// Deploy the last commit of this branch of the project's repository instead of its usual one
    #[arg(long, conflicts_with_all = ["folder", "commit"])]
    branch: Option<String>,
    /// Deploy this very commit of the project's repository, by its whole name
    #[arg(long, conflicts_with = "folder")]
    commit: Option<String>,
    /// For which environment, such as production: its secrets outdo those for all environments
    #[arg(long, short, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// Set a secret of the project, with --env of that environment, before: NAME=VALUE, NAME=@FILE, or NAME=@- for stdin. Others may
    /// see a VALUE in the list of processes
    #[arg(long = "secret", value_name = "NAME=VALUE", value_parser = SecretArgument::parse)]
    secrets: Vec<SecretArgument>,
    /// Show what a deploy would change on the target, and change nothing there. A folder's files become the project's as
    /// with a deploy
    #[arg(long, conflicts_with_all = ["secrets", "settle", "on_agent_death", "roll_back_on_failure", "build_on"])]
    preview: bool,
    /// How long a service without a health check must stay up
    #[arg(long, value_name = "SPAN", value_parser = period::parse)]
    settle: Option<Duration>,
    /// How long the deployment may take
    #[arg(long, value_name = "SPAN", value_parser = period::parse)]
    timeout: Option<Duration>,
    /// What happens when the agent dies in the middle
    #[arg(long, value_enum, value_name = "POLICY")]
    on_agent_death: Option<Interruption>,
    /// Bring back what ran before when this does not come up
    #[arg(long)]
    roll_back_on_failure: bool,
    /// Build the images on the host of this target, by name or id, or on the idlest one of a label (`label:builder`), instead of
    /// where they run; they are relayed from there
    #[arg(long, value_name = "TARGET")]
    build_on: Option<String>,
    #[command(flatten)]
    forces: ForceOptions,
    /// Under the same key the same deployment is made only once, ever [default: a new key]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    watching: Watching,
}

/// Whether it is watched, and what ends that.
#[derive(Debug, Args)]
struct Watching {
    /// Do not watch: end as soon as it is queued
    #[arg(long, short)]
    detach: bool,
    /// Ctrl-C cancels the deployment instead of leaving it alone
    #[arg(long, conflicts_with = "detach")]
    cancel_on_interrupt: bool,
}

/// What happens when the agent dies in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Interruption {
    /// It goes on where it was
    Resume,
    /// It counts as failed
    Fail,
    /// It begins anew when nothing was changed yet, else it counts as failed
    RequeueIfNotStarted,
}

impl Interruption {
    const fn word(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Fail => "fail",
            Self::RequeueIfNotStarted => "requeue_if_not_started",
        }
    }
}

/// `NAME=VALUE`, without its value ever being printed.
#[derive(Clone)]
struct SecretArgument {
    name: String,
    source: SecretSource,
}

#[derive(Clone, PartialEq, Eq)]
enum SecretSource {
    Argument(String),
    File(PathBuf),
    Stdin,
}

impl std::fmt::Debug for SecretArgument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretArgument({}, redacted)", self.name)
    }
}

impl SecretArgument {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or("write it as NAME=VALUE, NAME=@FILE or NAME=@-")?;
        let source = match value.strip_prefix('@') {
            Some("-") => SecretSource::Stdin,
            Some("") => return Err(format!("{name}=@ lacks the path of a file")),
            Some(path) => SecretSource::File(path.into()),
            None => SecretSource::Argument(value.to_owned()),
        };
        Ok(Self {
            name: name.to_owned(),
            source,
        })
    }

    /// The value. A file counts with every byte, like a certificate or a key needs it.
    async fn value(&self) -> Result<String, Failure> {
        match &self.source {
            SecretSource::Argument(value) => Ok(value.clone()),
            SecretSource::Stdin => {
                prompt::secret(&format!("Value of {}: ", self.name), SECRET_LIMIT).await
            }
            SecretSource::File(path) => fs::read_to_string(path).map_err(|error| {
                Failure::usage(format!(
                    "The secret {} cannot be read from {}",
                    self.name,
                    path.display()
                ))
                .detail(error.to_string())
            }),
        }
    }
}

impl Deploy {
    /// Uploads, deploys and watches.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let values = self.secret_values().await?;
        let archive = self.folder.as_deref().map(Archive::of).transpose()?;
        let client = session.client()?;
        let target = api::find::<Target>(&client, &self.target).await?;
        let project = match (&self.project, &archive) {
            (Some(project), None) => api::find::<Project>(&client, project).await?,
            (Some(project), Some(_)) => self.project(session, &client, project).await?,
            (None, Some(archive)) => self.project(session, &client, &archive.project()?).await?,
            (None, None) => return Err(Failure::usage("Name a folder or a project")),
        };
        if let Some(archive) = archive {
            archive.upload(session, &client, &project).await?;
        }
        for (name, value) in &values {
            let name = secrets::Name {
                project: project.id,
                key: name,
                scope: None,
                environment: self.env.as_deref(),
            };
            secrets::set(&client, name, value).await?;
        }
        let deployment = self.create(&client, project.id, target.id).await?;
        let what = if self.preview {
            format!("Preview {} on {}", deployment.id, target.name)
        } else {
            format!("Deployment {} to {}", deployment.id, target.name)
        };
        note(session, &what);
        if let (Some(build), Some(builder)) = (deployment.build_id, &self.build_on) {
            note(session, &format!("Build {build} on {builder} comes first"));
        }
        if self.watching.detach {
            return detached(session, &deployment);
        }
        let on_interrupt = if self.watching.cancel_on_interrupt {
            OnInterrupt::Cancel
        } else {
            OnInterrupt::Leave
        };
        watch(session, &client, deployment, on_interrupt).await
    }

    async fn secret_values(&self) -> Result<Vec<(&str, String)>, Failure> {
        let from_stdin = |secret: &&SecretArgument| secret.source == SecretSource::Stdin;
        if self.secrets.iter().filter(from_stdin).count() > 1 {
            return Err(Failure::usage("Only one secret can come from stdin"));
        }
        let mut values = Vec::new();
        for secret in &self.secrets {
            values.push((secret.name.as_str(), secret.value().await?));
        }
        Ok(values)
    }

    async fn project(
        &self,
        session: &Session,
        client: &Client,
        name: &str,
    ) -> Result<Project, Failure> {
        let (project, origin) = projects::find_or_create(client, name).await?;
        if origin == Origin::Made {
            note(session, &format!("Made the project {}", project.name));
        }
        Ok(project)
    }

    async fn create(
        &self,
        client: &Client,
        project: Uuid,
        target: Uuid,
    ) -> Result<Deployment, Failure> {
        let key = match &self.idempotency_key {
            Some(key) => key.clone(),
            None => Uuid::now_v7().to_string(),
        };
        let deadline_s = self
            .timeout
            .map(|span| span.as_millis().div_ceil(1000))
            .map(|seconds| u64::try_from(seconds).unwrap_or(u64::MAX));
        if self.preview {
            let new = NewPreview {
                target,
                environment: self.env.clone(),
                branch: self.branch.clone(),
                commit: self.commit.clone(),
                deadline_s,
                forces: self.forces.asked(),
            };
            return previews::create(client, project, &new, &key).await;
        }
        let new = NewDeployment {
            target,
            environment: self.env.clone(),
            settle_ms: self
                .settle
                .map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
            deadline_s,
            interruption: self.on_agent_death.map(|policy| policy.word().to_owned()),
            branch: self.branch.clone(),
            commit: self.commit.clone(),
            on_failure: self.roll_back_on_failure.then_some("roll_back"),
            build_on: match &self.build_on {
                Some(label) if label.starts_with("label:") => Some(label.clone()),
                Some(builder) => Some(api::find::<Target>(client, builder).await?.id.to_string()),
                None => None,
            },
            forces: self.forces.asked(),
        };
        deployments::create(client, project, &new, &key).await
    }
}

/// A folder, packed.
struct Archive<'a> {
    folder: &'a Path,
    files: usize,
    bytes: u64,
    content: Vec<u8>,
}

impl<'a> Archive<'a> {
    fn of(folder: &'a Path) -> Result<Self, Failure> {
        let files = folder::list(folder)?;
        Ok(Self {
            folder,
            files: files.len(),
            bytes: files.iter().map(|file| file.bytes).sum(),
            content: folder::archive(&files)?,
        })
    }

    /// What a project is called that nobody has named.
    fn project(&self) -> Result<String, Failure> {
        folder::project_name(self.folder)
    }

    async fn upload(
        self,
        session: &Session,
        client: &Client,
        project: &Project,
    ) -> Result<(), Failure> {
        let size = outcome::upload(self.files, self.bytes);
        let uploading = format!("Uploading {size} to project {}", project.name);
        note(session, &uploading);
        let uploaded = projects::put_files(client, project.id, self.content).await?;
        // With an error among them the deployment is refused, and the refusal tells them.
        let warnings = uploaded
            .findings
            .iter()
            .filter(|finding| finding.severity != "error");
        for finding in warnings {
            note(
                session,
                &format!("{}: {}", finding.severity, finding.sentence()),
            );
        }
        Ok(())
    }
}

/// Says what became of a deployment that nobody watches.
pub fn detached(session: &Session, deployment: &Deployment) -> Result<Exit, Failure> {
    if session.output.format == Format::Json {
        session.output.json(deployment)?;
    } else {
        session.output.say(&deployment.id.to_string())?;
        note(session, &outcome::now(deployment));
        note(
            session,
            &format!("Watch it: towline logs -f {}", deployment.id),
        );
    }
    Ok(if deployment.agent_offline_since.is_some() {
        Exit::Undecided
    } else {
        Exit::Success
    })
}

fn note(session: &Session, text: &str) {
    session
        .output
        .note(&plain::for_reader(text, session.output.stderr.reader));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_comes_from_an_argument_a_file_or_stdin_and_is_not_printed() {
        let table = [
            ("A=b=c", Some(SecretSource::Argument("b=c".into()))),
            ("A=", Some(SecretSource::Argument(String::new()))),
            ("A=@file", Some(SecretSource::File("file".into()))),
            ("A=@-", Some(SecretSource::Stdin)),
            ("A=@", None),
            ("A", None),
            ("=b", None),
        ];
        for (text, source) in table {
            let parsed = SecretArgument::parse(text).ok();
            assert!(
                parsed.as_ref().map(|secret| &secret.source) == source.as_ref(),
                "{text}"
            );
        }
        let secret = SecretArgument::parse("A=hunter2").unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
