//! `towline pushes`: what is deployed of pushes to a project's repository.

use chrono::Utc;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{Session, source::short};
use crate::{
    api::{
        self,
        projects::Project,
        pushes::{self, Named, NewPushHook, Push, PushDeploy, PushHook},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, facts, whole, wraps},
        units::age,
    },
    prompt::confirm,
};

/// What is deployed of pushes to a project's repository
#[derive(Debug, Subcommand)]
pub enum Pushes {
    /// Deploy pushes; prints the address and, once, the secret to enter at the forge
    On(On),
    /// Show what is deployed
    Show {
        /// The project's name or id
        project: String,
    },
    /// Deploy nothing of pushes any more, and forget those that came
    Off {
        /// The project's name or id
        project: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Install the hook at the forge, by the integration that the project's source is read by
    Install {
        /// The project's name or id
        project: String,
    },
    /// Take the hook away from the forge, and keep what it deploys
    Uninstall {
        /// The project's name or id
        project: String,
    },
    /// Make another secret; the forge needs it before its next push, and is told of it where the hook is installed
    RotateSecret {
        /// The project's name or id
        project: String,
    },
    /// List the pushes that came, and what became of them, the newest first
    #[command(visible_alias = "list")]
    Ls {
        /// The project's name or id
        project: String,
        /// How many
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: usize,
    },
}

/// What to deploy. Doing it again replaces all of it but the secret.
#[derive(Debug, Args)]
pub struct On {
    /// The project's name or id
    project: String,
    /// Where pushes come from; Gitea and Forgejo speak like GitHub
    #[arg(long, value_enum)]
    forge: Forge,
    /// Where to deploy to; may be given several times
    #[arg(long = "target", short, required = true)]
    targets: Vec<String>,
    /// Which branches, as a pattern; may be given several times [default: the source's own]
    #[arg(long = "branch", short)]
    branches: Vec<String>,
    /// Deploy only what changes one of these paths, as apps/web/**; may be given several times
    #[arg(long = "include", value_name = "PATTERN")]
    include: Vec<String>,
    /// Changes of these paths alone are not deployed, as **/*.md; may be given several times
    #[arg(long = "exclude", value_name = "PATTERN")]
    exclude: Vec<String>,
    /// For which environment
    #[arg(long)]
    environment: Option<String>,
    /// Bring back what ran before when it does not come up
    #[arg(long)]
    roll_back: bool,
    /// Write pushes down, and deploy none for now
    #[arg(long)]
    pause: bool,
}

/// Who tells of pushes.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Forge {
    Github,
    Gitlab,
    Bitbucket,
    Generic,
}

impl Forge {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Bitbucket => "bitbucket",
            Self::Generic => "generic",
        }
    }
}

impl Pushes {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (client, out) = (session.client()?, &session.output);
        match self {
            Self::On(on) => on.run(session).await?,
            Self::Show { project } => {
                let project = api::find::<Project>(&client, &project).await?;
                let hook = pushes::show(&client, project.id).await?;
                out.result(&hook, |surface| details(surface, &hook))?;
            }
            Self::Off { project, yes } => {
                let project = api::find::<Project>(&client, &project).await?;
                let question = format!(
                    "Deploy no pushes of the project {:?} any more, and forget those that came?",
                    project.name
                );
                confirm(yes.into(), &question)?;
                pushes::delete(&client, project.id).await?;
                let done = json!({ "id": project.id, "deleted": true });
                out.result(&done, |_| {
                    format!("Pushes of {} are not deployed any more.", project.name)
                })?;
            }
            Self::RotateSecret { project } => {
                let project = api::find::<Project>(&client, &project).await?;
                let hook = pushes::rotate_secret(&client, project.id).await?;
                out.note(&match (&hook.installed_in, &hook.install_error) {
                    (Some(repository), None) => {
                        format!("The forge has it for {repository} already; it is shown once.")
                    }
                    (Some(_), Some(why)) => format!(
                        "The forge could not be told of it ({why}): `towline pushes install {}` tries again.",
                        project.name
                    ),
                    (None, _) => {
                        "This secret is shown once; enter it at the forge before the next push."
                            .to_owned()
                    }
                });
                out.result(&hook, |_| hook.secret.clone().unwrap_or_default())?;
            }
            Self::Install { project } => {
                let project = api::find::<Project>(&client, &project).await?;
                let hook = pushes::install(&client, project.id).await?;
                out.result(&hook, |surface| details(surface, &hook))?;
            }
            Self::Uninstall { project } => {
                let project = api::find::<Project>(&client, &project).await?;
                pushes::uninstall(&client, project.id).await?;
                let done = json!({ "id": project.id, "uninstalled": true });
                out.result(&done, |_| {
                    format!(
                        "The forge does not tell of pushes to {} any more.",
                        project.name
                    )
                })?;
            }
            Self::Ls { project, limit } => {
                let project = api::find::<Project>(&client, &project).await?;
                let listed = pushes::list(&client, project.id, limit).await?;
                out.result(&listed, |surface| table(surface, &listed))?;
            }
        }
        Ok(Exit::Success)
    }
}

impl On {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let project = api::find::<Project>(&client, &self.project).await?;
        let new = NewPushHook {
            forge: self.forge.as_str(),
            targets: &self.targets,
            branches: &self.branches,
            include_paths: &self.include,
            exclude_paths: &self.exclude,
            environment: self.environment.as_deref(),
            on_failure: if self.roll_back { "roll_back" } else { "leave" },
            enabled: !self.pause,
        };
        let hook = pushes::set(&client, project.id, &new).await?;
        if hook.secret.is_some() {
            session.output.note(
                "The secret is shown once. Enter it and the address at the forge, with the content type \
                 application/json, for pushes alone; docs/pushes.md says where.",
            );
        }
        session
            .output
            .result(&hook, |surface| details(surface, &hook))
    }
}

fn details(surface: Surface, hook: &PushHook) -> String {
    let or = |list: &[String], otherwise: &str| match list {
        [] => otherwise.to_owned(),
        list => list.join(" "),
    };
    let targets: Vec<_> = hook.targets.iter().map(|one| one.name.clone()).collect();
    let nobody = "nobody who is still here: set it again";
    let by = hook.set_by.as_ref();
    let mut rows = vec![
        ("address", hook.url.clone()),
        ("forge", hook.forge.clone()),
        ("state", hook.state.clone()),
        ("targets", or(&targets, "none")),
        ("branches", or(&hook.branches, "the source's own")),
        ("paths", or(&hook.include_paths, "all")),
        ("but not", or(&hook.exclude_paths, "none")),
        (
            "environment",
            hook.environment
                .clone()
                .unwrap_or_else(|| "none".to_owned()),
        ),
        ("on failure", hook.on_failure.clone()),
        (
            "installed in",
            hook.installed_in
                .clone()
                .unwrap_or_else(|| "nothing: by hand, or by `towline pushes install`".to_owned()),
        ),
        (
            "by right of",
            by.map_or(nobody, |by: &Named| &by.name).to_owned(),
        ),
    ];
    if let Some(secret) = &hook.secret {
        rows.insert(1, ("secret", secret.clone()));
    }
    facts(surface, &rows)
}

fn table(surface: Surface, pushes: &[Push]) -> String {
    let now = Utc::now();
    let columns = [
        whole("came"),
        whole("by"),
        whole("to"),
        whole("commit"),
        wraps("title"),
        wraps("became"),
    ];
    let mut rows = Rows::new(surface, columns);
    for push in pushes {
        let to = push.reference.as_deref().unwrap_or(&push.event);
        let commit = push.commit_sha.as_deref().unwrap_or_default();
        rows.row([
            age(push.created_at, now).into(),
            push.sender.as_deref().unwrap_or_default().into(),
            to.strip_prefix("refs/heads/").unwrap_or(to).into(),
            short(commit).into(),
            push.title.as_deref().unwrap_or_default().into(),
            became(push).into(),
        ]);
    }
    rows.finish("No push came yet.")
}

fn became(push: &Push) -> String {
    if let Some(reason) = &push.reason {
        return format!("{}: {reason}", push.outcome);
    }
    let each = push.deploys.iter().map(|deploy: &PushDeploy| {
        let target = &deploy.target.name;
        match (&deploy.deployment_id, &deploy.message) {
            (Some(id), _) => format!("{} to {target} ({id})", deploy.state),
            (None, Some(why)) => format!("{} for {target}: {why}", deploy.state),
            (None, None) => format!("{} for {target}", deploy.state),
        }
    });
    let all: Vec<_> = each.collect();
    if all.is_empty() {
        push.outcome.clone()
    } else {
        all.join("; ")
    }
}
