//! Who may use the Docker engines of hosts, and certificates for that.

use serde_json::{Value, json};
use towline_pki::{AgentKey, CertificateDer, DockerClient, PeerIdentity};

use crate::database::on_both;
use crate::host::Host;
use crate::world::{Somebody, World};

on_both!(
    whoever_was_granted_a_host_gets_a_certificate_for_hours,
    a_grant_that_ends_takes_the_certificates_along,
    requests_for_certificates_that_cannot_be_issued_are_refused_by_name,
    who_leaves_the_team_has_nothing_when_they_come_back,
    who_is_suspended_is_out_until_they_are_let_in_again,
);

fn csr() -> Value {
    let key = AgentKey::generate().unwrap();
    json!({ "csr": key.csr_pem().unwrap() })
}

async fn id_of(somebody: &Somebody<'_>) -> String {
    let me = somebody.get("/api/v1/me").await.expect(200);
    me["user"]["id"].as_str().unwrap().to_owned()
}

/// Somebody who was invited into the team.
async fn colleague<'a>(world: &'a World, ada: &Somebody<'_>, role: &str) -> Somebody<'a> {
    let email = format!("{}@example.org", uuid::Uuid::now_v7().simple());
    let wish = json!({"email": email, "role": role});
    let invited = ada.post("/api/v1/invitations", &wish).await.expect(201);
    let link = invited["link"].as_str().unwrap();
    let token = link.rsplit('#').next().unwrap().split('.').next().unwrap();
    let accept = json!({"token": token, "name": "Bob"});
    let nobody = world.nobody();
    let joined = nobody
        .post("/api/v1/invitations/accept", &accept)
        .await
        .expect(201);
    world.with_key(joined["api_key"]["key"].as_str().unwrap())
}

/// An owner with a host, and where its engine's access is.
async fn host(world: &World) -> (Somebody<'_>, Host, String) {
    let ada = world.first().await;
    let host = Host::connect(&ada, world, "web-1").await;
    let docker = format!("/api/v1/targets/{}/docker", host.target);
    (ada, host, docker)
}

fn leaf(issued: &Value) -> CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(issued["certificate"].as_str().unwrap().as_bytes()).unwrap()
}

async fn whoever_was_granted_a_host_gets_a_certificate_for_hours() {
    let world = World::open().await;
    let (ada, _host, docker) = host(&world).await;
    let certificates = format!("{docker}/certificates");
    let dev = colleague(&world, &ada, "developer").await;
    let dev_id = id_of(&dev).await;

    // Nobody may by their role alone.
    for somebody in [&ada, &dev] {
        let refused = somebody.post(&certificates, &csr()).await.expect(403);
        assert!(
            refused["remedy"]
                .as_str()
                .unwrap()
                .contains("towline docker grant web-1")
        );
    }
    let grant = format!("{docker}/grants/{dev_id}");
    dev.put(&grant, &json!({})).await.expect(403);
    let granted = ada.put(&grant, &json!({})).await.expect(200);
    assert_eq!(granted["user_id"], json!(dev_id));
    let listed = ada.get(&format!("{docker}/grants")).await.expect(200);
    assert_eq!(listed["items"], json!([granted]));
    assert_eq!(
        ada.put(&grant, &json!({})).await.expect(200),
        granted,
        "once more"
    );

    let issued = dev.post(&certificates, &csr()).await.expect(201);
    assert_eq!(issued["docker_host"], "tcp://plane.example:2376");
    assert_eq!(issued["target"], "web-1");
    let client = DockerClient::from_leaf(&leaf(&issued)).unwrap();
    assert_eq!(
        client.certificate.to_string(),
        issued["id"].as_str().unwrap()
    );
    let left = client.not_after - chrono::Utc::now();
    assert!((11..=12).contains(&left.num_hours()), "{left}");
    assert!(
        PeerIdentity::from_leaf(&leaf(&issued)).is_err(),
        "it is no agent"
    );

    let mut short = csr();
    short["valid_s"] = json!(300);
    let short = dev.post(&certificates, &short).await.expect(201);
    let left = DockerClient::from_leaf(&leaf(&short)).unwrap().not_after - chrono::Utc::now();
    assert!(left.num_seconds() <= 300, "{left}");

    let listed = dev.get(&certificates).await.expect(200);
    let ids: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(ids, [&short["id"], &issued["id"]]);
    // One's own may be ended by oneself, another's by those who manage hosts.
    let at = |one: &Value| format!("{certificates}/{}", one["id"].as_str().unwrap());
    let other = colleague(&world, &ada, "developer").await;
    other.delete(&at(&short)).await.expect(403);
    dev.delete(&at(&short)).await.expect(204);
    dev.delete(&at(&short)).await.expect(404);
    ada.delete(&at(&issued)).await.expect(204);
    let listed = dev.get(&certificates).await.expect(200);
    assert_eq!(listed["items"], json!([]));
    let audit = ada.get("/api/v1/audit?limit=100").await.expect(200);
    let actions: Vec<_> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["action"].clone())
        .collect();
    for action in [
        "docker.grant",
        "docker.certificate",
        "docker.revoke_certificate",
    ] {
        assert!(actions.contains(&json!(action)), "{action}: {actions:?}");
    }
}

async fn a_grant_that_ends_takes_the_certificates_along() {
    let world = World::open().await;
    let (ada, _host, docker) = host(&world).await;
    let dev = colleague(&world, &ada, "viewer").await;
    let grant = format!("{docker}/grants/{}", id_of(&dev).await);
    ada.put(&grant, &json!({})).await.expect(200);
    let issued = dev
        .post(&format!("{docker}/certificates"), &csr())
        .await
        .expect(201);
    dev.delete(&grant).await.expect(403);
    ada.delete(&grant).await.expect(204);
    ada.delete(&grant).await.expect(404);
    dev.post(&format!("{docker}/certificates"), &csr())
        .await
        .expect(403);
    // Another grant does not bring the former certificate back.
    ada.put(&grant, &json!({})).await.expect(200);
    let listed = ada.get(&format!("{docker}/certificates")).await.expect(200);
    assert_eq!(listed["items"], json!([]));
    let client = DockerClient::from_leaf(&leaf(&issued)).unwrap();
    let standing = world.store.docker_standing(&client).await.unwrap();
    assert_eq!(standing, towline_server::store::DockerStanding::Revoked);
}

async fn requests_for_certificates_that_cannot_be_issued_are_refused_by_name() {
    let world = World::open().await;
    let (ada, _host, docker) = host(&world).await;
    let grant = format!("{docker}/grants/{}", id_of(&ada).await);
    ada.put(&grant, &json!({})).await.expect(200);
    let certificates = format!("{docker}/certificates");
    let with = |valid: i64| {
        let mut wish = csr();
        wish["valid_s"] = json!(valid);
        wish
    };
    for (wish, field) in [
        (json!({}), "csr"),
        (with(299), "valid_s"),
        (with(43_201), "valid_s"),
        (with(-1), "valid_s"),
        (json!({"csr": "x".repeat(9000)}), "csr"),
        (json!({"csr": csr()["csr"], "names": []}), "names"),
    ] {
        let refused = ada.post(&certificates, &wish).await;
        assert!(refused.status.is_client_error(), "{refused:?}");
        assert!(
            refused.text().contains(field),
            "{field}: {}",
            refused.text()
        );
    }
    let foreign = ada
        .post(&certificates, &json!({"csr": "-----BEGIN X-----"}))
        .await;
    assert!(foreign.status.is_client_error(), "{foreign:?}");
    let nobody = format!("{docker}/grants/{}", uuid::Uuid::now_v7());
    ada.put(&nobody, &json!({})).await.expect(404);
}

async fn who_leaves_the_team_has_nothing_when_they_come_back() {
    let world = World::open().await;
    let (ada, host, docker) = host(&world).await;
    let dev = colleague(&world, &ada, "developer").await;
    let dev_id = id_of(&dev).await;
    ada.put(&format!("{docker}/grants/{dev_id}"), &json!({}))
        .await
        .expect(200);
    let issued = dev
        .post(&format!("{docker}/certificates"), &csr())
        .await
        .expect(201);
    let client = DockerClient::from_leaf(&leaf(&issued)).unwrap();
    let mut told = world
        .store
        .wake()
        .subscribe(towline_server::wake::Topic::Docker(host.target));
    ada.delete(&format!("/api/v1/members/{dev_id}"))
        .await
        .expect(204);
    tokio::time::timeout(std::time::Duration::from_secs(5), told.woken())
        .await
        .unwrap();
    let standing = world.store.docker_standing(&client).await.unwrap();
    assert_eq!(standing, towline_server::store::DockerStanding::Revoked);
    let listed = ada.get(&format!("{docker}/grants")).await.expect(200);
    assert_eq!(listed["items"], json!([]));
}

async fn who_is_suspended_is_out_until_they_are_let_in_again() {
    let world = World::open().await;
    let (ada, _host, docker) = host(&world).await;
    let dev = colleague(&world, &ada, "developer").await;
    let dev_id = id_of(&dev).await;
    let grant = format!("{docker}/grants/{dev_id}");
    ada.put(&grant, &json!({})).await.expect(200);
    let issued = dev.post(&format!("{docker}/certificates"), &csr()).await;
    let client = DockerClient::from_leaf(&leaf(&issued.expect(201))).unwrap();
    let at = format!("/api/v1/users/{dev_id}");
    for (state, standing) in [("suspended", "NotGranted"), ("active", "Granted")] {
        ada.patch(&at, &json!({ "state": state })).await.expect(200);
        let stands = world.store.docker_standing(&client).await.unwrap();
        let stands = format!("{stands:?}");
        assert!(stands.starts_with(standing), "{state}: {stands}");
    }
}
