//! `towline generate`: what a project is, and the files that it lacks.

use clap::{Args, ValueEnum};

use super::Session;
use crate::{
    api::{
        self,
        generation::{self, Generated, Wish},
        projects::Project,
    },
    exit::{Exit, Failure},
    output::{
        Surface, plain,
        table::{Rows, whole},
    },
};

/// Say what a project is and generate the files that it lacks
///
/// Nothing is changed without --write. What was generated before is merged with what you have made of it since; whatever
/// else the project or its repository has stays as it is.
#[derive(Debug, Args)]
pub struct Generate {
    /// The project's name or id
    project: String,
    /// Where it is to run
    #[arg(long, value_enum, default_value_t = Target::Docker)]
    target: Target,
    /// Files for this CI, too
    #[arg(long, value_enum)]
    ci: Option<Ci>,
    /// The image in a registry, without a tag, for the files of CI and Kubernetes
    #[arg(long)]
    image: Option<String>,
    /// The name under which the world reaches it on Kubernetes
    #[arg(long)]
    host: Option<String>,
    /// Make the new files the project's own
    #[arg(long)]
    write: bool,
    /// Print the text of each file
    #[arg(long)]
    show: bool,
    /// Print how each file that the project has would change
    #[arg(long)]
    diff: bool,
    /// What becomes of a file of which somebody has changed the same lines
    #[arg(long, value_enum, default_value_t = Conflicts::Keep, requires = "write")]
    conflicts: Conflicts,
}

/// Where it is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// A Docker host
    Docker,
    /// A Kubernetes cluster
    Kubernetes,
}

/// What becomes of a file of which somebody has changed the same lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Conflicts {
    /// It stays as it is
    Keep,
    /// Both versions stand there, between markers
    Mark,
}

/// What tests it and builds its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ci {
    /// GitHub Actions
    Github,
    /// GitLab CI
    Gitlab,
    /// Bitbucket Pipelines
    Bitbucket,
    /// Jenkins
    Jenkins,
    /// Towline itself, on a push
    Towline,
}

impl Ci {
    const fn word(self) -> &'static str {
        match self {
            Self::Github => "github_actions",
            Self::Gitlab => "gitlab_ci",
            Self::Bitbucket => "bitbucket_pipelines",
            Self::Jenkins => "jenkins",
            Self::Towline => "towline",
        }
    }
}

impl Generate {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let project = api::find::<Project>(&client, &self.project).await?;
        let wish = Wish {
            target: match self.target {
                Target::Docker => "docker",
                Target::Kubernetes => "kubernetes",
            },
            ci: self.ci.map(Ci::word),
            image: self.image.as_deref(),
            host: self.host.as_deref(),
            mode: if self.write { "write" } else { "preview" },
            conflicts: match self.conflicts {
                Conflicts::Keep => "keep",
                Conflicts::Mark => "mark",
            },
        };
        let made = generation::generate(&client, project.id, &wish).await?;
        session
            .output
            .result(&made, |surface| self.told(surface, &made))?;
        Ok(Exit::Success)
    }

    fn told(&self, surface: Surface, made: &Generated) -> String {
        let mut lines: Vec<String> = Vec::new();
        for note in &made.detected.evidence {
            lines.push(format!("{} {} → {}", note.file, note.says, note.therefore));
        }
        for note in &made.detected.findings {
            let file = note.file.as_deref().map(|file| format!("{file}: "));
            let file = file.unwrap_or_default();
            lines.push(format!("warning: {file}{}", note.message));
        }
        let mut text: String = lines
            .iter()
            .map(|line| plain::for_reader(line, surface.reader) + "\n")
            .collect();
        let mut rows = Rows::new(surface, [whole("file"), whole("state")]);
        for file in &made.files {
            let state = match (file.state.as_str(), self.write) {
                ("new", true) => "written",
                ("conflict", true) if self.conflicts == Conflicts::Mark => "conflict, marked",
                ("conflict", true) => "conflict, kept",
                (state, _) => state,
            };
            rows.row([file.path.as_str().into(), state.into()]);
        }
        text.push('\n');
        text.push_str(&rows.finish("There is nothing to generate."));
        let conflicts = made.files.iter().any(|file| file.state == "conflict");
        if conflicts && self.conflicts == Conflicts::Keep {
            text.push_str("\nSomebody has changed the same lines: see them by --diff, have both by --write --conflicts mark.");
        }
        if self.diff {
            for diff in made.files.iter().filter_map(|file| file.diff.as_deref()) {
                text.push_str("\n\n");
                text.push_str(&plain::for_reader(diff, surface.reader));
            }
        }
        if self.show {
            for file in &made.files {
                let body = plain::for_reader(&file.content, surface.reader);
                let head = plain::for_reader(&file.path, surface.reader);
                text.extend(["\n\n--- ", &*head, " ---\n", &*body]);
            }
        }
        text
    }
}
