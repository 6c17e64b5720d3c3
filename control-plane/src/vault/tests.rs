#![allow(clippy::unwrap_used)]
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::store::open::MAIN_FILE;

fn place(table: &str, id: u128, version: i64) -> Place<'_> {
    Place {
        table,
        id: Uuid::from_u128(id),
        version,
    }
}

/// A vault whose keys have the versions from 1 on, the oldest first.
fn vault(dir: &Path, from_env: Option<&str>) -> Vault {
    let vault = Vault::load_or_create(dir, from_env).unwrap();
    learn(&vault);
    vault
}

fn learn(vault: &Vault) {
    let fingerprints = vault.fingerprints();
    let versions = (1..).zip(fingerprints.iter().rev().map(String::as_str));
    vault.learn(versions);
}

#[test]
fn a_value_opens_at_its_place_only() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path(), None);
    let sealed = vault.seal(1, place("secrets", 1, 1), b"hunter2").unwrap();
    assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
    let opened = vault.open(1, place("secrets", 1, 1), &sealed).unwrap();
    assert_eq!(opened.as_slice(), b"hunter2");
    for other in [
        place("secret", 1, 1),
        place("secrets", 2, 1),
        place("secrets", 1, 2),
    ] {
        assert!(vault.open(1, other, &sealed).is_err(), "{other:?}");
    }
    for index in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[index] ^= 1;
        assert!(
            vault.open(1, place("secrets", 1, 1), &changed).is_err(),
            "byte {index}"
        );
    }
    assert!(
        vault
            .open(1, place("secrets", 1, 1), &sealed[..40])
            .is_err()
    );
}

/// What version 0.1 stored before keys had versions, sealed under the key of 32 bytes 7.
#[test]
fn what_was_sealed_before_opens_and_moves_to_a_new_key() {
    const BEFORE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXiTaKpNs9eoQE5qBmx8OOjX73GTY11hZQ0jyWoLvttbaFzG3GNPGU1X/zpXgmE0nYGBkaGxwdHh8gISIjJCUmJygpKissLS4va2Fawr/zmCvH+7cUmQ9GwnAAMymDe7s=";
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (STANDARD.encode([7; KEY]), STANDARD.encode([8; KEY]));
    let sealed = STANDARD.decode(BEFORE).unwrap();
    let place = place("secrets", 1, 3);
    let both = vault(dir.path(), Some(&format!("{new}\n{old}\n")));
    assert_eq!(both.open(1, place, &sealed).unwrap().as_slice(), b"hunter2");
    assert_eq!(
        both.first_key_of(place, &sealed).as_deref(),
        both.fingerprints().last().map(String::as_str)
    );
    let moved = both.rewrap((1, 2), place, &sealed).unwrap();
    assert_eq!(
        moved[WRAPPED..],
        sealed[WRAPPED..],
        "the value itself stays"
    );
    assert_eq!(both.open(2, place, &moved).unwrap().as_slice(), b"hunter2");
    assert!(both.open(1, place, &moved).is_err());
    let first = vault(dir.path(), Some(&old));
    assert!(first.open(1, place, &moved).is_err());
    let again = both.rewrap((2, 1), place, &moved).unwrap();
    assert_eq!(first.open(1, place, &again).unwrap().as_slice(), b"hunter2");
    let mut changed = sealed;
    *changed.last_mut().unwrap() ^= 1;
    assert!(both.rewrap((1, 2), place, &changed).is_err());
}

#[test]
fn a_file_takes_keys_and_gives_them_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(MASTER_KEY_FILE);
    let (first, other) = (vault(dir.path(), None), vault(dir.path(), None));
    let old = first.fingerprints().remove(0);
    let turn = first.take_turn().unwrap();
    assert!(matches!(other.take_turn(), Err(VaultError::Busy)));
    let new = first.add_key(&turn).unwrap();
    assert_eq!(first.fingerprints(), [new.clone(), old.clone()]);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    assert!(!other.knows(2));
    other.reload().unwrap();
    other.learn([(1, old.as_str()), (2, new.as_str())]);
    assert!(other.knows(2));
    first.keep_keys(&turn, &[new.as_str()]).unwrap();
    other.reload().unwrap();
    assert_eq!(other.fingerprints(), [new]);
    assert!(
        other.knows(1),
        "what was read under it is still to be opened"
    );
    drop(turn);
    assert!(other.take_turn().is_ok());
}

#[test]
fn keys_that_were_given_are_changed_where_they_come_from() {
    let dir = tempfile::tempdir().unwrap();
    let given = vault(dir.path(), Some(&STANDARD.encode([7; KEY])));
    let turn = given.take_turn().unwrap();
    assert!(matches!(given.add_key(&turn), Err(VaultError::Given)));
    assert!(matches!(
        given.keep_keys(&turn, &[]),
        Err(VaultError::Given)
    ));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_version_that_is_not_known_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let refused = vault(dir.path(), None).seal(2, place("t", 1, 1), b"x");
    assert!(matches!(
        refused,
        Err(VaultError::UnknownKey { version: 2 })
    ));
}

#[test]
fn no_key_is_made_for_a_database_that_has_lost_its_own() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(MAIN_FILE), "a database").unwrap();
    assert!(matches!(
        Vault::load_or_create(dir.path(), None),
        Err(VaultError::Missing { .. })
    ));
    assert!(!dir.path().join(MASTER_KEY_FILE).exists());
}

#[test]
fn the_key_is_made_once_and_for_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(MASTER_KEY_FILE);
    let place = place("t", 1, 1);
    let sealed = vault(dir.path(), None).seal(1, place, b"x").unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(vault(dir.path(), None).open(1, place, &sealed).is_ok());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        vault(dir.path(), Some(&text))
            .open(1, place, &sealed)
            .is_ok()
    );

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(
        Vault::load_or_create(dir.path(), None),
        Err(VaultError::Exposed { mode: 0o640, .. })
    ));
}

#[test]
fn a_key_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let key = STANDARD.encode([7; KEY]);
    for text in [
        "",
        "hunter2",
        "AAAA",
        &STANDARD.encode([0; 31]),
        &format!("{key} hunter2"),
        &[key.as_str(); 9].join(" "),
    ] {
        let refused = Vault::load_or_create(dir.path(), Some(text));
        assert!(matches!(refused, Err(VaultError::Malformed)), "{text:?}");
    }
    assert!(!dir.path().join(MASTER_KEY_FILE).exists());
}
