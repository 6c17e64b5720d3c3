//! Verbs with several writes or several callers.

mod builder;
mod by_provider;
mod cancel;
mod cluster;
mod correct;
mod deploy;
mod deploy_key;
mod docker_certificate;
mod docker_tls;
mod enroll;
mod error;
mod generate;
mod integration;
mod judge;
mod plugin;
mod preview;
mod project;
mod pull_request;
mod push;
mod push_installation;
mod refusal;
mod registry;
mod release_diff;
mod remove;
mod renew;
mod reset;
mod retry;
mod revoke;
mod rollback;
mod second_factor;
mod setup;
mod sign_in;
mod sign_up;
mod source;
mod submit;
mod template;
mod terms;
mod upgrade_agent;

pub use by_provider::{
    Came, NotByProvider, Returned, Sent, confirm_to_link, give_code, return_from_provider,
    send_to_link, send_to_provider,
};
pub use cancel::cancel;
pub use cluster::{ProjectCluster, find_cluster};
pub use correct::correct;
pub use deploy::{NewDeployment, deploy};
pub use deploy_key::{
    accept_host_keys, forget_source, install_deploy_key, renew_deploy_key, uninstall_deploy_key,
};
pub use docker_certificate::{IssuedDockerCertificate, issue_docker_certificate};
pub use docker_tls::{GivenEngine, add_docker_tls, forget_docker_tls, replace_docker_tls};
pub use enroll::enroll;
pub use error::OpsError;
pub use generate::{Conflicts, GeneratedFile, Generation, GenerationWish, generate};
pub use integration::{
    FromIntegration, WantedToken, connect_integration, list_branches, list_repositories,
    replace_token, set_source_from,
};
pub use plugin::test_plugin;
pub use preview::{NewPreview, preview};
pub use project::create_project;
pub use pull_request::{Delivery, deliver_files};
pub use push::{VerifiedPush, deploy_push, take_push, verify_push};
pub use push_installation::{install_push_hook, uninstall_push_hook};
pub use registry::{Check, add_registry, set_project_registry, set_registry_password};
pub use release_diff::diff_releases;
pub use remove::{NewRemoval, remove};
pub use renew::{renew, renew_live};
pub use reset::use_reset;
pub use retry::retry;
pub use revoke::revoke;
pub use rollback::{NewRollback, RolledBack, rollback};
pub use second_factor::{
    Proposed, disable_second_factor, enable_second_factor, propose_second_factor,
};
pub use setup::complete_setup;
pub use sign_in::{NotLetIn, SignIn, change_password, sign_in};
pub use sign_up::{SignUp, sign_up};
pub use source::{UNREAD, WantedSource, set_source};
pub use template::{FromTemplate, begin_from, create_template};
pub use upgrade_agent::note_upgrade;

pub use crate::store::people::SetUp;
