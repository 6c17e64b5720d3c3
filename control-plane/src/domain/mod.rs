//! Pure types and rules: names, uploaded archives, how often something may be done.

pub mod allowance;
pub mod archive;
pub mod names;
