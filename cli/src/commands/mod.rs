//! One file per command or group of commands.

pub mod activity;
mod agent_rollout;
mod agent_token;
mod agent_upgrade;
pub mod agents;
pub mod billing;
pub mod cancel;
pub mod channels;
pub mod cluster;
pub mod completions;
pub mod contexts;
pub mod deploy;
pub mod deployments;
pub mod docker;
pub mod exec;
pub mod files;
mod forces;
pub mod generate;
pub mod identities;
pub mod installation;
pub mod integrations;
pub mod join;
pub mod keys;
mod link;
pub mod login;
pub mod logout;
pub mod logs;
pub mod members;
pub mod notifications;
pub mod password;
mod period;
pub mod pipelines;
pub mod pki;
pub mod plans;
pub mod plugins;
pub mod projects;
pub mod ps;
pub mod pushes;
pub mod registries;
mod release;
pub mod releases;
pub mod remove;
pub mod retry;
pub mod rollback;
pub mod secrets;
pub mod sessions;
pub mod setup;
mod signals;
pub mod source;
pub mod targets;
pub mod teams;
pub mod templates;
pub mod top;
pub mod usage;
pub mod users;
mod watch;
pub mod webhooks;
pub mod whoami;

use crate::{
    api::Client,
    arguments::{Arguments, Command},
    config::ConfigFile,
    connection::{Choice, Connection},
    exit::{Exit, Failure},
    output::{Format, Output},
    trust::Trust,
};

/// What every command has at hand.
#[derive(Debug)]
pub struct Session {
    /// Where results go.
    pub output: Output,
    choice: Choice,
}

impl Session {
    /// The session of these arguments and this process's environment.
    pub fn new(arguments: &Arguments) -> Self {
        let format = if arguments.global.json {
            Format::Json
        } else {
            Format::Human
        };
        Self {
            output: Output::of_process(format),
            choice: Choice::of_process(arguments.global.context.clone()),
        }
    }

    /// The configuration file.
    pub fn config_file(&self) -> Result<ConfigFile, Failure> {
        let file = ConfigFile::locate(|name| std::env::var(name).ok())?;
        if file.open_to_others() {
            let path = file.path();
            self.output.note(&format!(
                "warning: {0} can be read by others; run `chmod 600 {0}`",
                path.display()
            ));
        }
        Ok(file)
    }

    /// The installation in use.
    pub fn connection(&self) -> Result<Connection, Failure> {
        self.choice.resolve(&self.config_file()?)
    }

    /// A client of the installation in use.
    pub fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.connection()?)
    }

    /// The trust in an installation that is not known yet: as the command line says, else the
    /// environment (`TOWLINE_CA`), else this machine's own authorities.
    pub fn trust(&self, ca: Option<&str>) -> Result<Trust, Failure> {
        let ca = ca.or(self.choice.ca.as_deref());
        ca.map_or(Ok(Trust::Machine), Trust::parse)
    }

    /// The context that the command line names.
    pub fn named_context(&self) -> Option<&str> {
        self.choice.context.as_deref()
    }
}

/// Runs a command to its end.
pub async fn run(command: Command, session: &Session) -> Result<Exit, Failure> {
    match command {
        Command::Setup(command) => command.run(session).await,
        Command::Join(command) => command.run(session).await,
        Command::Login(command) => command.run(session).await,
        Command::Logout(command) => command.run(session),
        Command::Whoami(command) => command.run(session).await,
        Command::Contexts(command) => command.run(session),
        Command::Keys(command) => command.run(session).await,
        Command::Password(command) => command.run(session).await,
        Command::Sessions(command) => command.run(session).await,
        Command::Identities(command) => command.run(session).await,
        Command::Installation(command) => command.run(session).await,
        Command::Users(command) => command.run(session).await,
        Command::Teams(command) => command.run(session).await,
        Command::Members(command) => command.run(session).await,
        Command::Agents(command) => command.run(session).await,
        Command::Targets(command) => command.run(session).await,
        Command::Docker(command) => command.run(session).await,
        Command::Projects(command) => command.run(session).await,
        Command::Templates(command) => command.run(session).await,
        Command::Files(command) => command.run(session).await,
        Command::Integrations(command) => command.run(session).await,
        Command::Registries(command) => command.run(session).await,
        Command::Source(command) => command.run(session).await,
        Command::Generate(command) => command.run(session).await,
        Command::Pushes(command) => command.run(session).await,
        Command::Pipelines(command) => command.run(session).await,
        Command::Secrets(command) => command.run(session).await,
        Command::Webhooks(command) => command.run(session).await,
        Command::Plugins(command) => command.run(session).await,
        Command::Notifications(command) => command.run(session).await,
        Command::Channels(command) => command.run(session).await,
        Command::Deploy(command) => command.run(session).await,
        Command::Remove(command) => command.run(session).await,
        Command::Logs(command) => command.run(session).await,
        Command::Deployments(command) => command.run(session).await,
        Command::Cancel(command) => command.run(session).await,
        Command::Retry(command) => command.run(session).await,
        Command::Rollback(command) => command.run(session).await,
        Command::Releases(command) => command.run(session).await,
        Command::Ps(command) => command.run(session).await,
        Command::Cluster(command) => command.run(session).await,
        Command::Exec(command) => command.run(session).await,
        Command::Top(command) => command.run(session).await,
        Command::Usage(command) => command.run(session).await,
        Command::Plans(command) => command.run(session).await,
        Command::Billing(command) => command.run(session).await,
        Command::Activity(command) => command.run(session).await,
        Command::Audit(command) => command.run(session).await,
        Command::Pki(command) => command.run(session),
        Command::Completions(command) => command.run(session),
    }
}
