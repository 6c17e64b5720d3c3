//! Certificates that are made without any control plane.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::Value;

use crate::plane::{Plane, Ran, World};

fn pki(plane: &Plane, arguments: &[&str]) -> Ran {
    let all = [&["pki", "docker"], arguments].concat();
    Ran::of(&plane.stranger(&all).output().unwrap())
}

fn text(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn a_bundle_is_made_renewed_and_given_to_one_more() {
    let (plane, home) = (Plane::start(World::default()), tempfile::tempdir().unwrap());
    let folder = home.path().join("bundle");
    let out = folder.to_str().unwrap();
    let whole = ["--host", "build-1", "--ip", "192.0.2.7", "--out", out];

    let made = pki(&plane, &whole);
    assert_eq!(made.code, Some(0), "{made:?}");
    for part in [
        "tcp://build-1:2376",
        "\"tlsverify\": true",
        "docker context create",
    ] {
        assert!(made.stdout.contains(part), "{part}: {made:?}");
    }
    assert!(made.stderr.contains("root on this host"), "{made:?}");
    let modes = [
        ("ca.pem", 0o644),
        ("ca-key.pem", 0o600),
        ("server-cert.pem", 0o644),
        ("server-key.pem", 0o600),
        ("cert.pem", 0o644),
        ("key.pem", 0o600),
    ];
    for (name, mode) in modes {
        let metadata = fs::metadata(folder.join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), modes.len());

    let before = (text(&folder, "ca.pem"), text(&folder, "server-cert.pem"));
    let again = pki(&plane, &whole);
    assert_eq!(again.code, Some(2), "{again:?}");
    assert!(again.stderr.contains("renew it by --force"), "{again:?}");
    assert_eq!(text(&folder, "server-cert.pem"), before.1);
    let renewed = pki(&plane, &[&whole[..], &["--force", "--json"]].concat());
    let renewed: Value = serde_json::from_str(&renewed.stdout).unwrap();
    assert_eq!(renewed["authority"], "used_again");
    assert_eq!(renewed["server"]["names"][1], "192.0.2.7");
    assert_eq!(text(&folder, "ca.pem"), before.0);
    assert_ne!(text(&folder, "server-cert.pem"), before.1);

    let other = home.path().join("ann");
    let other_out = other.to_str().unwrap();
    let one_more = ["--ca", out, "--client", "ann", "--out", other_out];
    assert_eq!(pki(&plane, &one_more).code, Some(0));
    assert_eq!(
        fs::read_dir(&other).unwrap().count(),
        3,
        "no key of the authority"
    );
    assert_eq!(text(&other, "ca.pem"), before.0);
}

#[test]
fn what_cannot_be_right_writes_nothing() {
    let (plane, home) = (Plane::start(World::default()), tempfile::tempdir().unwrap());
    let folder = home.path().join("bundle");
    let out = folder.to_str().unwrap();
    let table: [(&[&str], &str); 10] = [
        (&[], "there is no name"),
        (&["--host", ""], "\"\" is empty"),
        (&["--host", "tcp://a:2376"], "\"tcp://a:2376\" has a scheme"),
        (&["--host", "a:2376"], "has a port"),
        (&["--host", "a.*.b"], "is a wildcard"),
        (
            &["--host", "a", "--ip", "0.0.0.0"],
            "\"0.0.0.0\" means no single host",
        ),
        (&["--host", "a", "--ip", "b"], "\"b\" is no IP address"),
        (&["--host", "a", "--host", "A"], "\"a\" is there twice"),
        (
            &["--host", "a", "--client", "a b"],
            "\"a b\" cannot be the name",
        ),
        (&["--client", "ann"], "There is no authority"),
    ];
    for (arguments, words) in table {
        let refused = pki(&plane, &[arguments, &["--out", out]].concat());
        assert_eq!(refused.code, Some(2), "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
        assert!(!folder.exists(), "{arguments:?}");
    }
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("ca.pem"), "a certificate").unwrap();
    let half = pki(&plane, &["--host", "a", "--out", out]);
    assert!(
        half.stderr.contains("has ca.pem and no ca-key.pem"),
        "{half:?}"
    );
    fs::write(folder.join("ca-key.pem"), "a key").unwrap();
    let broken = pki(&plane, &["--host", "a", "--out", out]);
    assert!(broken.stderr.contains("cannot be used"), "{broken:?}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
}
