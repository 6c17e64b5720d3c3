//! Terms: what a project asks for beside its work.
//!
//! What is done is frozen in the kinds of [`Work`]; how it is done grows by one more [`Term`]. An agent that does not
//! know a term cannot read the specification, and says so, rather than do the work without it.

use serde::{Deserialize, Serialize};

use crate::cluster::ClusterTerms;

use super::{Build, DeployRelease, JobSpec, OnFailure, Proposal, Relayed, Work};

/// For how many of a project's last releases its host keeps images, when nothing else is said.
pub const KEPT_RELEASES: u16 = 5;
/// The most releases whose images a host keeps for a project.
pub const MAX_KEPT_RELEASES: u16 = 50;

/// What the names of secrets begin with that are passwords of registries; no project may have a secret of such a name.
pub const REGISTRY_PASSWORD: &str = "TOWLINE_REGISTRY_";
/// The most registries that a job is given logins of.
pub const MAX_REGISTRIES: usize = 20;

/// Work under terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termed {
    /// What there is to do.
    pub work: TermedWork,
    /// Each kind at most once, but for logins.
    pub terms: Vec<Term>,
}

/// What may be done under terms. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TermedWork {
    /// [`Work::Release`], or a [`Work::Deploy`] as one.
    Release(DeployRelease),
    /// [`Work::Build`].
    Build(Build),
    /// [`Work::Relayed`].
    Relayed(Relayed),
    /// [`Work::Preview`].
    Preview(Proposal),
}

/// One thing that a project asks for. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Term {
    /// The host keeps the images of so many of the project's last releases: 1 to [`MAX_KEPT_RELEASES`].
    KeepReleases(u16),
    /// Images come from, and go to, this registry by a login of the team's.
    Registry(RegistryLogin),
    /// The images that the job builds go to a registry.
    Push(PushTo),
    /// What is asked of a cluster.
    Cluster(ClusterTerms),
}

/// Who a job is at a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryLogin {
    /// Its host, with its port where that is not the usual one: as names of images begin; `docker.io` for Docker Hub.
    pub registry: String,
    /// Who logs in.
    pub user: String,
    /// The name of the secret that is the password. It begins with [`REGISTRY_PASSWORD`].
    pub secret: String,
}

/// Where images go that were built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushTo {
    /// What their names begin with (`registry.example.com/acme/shop`); the service's name follows.
    pub repository: String,
}

/// All that a project asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms(Vec<Term>);

impl Terms {
    /// These; none of them says what goes without saying.
    pub fn new(terms: Vec<Term>) -> Self {
        let defaults = [
            Term::KeepReleases(KEPT_RELEASES),
            Term::Cluster(ClusterTerms::default()),
        ];
        Self(
            terms
                .into_iter()
                .filter(|term| !defaults.contains(term))
                .collect(),
        )
    }

    /// For how many of the project's last releases the host keeps images.
    pub fn keep_releases(&self) -> u16 {
        let mut kept = self.0.iter().filter_map(|term| match term {
            Term::KeepReleases(kept) => Some(*kept),
            _ => None,
        });
        kept.next_back()
            .unwrap_or(KEPT_RELEASES)
            .clamp(1, MAX_KEPT_RELEASES)
    }

    /// Who the job is at registries.
    pub fn registries(&self) -> impl Iterator<Item = &RegistryLogin> {
        self.0.iter().filter_map(|term| match term {
            Term::Registry(login) => Some(login),
            _ => None,
        })
    }

    /// What is asked of a cluster; what goes without saying, where nothing is.
    pub fn cluster(&self) -> ClusterTerms {
        let mut asked = self.0.iter().filter_map(|term| match term {
            Term::Cluster(terms) => Some(terms),
            _ => None,
        });
        asked.next_back().cloned().unwrap_or_default()
    }

    /// Where images go that the job builds.
    pub fn push(&self) -> Option<&PushTo> {
        self.0.iter().find_map(|term| match term {
            Term::Push(to) => Some(to),
            _ => None,
        })
    }
}

impl Work {
    /// This work under terms. Where there are none it is asked for in words that older agents know, too; and taking a
    /// project away knows no terms.
    #[must_use]
    pub fn under(self, terms: Terms) -> Self {
        if terms.0.is_empty() {
            return self;
        }
        let work = match self {
            Self::Deploy(deploy) => TermedWork::Release(DeployRelease {
                deploy,
                images: Vec::new(),
                source: None,
                on_failure: OnFailure::Leave,
            }),
            Self::Release(release) => TermedWork::Release(release),
            Self::Build(build) => TermedWork::Build(build),
            Self::Relayed(relayed) => TermedWork::Relayed(relayed),
            Self::Preview(proposal) => TermedWork::Preview(proposal),
            remove @ Self::Remove(_) => return remove,
            Self::Termed(termed) => termed.work,
        };
        let terms = terms.0;
        Self::Termed(Termed { work, terms })
    }
}

impl JobSpec {
    /// The specification with its work alone, and the terms of that.
    #[must_use]
    pub fn split(self) -> (Self, Terms) {
        let (work, terms) = match self.work {
            Work::Termed(Termed { work, terms }) => (work.into(), Terms(terms)),
            work => (work, Terms::default()),
        };
        (Self { work, ..self }, terms)
    }
}

impl From<TermedWork> for Work {
    fn from(work: TermedWork) -> Self {
        match work {
            TermedWork::Release(release) => Self::Release(release),
            TermedWork::Build(build) => Self::Build(build),
            TermedWork::Relayed(relayed) => Self::Relayed(relayed),
            TermedWork::Preview(proposal) => Self::Preview(proposal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ProjectId, ReleaseId, TargetId};
    use crate::spec::{Deploy, Interruption, Remove, VolumeFate};

    fn spec(work: Work) -> JobSpec {
        JobSpec {
            project: ProjectId::new(),
            target: TargetId::new(),
            work,
            interruption: Interruption::Resume,
            deadline_s: 60,
        }
    }

    fn deploy() -> Deploy {
        Deploy {
            release: ReleaseId::new(),
            compose_project: "shop".into(),
            compose_file: "compose.yaml".into(),
            files: Vec::new(),
            settle_ms: 0,
        }
    }

    #[test]
    fn what_goes_without_saying_is_said_in_the_old_words() {
        let work = Work::Deploy(deploy());
        let terms = Terms::new(vec![Term::KeepReleases(KEPT_RELEASES)]);
        assert_eq!(work.clone().under(terms), work);
        let remove = Work::Remove(Remove {
            compose_project: "shop".into(),
            volumes: VolumeFate::Keep,
        });
        let terms = Terms::new(vec![Term::KeepReleases(1)]);
        assert_eq!(remove.clone().under(terms), remove);
    }

    #[test]
    fn work_and_terms_come_apart_as_they_were_put_together() {
        let source = None;
        let table = [
            Work::Build(Build {
                deploy: deploy(),
                source,
            }),
            Work::Preview(Proposal {
                deploy: deploy(),
                source: None,
            }),
        ];
        for work in table {
            let terms = Terms::new(vec![Term::KeepReleases(7)]);
            let termed = spec(work.clone().under(terms.clone()));
            assert!(matches!(termed.work, Work::Termed(_)));
            let (split, found) = termed.split();
            assert_eq!((split.work, &found), (work, &terms));
            assert_eq!(found.keep_releases(), 7);
        }
        let whole = Work::Deploy(deploy()).under(Terms::new(vec![Term::KeepReleases(7)]));
        assert!(matches!(spec(whole).split().0.work, Work::Release(_)));
    }

    #[test]
    fn logins_and_where_images_go_are_found_among_the_others() {
        let login = |registry: &str| RegistryLogin {
            registry: registry.into(),
            user: "ada".into(),
            secret: format!("{REGISTRY_PASSWORD}1"),
        };
        let to = PushTo {
            repository: "ghcr.io/acme/shop".into(),
        };
        let terms = Terms::new(vec![
            Term::Registry(login("ghcr.io")),
            Term::KeepReleases(7),
            Term::Push(to.clone()),
            Term::Registry(login("quay.io")),
        ]);
        assert_eq!(terms.keep_releases(), 7);
        assert_eq!(terms.push(), Some(&to));
        let all: Vec<_> = terms.registries().cloned().collect();
        assert_eq!(all, [login("ghcr.io"), login("quay.io")]);
        assert_eq!(Terms::default().push(), None);
    }

    #[test]
    fn a_host_keeps_at_least_what_runs_and_no_more_than_the_limit() {
        let kept = |kept| Terms::new(vec![Term::KeepReleases(kept)]).keep_releases();
        assert_eq!([0, 1, 5, 50, 51].map(kept), [1, 1, 5, 50, 50]);
        assert_eq!(Terms::default().keep_releases(), KEPT_RELEASES);
    }
}
