//! What a person is told of, and where.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use towline_shared::ids::NotificationChannelId;
use utoipa::ToSchema;
use uuid::Uuid;

use super::input::Body;
use super::page::whole;
use super::problem::Problem;
use super::state::Api;
use crate::domain::notification::Tell;
use crate::store::{ChannelRule, Choice, EventRule, Listed, NewRule, Person};

/// The most rules of one request; there are fewer events.
const MAX_RULES: usize = 64;
/// The most channels of one rule; a person has fewer.
const MAX_CHANNELS: usize = 64;

/// Choices to make; events that are not named stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChooseRules {
    rules: Vec<ChooseRule>,
}

/// Where you are told of an event. With neither `in_product` nor `channels` the default holds again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChooseRule {
    /// What happens (`deployment.failed`).
    event: String,
    /// In the product: `none`, `own` (of deployments that you asked for) or `all`.
    in_product: Option<Tell>,
    /// Over channels; those that are not named tell nothing of it.
    channels: Option<Vec<ChooseChannel>>,
}

/// What a channel tells of an event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChooseChannel {
    /// The channel.
    channel_id: Uuid,
    /// `none`, `own` or `all`.
    tell: Tell,
}

/// What you are told of, and where: each event there is.
#[utoipa::path(get, path = "/notification-rules", tag = "notifications", operation_id = "list_notification_rules",
    responses((status = OK, body = Listed<EventRule>)))]
pub async fn list(
    State(api): State<Api>,
    person: Person,
) -> Result<Json<Listed<EventRule>>, Problem> {
    Ok(Json(whole(api.store.notification_rules(&person).await?)))
}

/// Chooses for some events what you are told of, and where. All of them, or none when one cannot be taken.
#[utoipa::path(put, path = "/notification-rules", tag = "notifications", operation_id = "choose_notification_rules",
    request_body = ChooseRules, responses((status = OK, body = Listed<EventRule>)))]
pub async fn choose(
    State(api): State<Api>,
    person: Person,
    Body(request): Body<ChooseRules>,
) -> Result<Json<Listed<EventRule>>, Problem> {
    if request.rules.len() > MAX_RULES {
        let detail = format!("a request has at most {MAX_RULES} rules");
        return Err(Problem::invalid("rules", detail).remedy("give one rule for each event"));
    }
    let rules = request.rules.into_iter().enumerate();
    let rules = rules.map(|(place, rule)| read(place, rule));
    let rules = rules.collect::<Result<Vec<_>, _>>()?;
    let chosen = api.store.choose_notification_rules(&person, rules).await?;
    Ok(Json(whole(chosen)))
}

fn read(place: usize, rule: ChooseRule) -> Result<NewRule, Problem> {
    let field = |name: &str| format!("rules[{place}].{name}");
    let event = rule.event.parse();
    let event = event.map_err(|error: crate::domain::named::UnknownName| {
        Problem::invalid(field("event"), error.to_string())
    })?;
    let choice = match (rule.in_product, rule.channels) {
        (None, None) => None,
        (None, Some(_)) => {
            return Err(Problem::invalid(field("in_product"), "it is missing")
                .remedy("give none, own or all beside the channels"));
        }
        (Some(_), Some(channels)) if channels.len() > MAX_CHANNELS => {
            let detail = format!("a rule has at most {MAX_CHANNELS} channels");
            return Err(Problem::invalid(field("channels"), detail)
                .remedy("give those that tell something"));
        }
        (Some(in_product), channels) => Some(Choice {
            in_product,
            channels: channels
                .unwrap_or_default()
                .into_iter()
                .map(|channel| ChannelRule {
                    channel_id: NotificationChannelId::from(channel.channel_id),
                    tell: channel.tell,
                })
                .collect(),
        }),
    };
    Ok(NewRule { event, choice })
}
