//! What applying a release would change in the cluster: asked of the cluster itself, and nothing is changed.

use std::collections::BTreeMap;

use serde_json::Value;
use towline_shared::outcome::Step;
use towline_shared::preview::{KeyChange, Preview, PreviewedService, ServiceChange, shortened};
use towline_shared::spec::Proposal;

use super::compare::{bare, key_of};
use super::guard;
use super::job::Job;
use super::survey::{Change, Planned, survey};
use super::wanted;
use crate::executor::stop::Stop;

/// Looks at what a release would change.
pub(super) async fn run(job: &mut Job<'_>, proposal: &Proposal) -> Result<Preview, Stop> {
    let deploy = job
        .files(&proposal.deploy, proposal.source.as_ref())
        .await?;
    job.task.progress.begin(Step::Preparing).await?;
    let api = job.must(|| job.cluster.api()).await?;
    let wanted = wanted::of_release(job, &deploy, &[]).await?;
    let inventory = guard::read(job, &api).await?;
    let planned = survey(job, &api, &inventory, wanted).await?;
    job.open().await?;
    let mask = |text: &str| shortened(&job.masker.mask_text(text));
    let mut services: Vec<PreviewedService> = planned
        .iter()
        .map(|plan| previewed(&job.namespace, plan, &mask))
        .collect();
    let stale = inventory
        .entries
        .iter()
        .filter(|entry| !planned.iter().any(|plan| entry.is_at(&plan.wanted.at)));
    services.extend(stale.map(|entry| PreviewedService {
        service: entry.to_string(),
        change: ServiceChange::Removed,
        keys: Vec::new(),
    }));
    services.sort_by(|one, other| one.service.cmp(&other.service));
    job.note("nothing was changed").await;
    let preview = Preview {
        services,
        ..Preview::default()
    };
    Ok(preview.limited())
}

fn previewed(usual: &str, plan: &Planned, mask: &dyn Fn(&str) -> String) -> PreviewedService {
    let at = &plan.wanted.at;
    let elsewhere = at
        .namespace
        .as_deref()
        .filter(|namespace| *namespace != usual);
    let service = match elsewhere {
        Some(namespace) => format!("{at} in {namespace}"),
        None => at.to_string(),
    };
    let change = match plan.change {
        Change::Create => ServiceChange::Added,
        Change::Update | Change::Replace => ServiceChange::Changed,
        Change::Keep => ServiceChange::Unchanged,
    };
    let keys = match (&plan.live, plan.change) {
        (Some(live), Change::Update | Change::Replace) => {
            let after = plan.would_be.as_ref().unwrap_or(&plan.wanted.object);
            changes(&bare(live), &bare(after), is_secret(plan), mask)
        }
        _ => Vec::new(),
    };
    PreviewedService {
        service,
        change,
        keys,
    }
}

/// Whether no value of an object is shown.
fn is_secret(plan: &Planned) -> bool {
    plan.wanted.at.kind.kind == "Secret"
}

fn changes(
    before: &Value,
    after: &Value,
    is_secret: bool,
    mask: &dyn Fn(&str) -> String,
) -> Vec<KeyChange> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    flatten("", before, &mut old);
    flatten("", after, &mut new);
    let shown = |value: Option<&String>| value.filter(|_| !is_secret).map(|value| mask(value));
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| KeyChange {
            key: shortened(key),
            before: shown(old.get(key)),
            after: shown(new.get(key)),
        })
        .collect()
}

fn flatten(at: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let at = if at.is_empty() {
                    key.clone()
                } else {
                    format!("{at}.{key}")
                };
                flatten(&at, value, into);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let key = key_of(items);
            for (index, item) in items.iter().enumerate() {
                let name = key.map(|key| plainly(&item[key]));
                let name = name.unwrap_or_else(|| index.to_string());
                flatten(&format!("{at}[{name}]"), item, into);
            }
        }
        value => {
            into.insert(at.to_owned(), plainly(value));
        }
    }
}

fn plainly(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_told_by_path_and_secrets_keep_their_values() {
        let before = json!({"spec": {"replicas": 1, "containers": [{"name": "app", "image": "a:1"}], "gone": "x"}});
        let after = json!({"spec": {"replicas": 2, "containers": [{"name": "app", "image": "a:2"}], "list": ["new"]}});
        let told = |is_secret| {
            changes(&before, &after, is_secret, &str::to_owned)
                .into_iter()
                .map(|change| (change.key, change.before, change.after))
                .collect::<Vec<_>>()
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            told(false),
            [
                (
                    "spec.containers[app].image".to_owned(),
                    some("a:1"),
                    some("a:2")
                ),
                ("spec.gone".to_owned(), some("x"), None),
                ("spec.list[0]".to_owned(), None, some("new")),
                ("spec.replicas".to_owned(), some("1"), some("2")),
            ]
        );
        assert!(
            told(true)
                .iter()
                .all(|(_, before, after)| before.is_none() && after.is_none())
        );
    }
}
