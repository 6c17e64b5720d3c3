//! A Kubernetes API server in memory, for tests: what clients see of a cluster at 1.33, with one node and no containers.
//!
//! It is there because no real one is to be had on a test machine. Tests that stand on it run unchanged against a real cluster, so that whatever a client
//! can see is as there; where it is not, the list below says so, and a test must not depend on it.
//!
//! **As the real one:** one revision for all objects; watches with bookmarks, initial events, and 410; lists in pages; server-side apply with owners in
//! `managedFields`, conflicts, shared ownership, taking over, and pruning; the three patches; dry runs that do everything but the effect; generations;
//! finalizers, owners, and the three ways of propagation; graces of pods; namespaces that empty themselves; defaults and validation of what deploys are
//! made of; field validation; custom resources with their schemas; quotas of objects; validating webhooks; roles, tokens, impersonation, and the words in
//! which all of that is refused. `kubectl` works with it, protobuf included.
//!
//! **Simulated:** Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, claims of storage, and pods, each a few tens of milliseconds after what it
//! reacts to. A pod does what it is: an image with `does-not-exist` in it is not there; a command whose last word is `false`, or a script with `exit 1`,
//! ends with 1, and `true` or `exit 0` with 0; a script of nothing but `echo` ends with 0 as well, and so do initial containers that say nothing else; a
//! readiness probe that executes `false` never succeeds; a `nodeSelector` that the node has not keeps the pod pending; a Secret or ConfigMap that the
//! environment names must be there; all else runs, and is ready. What a script echoes are the first lines of its log. Pauses of a crash loop begin
//! with [`Settings::back_off`], while the words tell the real ones.
//!
//! **Not there:** answers as tables (`kubectl get` shows names and ages alone) or in protobuf; YAML that is no JSON; `exec`, `attach`, `port-forward`;
//! mutating webhooks and admission policies; limit ranges, and quotas of processors and memory; CronJobs that run, autoscalers that scale, disruption
//! budgets that hold evictions up; ControllerRevisions, EndpointSlices, and Endpoints; the volume with a token that each pod has; versions of managed
//! fields beside the one that is written; conversion of custom resources between versions; rules of validation in CEL; aggregated roles: `cluster-admin`,
//! `admin`, `edit` and `view` allow roughly what they do elsewhere. A list that goes on shows what is there by then. Structures in messages that are neither maps of texts nor selectors are JSON, as they are from 1.34 on.
//!
//! **What only tests may do** is [`Cluster`]'s methods, and for another process, by the admin's token and in JSON:
//!
//! | `POST /_towline/…` | body |
//! |---|---|
//! | `counts` (`GET` as well), `mark` | requests since the mark, by verb, `dryRun` and resource |
//! | `away`, `latency` | `{"milliseconds": 500}` |
//! | `fail` | `{"method": "PATCH", "path": "/deployments/", "times": 2, "code": 500, "reason": "InternalError", "message": "…"}` |
//! | `compact`, `metrics` | nothing, or `{"name": "node-1", "cpu": "250m", "memory": "1Gi"}` |
//! | `tokens/NAMESPACE/ACCOUNT`, `…/expire` | nothing, or `{"milliseconds": 0}` |
//! | `pods/bulk` | `{"namespace": "default", "count": 5000}` |
//! | `pods/NAMESPACE/POD/CONTAINER/log`, `…/restart`, `…/rotate` | lines, or nothing |

mod access;
mod admission;
mod api;
mod apply;
mod bootstrap;
mod bulk;
mod cluster;
mod containers;
mod controllers;
mod controls;
mod document;
mod kinds;
mod patch;
mod refusal;
mod selectors;
mod serve;
mod settings;
mod spelling;
mod state;
mod store;
mod tls;

pub use cluster::Cluster;
pub use controls::{Failure, RequestKind};
pub use settings::{LoadBalancers, MetricsServer, Settings};

/// The one node of each cluster.
pub const NODE: &str = "node-1";
