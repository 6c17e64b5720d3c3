//! Taking projects away.

use std::os::unix::fs::PermissionsExt as _;

use towline_agent::executor::docker::{DockerConfig, DockerExecutor};
use towline_shared::outcome::FailureReason;
use towline_shared::spec::VolumeFate;

use crate::host::{Host, JobOptions, Kind};

crate::on_both_engines! {
    a_removal_that_fails_again_and_again_does_not_wait_for_an_engine_that_is_there,
    a_removed_project_is_gone_and_its_volumes_stay_unless_asked,
}

const TEXT: &str = "services:
  web:
    image: IMAGE
    command: sh -c 'echo kept >> /data/x; echo kept >> /own/x; wc -l < /data/x; exec sleep 1000'
    init: true
    volumes: ['data:/data', './own:/own']
volumes: {data: {}}
";

async fn a_removed_project_is_gone_and_its_volumes_stay_unless_asked(kind: Kind) {
    let host = Host::new(kind);
    let files = [("compose.yaml", TEXT), ("note.txt", "x")];
    let folder = host
        .state
        .path()
        .join("projects")
        .join(&host.name)
        .join("files");
    host.deploy(&files).await.succeeded();
    host.remove(VolumeFate::Keep).await.succeeded();
    assert!(host.compose(&["ps", "--all", "--quiet"]).trim().is_empty());
    assert!(
        !folder.join("note.txt").exists() && folder.join("own/x").exists(),
        "what the container wrote stays"
    );
    let again = host.deploy(&files).await;
    again.succeeded();
    assert_eq!(again.of("web-1"), ["2"], "the volume was kept");
    host.remove(VolumeFate::Delete).await.succeeded();
    assert!(!folder.exists());
    let twice = host.remove(VolumeFate::Delete).await;
    twice.succeeded();
    assert!(
        twice
            .of("towline")
            .concat()
            .contains("nothing of the project")
    );
    let fresh = host.deploy(&files).await;
    fresh.succeeded();
    assert_eq!(fresh.of("web-1"), ["1"], "the volume was deleted");
}

/// Compose's words may be those of an engine that went away although it answers.
async fn a_removal_that_fails_again_and_again_does_not_wait_for_an_engine_that_is_there(
    kind: Kind,
) {
    let host = Host::new(kind);
    let text = "services: {web: {image: IMAGE, command: sleep 1000, init: true}}\n";
    host.deploy(&[("compose.yaml", text)]).await.succeeded();
    let broken = tempfile::tempdir().unwrap();
    let plugins = broken.path().join("cli-plugins");
    std::fs::create_dir(&plugins).unwrap();
    let plugin = plugins.join("docker-compose");
    std::fs::write(&plugin, "#!/bin/sh\necho unexpected EOF >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
    let executor = DockerExecutor::new(DockerConfig {
        docker_config: broken.path().to_owned(),
        ..host.config.clone()
    });
    let work = host.remove_work(VolumeFate::Keep);
    let running = host.begin(&executor, work, JobOptions::default());
    let ended = running.ended().await;
    ended.failed(FailureReason::ComposeFailed, "unexpected EOF");
    assert_eq!(ended.of("compose").len(), 3, "{:#?}", ended.texts());
}
