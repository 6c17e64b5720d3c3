//! Webhooks that judge what is written.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    access::User,
    api::{
        prepare::{Outcome, Plan, Task, Trust},
        request::{Asked, Effect, ResourcePlace},
    },
    document::{at, items, number, text},
    kinds::Kind,
    refusal::{Answer, Refusal},
    selectors::Selection,
    state::State,
};

/// One webhook that is to be asked.
#[derive(Debug)]
pub(crate) struct Question {
    webhook: Value,
    review: Value,
}

/// What is to be judged.
struct Subject<'s> {
    kind: &'s Kind,
    namespace: &'s str,
    name: &'s str,
    subresource: &'s str,
    operation: &'static str,
    object: Value,
    before: Value,
    effect: Effect,
    user: &'s User,
}

/// The webhooks that a write has to pass.
pub(crate) fn questions(state: &State, task: &Task, plan: &Plan) -> Vec<Question> {
    let Trust::Client(user) = &task.trust else {
        return Vec::new();
    };
    if plan.outcome == Outcome::Unchanged {
        return Vec::new();
    }
    let before = plan.live.as_ref().map(|live| (**live).clone());
    all(
        state,
        &Subject {
            kind: &task.kind,
            namespace: &task.namespace,
            name: text(&plan.object, "metadata/name"),
            subresource: &task.subresource,
            operation: match plan.outcome {
                Outcome::Created => "CREATE",
                _ => "UPDATE",
            },
            object: plan.object.clone(),
            before: before.unwrap_or_default(),
            effect: task.effect,
            user,
        },
    )
}

/// The webhooks that a deletion has to pass.
pub(crate) fn questions_of_deletion(
    state: &State,
    kind: &Arc<Kind>,
    place: &ResourcePlace,
    asked: &Asked,
) -> Vec<Question> {
    let live = state
        .store
        .get(&kind.resource(), &place.namespace, &place.name);
    let Some(live) = live else {
        return Vec::new();
    };
    all(
        state,
        &Subject {
            kind,
            namespace: &place.namespace,
            name: &place.name,
            subresource: "",
            operation: "DELETE",
            object: Value::Null,
            before: (*live).clone(),
            effect: asked.effect,
            user: &asked.user,
        },
    )
}

fn all(state: &State, subject: &Subject) -> Vec<Question> {
    if subject.kind.group == "admissionregistration.k8s.io" {
        return Vec::new();
    }
    let configurations = state.store.list(
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "",
    );
    let webhooks = configurations.flat_map(|configuration| items(configuration, "webhooks"));
    let meant = webhooks.filter(|webhook| {
        items(webhook, "rules")
            .iter()
            .any(|rule| covers(rule, subject))
            && selects_namespace(state, webhook, subject)
            && selects_object(webhook, subject)
    });
    meant
        .map(|webhook| Question {
            webhook: webhook.clone(),
            review: review(subject),
        })
        .collect()
}

fn covers(rule: &Value, subject: &Subject) -> bool {
    let lists = |field: &str, wanted: &str| {
        let words = items(rule, field).iter().filter_map(Value::as_str);
        words.into_iter().any(|word| word == "*" || word == wanted)
    };
    let resource = match subject.subresource {
        "" => subject.kind.plural.clone(),
        subresource => format!("{}/{subresource}", subject.kind.plural),
    };
    let covers_all = items(rule, "resources").iter().any(|word| word == "*/*")
        || (lists("resources", &resource)
            && (subject.subresource.is_empty() || !lists("resources", "*")));
    let scope = match text(rule, "scope") {
        "Cluster" => !subject.kind.is_namespaced(),
        "Namespaced" => subject.kind.is_namespaced(),
        _ => true,
    };
    scope
        && covers_all
        && lists("apiGroups", &subject.kind.group)
        && lists("apiVersions", &subject.kind.version)
        && lists("operations", subject.operation)
}

fn selects_namespace(state: &State, webhook: &Value, subject: &Subject) -> bool {
    let Some(selection) = Selection::of(&webhook["namespaceSelector"]) else {
        return true;
    };
    let name = match subject.kind.kind.as_str() {
        "Namespace" => subject.name,
        _ if !subject.kind.is_namespaced() => return true,
        _ => subject.namespace,
    };
    let namespace = state.store.get("namespaces", "", name);
    namespace.is_some_and(|namespace| selection.meets_labels(at(&namespace, "metadata/labels")))
}

fn selects_object(webhook: &Value, subject: &Subject) -> bool {
    let Some(selection) = Selection::of(&webhook["objectSelector"]) else {
        return true;
    };
    selection.meets(&subject.object) || selection.meets(&subject.before)
}

fn review(subject: &Subject) -> Value {
    let kind = json!({"group": subject.kind.group, "version": subject.kind.version, "kind": subject.kind.kind});
    let resource = json!({"group": subject.kind.group, "version": subject.kind.version, "resource": subject.kind.plural});
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": crate::api::prepare::random_suffix(), "kind": kind, "requestKind": kind, "resource": resource, "requestResource": resource,
            "name": subject.name, "namespace": subject.namespace, "operation": subject.operation, "subResource": subject.subresource,
            "userInfo": {"username": subject.user.name, "groups": subject.user.groups},
            "object": subject.object, "oldObject": subject.before, "dryRun": subject.effect.is_dry(), "options": null,
        },
    })
}

impl Question {
    /// Asks, and refuses what the webhook denies; without its answer its failure policy decides.
    pub(crate) async fn ask(&self) -> Answer<()> {
        let name = text(&self.webhook, "name");
        match self.answer().await {
            Ok(answer) if answer["response"]["allowed"] == true => Ok(()),
            Ok(answer) => Err(denied(name, &answer["response"]["status"])),
            Err(_) if text(&self.webhook, "failurePolicy") == "Ignore" => Ok(()),
            Err(why) => Err(Refusal::internal(&format!(
                "failed calling webhook {name:?}: failed to call webhook: {why}"
            ))),
        }
    }

    fn url(&self, seconds: u64) -> String {
        let own = text(&self.webhook, "clientConfig/url");
        if !own.is_empty() {
            return format!("{own}?timeout={seconds}s");
        }
        let field = |name: &str| text(&self.webhook, &format!("clientConfig/service/{name}"));
        let port = number(&self.webhook, "clientConfig/service/port").unwrap_or(443);
        let path = field("path");
        format!(
            "https://{}.{}.svc:{port}{path}?timeout={seconds}s",
            field("name"),
            field("namespace")
        )
    }

    async fn answer(&self) -> Result<Value, String> {
        let seconds = number(&self.webhook, "timeoutSeconds").unwrap_or(10);
        let seconds = u64::try_from(seconds).unwrap_or(10);
        let url = self.url(seconds);
        let is_near = ["http://127.0.0.1", "http://localhost"]
            .iter()
            .any(|start| url.starts_with(start));
        if !is_near {
            let host = url.split('/').nth(2).unwrap_or_default();
            let name = host.split(':').next().unwrap_or_default();
            return Err(format!(
                "Post {url:?}: dial tcp: lookup {name} on 10.96.0.10:53: no such host"
            ));
        }
        let told = |error: &dyn std::fmt::Display| format!("Post {url:?}: {error}");
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(seconds))
            .build()
            .map_err(|error| told(&error))?;
        let response = client.post(&url).json(&self.review).send().await;
        let response = response.map_err(|error| {
            if error.is_timeout() {
                return told(&"context deadline exceeded");
            }
            let host = url.split('/').nth(2).unwrap_or_default();
            told(&format!("dial tcp {host}: connect: connection refused"))
        })?;
        if !response.status().is_success() {
            return Err(format!(
                "an error on the server ({}) has prevented the request from succeeding",
                response.status()
            ));
        }
        response.json().await.map_err(|error| told(&error))
    }
}

fn denied(name: &str, status: &Value) -> Refusal {
    let message = match text(status, "message") {
        "" => format!("admission webhook {name:?} denied the request without explanation"),
        why => format!("admission webhook {name:?} denied the request: {why}"),
    };
    let code = number(status, "code").and_then(|code| u16::try_from(code).ok());
    let refusal = Refusal::plain(code.unwrap_or(403), "Forbidden", message);
    let reason = match text(status, "reason") {
        "" | "Forbidden" => "Forbidden",
        "Invalid" => "Invalid",
        _ => "",
    };
    Refusal {
        reason,
        details: json!({}),
        ..refusal
    }
}
