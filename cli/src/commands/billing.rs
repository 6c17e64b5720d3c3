//! `towline billing`: who has which plan until when.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use uuid::Uuid;

use super::Session;
use crate::{
    api::{
        billing::{self, Billing as Shown, Subscription},
        members,
        plans::Plan,
        users::Person,
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, facts, optional, whole},
        units::moment,
    },
};

/// Your plan, and for administrators the plans of others
#[derive(Debug, Subcommand)]
pub enum Billing {
    /// Show your plan, until when you have it, and by what
    Show,
    /// Print a link to a page on which you buy a plan
    Buy {
        /// Its name or id
        plan: String,
    },
    /// Print a link to a page on which you change or cancel what you pay for
    Portal,
    /// List all subscriptions, for administrators of the installation
    #[command(visible_alias = "list")]
    Ls {
        /// Of this person only: their e-mail address or id
        #[arg(long)]
        user: Option<String>,
    },
    /// Give somebody a plan until a date, for administrators of the installation
    Grant {
        /// The person's e-mail address or id
        user: String,
        /// The plan's name or id
        plan: String,
        /// Until when, such as 2027-01-31T00:00:00Z
        #[arg(long, value_name = "MOMENT")]
        until: DateTime<Utc>,
    },
    /// End a granted plan before its date, for administrators of the installation
    End {
        /// The subscription's id
        id: Uuid,
    },
}

impl Billing {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (client, out) = (session.client()?, &session.output);
        match self {
            Self::Show => {
                let shown = billing::show(&client).await?;
                out.result(&shown, |surface| own(surface, &shown))?;
            }
            Self::Buy { plan } => {
                let plan = members::find::<Plan>(&client, &plan).await?;
                let link = billing::buy(&client, plan.id).await?;
                out.result(&link, |_| link.url.clone())?;
            }
            Self::Portal => {
                let link = billing::portal(&client).await?;
                out.result(&link, |_| link.url.clone())?;
            }
            Self::Ls { user } => {
                let user = match user {
                    Some(user) => Some(members::find::<Person>(&client, &user).await?.id),
                    None => None,
                };
                let all = billing::list(&client, user).await?;
                out.result(&all, |surface| table(surface, &all))?;
            }
            Self::Grant { user, plan, until } => {
                let user = members::find::<Person>(&client, &user).await?;
                let plan = members::find::<Plan>(&client, &plan).await?;
                let made = billing::grant(&client, user.id, plan.id, until).await?;
                out.result(&made, |surface| table(surface, std::slice::from_ref(&made)))?;
            }
            Self::End { id } => {
                billing::end(&client, id).await?;
                out.note(&format!("The grant {id} has ended."));
            }
        }
        Ok(Exit::Success)
    }
}

fn own(surface: Surface, shown: &Shown) -> String {
    let known = [
        ("plan", shown.plan.name.clone()),
        ("until", moment(shown.until)),
    ];
    let mut text = facts(surface, &known);
    if !shown.subscriptions.is_empty() {
        text.push_str(&table(surface, &shown.subscriptions));
    }
    text
}

fn table(surface: Surface, all: &[Subscription]) -> String {
    let columns = [
        whole("id"),
        optional("person"),
        whole("plan"),
        whole("by"),
        whole("status"),
        whole("until"),
        optional("payment failed"),
    ];
    let mut rows = Rows::new(surface, columns);
    for one in all {
        rows.row([
            one.id.to_string().into(),
            one.email.as_deref().into(),
            one.plan.as_deref().into(),
            one.provider.as_str().into(),
            one.status.as_str().into(),
            moment(one.gives_until.or(one.renew_at)).into(),
            moment(one.payment_failed_at).into(),
        ]);
    }
    rows.finish("There are no subscriptions.")
}
