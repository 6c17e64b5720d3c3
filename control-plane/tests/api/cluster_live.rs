//! What a project has in a cluster: asked of its agent, and done by it.

use serde_json::{Value, json};
use towline_shared::cluster::{
    ClusterAct, ClusterAction, ClusterDrift, ClusterEvent, ClusterFacts, ClusterPolicy, Conflicts,
    Drift, DriftedObject, EventWeight, Immutable, Workload, WorkloadKind,
};
use towline_shared::outcome::Outcome;
use towline_shared::protocol::v1::{Capabilities, Engine, FromAgent, FromServer, QueryReply};
use towline_shared::query::{Query, Reply};

use crate::database::on_both;
use crate::host::{Host, capabilities};
use crate::world::{COMPOSE, Somebody, World};

on_both!(
    what_happened_and_what_drifted_is_told,
    the_cluster_is_the_only_one_or_is_named,
    what_is_done_at_once_is_written_down_before,
    what_makes_no_sense_is_asked_of_nobody,
    drift_is_corrected_by_what_came_up_last,
);

/// It has files for either kind of target.
const FILES: [(&str, &str); 2] = [
    ("compose.yaml", COMPOSE),
    (
        "kubernetes/web.yaml",
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  ports:\n    - port: 80\n",
    ),
];

fn cluster() -> Capabilities {
    capabilities(Engine::Kubernetes(ClusterFacts {
        version: "v1.33.2".into(),
        namespace: "apps".into(),
        policy: ClusterPolicy::default(),
    }))
}

async fn connect(ada: &Somebody<'_>, world: &World, name: &str) -> Host {
    Host::connect_with(ada, world, name, cluster()).await
}

/// Hears a question and answers it.
async fn answer(host: &mut Host, reply: Reply) -> Query {
    let FromServer::Ask(ask) = host.hear().await else {
        panic!("no question")
    };
    let id = ask.id;
    host.say(FromAgent::Reply(QueryReply { id, reply })).await;
    ask.query
}

/// Asks for a deployment or a removal, and lets the host end it well.
async fn come_up(
    ada: &Somebody<'_>,
    host: &mut Host,
    (project, what): (&str, &str),
    target: &str,
) -> Value {
    let path = format!("/api/v1/projects/{project}/{what}");
    let made = ada.post(&path, &json!({ "target": target })).await;
    let made = made.expect(202);
    let attempt = host.begin().await;
    host.finish(attempt, Outcome::Succeeded { images: vec![] })
        .await;
    made
}

async fn what_happened_and_what_drifted_is_told() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = connect(&ada, &world, "k8s").await;
    let project = ada.project("shop", &FILES).await;
    let live = format!("/api/v1/projects/{project}/cluster");

    let event = ClusterEvent {
        at_ms: 1_700_000_000_000,
        object: "Pod/web-1".into(),
        namespace: "apps".into(),
        weight: EventWeight::Warning,
        reason: "FailedScheduling".into(),
        message: "0/3 nodes are available".into(),
        count: 7,
    };
    let path = format!("{live}/events?target=k8s");
    let reply = Reply::ClusterEvents(vec![event]);
    let (told, query) = tokio::join!(ada.get(&path), answer(&mut host, reply));
    assert_eq!(query, Query::ClusterEvents(project.parse().unwrap()));
    let event = json!({
        "at": "2023-11-14T22:13:20Z", "object": "Pod/web-1", "namespace": "apps", "weight": "warning",
        "reason": "FailedScheduling", "message": "0/3 nodes are available", "count": 7,
    });
    assert_eq!(told.expect(200)["items"], json!([event]));

    let drift = ClusterDrift {
        release: "r1".into(),
        compared: 2,
        drifted: vec![DriftedObject {
            object: "Deployment/web".into(),
            namespace: "apps".into(),
            drift: Drift::Changed,
            fields: vec!["spec.replicas".into()],
            managers: vec!["kubectl-edit".into()],
        }],
    };
    let path = format!("{live}/drift?target={}", host.target);
    let reply = Reply::ClusterDrift(drift);
    let (told, query) = tokio::join!(ada.get(&path), answer(&mut host, reply));
    assert_eq!(query, Query::ClusterDrift(project.parse().unwrap()));
    let drifted = json!({
        "object": "Deployment/web", "namespace": "apps", "drift": "changed", "fields": ["spec.replicas"],
        "managers": ["kubectl-edit"],
    });
    let target = json!({"id": host.target, "name": "k8s"});
    assert_eq!(
        told.expect(200),
        json!({"target": target, "release": "r1", "compared": 2, "drifted": [drifted]})
    );
    let nothing = Reply::ClusterDrift(ClusterDrift::default());
    let (told, _) = tokio::join!(ada.get(&path), answer(&mut host, nothing));
    assert_eq!(told.expect(200)["release"], Value::Null);

    let failed = Reply::Failed("may not list events in apps".into());
    let (told, _) = tokio::join!(ada.get(&path), answer(&mut host, failed));
    assert_eq!(told.expect(503)["detail"], "may not list events in apps");
    drop(host);
    let offline = ada.get(&path).await;
    offline.expect(503);
    assert!(offline.headers.contains_key("retry-after"));
}

async fn the_cluster_is_the_only_one_or_is_named() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut web = Host::connect(&ada, &world, "web-1").await;
    let mut host = connect(&ada, &world, "k8s").await;
    let project = ada.project("shop", &FILES).await;
    let path = format!("/api/v1/projects/{project}/cluster/events");
    let refused = async |query: &str, status: u16| {
        let refused = ada.get(&format!("{path}{query}")).await.expect(status);
        (refused["field"].clone(), refused["detail"].to_string())
    };

    come_up(&ada, &mut web, (&project, "deployments"), "web-1").await;
    let (field, why) = refused("", 409).await;
    assert_eq!(field, "target");
    assert!(why.contains("has come up in no cluster yet"), "{why}");
    let (field, why) = refused("?target=web-1", 409).await;
    assert_eq!(field, "target");
    assert!(why.contains("web-1 is a host"), "{why}");
    refused("?target=k9s", 404).await;
    assert_eq!(refused("?cluster=k8s", 422).await.0, "cluster");

    // That it runs on a host, too, leaves one cluster.
    come_up(&ada, &mut host, (&project, "deployments"), "k8s").await;
    let reply = Reply::ClusterEvents(vec![]);
    let (told, _) = tokio::join!(ada.get(&path), answer(&mut host, reply));
    told.expect(200);

    let mut other = connect(&ada, &world, "k8s-2").await;
    come_up(&ada, &mut other, (&project, "deployments"), "k8s-2").await;
    let (field, why) = refused("", 409).await;
    assert_eq!(field, "target");
    assert!(why.contains("k8s, k8s-2"), "{why}");
}

async fn what_is_done_at_once_is_written_down_before() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = connect(&ada, &world, "k8s").await;
    let project = ada.project("shop", &FILES).await;
    let path = format!("/api/v1/projects/{project}/cluster/actions");
    let web = |kind| Workload {
        kind,
        name: "web".into(),
    };
    let table = [
        (
            json!({"action": "restart", "kind": "daemon_set", "name": "web"}),
            ClusterAction::Restart(web(WorkloadKind::DaemonSet)),
        ),
        (
            json!({"action": "scale", "kind": "deployment", "name": "web", "replicas": 3, "namespace": "jobs"}),
            ClusterAction::Scale(web(WorkloadKind::Deployment), 3),
        ),
        (
            json!({"action": "delete_pod", "name": "web-5d4f-x2x"}),
            ClusterAction::DeletePod("web-5d4f-x2x".into()),
        ),
    ];
    for (asked, action) in table {
        let mut body = asked.clone();
        body["target"] = json!("k8s");
        let mut detail = body.clone();
        let named = detail.as_object_mut().unwrap().remove("action").unwrap();
        let named = format!("cluster.{}", named.as_str().unwrap());
        let agent = async {
            let FromServer::Ask(ask) = host.hear().await else {
                panic!("no question")
            };
            let seen = ada.get(&format!("/api/v1/activity?action={named}")).await;
            let id = ask.id;
            let reply = Reply::Acted("done".into());
            host.say(FromAgent::Reply(QueryReply { id, reply })).await;
            (ask.query, seen.expect(200))
        };
        let (acted, (query, seen)) = tokio::join!(ada.post(&path, &body), agent);
        let act = ClusterAct {
            project: project.parse().unwrap(),
            namespace: asked["namespace"].as_str().map(Into::into),
            action,
        };
        assert_eq!(query, Query::ClusterAct(act));
        let target = json!({"id": host.target, "name": "k8s"});
        assert_eq!(
            acted.expect(200),
            json!({"target": target, "message": "done"})
        );
        let seen = &seen["items"][0];
        assert_eq!(seen["project"]["name"], "shop", "{named}: {seen}");
        assert_eq!(seen["metadata"], detail, "{named}");
        let audit = ada.get(&format!("/api/v1/audit?action={named}")).await;
        let audit = audit.expect(200);
        assert_eq!(audit["items"].as_array().unwrap().len(), 1, "{audit}");
        assert_eq!(audit["items"][0]["detail"], detail, "{audit}");
    }

    // Where nothing is said, it is where the project's objects are.
    let at = format!("/api/v1/projects/{project}");
    let changed = ada.patch(&at, &json!({"namespace": "shop"})).await;
    changed.expect(200);
    let body = json!({"target": "k8s", "action": "restart", "kind": "deployment", "name": "api"});
    let reply = Reply::Acted("done".into());
    let (acted, query) = tokio::join!(ada.post(&path, &body), answer(&mut host, reply));
    acted.expect(200);
    let Query::ClusterAct(act) = query else {
        panic!("{query:?}")
    };
    assert_eq!(act.namespace.as_deref(), Some("shop"));

    let failed = Reply::Failed("the project has no Deployment/api in apps".into());
    let (refused, _) = tokio::join!(ada.post(&path, &body), answer(&mut host, failed));
    assert_eq!(
        refused.expect(409)["detail"],
        "the project has no Deployment/api in apps"
    );
    drop(host);
    ada.post(&path, &body).await.expect(503);
}

async fn what_makes_no_sense_is_asked_of_nobody() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = connect(&ada, &world, "k8s").await;
    let project = ada.project("shop", &FILES).await;
    let path = format!("/api/v1/projects/{project}/cluster/actions");
    let table = [
        (json!({"action": "restart", "name": "web"}), "kind"),
        (
            json!({"action": "restart", "kind": "pod", "name": "web"}),
            "kind",
        ),
        (
            json!({"action": "drain", "kind": "deployment", "name": "web"}),
            "action",
        ),
        (
            json!({"action": "scale", "kind": "deployment", "name": "web"}),
            "replicas",
        ),
        (
            json!({"action": "scale", "kind": "deployment", "name": "web", "replicas": 1001}),
            "replicas",
        ),
        (
            json!({"action": "scale", "kind": "deployment", "name": "web", "replicas": -1}),
            "replicas",
        ),
        (
            json!({"action": "scale", "kind": "daemon_set", "name": "web", "replicas": 1}),
            "kind",
        ),
        (
            json!({"action": "delete_pod", "name": "a".repeat(254)}),
            "name",
        ),
        (
            json!({"action": "delete_pod", "name": "../secrets"}),
            "name",
        ),
        (
            json!({"action": "delete_pod", "name": "web", "namespace": ""}),
            "namespace",
        ),
        (
            json!({"action": "delete_pod", "name": "web", "grace": 0}),
            "grace",
        ),
    ];
    for (mut body, field) in table {
        body["target"] = json!("k8s");
        let refused = ada.post(&path, &body).await.expect(422);
        assert_eq!(refused["field"], field, "{body}: {refused}");
    }
    let seen = ada.get("/api/v1/audit?limit=200").await.expect(200);
    assert!(!seen.to_string().contains("cluster."), "{seen}");
    // The first question that comes is the first that made sense.
    let body = json!({"target": "k8s", "action": "delete_pod", "name": "web"});
    let reply = Reply::Acted("done".into());
    let (acted, query) = tokio::join!(ada.post(&path, &body), answer(&mut host, reply));
    acted.expect(200);
    let Query::ClusterAct(act) = query else {
        panic!("{query:?}")
    };
    assert_eq!(act.action, ClusterAction::DeletePod("web".into()));
}

async fn drift_is_corrected_by_what_came_up_last() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = connect(&ada, &world, "k8s").await;
    let project = ada.project("shop", &FILES).await;
    let path = format!("/api/v1/projects/{project}/cluster/correct");
    let nothing = json!({"target": "k8s"});
    ada.post(&path, &nothing).await.expect(409);

    come_up(&ada, &mut host, (&project, "deployments"), "k8s").await;
    let last = come_up(&ada, &mut host, (&project, "deployments"), "k8s").await;
    let answer = ada.post(&path, &json!({})).await;
    let corrected = answer.expect(202);
    assert_eq!(corrected["rollback_of"], last["id"], "{corrected}");
    assert_eq!(corrected["release_id"], last["release_id"]);
    assert!(answer.headers.contains_key("location"));
    let offer = host.offer().await;
    let (_, terms) = offer.spec.open().unwrap().split();
    assert_eq!(terms.cluster().conflicts, Conflicts::Force);
    assert_eq!(terms.cluster().immutable, Immutable::Refuse);
    let attempt = host.take(&offer).await;
    host.finish(attempt, Outcome::Succeeded { images: vec![] })
        .await;
    // A second time it is the same that is brought back.
    let again = ada.post(&path, &nothing).await.expect(202);
    assert_eq!(again["rollback_of"], last["id"], "{again}");
    let attempt = host.begin().await;
    host.finish(attempt, Outcome::Succeeded { images: vec![] })
        .await;

    come_up(&ada, &mut host, (&project, "removals"), "k8s").await;
    let refused = ada.post(&path, &nothing).await.expect(409);
    assert_eq!(refused["field"], "target", "{refused}");
}
