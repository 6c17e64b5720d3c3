#![allow(clippy::unwrap_used)]
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;

fn file(path: &str, content: &str) -> ProjectFile {
    ProjectFile {
        path: path.into(),
        content: content.into(),
        mode: FileMode::Regular,
    }
}

fn mount(path: &str, access: Access) -> Mount {
    Mount {
        path: path.into(),
        access,
    }
}

fn folder() -> (tempfile::TempDir, ProjectFolder) {
    let state = tempfile::tempdir().unwrap();
    let folder = ProjectFolder::new(state.path(), "shop");
    folder.create().unwrap();
    (state, folder)
}

#[test]
fn a_damaged_manifest_is_no_empty_one() {
    let (_state, folder) = folder();
    folder
        .sync(&[file("a", "1")], &[mount("data", Access::Write)])
        .unwrap();
    let below = [mount("data/inner", Access::ReadOnly)];
    assert!(matches!(
        folder.check_mounts(&below),
        Err(FolderError::BelowWritable { .. })
    ));
    std::fs::write(folder.root.join(MANIFEST), "").unwrap();
    assert!(matches!(
        folder.check_mounts(&below),
        Err(FolderError::Manifest { .. })
    ));
}

#[test]
fn files_follow_the_release_and_unchanged_ones_keep_their_inode() {
    let (_state, folder) = folder();
    folder
        .sync(&[file("a", "1"), file("d/e/f", "2"), file("d/g", "3")], &[])
        .unwrap();
    let inode = |path: &str| std::fs::metadata(folder.files().join(path)).unwrap().ino();
    let before = (inode("a"), inode("d/g"));
    std::fs::write(folder.files().join("d/own"), "made by a container").unwrap();
    folder
        .sync(&[file("a", "1"), file("d/g", "4")], &[])
        .unwrap();
    assert_eq!(inode("a"), before.0);
    assert_ne!(inode("d/g"), before.1);
    assert_eq!(
        std::fs::read_to_string(folder.files().join("d/g")).unwrap(),
        "4"
    );
    assert!(
        !folder.files().join("d/e").exists(),
        "an emptied folder goes"
    );
    assert!(folder.files().join("d/own").exists(), "foreign files stay");
    assert_eq!(
        std::fs::metadata(&folder.root)
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
    folder.remove_files().unwrap();
    assert!(!folder.files().join("a").exists() && folder.files().join("d/own").exists());
}

#[test]
fn what_was_never_deployed_is_removed() {
    let state = tempfile::tempdir().unwrap();
    let folder = ProjectFolder::new(state.path(), "shop");
    folder.remove_files().unwrap();
    // What the removal itself notes of its work.
    std::fs::create_dir_all(folder.record("compose.json").parent().unwrap()).unwrap();
    folder.remove_files().unwrap();
    folder.create().unwrap();
    folder.sync(&[file("a", "1")], &[]).unwrap();
    for _ in 0..2 {
        folder.remove_files().unwrap();
        assert!(!folder.files().join("a").exists());
    }
}

#[test]
fn links_that_containers_made_are_not_followed() {
    let (state, folder) = folder();
    let outside = state.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("passwd"), "root").unwrap();
    symlink(&outside, folder.files().join("data")).unwrap();
    assert!(matches!(
        folder.sync(&[file("data/passwd", "evil")], &[]),
        Err(FolderError::Link(_) | FolderError::Io { .. })
    ));
    assert_eq!(
        std::fs::read_to_string(outside.join("passwd")).unwrap(),
        "root"
    );
    let mounts = [mount("data/passwd", Access::ReadOnly)];
    assert!(matches!(
        folder.check_mounts(&mounts),
        Err(FolderError::Link(_))
    ));
    symlink(outside.join("passwd"), folder.files().join("file")).unwrap();
    folder.sync(&[file("file", "own")], &[]).unwrap();
    assert_eq!(
        std::fs::read_to_string(outside.join("passwd")).unwrap(),
        "root"
    );
    assert_eq!(
        std::fs::read_to_string(folder.files().join("file")).unwrap(),
        "own"
    );
}

#[test]
fn nothing_is_mounted_from_below_what_containers_can_write() {
    let (_state, folder) = folder();
    let nested = [
        mount("data", Access::Write),
        mount("data/uploads", Access::ReadOnly),
    ];
    assert!(matches!(
        folder.check_mounts(&nested),
        Err(FolderError::BelowWritable { .. })
    ));
    let shared = [
        mount("data", Access::Write),
        mount("data", Access::ReadOnly),
        mount("www/x", Access::ReadOnly),
    ];
    folder.check_mounts(&shared).unwrap();
    folder.sync(&[], &shared).unwrap();
    let later = [mount("data/uploads", Access::ReadOnly)];
    assert!(
        matches!(
            folder.check_mounts(&later),
            Err(FolderError::BelowWritable { .. })
        ),
        "it is remembered"
    );
    folder.sync(&[], &[mount("", Access::Write)]).unwrap();
    assert!(
        folder
            .check_mounts(&[mount("www/x", Access::ReadOnly)])
            .is_err()
    );
    folder.check_mounts(&[mount("", Access::ReadOnly)]).unwrap();
}

#[test]
fn paths_that_leave_are_refused() {
    let (state, folder) = folder();
    for path in [
        "../x",
        "/etc/x",
        "a/../../x",
        "",
        "a//b",
        "./a",
        HALF_WRITTEN,
    ] {
        assert!(
            matches!(
                folder.sync(&[file(path, "x")], &[]),
                Err(FolderError::Path(_))
            ),
            "{path}"
        );
        let private = state.path().join("private");
        assert!(
            matches!(
                write_private(&private, &[file(path, "x")]),
                Err(FolderError::Path(_))
            ),
            "{path}"
        );
    }
}
