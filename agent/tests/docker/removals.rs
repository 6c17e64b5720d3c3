//! Taking projects away.

use towline_shared::spec::VolumeFate;

use crate::host::{Host, Kind};

crate::on_both_engines! {
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
