#![allow(clippy::unwrap_used)]
use std::path::PathBuf;

use tempfile::TempDir;
use towline_pki::Authority;

use super::*;
use crate::config::Settings;
use crate::store::{DatabaseConfig, Retirement};
use crate::vault::Vault;

struct World {
    folder: TempDir,
    store: Store,
}

impl World {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::load_or_create(folder.path(), None).unwrap();
        let database = DatabaseConfig {
            data_dir: folder.path().to_owned(),
            url: None,
            connections: 2,
        };
        let store = Store::open(&database, vault).await.unwrap();
        store.ensure_authority().await.unwrap();
        Self { folder, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self, files: bool) -> Config {
        let mut given = Settings {
            data_dir: Some(self.folder.path().to_owned()),
            ..Settings::default()
        };
        if files {
            given.public.tls_cert = Some(self.path("cert.pem"));
            given.public.tls_key = Some(self.path("key.pem"));
        }
        Config::load(given, None).unwrap()
    }

    async fn make(&self, files: bool) -> Result<Certificates, StartError> {
        let names = ["localhost".to_owned()];
        Certificates::make(&self.config(files), &names, &self.store).await
    }

    fn write(&self, certificate: &ServerCertificate) {
        std::fs::write(self.path("cert.pem"), certificate.chain_pem()).unwrap();
        std::fs::write(self.path("key.pem"), certificate.key_pem().as_str()).unwrap();
    }

    fn roots(&self) -> usize {
        let text = std::fs::read_to_string(self.path("ca.pem")).unwrap();
        TrustRoots::from_pem(&text).unwrap().iter().count()
    }
}

fn issued(authority: &Authority) -> ServerCertificate {
    let lifetime = chrono::TimeDelta::days(30);
    authority
        .issue_server(&["plane.example"], Utc::now(), lifetime)
        .unwrap()
}

#[tokio::test]
async fn a_rotation_of_the_authority_is_followed() {
    let world = World::open().await;
    let mut certificates = world.make(false).await.unwrap();
    assert_eq!((world.roots(), certificates.pin()), (1, None));
    let (public, agents) = (certificates.public.current(), certificates.agents.current());
    certificates.refresh(&world.store).await.unwrap();
    assert!(
        Arc::ptr_eq(&public, &certificates.public.current()),
        "nothing has changed"
    );

    world.store.introduce_authority().await.unwrap();
    certificates.refresh(&world.store).await.unwrap();
    assert_eq!(world.roots(), 2);
    assert!(!Arc::ptr_eq(&agents, &certificates.agents.current()));
    let old = certificates.issued.issuer;
    world
        .store
        .retire_authority(Retirement::Forced)
        .await
        .unwrap();
    certificates.refresh(&world.store).await.unwrap();
    assert_eq!(world.roots(), 1);
    assert_ne!(certificates.issued.issuer, old);
    assert!(!Arc::ptr_eq(&public, &certificates.public.current()));
}

#[tokio::test]
async fn a_certificate_is_renewed_at_half_of_its_life() {
    let world = World::open().await;
    let mut certificates = world.make(false).await.unwrap();
    let public = certificates.public.current();
    certificates.issued.half_life = Utc::now();
    certificates.refresh(&world.store).await.unwrap();
    assert!(!Arc::ptr_eq(&public, &certificates.public.current()));
    assert!(certificates.issued.half_life > Utc::now() + chrono::TimeDelta::days(40));
}

#[tokio::test]
async fn the_operators_files_are_read_again_and_a_bad_pair_is_not_published() {
    let world = World::open().await;
    let missing = world.make(true).await.unwrap_err().to_string();
    assert!(
        missing.contains("cert.pem") && missing.contains("--tls-cert"),
        "{missing}"
    );
    let authority = Authority::generate("Operator", Utc::now()).unwrap();
    world.write(&issued(&authority));
    let mut certificates = world.make(true).await.unwrap();
    assert_eq!(certificates.pin(), Some(authority.fingerprint()));
    assert_eq!(certificates.pinning(), Pinning::Operator);

    let public = certificates.public.current();
    certificates.refresh(&world.store).await.unwrap();
    assert!(Arc::ptr_eq(&public, &certificates.public.current()));
    let next = issued(&authority);
    std::fs::write(world.path("cert.pem"), next.chain_pem()).unwrap();
    let refused = certificates.refresh(&world.store).await.unwrap_err();
    assert!(matches!(refused, StartError::Certificate(_)), "{refused}");
    assert!(
        Arc::ptr_eq(&public, &certificates.public.current()),
        "half a pair is none"
    );
    world.write(&next);
    certificates.refresh(&world.store).await.unwrap();
    assert!(!Arc::ptr_eq(&public, &certificates.public.current()));
}
