//! Targets whose agents work on a cluster.

use std::time::Duration;

use serde_json::{Value, json};
use towline_shared::cluster::{ClusterFacts, ClusterPolicy, ClusterTerms, Conflicts, Immutable};
use towline_shared::outcome::Outcome;
use towline_shared::policy::HostPolicy;
use towline_shared::preview::{Preview, PreviewedService, ServiceChange};
use towline_shared::protocol::v1::{
    Capabilities, Engine, FromAgent, FromServer, Plugin, StreamEnd,
};
use towline_shared::query::StreamRequest;
use towline_shared::spec::{Deploy, Terms, Work};

use crate::database::on_both;
use crate::host::{Host, capabilities, docker};
use crate::world::{COMPOSE, Somebody, World};

const WEB: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  ports:
    - port: 80
";
const PRIVILEGED: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: root
  namespace: kube-system
spec:
  containers:
    - name: root
      image: busybox
      securityContext:
        privileged: true
";

on_both!(
    a_target_follows_its_agent_to_a_cluster_and_back,
    a_target_with_a_deployment_follows_nobody,
    what_is_asked_of_a_cluster_comes_with_the_work,
    what_no_cluster_takes_is_refused_by_file_and_line,
    what_one_platform_alone_knows_is_refused_of_the_other,
    a_container_of_a_pod_is_found_by_its_path,
    engines_alone_are_reached_by_their_own_ways,
);

fn cluster() -> Capabilities {
    let policy = ClusterPolicy {
        namespaces: vec!["shop".into()],
        ..ClusterPolicy::default()
    };
    let facts = ClusterFacts {
        version: "v1.33.2".into(),
        namespace: "apps".into(),
        policy,
    };
    Capabilities {
        compose: Plugin::Missing("no host".into()),
        policy: HostPolicy::default(),
        ..capabilities(Engine::Kubernetes(facts))
    }
}

async fn connect(ada: &Somebody<'_>, world: &World) -> Host {
    Host::connect_with(ada, world, "k8s", cluster()).await
}

/// The target, as soon as it is what it is waited for.
async fn target(ada: &Somebody<'_>, host: &Host, is_it: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/api/v1/targets/{}", host.target);
    for _ in 0..200 {
        let shown = ada.get(&path).await.expect(200);
        if is_it(&shown) {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{}", ada.get(&path).await.expect(200));
}

async fn deploy(ada: &Somebody<'_>, project: &str, body: &Value) -> crate::world::Answer {
    let path = format!("/api/v1/projects/{project}/deployments");
    ada.post(&path, body).await
}

/// What an offer asks for.
async fn offered(host: &mut Host) -> (towline_shared::protocol::v1::Attempt, Deploy, Terms) {
    let offer = host.offer().await;
    let (spec, terms) = offer.spec.open().unwrap().split();
    let deploy = match spec.work {
        Work::Deploy(deploy) => deploy,
        Work::Release(release) => release.deploy,
        Work::Preview(proposal) => proposal.deploy,
        other => panic!("{other:?}"),
    };
    (host.take(&offer).await, deploy, terms)
}

fn nothing_to_show() -> Outcome {
    Outcome::Succeeded { images: vec![] }
}

async fn a_target_follows_its_agent_to_a_cluster_and_back() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = connect(&ada, &world).await;
    let shown = target(&ada, &host, |_| true).await;
    let told = |field: &str| shown[field].clone();
    assert_eq!(told("type"), "kubernetes_agent");
    assert_eq!(told("engine"), "v1.33.2");
    assert_eq!(told("ready"), "ready");
    let policy = json!({
        "namespace": "apps", "namespaces": ["shop"], "create_namespaces": "deny",
        "cluster_scoped": [], "service_accounts": [],
    });
    assert_eq!(told("cluster"), policy);
    host.say(FromAgent::Capabilities(capabilities(docker())))
        .await;
    let shown = target(&ada, &host, |shown| shown["type"] == "docker_agent").await;
    assert_eq!(
        (&shown["ready"], &shown["cluster"]),
        (&json!("ready"), &Value::Null)
    );
    host.come_back_with(&world, cluster()).await;
    target(&ada, &host, |shown| shown["type"] == "kubernetes_agent").await;
    // What does not answer for a while says nothing of what it is.
    let lost = capabilities(Engine::Missing("connection refused".into()));
    host.come_back_with(&world, lost).await;
    let shown = target(&ada, &host, |shown| shown["ready"] == "not_ready").await;
    assert_eq!(shown["type"], "kubernetes_agent");
}

async fn a_target_with_a_deployment_follows_nobody() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = connect(&ada, &world).await;
    let files = [("kubernetes/web.yaml", WEB), ("compose.yaml", COMPOSE)];
    let project = ada.project("shop", &files).await;
    let wish = json!({"target": "k8s"});
    deploy(&ada, &project, &wish).await.expect(202);
    let (attempt, ..) = offered(&mut host).await;
    host.finish(attempt, nothing_to_show()).await;
    host.say(FromAgent::Capabilities(capabilities(docker())))
        .await;
    let shown = target(&ada, &host, |shown| shown["ready"] == "not_ready").await;
    assert_eq!(shown["type"], "kubernetes_agent");
    assert!(shown["reason"].to_string().contains("container engine now"));
    let removals = format!("/api/v1/projects/{project}/removals");
    for refused in [
        deploy(&ada, &project, &wish).await.expect(409),
        ada.post(&removals, &wish).await.expect(409),
    ] {
        assert!(
            refused.to_string().contains("container engine now"),
            "{refused}"
        );
    }
    host.come_back_with(&world, cluster()).await;
    target(&ada, &host, |shown| shown["ready"] == "ready").await;
    ada.post(&removals, &wish).await.expect(202);
    let attempt = host.begin().await;
    host.finish(attempt, nothing_to_show()).await;
    host.come_back_with(&world, capabilities(docker())).await;
    target(&ada, &host, |shown| shown["type"] == "docker_agent").await;
    deploy(&ada, &project, &wish).await.expect(202);
    let Work::Deploy(deploy) = host.offer().await.spec.open().unwrap().work else {
        panic!("a host is asked in its own words");
    };
    assert_eq!(deploy.compose_file, "compose.yaml");
}

async fn what_is_asked_of_a_cluster_comes_with_the_work() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = connect(&ada, &world).await;
    let project = ada.project("shop", &[("k8s/web.yaml", WEB)]).await;
    let own = format!("/api/v1/projects/{project}");
    let refused = ada.patch(&own, &json!({"namespace": "No!"})).await;
    assert_eq!(refused.expect(422)["field"], "namespace");
    ada.patch(&own, &json!({})).await.expect(422);
    let set = ada.patch(&own, &json!({"namespace": "shop"})).await;
    assert_eq!(set.expect(200)["namespace"], "shop");

    let wish = json!({"target": "k8s", "environment": "production", "conflicts": "force", "immutable": "replace"});
    let made = deploy(&ada, &project, &wish).await.expect(202);
    let (attempt, asked, terms) = offered(&mut host).await;
    assert_eq!(
        (&*asked.compose_file, &*asked.compose_project),
        ("k8s", "shop")
    );
    let insisting = ClusterTerms {
        namespace: Some("shop".into()),
        environment: Some("production".into()),
        conflicts: Conflicts::Force,
        immutable: Immutable::Replace,
    };
    assert_eq!(terms.cluster(), insisting);
    host.finish(attempt, nothing_to_show()).await;

    let usual = ClusterTerms {
        conflicts: Conflicts::Refuse,
        immutable: Immutable::Refuse,
        ..insisting.clone()
    };
    let id = made["id"].as_str().unwrap();
    let table = [
        (
            format!("/api/v1/deployments/{id}/retry"),
            json!({}),
            &insisting,
        ),
        (format!("{own}/rollback"), json!({"to": id}), &usual),
        (
            format!("{own}/previews"),
            json!({"target": "k8s", "environment": "production"}),
            &usual,
        ),
        (
            format!("{own}/previews"),
            json!({
                "target": "k8s", "environment": "production", "conflicts": "force", "immutable": "replace",
            }),
            &insisting,
        ),
        (
            format!("{own}/rollback"),
            json!({"to": id, "conflicts": "force", "immutable": "replace"}),
            &insisting,
        ),
    ];
    let service = PreviewedService {
        service: "Service/web".into(),
        change: ServiceChange::Added,
        keys: vec![],
    };
    let preview = Preview {
        services: vec![service],
        ..Preview::default()
    };
    for (path, body, expected) in table {
        let made = ada.post(&path, &body).await.expect(202);
        let (attempt, asked, terms) = offered(&mut host).await;
        assert_eq!(
            (&*asked.compose_file, &terms.cluster()),
            ("k8s", expected),
            "{path}"
        );
        let is_preview = made["kind"] == "preview";
        let outcome = if is_preview {
            Outcome::Previewed(Box::new(preview.clone()))
        } else {
            nothing_to_show()
        };
        host.finish(attempt, outcome).await;
        let shown = format!("/api/v1/deployments/{}", made["id"].as_str().unwrap());
        let shown = ada.get(&shown).await.expect(200);
        assert_eq!(shown["status"], "succeeded");
        if is_preview {
            assert_eq!(shown["preview"]["services"][0]["service"], "Service/web");
        }
    }
    let removals = format!("{own}/removals");
    ada.post(&removals, &json!({"target": "k8s"}))
        .await
        .expect(202);
    let offer = host.offer().await;
    assert!(matches!(offer.spec.open().unwrap().work, Work::Remove(_)));
    let attempt = host.take(&offer).await;
    host.finish(attempt, nothing_to_show()).await;
    let cleared = ada.patch(&own, &json!({"namespace": ""})).await.expect(200);
    assert_eq!(cleared["namespace"], Value::Null);
    assert_eq!(cleared["keep_releases"], 5);
}

async fn what_no_cluster_takes_is_refused_by_file_and_line() {
    let world = World::open().await;
    let ada = world.first().await;
    let _host = connect(&ada, &world).await;
    let wish = json!({"target": "k8s"});
    let table = [
        ("privileged", "kubernetes/root.yaml", PRIVILEGED, 1),
        ("namespace", "kubernetes/root.yaml", PRIVILEGED, 1),
        (
            "no YAML",
            "kubernetes/web.yaml",
            "apiVersion: v1\nkind: [",
            3,
        ),
    ];
    for (number, (words, path, text, line)) in table.into_iter().enumerate() {
        let project = ada.project(&format!("p{number}"), &[(path, text)]).await;
        let files = ada.get(&format!("/api/v1/projects/{project}/files")).await;
        assert_eq!(files.expect(200)["manifests"], "kubernetes");
        let refused = deploy(&ada, &project, &wish).await.expect(422);
        let findings = refused["findings"].as_array().unwrap();
        let is_it =
            |finding: &&Value| finding.to_string().contains(words) && finding["line"] == line;
        let finding = findings.iter().find(is_it);
        assert_eq!(finding.unwrap_or(&refused)["file"], path, "{refused}");
    }
    let listed = ada.get("/api/v1/deployments").await.expect(200);
    assert_eq!(listed["items"], json!([]));
}

async fn what_one_platform_alone_knows_is_refused_of_the_other() {
    let world = World::open().await;
    let ada = world.first().await;
    let _cluster = connect(&ada, &world).await;
    let _host = Host::connect(&ada, &world, "web-1").await;
    let compose = ada.project("compose", &[("compose.yaml", COMPOSE)]).await;
    let manifests = ada.project("manifests", &[("web.yaml", WEB)]).await;
    let table = [
        (
            &compose,
            json!({"target": "k8s"}),
            "towline generate compose --target kubernetes",
        ),
        (
            &manifests,
            json!({"target": "web-1"}),
            "web-1 is no cluster",
        ),
        (
            &manifests,
            json!({"target": "k8s", "build_on": "web-1"}),
            "for which no host builds",
        ),
        (
            &compose,
            json!({"target": "web-1", "conflicts": "force"}),
            "leave `conflicts` away",
        ),
        (
            &compose,
            json!({"target": "web-1", "immutable": "replace"}),
            "leave `immutable` away",
        ),
    ];
    for (project, body, words) in table {
        let refused = deploy(&ada, project, &body).await.expect(409);
        assert!(refused.to_string().contains(words), "{body}: {refused}");
    }
    let unknown = json!({"target": "k8s", "conflicts": "ignore"});
    let refused = deploy(&ada, &manifests, &unknown).await.expect(422);
    assert!(refused.to_string().contains("conflicts"), "{refused}");
    let both = [("compose.yaml", COMPOSE), ("kubernetes/web.yaml", WEB)];
    let both = ada.project("both", &both).await;
    for target in ["k8s", "web-1"] {
        deploy(&ada, &both, &json!({"target": target}))
            .await
            .expect(202);
    }
}

async fn a_container_of_a_pod_is_found_by_its_path() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = connect(&ada, &world).await;
    let path = format!(
        "/api/v1/targets/{}/containers/apps%2Fweb-5d7f%2Fweb/logs",
        host.target
    );
    let asked = ada.get(&path);
    let answered = async {
        let FromServer::OpenStream(open) = host.hear().await else {
            panic!("no stream")
        };
        let end = StreamEnd {
            stream: open.stream,
            error: None,
        };
        host.say(FromAgent::StreamEnd(end)).await;
        open.request
    };
    let (answer, request) = tokio::join!(asked, answered);
    assert_eq!(answer.expect(200)["items"], json!([]));
    let StreamRequest::ContainerLog { container, .. } = request;
    assert_eq!(container, "apps/web-5d7f/web");
}

async fn engines_alone_are_reached_by_their_own_ways() {
    let world = World::open().await;
    let ada = world.first().await;
    let host = connect(&ada, &world).await;
    let me = ada.get("/api/v1/me").await.expect(200);
    let target = format!("/api/v1/targets/{}", host.target);
    let grant = format!(
        "{target}/docker/grants/{}",
        me["user"]["id"].as_str().unwrap()
    );
    let refused = ada.put(&grant, &json!({})).await.expect(409);
    assert!(refused.to_string().contains("no Docker API"), "{refused}");
    let certificates = format!("{target}/docker/certificates");
    let refused = ada.post(&certificates, &json!({"csr": "x"})).await;
    refused.expect(409);
    let upgrade = format!("/api/v1/agents/{}/upgrade", host.agent);
    let refused = ada.post(&upgrade, &json!({})).await.expect(409);
    assert!(refused.to_string().contains("by its image"), "{refused}");
    let agent = ada.get(&format!("/api/v1/agents/{}", host.agent)).await;
    assert_eq!(agent.expect(200)["kind"], "kubernetes");
    let exec = format!("{target}/containers/apps%2Fweb%2Fweb/exec");
    let refused = ada
        .post(&exec, &json!({"command": ["sh"]}))
        .await
        .expect(409);
    assert!(refused.to_string().contains("kubectl exec"), "{refused}");
}
