//! `towline plugins`: what is asked before something is done, and told afterwards.

use chrono::Utc;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::Session;
use crate::{
    api::{
        self, Client,
        plugins::{self, Plugin, Run},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, optional, whole, wraps},
        units::age,
    },
    prompt::confirm,
};

/// What is asked before a deploy, and told afterwards
#[derive(Debug, Subcommand)]
pub enum Plugins {
    /// List the team's plugins
    #[command(visible_alias = "list")]
    Ls,
    /// Make one; its secret is shown once
    Add {
        /// What you call it
        name: String,
        /// Where it is called, as https://example.org/gate
        url: String,
        #[command(flatten)]
        terms: Terms,
    },
    /// Change one; what is left out stays
    #[command(arg_required_else_help = true)]
    Change {
        #[command(flatten)]
        which: Which,
        /// Where it is called
        #[arg(long)]
        url: Option<String>,
        #[command(flatten)]
        terms: Terms,
    },
    /// Switch one on
    Enable(Which),
    /// Switch one off: it is not asked, and what waits is not told any more
    Disable(Which),
    /// Give one another secret, which is shown once; the former signs nothing any more
    RotateSecret(Which),
    /// Call one now, and show what comes of it
    Test(Which),
    /// Show what one was asked and told
    Runs {
        #[command(flatten)]
        which: Which,
        /// How many at most
        #[arg(long, short = 'n', default_value_t = 50)]
        limit: usize,
    },
    /// Delete one with its runs
    #[command(visible_alias = "remove")]
    Rm {
        #[command(flatten)]
        which: Which,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Which plugin.
#[derive(Debug, Args)]
pub struct Which {
    /// Its name or id
    plugin: String,
}

/// When one is called, and for how long.
#[derive(Debug, Args)]
pub struct Terms {
    /// When it is called: before_, after_ or failed_ with deploy, build or project [default when made: before_deploy]
    #[arg(long = "hook", value_name = "HOOK", value_delimiter = ',')]
    hooks: Vec<String>,
    /// How long it may take, 1 to 30 seconds [default when made: 5]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// What becomes of what it is asked about when it gives no answer [default when made: closed]
    #[arg(long, value_enum)]
    on_failure: Option<OnFailure>,
}

/// What becomes of what a plugin gives no answer to.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnFailure {
    /// It goes on
    Open,
    /// It is refused
    Closed,
}

impl Terms {
    /// What the API is told: what is left out stays.
    fn named(&self) -> Map<String, Value> {
        let policy = self.on_failure.map(|policy| match policy {
            OnFailure::Open => "open",
            OnFailure::Closed => "closed",
        });
        let hooks = Some(&self.hooks).filter(|hooks| !hooks.is_empty());
        let fields = [
            ("hooks", hooks.map(|hooks| json!(hooks))),
            ("timeout_s", self.timeout.map(Value::from)),
            ("failure_policy", policy.map(Value::from)),
        ];
        let named = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        named.collect()
    }
}

impl Which {
    async fn find(&self, client: &Client) -> Result<Plugin, Failure> {
        api::find(client, &self.plugin).await
    }

    async fn switch(
        &self,
        session: &Session,
        client: &Client,
        enabled: bool,
    ) -> Result<(), Failure> {
        let plugin = self.find(client).await?;
        let change = Map::from_iter([("enabled".to_owned(), enabled.into())]);
        let changed = plugins::change(client, plugin.id, &change).await?;
        session.output.result(&changed, |_| {
            format!("{} is {}.", changed.name, changed.state)
        })
    }
}

impl Plugins {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (client, out) = (session.client()?, &session.output);
        match self {
            Self::Ls => {
                let all = api::list::<Plugin>(&client).await?;
                out.result(&all, |surface| table(surface, &all))?;
            }
            Self::Add { name, url, terms } => {
                let mut wish = terms.named();
                wish.entry("hooks")
                    .or_insert_with(|| json!(["before_deploy"]));
                wish.extend([
                    ("name".to_owned(), name.into()),
                    ("url".to_owned(), url.into()),
                ]);
                secret(session, &plugins::add(&client, &wish).await?)?;
            }
            Self::Change { which, url, terms } => {
                let mut change = terms.named();
                change.extend(url.map(|url| ("url".to_owned(), url.into())));
                let plugin = which.find(&client).await?;
                let changed = plugins::change(&client, plugin.id, &change).await?;
                out.result(&changed, |surface| {
                    table(surface, std::slice::from_ref(&changed))
                })?;
            }
            Self::Enable(which) => which.switch(session, &client, true).await?,
            Self::Disable(which) => which.switch(session, &client, false).await?,
            Self::RotateSecret(which) => {
                let plugin = which.find(&client).await?;
                secret(session, &plugins::rotate_secret(&client, plugin.id).await?)?;
            }
            Self::Test(which) => return test(session, &client, &which).await,
            Self::Runs { which, limit } => {
                let plugin = which.find(&client).await?;
                let all = plugins::runs(&client, plugin.id, limit).await?;
                out.result(&all, |surface| runs(surface, &all))?;
            }
            Self::Rm { which, yes } => {
                let plugin = which.find(&client).await?;
                let name = &plugin.name;
                let question = format!("Delete the plugin {name} with its runs?");
                confirm(yes.into(), &question)?;
                plugins::delete(&client, plugin.id).await?;
                let done = json!({ "id": plugin.id, "deleted": true });
                out.result(&done, |_| format!("Deleted the plugin {name}."))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn secret(session: &Session, plugin: &Plugin) -> Result<(), Failure> {
    session
        .output
        .note("This secret is shown once; the plugin verifies by it. See docs/plugins.md.");
    session
        .output
        .result(plugin, |_| plugin.secret.clone().unwrap_or_default())
}

async fn test(session: &Session, client: &Client, which: &Which) -> Result<Exit, Failure> {
    let plugin = which.find(client).await?;
    let (name, run) = (&plugin.name, plugins::test(client, plugin.id).await?);
    let took = run.duration_ms.unwrap_or_default();
    session.output.result(&run, |_| match &run.error {
        Some(why) => format!("{name} has given no answer: {why}"),
        None => format!(
            "{name} has answered in {took} ms. {}",
            run.message.as_deref().unwrap_or_default()
        ),
    })?;
    Ok(if run.state == "failed" {
        Exit::Failed
    } else {
        Exit::Success
    })
}

fn table(surface: Surface, all: &[Plugin]) -> String {
    let mut rows = Rows::new(
        surface,
        [
            whole("plugin"),
            wraps("url"),
            whole("state"),
            whole("on failure"),
            whole("timeout"),
            wraps("hooks"),
            optional("id"),
        ],
    );
    for one in all {
        rows.row([
            one.name.as_str().into(),
            one.url.as_str().into(),
            one.state.as_str().into(),
            one.failure_policy.as_str().into(),
            format!("{} s", one.timeout_s).into(),
            one.hooks.join(" ").into(),
            one.id.to_string().into(),
        ]);
    }
    rows.finish("There are no plugins. `towline plugins add NAME URL` makes one.")
}

fn runs(surface: Surface, all: &[Run]) -> String {
    let now = Utc::now();
    let mut rows = Rows::new(
        surface,
        [
            whole("hook"),
            whole("state"),
            whole("effect"),
            whole("answer"),
            whole("took"),
            whole("age"),
            wraps("says"),
            optional("id"),
        ],
    );
    for one in all {
        let status = one.response_status.map(|status| status.to_string());
        let took = one.duration_ms.map(|took| format!("{took} ms"));
        let says = one.message.as_deref().or(one.error.as_deref());
        rows.row([
            one.hook.as_str().into(),
            one.state.as_str().into(),
            one.effect.as_str().into(),
            status.unwrap_or_default().into(),
            took.unwrap_or_default().into(),
            age(one.created_at, now).into(),
            says.unwrap_or_default().into(),
            one.id.to_string().into(),
        ]);
    }
    rows.finish("It was not called yet.")
}
