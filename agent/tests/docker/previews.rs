//! Looking at what a deploy would change, on real engines.

use towline_shared::outcome::{FailureReason, Outcome};
use towline_shared::preview::{Preview, ResourceChange, ServiceChange};
use towline_shared::spec::{Secret, VolumeFate};

use crate::host::{Host, JobOptions, Kind};

crate::on_both_engines! {
    a_preview_tells_what_the_deploy_then_does,
    a_preview_that_cannot_be_resolved_fails_as_the_deploy_would,
}

const BEFORE: &str = "services:
  web: {image: IMAGE, command: sleep 1000, init: true, environment: {LEVEL: info, TOKEN: \"$TOKEN\"}}
  same: {image: IMAGE, command: sleep 1000, init: true, volumes: ['./page:/page:ro']}
  old: {image: IMAGE, command: sleep 1000, init: true, volumes: ['old:/data']}
volumes: {old: {}}
";

const AFTER: &str = "services:
  web: {image: IMAGE, command: sleep 1000, init: true, environment: {LEVEL: debug, TOKEN: \"$TOKEN\"}}
  same: {image: IMAGE, command: sleep 1000, init: true, volumes: ['./page:/page:ro']}
  new: {image: IMAGE, command: sleep 1000, init: true, volumes: ['data:/data']}
volumes: {data: {}}
";

fn with_token(value: &str) -> JobOptions {
    JobOptions {
        secrets: vec![Secret {
            name: "TOKEN".into(),
            value: value.into(),
        }],
        ..JobOptions::default()
    }
}

async fn preview(host: &Host, files: &[(&str, &str)], token: &str) -> Preview {
    let ended = host.run(host.preview_work(files), with_token(token)).await;
    match ended.outcome {
        Outcome::Previewed(preview) => *preview,
        other => panic!("{other:?}\n{:#?}", ended.lines),
    }
}

fn changes(preview: &Preview) -> Vec<(&str, ServiceChange, Vec<&str>)> {
    let services = preview.services.iter();
    services
        .map(|service| {
            let keys = service.keys.iter().map(|key| key.key.as_str()).collect();
            (service.service.as_str(), service.change, keys)
        })
        .collect()
}

async fn a_preview_tells_what_the_deploy_then_does(kind: Kind) {
    use ServiceChange::{Added, Changed, Removed, Unchanged};
    let host = Host::new(kind);
    let before = [("compose.yaml", BEFORE), ("page/a.txt", "one")];
    let first = preview(&host, &before, "hunter22").await;
    let added = |name| (name, Added, vec!["image"]);
    assert_eq!(changes(&first), [added("old"), added("same"), added("web")]);
    assert_eq!(first.resources.len(), 2, "a network and a volume");
    let made = host.compose(&["ps", "--all", "--quiet"]);
    assert_eq!(made, "", "nothing was made");
    assert!(!host.state.path().join("projects").join(&host.name).exists());

    let deployed = host
        .run(host.deploy_work(&before), with_token("hunter22"))
        .await;
    deployed.succeeded();
    let same = preview(&host, &before, "hunter22").await;
    let unchanged = |name| (name, Unchanged, vec![]);
    assert_eq!(
        changes(&same),
        [unchanged("old"), unchanged("same"), unchanged("web")]
    );
    assert_eq!(same.resources, []);

    // A secret's value alone, whose name and value are not shown.
    let rotated = preview(&host, &before, "hunter33").await;
    let hidden = ("web", Changed, vec!["a value that is not shown"]);
    assert_eq!(changes(&rotated)[2], hidden);

    let after = [("compose.yaml", AFTER), ("page/a.txt", "two")];
    let ids = (host.ids("web"), host.ids("same"), host.ids("old"));
    let found = preview(&host, &after, "hunter22").await;
    let expected = [
        added("new"),
        ("old", Removed, vec![]),
        ("same", Changed, vec!["content of mounted files"]),
        ("web", Changed, vec!["environment.LEVEL"]),
    ];
    assert_eq!(changes(&found), expected);
    let resources: Vec<_> = found.resources.iter().map(|found| found.change).collect();
    assert_eq!(resources, [ResourceChange::Added, ResourceChange::Unused]);
    let level = &found.services[3].keys[0];
    assert_eq!(level.before.as_deref(), Some("info"));
    assert_eq!(level.after.as_deref(), Some("debug"));
    assert!(!format!("{found:?}").contains("hunter"));
    let present = (host.ids("web"), host.ids("same"), host.ids("old"));
    assert_eq!(present, ids, "nothing was changed");

    let deployed = host
        .run(host.deploy_work(&after), with_token("hunter22"))
        .await;
    deployed.succeeded();
    assert_eq!(host.ids("old").len(), 0);
    assert_eq!(host.ids("new").len(), 1);
    assert_ne!((host.ids("web"), host.ids("same")), (ids.0, ids.1));
    host.remove(VolumeFate::Delete).await.succeeded();
}

async fn a_preview_that_cannot_be_resolved_fails_as_the_deploy_would(kind: Kind) {
    let host = Host::new(kind);
    let files = [(
        "compose.yaml",
        "services: {web: {image: IMAGE, command: ['${X:?set X}']}}",
    )];
    let ended = host
        .run(host.preview_work(&files), JobOptions::default())
        .await;
    ended.failed(FailureReason::InvalidProject, "set X");
}
