//! What holds of all that is generated.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use towline_shared::yaml;

use super::{Ci, Plan, Target, Variable, generate};
use crate::detect::{App, Language, Packing, Serving, repositories};

/// Every repository of detection's table, for every target and every CI.
pub(super) fn matrix() -> Vec<(String, Plan)> {
    let mut plans = Vec::new();
    for (name, detected) in repositories() {
        if detected.packing == Packing::Unknown {
            continue;
        }
        for target in Target::ALL {
            for ci in Ci::ALL {
                let plan = Plan {
                    target,
                    ci: Some(ci),
                    environment: variables(),
                    host: Some("shop.example.com".into()),
                    ..Plan::new("shop", &detected)
                };
                plans.push((format!("{name} {target:?} {ci:?}"), plan));
            }
        }
    }
    plans
}

fn variables() -> Vec<Variable> {
    vec![
        Variable {
            name: "GREETING".into(),
            value: Some("it's \"5 $\" # ok: yes".into()),
        },
        Variable {
            name: "DATABASE_URL".into(),
            value: None,
        },
    ]
}

pub(super) fn files_of(plan: &Plan) -> BTreeMap<String, String> {
    let files = generate(plan).unwrap_or_else(|error| panic!("{error} in {plan:?}"));
    let text = |content| String::from_utf8(content).unwrap();
    files
        .into_iter()
        .map(|file| (file.path, text(file.content)))
        .collect()
}

pub(super) fn plan(app: App) -> Plan {
    Plan {
        name: "shop".into(),
        packing: Packing::Generated,
        app,
        target: Target::Docker,
        ci: None,
        branch: "main".into(),
        image: "registry.example.com/team/shop".into(),
        environment: Vec::new(),
        host: None,
    }
}

pub(super) fn node() -> App {
    App {
        port: Some(3000),
        start: Some("node server.js".into()),
        test: Some("npm run test".into()),
        build: Some("npm run build".into()),
        manifests: vec!["package.json".into(), "package-lock.json".into()],
        ..App::of(Language::Node)
    }
}

#[test]
fn every_language_has_all_files() {
    let matrix = matrix();
    assert!(matrix.len() >= 8 * 40, "{}", matrix.len());
    for (name, plan) in matrix {
        let files = files_of(&plan);
        let own = |path: &str| match &plan.packing {
            Packing::Generated => false,
            Packing::Dockerfile { .. } => path != "docker-compose.yml",
            _ => true,
        };
        for path in ["Dockerfile", ".dockerignore", "docker-compose.yml"] {
            let wanted =
                !own(path) && (path != "docker-compose.yml" || plan.target == Target::Docker);
            assert_eq!(files.contains_key(path), wanted, "{name}: {path}");
        }
        assert_eq!(
            files.contains_key("deployment.yaml"),
            plan.target == Target::Kubernetes,
            "{name}"
        );
        for (path, text) in &files {
            let tidy = !text.contains("\n\n\n")
                && text.ends_with('\n')
                && !text.ends_with("\n\n")
                && !text.starts_with('\n');
            assert!(
                tidy && text.lines().all(|line| line.trim_end() == line),
                "{name}: {path}:\n{text}"
            );
            assert!(text.contains("Made by Towline"), "{name}: {path}");
        }
    }
}

/// What the issue asks of every Dockerfile and every compose file.
#[test]
fn images_and_services_are_as_careful_as_promised() {
    for (name, plan) in matrix() {
        let files = files_of(&plan);
        let web = plan.app.port.is_some() && plan.app.serving != Serving::Worker;
        if let Some(text) = files.get("Dockerfile") {
            let lines: Vec<&str> = text.lines().collect();
            let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
            assert!(
                has("USER ") && !has("USER 0") && !has("USER root"),
                "{name}\n{text}"
            );
            assert_eq!(has("HEALTHCHECK "), web, "{name}\n{text}");
            let tags = lines
                .iter()
                .filter_map(|line| line.strip_prefix("ARG ")?.split_once('='));
            let bases: Vec<(&str, &str)> = tags.collect();
            assert!(
                !bases.is_empty()
                    && bases
                        .iter()
                        .all(|(_, image)| image.contains(':') && !image.ends_with(":latest")),
                "{name}"
            );
            let stages = lines.iter().filter(|line| line.starts_with("FROM "));
            assert!(
                stages.clone().all(|line| line.starts_with("FROM ${")),
                "{name}"
            );
            let site = plan.app.language == Some(Language::Site)
                || text.contains("apache") && plan.app.package_manager.is_none();
            assert!(stages.count() >= if site { 1 } else { 2 }, "{name}\n{text}");
            assert!(
                site || text.contains("--mount=type=cache,id="),
                "{name}\n{text}"
            );
        }
        if let Some(text) = files.get("docker-compose.yml") {
            let tree = yaml::Tree::read(text).unwrap();
            let root = tree.roots().next().unwrap();
            assert!(root.get("version").is_none());
            let service = root.get("services").unwrap().get("app").unwrap();
            assert_eq!(
                service.get("restart").unwrap().text(),
                Some("unless-stopped")
            );
            let limits = service
                .get("deploy")
                .unwrap()
                .get("resources")
                .unwrap()
                .get("limits")
                .unwrap();
            assert!(limits.get("memory").is_some() && limits.get("cpus").is_some());
            let asked = web && plan.packing == Packing::Generated;
            assert_eq!(service.get("healthcheck").is_some(), asked, "{name}");
            assert_eq!(
                root.get("volumes").is_some(),
                !plan.app.volumes.is_empty(),
                "{name}"
            );
        }
    }
}

/// The restricted profile of the Pod Security Standards, read in the objects themselves.
#[test]
fn pods_fit_the_restricted_profile() {
    for (name, plan) in matrix()
        .into_iter()
        .filter(|(_, plan)| plan.target == Target::Kubernetes)
    {
        let text = &files_of(&plan)["deployment.yaml"];
        let tree = yaml::Tree::read(text).unwrap();
        let kinds: Vec<&str> = tree
            .roots()
            .map(|object| object.get("kind").unwrap().text().unwrap())
            .collect();
        let web = plan.app.port.is_some() && plan.app.serving != Serving::Worker;
        let mut expected = vec!["Deployment"];
        expected.extend(plan.app.volumes.iter().map(|_| "PersistentVolumeClaim"));
        expected.extend(if web {
            vec!["Service", "Ingress"]
        } else {
            Vec::new()
        });
        expected.extend(
            plan.app
                .volumes
                .is_empty()
                .then_some("HorizontalPodAutoscaler"),
        );
        expected.push("PodDisruptionBudget");
        assert_eq!(kinds, expected, "{name}");
        let at = |view: yaml::View<'_>, path: &str| -> String {
            let end = path.split('.').try_fold(view, yaml::View::get);
            end.and_then(yaml::View::text)
                .unwrap_or("nothing")
                .to_owned()
        };
        let deployment = tree.roots().next().unwrap();
        let pod = deployment
            .get("spec")
            .unwrap()
            .get("template")
            .unwrap()
            .get("spec")
            .unwrap();
        assert_eq!(at(pod, "securityContext.runAsNonRoot"), "true", "{name}");
        assert_ne!(at(pod, "securityContext.runAsUser"), "0", "{name}");
        assert_eq!(
            at(pod, "securityContext.seccompProfile.type"),
            "RuntimeDefault",
            "{name}"
        );
        for container in pod.get("containers").unwrap().items() {
            let context = container.get("securityContext").unwrap();
            assert_eq!(at(context, "allowPrivilegeEscalation"), "false", "{name}");
            let dropped: Vec<&str> = context
                .get("capabilities")
                .unwrap()
                .get("drop")
                .unwrap()
                .items()
                .filter_map(yaml::View::text)
                .collect();
            assert_eq!(dropped, ["ALL"], "{name}");
            assert!(
                context.get("capabilities").unwrap().get("add").is_none(),
                "{name}"
            );
            assert_ne!(
                at(container, "resources.limits.memory"),
                "nothing",
                "{name}"
            );
            assert_ne!(at(container, "resources.requests.cpu"), "nothing", "{name}");
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                assert_eq!(container.get(probe).is_some(), web, "{name}: {probe}");
            }
        }
        let volumes = pod.get("volumes").unwrap();
        let allowed = |volume: yaml::View<'_>| {
            volume.get("emptyDir").is_some() || volume.get("persistentVolumeClaim").is_some()
        };
        assert!(volumes.items().all(allowed), "{name}");
        for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(pod.get(forbidden).is_none(), "{name}");
        }
    }
}

#[test]
fn what_cannot_stand_in_files_is_refused_by_its_field() {
    type Change = fn(&mut Plan);
    let cases: [(&str, Change); 36] = [
        ("name", |plan| plan.name = "Shop".into()),
        ("packing", |plan| plan.packing = Packing::Unknown),
        ("packing", |plan| {
            plan.packing = Packing::Dockerfile {
                file: "../Dockerfile".into(),
            };
        }),
        ("start", |plan| plan.app.start = None),
        ("start", |plan| plan.app.language = None),
        ("start", |plan| plan.app.start = Some(String::new())),
        ("start", |plan| plan.app.start = Some("a\nUSER root".into())),
        ("build", |plan| plan.app.build = Some("cat <<EOF".into())),
        ("build", |plan| plan.app.build = Some("make \\".into())),
        ("build", |plan| {
            plan.app.build = Some("--mount=type=secret,id=x a".into());
        }),
        ("build", |plan| plan.app.build = Some("[\"a\"]".into())),
        ("build", |plan| plan.app.build = Some("x".repeat(1001))),
        ("test", |plan| plan.app.test = Some("a\u{2028}b".into())),
        ("version", |plan| {
            plan.app.version = Some("22-alpine@sha256:0".into());
        }),
        ("version", |plan| plan.app.version = Some("22.".into())),
        ("output", |plan| plan.app.output = Some("/etc".into())),
        ("output", |plan| plan.app.output = Some("a b".into())),
        ("output", |plan| plan.app.output = Some("../x".into())),
        ("output", |plan| {
            (plan.app.serving, plan.app.output) = (Serving::Static, None);
        }),
        ("port", |plan| {
            (plan.app.serving, plan.app.output, plan.app.port) =
                (Serving::Static, Some(".".into()), None);
        }),
        ("port", |plan| plan.app.port = Some(80)),
        ("health", |plan| plan.app.health = Some("up".into())),
        ("health", |plan| {
            plan.app.health = Some("/up'); process.exit(0); ('".into());
        }),
        ("manifests", |plan| {
            plan.app.manifests = vec!["--from=x".into()];
        }),
        ("manifests", |plan| {
            plan.app.manifests = vec!["a".into(); 101];
        }),
        ("local", |plan| plan.app.local = vec!["../x".into()]),
        ("local", |plan| plan.app.local = vec!["a; reboot".into()]),
        ("packages", |plan| {
            plan.app.packages = vec!["a; reboot".into()];
        }),
        ("volumes", |plan| {
            plan.app.volumes = vec![crate::detect::Volume {
                name: "a-".into(),
                path: "/a".into(),
            }];
        }),
        ("volumes", |plan| {
            plan.app.volumes = vec![crate::detect::Volume {
                name: "a".into(),
                path: "/a/../etc".into(),
            }];
        }),
        ("branch", |plan| plan.branch = "a b".into()),
        ("image", |plan| plan.image = "Shop".into()),
        ("image", |plan| plan.image = "shop:latest".into()),
        ("host", |plan| plan.host = Some("*.example.com".into())),
        ("environment", |plan| {
            plan.environment = vec![Variable {
                name: "A-B".into(),
                value: None,
            }];
        }),
        ("environment", |plan| {
            plan.environment = vec![Variable {
                name: "A".into(),
                value: Some("a\nb".into()),
            }];
        }),
    ];
    for (field, change) in cases {
        let mut plan = plan(node());
        change(&mut plan);
        let error = generate(&plan).unwrap_err();
        let named = matches!(&error, super::Refused::Invalid(invalid) if invalid.field == field);
        assert!(named, "{field}: {error:?}");
    }
}
