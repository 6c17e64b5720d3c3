//! Another time for one process, by `libfaketime`.

use std::fs;

/// The environment that makes a process believe its clock is off by `offset` (`+1h`, `-8d`). Without the wrapper
/// program, so that a signal reaches the process itself.
pub fn faked(offset: &str) -> [(String, String); 2] {
    let folders = fs::read_dir("/usr/lib")
        .expect("/usr/lib can be read")
        .flatten();
    let library = folders
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.exists())
        .expect("libfaketime is installed: run tests/setup");
    [
        ("LD_PRELOAD".into(), library.display().to_string()),
        ("FAKETIME".into(), offset.into()),
    ]
}
