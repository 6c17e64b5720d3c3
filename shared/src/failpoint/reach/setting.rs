//! Which points are set, and telling which are reached.

use std::env;
use std::fs::File;
use std::io::Write as _;
use std::process::exit;
use std::sync::OnceLock;

use super::{REACHED, SET};

/// Sets the points that the environment names, the first time.
pub(super) fn load() {
    static LOADED: OnceLock<()> = OnceLock::new();
    LOADED.get_or_init(|| {
        let set = env::var(SET).unwrap_or_default();
        for setting in set.split(';').filter(|setting| !setting.is_empty()) {
            let done = match setting.split_once('=') {
                Some((point, actions)) => fail::cfg(point, actions),
                None => Err("no action".to_owned()),
            };
            if let Err(error) = done {
                eprintln!("{SET}: {setting:?} cannot be set: {error}");
                exit(2);
            }
        }
    });
}

/// Tells that a point was reached.
pub(super) fn note(point: &str) {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let path = env::var_os(REACHED)?;
        let file = File::options().append(true).create(true).open(&path);
        if let Err(error) = &file {
            eprintln!("{REACHED}: {} cannot be written: {error}", path.display());
            exit(2);
        }
        file.ok()
    });
    if let Some(mut file) = file.as_ref() {
        // One write a line, so that the lines of several threads and processes stay whole.
        if let Err(error) = file.write_all(format!("{point}\n").as_bytes()) {
            eprintln!("{REACHED}: {error}");
            exit(2);
        }
    }
}
