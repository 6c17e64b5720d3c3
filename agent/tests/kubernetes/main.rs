//! The Kubernetes executor against an API server: one in memory, or, where `TOWLINE_TEST_KUBECONFIG` names a cluster, that.
//!
//! Each test has namespaces of its own and takes them away. What needs pods that run is left out where
//! `TOWLINE_TEST_PODS=none` says that the cluster has no nodes for them; what does harm to the API server itself (`faults`)
//! always has the one in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod acts;
mod bad_input;
mod faults;
mod home;
mod host;
mod pods;
mod releases;
mod rights;
mod secrets;
