//! Pure types and rules: names, uploaded archives.

pub mod archive;
pub mod names;
