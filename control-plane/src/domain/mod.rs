//! Pure types and rules: names, passwords, roles, uploaded archives, how often something may be
//! done.

pub mod access;
pub mod activity;
pub mod allowance;
pub mod archive;
pub mod billing;
pub mod deploy_key;
pub mod forge;
pub mod glob;
pub mod hex;
pub mod identity;
pub mod integration;
pub mod membership;
pub mod merge;
pub mod named;
pub mod names;
pub mod notification;
pub mod notification_channel;
pub mod notification_format;
pub mod password;
pub mod permission;
pub mod pipeline;
pub mod plugin;
pub mod push;
pub mod rate;
pub mod recovery;
pub mod regeneration;
pub mod release_diff;
pub mod repository;
pub mod retry;
pub mod rollback;
pub mod scope;
pub mod secrets;
pub mod totp;
pub mod webhook;
pub mod webhook_signature;
