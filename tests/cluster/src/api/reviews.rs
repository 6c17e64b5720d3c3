//! Reviews of access, which are asked by creating them and are stored nowhere.

use std::sync::Arc;

use http::Response;
use serde_json::{Value, json};

use crate::{
    access::{Attributes, User, allows},
    api::{
        answer::{Body, json as as_json},
        document,
        request::{Asked, ResourcePlace},
    },
    document::{items, text},
    refusal::{Answer, Refusal},
    state::{Shared, State},
};

/// The group whose resources these are.
pub(crate) const GROUP: &str = "authorization.k8s.io";

/// Answers a review; nothing if it is none.
pub(super) fn respond(
    shared: &Arc<Shared>,
    place: &ResourcePlace,
    asked: &Asked,
    body: &[u8],
) -> Answer<Option<Response<Body>>> {
    if place.group != GROUP {
        return Ok(None);
    }
    let mut review = document(body)?.ok_or_else(|| Refusal::bad_request("no review was given"))?;
    let user = match place.plural.as_str() {
        "subjectaccessreviews" => User {
            name: text(&review, "spec/user").to_owned(),
            groups: items(&review, "spec/groups")
                .iter()
                .filter_map(|group| Some(group.as_str()?.to_owned()))
                .collect(),
        },
        _ => asked.user.clone(),
    };
    let allowed = shared.with(|state| is_allowed(state, &user, &review));
    review["metadata"] = json!({"creationTimestamp": null});
    review["status"] = json!({"allowed": allowed});
    Ok(Some(as_json(201, &review)))
}

fn is_allowed(state: &State, user: &User, review: &Value) -> bool {
    let field = |name: &str| text(review, &format!("spec/resourceAttributes/{name}")).to_owned();
    let attributes = if review["spec"]["resourceAttributes"].is_object() {
        Attributes {
            verb: field("verb"),
            group: field("group"),
            resource: field("resource"),
            subresource: field("subresource"),
            namespace: field("namespace"),
            name: field("name"),
            path: String::new(),
        }
    } else {
        Attributes {
            verb: text(review, "spec/nonResourceAttributes/verb").to_owned(),
            path: text(review, "spec/nonResourceAttributes/path").to_owned(),
            ..Attributes::default()
        }
    };
    allows(state, user, &attributes)
}
