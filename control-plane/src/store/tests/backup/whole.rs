//! Round trips.

use std::sync::atomic::{AtomicBool, Ordering};

use towline_shared::log::{LogChunk, LogLine, LogPosition, LogStream};
use towline_shared::metrics::Sample;

use super::{Place, back_up, dump, without_what_a_restore_changes};
use crate::backup::{BackupFile, Origin};
use crate::domain::permission::Role;
use crate::domain::plugin::{FailurePolicy, Hook};
use crate::domain::secrets::SecretName;
use crate::domain::webhook::WebhookEvent;
use crate::ops;
use crate::store::backup::{Occupied, verify};
use crate::store::db::one;
use crate::store::password_resets::Maker;
use crate::store::tests::integrations::connected;
use crate::store::tests::registries::added;
use crate::store::tests::sessions::{asker, begin};
use crate::store::tests::world::{World, finished, on_both, succeeded, vault};
use crate::store::{
    Former, NewDeployKey, NewPlugin, NewSource, NewTemplate, NewWebhook, WebhookAddress,
};

on_both!(
    all_rows_come_back_into_either_database,
    a_backup_is_of_one_moment,
    a_restore_shuts_out_whom_it_cannot_know,
);

/// Something in nearly every table.
async fn fill(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let (host, project) = (world.host("shop").await, world.project("web").await);
    for value in ["first", "second"] {
        let name = SecretName::from("PASSWORD");
        let put = store.put_secret(tenant, project.id, name, value);
        put.await.unwrap();
    }
    let new = NewTemplate {
        name: "ours".to_owned(),
        description: "As we like it".to_owned(),
        language: None,
        project: project.id,
    };
    store.create_template(tenant, &new).await.unwrap();
    let new = NewWebhook {
        address: WebhookAddress {
            url: "https://example.org/hook".to_owned(),
            host: "example.org".to_owned(),
        },
        events: vec![WebhookEvent::DeploymentCreated],
    };
    store.create_webhook(tenant, project.id, new).await.unwrap();
    let new = NewSource {
        url: "https://example.org/shop.git".to_owned(),
        branch: Some("main".to_owned()),
        folder: String::new(),
        submodules: crate::domain::repository::Submodules::Leave,
        login: Some(("any".to_owned(), "a token".to_owned().into())),
        integration: None,
        commit: "a".repeat(40),
        title: "Open the shop".to_owned(),
    };
    let sourced = world.project("sourced").await;
    store.set_source(tenant, sourced.id, new).await.unwrap();
    let key = NewDeployKey {
        url: "ssh://git@example.org/shop.git".to_owned(),
        public_key: "ssh-ed25519 AAAA towline-sourced".to_owned(),
        private_key: "a private key".to_owned().into(),
        host_keys: vec!["example.org ssh-ed25519 AAAA".to_owned()],
        installed: None,
    };
    let kept = store.keep_deploy_key(tenant, sourced.id, key, Former::Kept);
    kept.await.unwrap();
    crate::store::tests::pushes::told(world, sourced.id, &["shop"]).await;
    let new = NewPlugin {
        name: "gate".to_owned(),
        address: WebhookAddress {
            url: "https://example.org/gate".to_owned(),
            host: "example.org".to_owned(),
        },
        hooks: vec![Hook::AfterDeploy],
        timeout_s: None,
        failure_policy: FailurePolicy::Closed,
    };
    store.create_plugin(tenant, new).await.unwrap();
    connected(world, "hub").await;
    added(world, "ghcr.io").await;
    crate::store::tests::docker_tls::kept(world, "over-tls", 90).await;
    store
        .invite(tenant, "eve@example.org", Role::Viewer, None)
        .await
        .unwrap();
    let mut tx = store.main().begin().await.unwrap();
    store
        .propose_second_factor(&mut tx, tenant.person(), &[5; 20])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    begin(world, tenant).await;
    store
        .make_reset(tenant.user(), Maker::Operator)
        .await
        .unwrap();
    world.deploy(&project, &host).await;
    let attempt = world.start(&host).await;
    let line = LogLine {
        at_us: 1_700_000_000_000_000,
        stream: LogStream::Stdout,
        source: "web-1".to_owned(),
        text: "hello".to_owned(),
    };
    let (chunk, _) = LogChunk::encode(LogPosition::default(), &[line]).unwrap();
    store.append_log(host.id, attempt, &chunk).await.unwrap();
    store
        .finished(host.id, &finished(attempt, succeeded()))
        .await
        .unwrap();
    world.deploy(&project, &host).await;
    world.start(&host).await;
    world.deploy(&project, &host).await;
    let sample = Sample {
        at_ms: chrono::Utc::now().timestamp_millis(),
        ..Sample::default()
    };
    store.record_sample(host.id, tenant.team(), sample);
    store.flush_metrics().await.unwrap();
    world.token("late").await;
    let paid = crate::store::tests::billing::events(world, tenant.user()).await;
    store.take_billing_event(&paid[1]).await.unwrap();
}

async fn all_rows_come_back_into_either_database(world: &World) {
    fill(world).await;
    let (file, made) = back_up(world, "backup").await;
    let there = dump(&world.store).await;
    let count: usize = there.values().map(Vec::len).sum();
    assert_eq!(made.rows, count as u64);
    let filled = there.values().filter(|rows| !rows.is_empty()).count();
    assert!(
        filled * 4 > there.len() * 3,
        "{filled} of {} tables",
        there.len()
    );
    let origin = match world.config.url {
        Some(_) => Origin::Postgres,
        None => Origin::Sqlite,
    };
    assert_eq!(made.header.origin, origin);
    let keys = vault(world.dir.path());
    let backup = BackupFile::open(&file, &keys).unwrap();
    assert_eq!(backup.digest().unwrap(), made.written);
    let checked = verify(&backup, &keys).unwrap();
    assert_eq!(checked.rows, made.rows);
    // The proof of the key, the authority, two values of a secret, the webhook, the plugin, the integration, the registry, the target over TLS, the second factor, and
    // by what sources are read, a login and a deploy key, and their pushes signed.
    assert_eq!(checked.sealed, 13);
    for (table, rows) in &there {
        assert_eq!(
            checked.tables.get(table),
            Some(&(rows.len() as u64)),
            "{table}"
        );
    }
    for place in Place::both().await {
        let restored = place.restore(&file, world, Occupied::Refuse).await.unwrap();
        assert_eq!((restored.rows, restored.incarnation), (made.rows, 2));
        let store = place.open(world).await;
        let (ours, theirs) = (there.clone(), dump(&store).await);
        let targets = |rows: &Vec<String>| rows.len();
        assert_eq!(
            theirs.get("deployment_targets").map(targets),
            ours.get("deployment_targets").map(targets)
        );
        for row in &ours["audit_logs"] {
            assert!(theirs["audit_logs"].contains(row), "{row}");
        }
        let theirs = without_what_a_restore_changes(theirs);
        for (table, rows) in without_what_a_restore_changes(ours) {
            let rest = theirs.get(&table).unwrap();
            let gone: Vec<_> = rows.iter().filter(|row| !rest.contains(row)).collect();
            let new: Vec<_> = rest.iter().filter(|row| !rows.contains(row)).collect();
            assert_eq!(gone, new, "{table}");
            assert_eq!(rows.len(), rest.len(), "{table}");
        }
        let report = store.verify_audit().await.unwrap();
        assert_eq!(report.broken, Vec::<String>::new());
        store.close().await;
        place.end().await;
    }
}

async fn a_backup_is_of_one_moment(world: &World) {
    let project = world.project("web").await;
    let host = world.host("shop").await;
    let stop = AtomicBool::new(false);
    let write = async {
        let mut deployed = 0;
        while !stop.load(Ordering::Relaxed) {
            world.deploy(&project, &host).await;
            deployed += 1;
        }
        deployed
    };
    let look = async {
        let (file, _) = back_up(world, "backup").await;
        let (second, _) = back_up(world, "second").await;
        stop.store(true, Ordering::Relaxed);
        [file, second]
    };
    let (deployed, files) = tokio::join!(write, look);
    assert!(deployed > 2, "there was a writer");
    for file in files {
        let place = Place::sqlite();
        place.restore(&file, world, Occupied::Refuse).await.unwrap();
        let store = place.open(world).await;
        assert_eq!(
            store.verify_audit().await.unwrap().broken,
            Vec::<String>::new()
        );
        let mut reader = store.main().read().await.unwrap();
        let (deployments, jobs, used, audited) = one!(
            reader.conn(),
            (i64, i64, i64, i64),
            "SELECT (SELECT COUNT(*) FROM deployments), (SELECT COUNT(*) FROM jobs),
                (SELECT COALESCE(SUM(count), 0) FROM usage_metrics WHERE metric_type = 'deployments'),
                (SELECT COUNT(*) FROM audit_logs WHERE action = 'deployment.create')"
        )
        .unwrap();
        assert_eq!(
            (jobs, used, audited),
            (deployments, deployments, deployments)
        );
        drop(reader);
        store.close().await;
    }
}

async fn a_restore_shuts_out_whom_it_cannot_know(world: &World) {
    let session = begin(world, &world.tenant).await;
    let token = world.token("late").await;
    let reset = world
        .store
        .make_reset(world.tenant.user(), Maker::Operator)
        .await
        .unwrap();
    let (file, _) = back_up(world, "backup").await;
    assert!(asker(world, &session, None).await.is_some());
    for place in Place::both().await {
        place.restore(&file, world, Occupied::Refuse).await.unwrap();
        let store = place.open(world).await;
        let found = store.authenticate_session(&session.token, None).await;
        assert!(found.unwrap().is_none(), "sessions have ended");
        assert!(store.account_of_reset(&reset.token).await.is_err());
        let key = towline_pki::AgentKey::generate().unwrap();
        let request = crate::store::tests::world::request(&token.secret.reveal(), &key);
        let enrolled = ops::enroll(&store, &request, "towline:7443").await;
        assert!(enrolled.is_err(), "nobody enrols by it");
        let anna = store.authenticate(&world.set_up.api_key.key).await.unwrap();
        assert!(anna.is_some(), "API keys stay");
        store.close().await;
        place.end().await;
    }
}
