//! The three patches that are no server-side apply.

mod json_patch;
mod merge_patch;
mod strategic;

pub(crate) use json_patch::json_patch;
pub(crate) use merge_patch::merge_patch;
pub(crate) use strategic::strategic;
