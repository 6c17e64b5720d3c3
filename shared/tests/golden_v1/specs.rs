//! One specification of each kind of work.

use towline_shared::cluster::{ClusterTerms, Conflicts, Immutable};
use towline_shared::ids::{JobId, ProjectId, ReleaseId, TargetId};
use towline_shared::spec::{
    Build, Deploy, DeployRelease, FileMode, GitSource, Interruption, JobSpec, OnFailure,
    ProjectFile, Proposal, PushTo, RegistryLogin, Relayed, Remove, Submodules, Term, Termed,
    TermedWork, VolumeFate, Work,
};

use super::results::pinned;
use super::samples::{Sample, id, spec};

fn job(work: Work, interruption: Interruption) -> JobSpec {
    JobSpec {
        project: id::<ProjectId>(0x30),
        target: id::<TargetId>(0x20),
        work,
        interruption,
        deadline_s: 600,
    }
}

fn deploy() -> Deploy {
    let file = |path: &str, mode| ProjectFile {
        path: path.into(),
        content: b"x: 1\n".into(),
        mode,
    };
    Deploy {
        release: id::<ReleaseId>(0x40),
        compose_project: "shop".into(),
        compose_file: "compose.yaml".into(),
        files: vec![
            file("compose.yaml", FileMode::Regular),
            file("bin/go", FileMode::Executable),
        ],
        settle_ms: 500,
    }
}

fn source(submodules: Submodules) -> GitSource {
    GitSource {
        url: "https://git.example.com/shop.git".into(),
        user: "x".into(),
        commit: "c0ffee".into(),
        folder: "web".into(),
        submodules,
        host_keys: vec!["git.example.com ssh-ed25519 AAAA".into()],
    }
}

fn release(submodules: Submodules, on_failure: OnFailure) -> DeployRelease {
    DeployRelease {
        deploy: deploy(),
        images: vec![pinned()],
        source: Some(source(submodules)),
        on_failure,
    }
}

fn build() -> Build {
    Build {
        deploy: deploy(),
        source: Some(source(Submodules::Leave)),
    }
}

fn proposal() -> Proposal {
    Proposal {
        deploy: deploy(),
        source: Some(source(Submodules::Leave)),
    }
}

fn relayed() -> Relayed {
    Relayed {
        release: release(Submodules::Leave, OnFailure::Leave),
        build: id::<JobId>(0x50),
    }
}

pub(super) fn specs() -> Vec<Sample> {
    [plain(), termed()].into_iter().flatten().collect()
}

/// The same under terms.
fn termed() -> Vec<Sample> {
    let termed = |work| {
        let terms = vec![Term::KeepReleases(7)];
        job(Work::Termed(Termed { work, terms }), Interruption::Resume)
    };
    let pushing = Work::Termed(Termed {
        work: TermedWork::Build(build()),
        terms: vec![
            Term::Registry(RegistryLogin {
                registry: "ghcr.io".into(),
                user: "ada".into(),
                secret: "TOWLINE_REGISTRY_1".into(),
            }),
            Term::Push(PushTo {
                repository: "ghcr.io/acme/shop".into(),
            }),
        ],
    });
    let leave = release(Submodules::Leave, OnFailure::Leave);
    let cluster = |conflicts, immutable| {
        let terms = ClusterTerms {
            namespace: Some("shop".into()),
            environment: Some("live".into()),
            conflicts,
            immutable,
        };
        let work = TermedWork::Preview(proposal());
        let terms = vec![Term::Cluster(terms)];
        job(Work::Termed(Termed { work, terms }), Interruption::Resume)
    };
    vec![
        spec(
            "spec/termed-cluster-refuse",
            cluster(Conflicts::Refuse, Immutable::Refuse),
        ),
        spec(
            "spec/termed-cluster-force",
            cluster(Conflicts::Force, Immutable::Replace),
        ),
        spec("spec/termed-push", job(pushing, Interruption::Resume)),
        spec("spec/termed-release", termed(TermedWork::Release(leave))),
        spec("spec/termed-build", termed(TermedWork::Build(build()))),
        spec(
            "spec/termed-relayed",
            termed(TermedWork::Relayed(relayed())),
        ),
        spec(
            "spec/termed-preview",
            termed(TermedWork::Preview(proposal())),
        ),
    ]
}

fn plain() -> Vec<Sample> {
    let remove = |volumes| {
        Work::Remove(Remove {
            compose_project: "shop".into(),
            volumes,
        })
    };
    vec![
        spec(
            "spec/deploy",
            job(Work::Deploy(deploy()), Interruption::Resume),
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
            job(Work::Build(build()), Interruption::RequeueIfNotStarted),
        ),
        spec(
            "spec/relayed",
            job(Work::Relayed(relayed()), Interruption::Resume),
        ),
        spec(
            "spec/preview",
            job(Work::Preview(proposal()), Interruption::Resume),
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
