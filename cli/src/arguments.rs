//! The command line.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::{
    commands::{
        activity, agents, billing, cancel, channels, cluster, completions, contexts, deploy,
        deployments, docker, exec, files, generate, identities, installation, integrations, join,
        keys, login, logout, logs, members, notifications, password, pipelines, pki, plans,
        plugins, projects, ps, pushes, registries, releases, remove, retry, rollback, secrets,
        sessions, setup, source, targets, teams, templates, top, usage, users, webhooks, whoami,
    },
    exit::Failure,
    output::{Format, Output},
};

const AFTER: &str = "\
Exit codes:
  0  done; a followed deployment succeeded
  1  a followed deployment failed, or the control plane refused the request
  2  the command line, the configuration or the folder cannot be used
  3  the followed deployment was cancelled
  4  the control plane, or the agent that had to answer, cannot be reached
  5  the end of the deployment is not known: it goes on, or waits for its agent
  6  what a project has in a cluster is not as it was deployed

Environment:
  TOWLINE_URL, TOWLINE_API_KEY, TOWLINE_CA   use this installation instead of the stored login;
                                             TOWLINE_CA is a fingerprint or the path of ca.pem
  TOWLINE_CONTEXT                            like --context
  TOWLINE_CONFIG_HOME                        where config.toml is (~/.config/towline)
  NO_COLOR                                   no colours";

/// Deploys to your hosts through a Towline control plane.
#[derive(Debug, Parser)]
#[command(name = "towline", version, after_help = AFTER, max_term_width = 100)]
pub struct Arguments {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Write results as JSON on stdout, and errors as JSON on stderr
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// The stored login to use or to write, when there are several
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "TOWLINE_CONTEXT",
        help_heading = "Global options"
    )]
    pub context: Option<String>,
}

/// All commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the first user of a new installation, and log in
    Setup(setup::Setup),
    /// Accept an invitation into a team, and log in
    Join(join::Join),
    /// Log in to an installation with an API key
    Login(login::Login),
    /// Forget a stored login
    Logout(logout::Logout),
    /// Show which installation, user and team you are
    Whoami(whoami::Whoami),
    /// Change the password that you sign in with in a browser
    Password(password::Password),
    /// The browsers in which you are signed in
    #[command(subcommand)]
    Sessions(sessions::Sessions),
    /// What you are at GitHub, Google or your company's provider, and sign in by
    #[command(subcommand)]
    Identities(identities::Identities),
    /// All teams at once, for administrators of the installation
    #[command(subcommand)]
    Installation(installation::Installation),
    /// The people of the installation, for its administrators
    #[command(subcommand)]
    Users(users::Users),
    /// Stored logins
    #[command(subcommand)]
    Contexts(contexts::Contexts),
    /// API keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// The teams that you are in
    #[command(subcommand)]
    Teams(teams::Teams),
    /// The people of the team
    #[command(subcommand)]
    Members(members::Members),
    /// Hosts that dial in
    #[command(subcommand)]
    Agents(agents::Agents),
    /// Where deployments go
    #[command(subcommand)]
    Targets(targets::Targets),
    /// The Docker engines of hosts, from here
    #[command(subcommand)]
    Docker(docker::Docker),
    /// What is deployed
    #[command(subcommand)]
    Projects(projects::Projects),
    /// What projects are made from
    #[command(subcommand)]
    Templates(templates::Templates),
    /// Single files of a project
    #[command(subcommand)]
    Files(files::Files),
    /// Accounts at GitHub, GitLab and Bitbucket, and the repositories that they reach
    #[command(subcommand)]
    Integrations(integrations::Integrations),
    /// Registries that deployments and builds log in to
    #[command(subcommand)]
    Registries(registries::Registries),
    /// The repository that a project comes from
    #[command(subcommand)]
    Source(source::Source),
    /// Say what a project is and generate the files that it lacks
    Generate(generate::Generate),
    /// What is deployed of pushes to a repository
    #[command(subcommand)]
    Pushes(pushes::Pushes),
    /// The ways of commits to targets
    #[command(subcommand)]
    Pipelines(pipelines::Pipelines),
    /// Values that only the deploying host sees
    #[command(subcommand)]
    Secrets(secrets::Secrets),
    /// Who is told what happens to deployments
    #[command(subcommand)]
    Webhooks(webhooks::Webhooks),
    /// What is asked before a deploy, and told afterwards
    #[command(subcommand)]
    Plugins(plugins::Plugins),
    /// What you were told, and what you are told of
    #[command(subcommand)]
    Notifications(notifications::Notifications),
    /// The ways by which you are told
    #[command(subcommand)]
    Channels(channels::Channels),
    /// Deploy a folder with a compose file, and watch it
    Deploy(deploy::Deploy),
    /// Take a deployed project off a target
    Remove(remove::Remove),
    /// Show the log of a deployment or of a container
    Logs(logs::Logs),
    /// Deployments of the past and of now
    #[command(subcommand)]
    Deployments(deployments::Deployments),
    /// Cancel a deployment
    Cancel(cancel::Cancel),
    /// Do a deployment once more, with the same files
    Retry(retry::Retry),
    /// Bring back the release that ran before
    Rollback(rollback::Rollback),
    /// What was deployed, as it was frozen
    #[command(subcommand)]
    Releases(releases::Releases),
    /// List the containers of a target
    Ps(ps::Ps),
    /// What a project has in a Kubernetes cluster: events, drift, restarts and scales
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// Run a command in a container
    Exec(exec::Exec),
    /// Show what hosts and containers use, live
    #[command(visible_alias = "stats")]
    Top(top::Top),
    /// Show what the team uses of its plan
    Usage(usage::Usage),
    /// What teams may use
    #[command(subcommand)]
    Plans(plans::Plans),
    /// Your plan, and for administrators the plans of others
    #[command(subcommand)]
    Billing(billing::Billing),
    /// Show what was done in the team
    Activity(activity::Activity),
    /// The audit log of the team
    #[command(subcommand)]
    Audit(activity::Audit),
    /// Certificates and signatures of agents without a control plane
    #[command(subcommand)]
    Pki(pki::Pki),
    /// Print completions for a shell
    Completions(completions::Completions),
}

/// Ends where the command line cannot be used, or asks for help: with `--json` an error is JSON, as
/// every other.
pub fn misused(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os()
        .take_while(|argument| argument != "--")
        .any(|argument| argument == "--json");
    if !(error.use_stderr() && json) {
        error.exit();
    }
    let text = error.render().to_string();
    let failure = Failure::usage("The command line cannot be used")
        .detail(text.trim_start_matches("error: ").trim_end());
    Output::of_process(Format::Json).failure(&failure);
    ExitCode::from(failure.exit().code())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
