//! Which services hand over: their new containers run before the old ones stop. A pure judgement of what the engine shows.

use std::collections::{BTreeSet, HashMap};

use towline_shared::metrics::Health;

use super::engine::{Observed, Phase};
use super::model::{Service, Succession};
use super::survey::Wanted;

/// A service that serves, by containers that are to go.
#[derive(Clone, Debug)]
pub(super) struct Handover {
    pub service: Service,
    /// Those that serve until the new ones do.
    pub old: Vec<String>,
    /// Those that are to go and serve nobody.
    pub idle: Vec<String>,
}

impl Handover {
    /// How many containers there are while both are.
    pub fn scale(&self) -> String {
        let both = self.old.len() + self.service.replicas;
        format!("{}={both}", self.service.name)
    }
}

/// The services that hand over now: those that serve, and those whose old ones were stopped when the agent died.
pub(super) fn due(
    services: &[Service],
    wanted: &HashMap<String, Wanted>,
    containers: &[Observed],
) -> Vec<Handover> {
    let asked = outdated(services, wanted, containers);
    let asked = asked.filter(|(service, _)| service.succession == Succession::StartFirst);
    let due = asked.filter(|(service, outdated)| {
        let keeps_data = outdated.iter().any(|old| old.unnamed_volumes > 0);
        let has_begun = || {
            let mut new = containers.iter().filter(|one| one.service == service.name);
            new.any(|one| {
                wanted
                    .get(&service.name)
                    .is_some_and(|wanted| wanted.is_met_by(one))
            })
        };
        service.replicas > 0
            && !keeps_data
            && (outdated.iter().any(|old| serves(old)) || has_begun())
    });
    due.map(|(service, outdated)| {
        let ids = |wanted: bool| {
            let these = outdated.iter().filter(|old| serves(old) == wanted);
            these.map(|old| old.id.clone()).collect()
        };
        Handover {
            service: service.clone(),
            old: ids(true),
            idle: ids(false),
        }
    })
    .collect()
}

/// Why services that are to hand over are replaced as usual, for people.
pub(super) fn hindered(
    services: &[Service],
    wanted: &HashMap<String, Wanted>,
    containers: &[Observed],
) -> Vec<String> {
    let told = outdated(services, wanted, containers).filter_map(|(service, outdated)| {
        let why = match &service.succession {
            Succession::Hindered(why) => why.as_str(),
            Succession::StartFirst if outdated.iter().any(|old| old.unnamed_volumes > 0) => {
                "its data is in a volume without a name, which only a container that comes in the place of the old one \
                 takes over; give the volume a name"
            }
            Succession::StartFirst | Succession::StopFirst => return None,
        };
        outdated.iter().any(|old| serves(old)).then(|| {
            format!(
                "{} is stopped before its new containers start, although it asks for start-first: {why}",
                service.name
            )
        })
    });
    told.collect()
}

/// What these services need before they start and what does not wait for one of them itself, whatever the distance.
pub(super) fn foundations(services: &[Service], due: &[Handover]) -> Vec<String> {
    let handed: BTreeSet<&str> = due.iter().map(|one| one.service.name.as_str()).collect();
    let needed = needs(services, &handed);
    let stands_alone = |name: &&str| {
        let below = needs(services, &BTreeSet::from([*name]));
        !handed.contains(name) && below.is_disjoint(&handed)
    };
    let alone = needed.into_iter().filter(stands_alone);
    alone.map(str::to_owned).collect()
}

/// All that these services need, whatever the distance.
pub(super) fn needs_of(services: &[Service], names: &[String]) -> Vec<String> {
    let names = names.iter().map(String::as_str).collect();
    let needs = needs(services, &names).into_iter();
    needs.map(str::to_owned).collect()
}

fn needs<'a>(services: &'a [Service], of: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    let mut next: Vec<&str> = of.iter().copied().collect();
    while let Some(name) = next.pop() {
        let service = services.iter().filter(|service| service.name == name);
        for need in service.flat_map(|service| &service.needs) {
            if found.insert(&need.service) {
                next.push(&need.service);
            }
        }
    }
    found
}

/// The services with containers that are not what is wanted, and those.
fn outdated<'a>(
    services: &'a [Service],
    wanted: &'a HashMap<String, Wanted>,
    containers: &'a [Observed],
) -> impl Iterator<Item = (&'a Service, Vec<&'a Observed>)> {
    services.iter().filter_map(move |service| {
        let wanted = wanted.get(&service.name)?;
        let of_service = containers
            .iter()
            .filter(|container| container.service == service.name);
        let outdated: Vec<_> = of_service
            .filter(|container| !wanted.is_met_by(container) && container.phase != Phase::Gone)
            .collect();
        (!outdated.is_empty()).then_some((service, outdated))
    })
}

fn serves(container: &Observed) -> bool {
    container.phase == Phase::Running && container.health != Health::Unhealthy
}

#[cfg(test)]
mod tests {
    use super::super::model::{Condition, Need};
    use super::super::verdict::tests::{container, service};
    use super::*;

    fn wanted(names: &[&str]) -> HashMap<String, Wanted> {
        let wanted = |name: &&str| {
            let hash = "new".to_owned();
            (
                (*name).to_owned(),
                Wanted {
                    hash,
                    image_id: None,
                },
            )
        };
        names.iter().map(wanted).collect()
    }

    fn first(name: &str, needs: &[&str]) -> Service {
        let need = |service: &&str| Need {
            service: (*service).to_owned(),
            condition: Condition::Started,
        };
        Service {
            succession: Succession::StartFirst,
            needs: needs.iter().map(need).collect(),
            ..service(name, 2)
        }
    }

    fn one(id: &str, change: impl FnOnce(&mut Observed)) -> Observed {
        let mut one = container(change);
        one.id = id.into();
        one
    }

    #[test]
    fn what_serves_and_is_to_go_is_handed_over() {
        let services = [first("web", &[])];
        let due = |containers: &[Observed]| due(&services, &wanted(&["web"]), containers);
        let new = || one("new", |c| c.config_hash = "new".into());
        let idle = || one("idle", |c| c.phase = Phase::Exited);
        let sick = || one("sick", |c| c.health = Health::Unhealthy);
        let both = due(&[one("a", |_| {}), idle(), sick(), new(), one("b", |_| {})]);
        assert_eq!(both.len(), 1);
        assert_eq!(
            (&both[0].old[..], &both[0].idle[..]),
            (
                &["a".into(), "b".into()][..],
                &["idle".into(), "sick".into()][..]
            )
        );
        assert_eq!(both[0].scale(), "web=4");
        assert!(due(&[idle(), sick()]).is_empty(), "nothing serves");
        assert!(due(&[new()]).is_empty() && due(&[]).is_empty());
        let begun = due(&[idle(), new()]);
        assert_eq!((begun[0].old.len(), begun[0].idle.len()), (0, 1));
        assert_eq!(begun[0].scale(), "web=2");
        let stateful = one("a", |c| c.unnamed_volumes = 1);
        assert!(due(std::slice::from_ref(&stateful)).is_empty());
        let told = hindered(&services, &wanted(&["web"]), &[stateful]);
        assert!(told[0].contains("give the volume a name"), "{told:?}");
    }

    #[test]
    fn who_cannot_hand_over_says_why() {
        let hinder = |succession| Service {
            succession,
            ..service("web", 1)
        };
        let told = |succession, containers: &[Observed]| {
            hindered(&[hinder(succession)], &wanted(&["web"]), containers)
        };
        let why = || Succession::Hindered("of its port".into());
        assert!(told(why(), &[container(|_| {})])[0].ends_with("start-first: of its port"));
        assert!(told(why(), &[]).is_empty(), "nothing is stopped");
        assert!(told(Succession::StopFirst, &[container(|_| {})]).is_empty());
    }

    #[test]
    fn what_is_needed_comes_up_before_unless_it_waits_itself() {
        let mut job = service("job", 1);
        job.needs = first("x", &["api"]).needs;
        let services = [
            first("web", &["job", "cache", "api"]),
            first("api", &["db"]),
            job,
            service("cache", 1),
            service("db", 1),
        ];
        let containers = ["web", "api"].map(|name| container(|c| c.service = name.into()));
        let due = due(&services, &wanted(&["web", "api"]), &containers);
        assert_eq!(foundations(&services, &due), ["cache", "db"]);
        let names = needs(&services, &BTreeSet::from(["web"]));
        assert_eq!(
            names.into_iter().collect::<Vec<_>>(),
            ["api", "cache", "db", "job"]
        );
    }
}
