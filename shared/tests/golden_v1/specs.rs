//! One specification of each kind of work.

use towline_shared::ids::{JobId, ProjectId, ReleaseId, TargetId};
use towline_shared::spec::{
    Build, Deploy, DeployRelease, FileMode, GitSource, Interruption, JobSpec, OnFailure,
    ProjectFile, Proposal, Relayed, Remove, Submodules, Term, Termed, TermedWork, VolumeFate, Work,
};

use super::samples::{Sample, id, pinned, spec};

fn job(work: Work, interruption: Interruption) -> JobSpec {
    JobSpec {
        project: id::<ProjectId>(0x30),
        target: id::<TargetId>(0x20),
        work,
        interruption,
        deadline_s: 600,
    }
}

pub(super) fn specs() -> Vec<Sample> {
    let file = |path: &str, mode| ProjectFile {
        path: path.into(),
        content: b"x: 1\n".into(),
        mode,
    };
    let deploy = Deploy {
        release: id::<ReleaseId>(0x40),
        compose_project: "shop".into(),
        compose_file: "compose.yaml".into(),
        files: vec![
            file("compose.yaml", FileMode::Regular),
            file("bin/go", FileMode::Executable),
        ],
        settle_ms: 500,
    };
    let source = |submodules| GitSource {
        url: "https://git.example.com/shop.git".into(),
        user: "x".into(),
        commit: "c0ffee".into(),
        folder: "web".into(),
        submodules,
        host_keys: vec!["git.example.com ssh-ed25519 AAAA".into()],
    };
    let release = |submodules, on_failure| DeployRelease {
        deploy: deploy.clone(),
        images: vec![pinned()],
        source: Some(source(submodules)),
        on_failure,
    };
    let build = Build {
        deploy: deploy.clone(),
        source: Some(source(Submodules::Leave)),
    };
    let proposal = Proposal {
        deploy: deploy.clone(),
        source: Some(source(Submodules::Leave)),
    };
    let relayed = Relayed {
        release: release(Submodules::Leave, OnFailure::Leave),
        build: id::<JobId>(0x50),
    };
    let remove = |volumes| {
        Work::Remove(Remove {
            compose_project: "shop".into(),
            volumes,
        })
    };
    let termed = |work| {
        let terms = vec![Term::KeepReleases(7)];
        job(Work::Termed(Termed { work, terms }), Interruption::Resume)
    };
    vec![
        spec(
            "spec/termed-release",
            termed(TermedWork::Release(release(
                Submodules::Leave,
                OnFailure::Leave,
            ))),
        ),
        spec(
            "spec/termed-build",
            termed(TermedWork::Build(build.clone())),
        ),
        spec(
            "spec/termed-relayed",
            termed(TermedWork::Relayed(relayed.clone())),
        ),
        spec(
            "spec/termed-preview",
            termed(TermedWork::Preview(proposal.clone())),
        ),
        spec(
            "spec/deploy",
            job(Work::Deploy(deploy.clone()), Interruption::Resume),
        ),
        spec(
            "spec/release-leave",
            job(
                Work::Release(release(Submodules::Leave, OnFailure::Leave)),
                Interruption::Resume,
            ),
        ),
        spec(
            "spec/release-take",
            job(
                Work::Release(release(Submodules::Take, OnFailure::RollBack)),
                Interruption::Fail,
            ),
        ),
        spec(
            "spec/build",
            job(Work::Build(build), Interruption::RequeueIfNotStarted),
        ),
        spec(
            "spec/relayed",
            job(Work::Relayed(relayed), Interruption::Resume),
        ),
        spec(
            "spec/preview",
            job(Work::Preview(proposal), Interruption::Resume),
        ),
        spec(
            "spec/remove-keep",
            job(remove(VolumeFate::Keep), Interruption::Fail),
        ),
        spec(
            "spec/remove-delete",
            job(
                remove(VolumeFate::Delete),
                Interruption::RequeueIfNotStarted,
            ),
        ),
    ]
}
