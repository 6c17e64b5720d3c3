//! `towline files`: single files of a project.

use std::{
    env, fs,
    io::{IsTerminal as _, Read as _},
    path::PathBuf,
    process::Command,
};

use clap::{Args, Subcommand};
use serde_json::json;

use super::Session;
use crate::{
    api::{
        self, Client,
        files::{self, FileContent, WriteFile},
        generation::{self, Delivery},
        projects::{Project, Upload},
    },
    exit::{Exit, Failure},
    output::{
        Surface, plain,
        table::{Rows, whole},
        units,
    },
    prompt::confirm,
};

/// The most bytes of a file.
const LIMIT: u64 = 4 * 1024 * 1024;

/// Single files of a project
#[derive(Debug, Subcommand)]
pub enum Files {
    /// List the files
    #[command(visible_alias = "list")]
    Ls {
        /// The project's name or id
        project: String,
    },
    /// Print a file
    Show(Which),
    /// Write a file; its text comes from stdin, or from another file. The project's other files stay
    Put {
        #[command(flatten)]
        which: Which,
        /// Take the text from this file
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Containers may run it
        #[arg(long)]
        executable: bool,
        /// Refuse when it is there already
        #[arg(long)]
        new: bool,
    },
    /// Change a file in $VISUAL or $EDITOR; what somebody else has written meanwhile is not lost
    Edit(Which),
    /// Deliver the generated files, as you have made them since, to the project's repository as a pull request. While that is open, it is
    /// the one that is changed
    Deliver {
        /// The project's name or id
        project: String,
    },
    /// Delete a file; the project's other files stay
    Rm {
        #[command(flatten)]
        which: Which,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Which file.
#[derive(Debug, Args)]
pub struct Which {
    /// The project's name or id
    project: String,
    /// The file's path in the project, as nginx/site.conf
    path: String,
}

impl Files {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Self::Ls { project } => {
                let project = api::find::<Project>(&client, &project).await?;
                let listed = files::list(&client, project.id).await?;
                session
                    .output
                    .result(&listed, |surface| table(&listed, surface))?;
            }
            Self::Show(which) => {
                let project = which.project(&client).await?;
                let file = files::read(&client, project.id, &which.path).await?;
                text_of(&file)?;
                session.output.result(&file, |surface| {
                    let text = file.content.as_deref().unwrap_or_default();
                    plain::for_reader(text, surface.reader)
                        .trim_end_matches('\n')
                        .to_owned()
                })?;
            }
            Self::Put {
                which,
                from,
                executable,
                new,
            } => {
                let text = read(from)?;
                let project = which.project(&client).await?;
                let file = WriteFile {
                    content: &text,
                    mode: if executable { "executable" } else { "regular" },
                    replaces: new.then_some(""),
                };
                which.write(session, &client, &project, &file).await?;
            }
            Self::Edit(which) => which.edit(session, &client).await?,
            Self::Deliver { project } => {
                let project = api::find::<Project>(&client, &project).await?;
                let done = generation::deliver(&client, project.id).await?;
                session
                    .output
                    .result(&done, |surface| delivered(&done, surface))?;
            }
            Self::Rm { which, yes } => {
                let project = which.project(&client).await?;
                let question = format!("Delete {} of the project {:?}?", which.path, project.name);
                confirm(yes.into(), &question)?;
                files::delete(&client, project.id, &which.path).await?;
                let done = json!({ "project": project.id, "path": which.path, "deleted": true });
                session
                    .output
                    .result(&done, |_| format!("{} is deleted.", which.path))?;
            }
        }
        Ok(Exit::Success)
    }
}

impl Which {
    async fn project(&self, client: &Client) -> Result<Project, Failure> {
        api::find::<Project>(client, &self.project).await
    }

    async fn write(
        &self,
        session: &Session,
        client: &Client,
        project: &Project,
        file: &WriteFile<'_>,
    ) -> Result<(), Failure> {
        let stored = files::write(client, project.id, &self.path, file).await?;
        session.output.result(&stored, |surface| {
            let mut lines = vec![format!("{} is written.", self.path)];
            let findings = stored.findings.iter();
            lines.extend(findings.map(|one| format!("{}: {}", one.severity, one.sentence())));
            let lines = lines
                .iter()
                .map(|line| plain::for_reader(line, surface.reader));
            lines.collect::<Vec<_>>().join("\n")
        })
    }

    async fn edit(&self, session: &Session, client: &Client) -> Result<(), Failure> {
        let project = self.project(client).await?;
        let file = files::read(client, project.id, &self.path).await?;
        let before = text_of(&file)?;
        let after = edited(&self.path, before)?;
        if after == before {
            session.output.note("Nothing was changed.");
            return Ok(());
        }
        let file = WriteFile {
            content: &after,
            mode: &file.mode,
            replaces: Some(&file.etag),
        };
        self.write(session, client, &project, &file).await
    }
}

fn text_of(file: &FileContent) -> Result<&str, Failure> {
    file.content.as_deref().ok_or_else(|| {
        Failure::new(Exit::Failed, format!("{} is no text", file.path))
            .remedy("its bytes are in `content_base64` of the API's answer")
    })
}

/// A text from a file or from stdin.
fn read(from: Option<PathBuf>) -> Result<String, Failure> {
    let (bytes, name) = match from {
        Some(path) => (fs::read(&path), path.display().to_string()),
        None if std::io::stdin().is_terminal() => {
            return Err(Failure::usage(
                "Give the text by --from FILE, or pipe it in",
            ));
        }
        None => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().take(LIMIT + 1).read_to_end(&mut bytes);
            (read.map(|_| bytes), "stdin".to_owned())
        }
    };
    let unreadable = |why: String| Failure::usage(format!("{name} cannot be read")).detail(why);
    let bytes = bytes.map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > LIMIT {
        return Err(unreadable(
            "a project's files have at most 4 MiB".to_owned(),
        ));
    }
    String::from_utf8(bytes).map_err(|_| {
        unreadable("it is no UTF-8; upload it with its folder by `towline deploy`".to_owned())
    })
}

/// Has an editor change a text, in a folder that nobody else can read.
fn edited(path: &str, text: &str) -> Result<String, Failure> {
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| env::var(name).ok());
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    let failed = |what: String| Failure::new(Exit::Failed, what);
    let folder =
        tempfile::tempdir().map_err(|error| failed(format!("No file can be made: {error}")))?;
    let file = folder.path().join(path.rsplit('/').next().unwrap_or(path));
    fs::write(&file, text).map_err(|error| failed(format!("No file can be made: {error}")))?;
    // An editor may be given with arguments, as `code --wait`.
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = Command::new(program).args(words).arg(&file).status();
    match status {
        Ok(status) if status.success() => fs::read_to_string(&file).map_err(|error| {
            failed(format!(
                "What the editor has written cannot be read: {error}"
            ))
        }),
        Ok(status) => Err(failed(format!(
            "{editor} ended with {status}; nothing is changed"
        ))),
        Err(error) => Err(failed(format!(
            "{editor} cannot be run: {error}; set EDITOR"
        ))),
    }
}

fn delivered(done: &Delivery, surface: Surface) -> String {
    let url = done.url.as_deref().unwrap_or_default();
    let mut lines = vec![match done.outcome.as_str() {
        "opened" => format!("Opened {url}"),
        "updated" => format!("Updated {url}"),
        "unchanged" => format!("{url} has all of it already."),
        "nothing" => {
            "There is nothing to deliver: the repository has all of it already.".to_owned()
        }
        other => format!("{other} {url}"),
    }];
    lines.extend(done.files.iter().map(|path| format!("  {path}")));
    let lines = lines
        .iter()
        .map(|line| plain::for_reader(line, surface.reader));
    lines.collect::<Vec<_>>().join("\n")
}

fn table(listed: &Upload, surface: Surface) -> String {
    let mut rows = Rows::new(surface, [whole("file"), whole("size")]);
    for file in &listed.files {
        rows.row([file.path.as_str().into(), units::bytes(file.bytes).into()]);
    }
    rows.finish("It has no files.")
}
