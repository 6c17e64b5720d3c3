//! A backup of an earlier version is brought to the present one.

use chrono::Utc;
use uuid::Uuid;

use super::Place;
use crate::backup::{BackupWriter, Header, Key, NewFile, Origin, TableHead, Value};
use crate::store::backup::Occupied;
use crate::store::db::all;
use crate::store::tests::world::{World, vault};
use crate::vault::{FIRST_KEY, Place as Sealed};

/// The tables before people had passwords, and keys versions.
const MIGRATIONS: std::ops::RangeInclusive<i64> = 1..=9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_version_is_brought_to_the_present_one() {
    let world = World::sqlite().await;
    let file = world.dir.path().join("backup");
    write(&world, &file);
    for place in Place::both().await {
        place
            .restore(&file, &world, Occupied::Refuse)
            .await
            .unwrap();
        let store = place.open(&world).await;
        let mut reader = store.main().read().await.unwrap();
        let sql =
            "SELECT u.email, p.name, u.password_hash FROM users u JOIN plans p ON p.id = u.plan_id";
        let people = all!(reader.conn(), (String, String, Option<String>), sql).unwrap();
        assert_eq!(
            people,
            [("bo@example.org".to_owned(), "Own".to_owned(), None)]
        );
        let sql = "SELECT version, state FROM master_keys";
        let keys = all!(reader.conn(), (i64, String), sql).unwrap();
        assert_eq!(keys, [(1, "current".to_owned())]);
        drop(reader);
        store.close().await;
        place.end().await;
    }
    world.end().await;
}

/// As that version would have written it.
fn write(world: &World, file: &std::path::Path) {
    let vault = vault(world.dir.path());
    let fingerprint = vault.fingerprints().remove(0);
    vault.learn([(FIRST_KEY, fingerprint.as_str())]);
    let header = Header {
        id: Uuid::now_v7(),
        made_at: Utc::now(),
        program: "0.0.9".to_owned(),
        origin: Origin::Sqlite,
        migrations: MIGRATIONS.collect(),
        keys: vec![Key {
            version: FIRST_KEY,
            fingerprint,
        }],
        sealed_key: String::new(),
    };
    let id = Uuid::now_v7();
    let place = Sealed {
        table: "installation",
        id,
        version: 1,
    };
    let proof = vault.seal(FIRST_KEY, place, b"towline").unwrap();
    let mut writer = BackupWriter::begin(NewFile::create(file).unwrap(), header, &vault).unwrap();
    let now = || text("2025-01-02T03:04:05.678901+00:00");
    let (plan, user) = (bytes(Uuid::now_v7()), bytes(Uuid::now_v7()));
    table(
        &mut writer,
        "installation",
        "id singleton incarnation key_check key_version created_at updated_at",
    );
    let installation = [
        bytes(id),
        Value::Integer(1),
        Value::Integer(7),
        Value::Bytes(proof),
        Value::Integer(1),
        now(),
        now(),
    ];
    writer.row(installation.into()).unwrap();
    table(
        &mut writer,
        "plans",
        "id name price currency max_projects max_deployments_per_day created_at updated_at",
    );
    let own = [
        plan.clone(),
        text("Own"),
        Value::Integer(0),
        text("EUR"),
        Value::Null,
        Value::Integer(5),
        now(),
        now(),
    ];
    writer.row(own.into()).unwrap();
    table(
        &mut writer,
        "users",
        "id email name role plan_id created_at updated_at",
    );
    let bo = [
        user,
        text("bo@example.org"),
        text("Bo"),
        text("admin"),
        plan,
        now(),
        now(),
    ];
    writer.row(bo.into()).unwrap();
    writer.finish().unwrap();
}

fn table(writer: &mut BackupWriter, name: &str, columns: &str) {
    let head = TableHead {
        name: name.to_owned(),
        columns: columns.split(' ').map(str::to_owned).collect(),
    };
    writer.table(head).unwrap();
}

fn bytes(id: Uuid) -> Value {
    Value::Bytes(id.as_bytes().to_vec())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}
