//! A picture of some kinds of objects that follows the cluster, until it is dropped.
//!
//! Each kind in each namespace is listed once and watched from there; a watch that ends is begun where it ended, and one
//! whose place the cluster has forgotten (410), or that breaks off, begins with a list again. What is looked at is always
//! whole as of some moment, or older: never a mixture of names that were and were not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::api::{Api, Seen, text};
use super::at::Kind;
use super::error::ApiError;

/// How soon to begin again after the API was away.
const RETRY: Duration = Duration::from_millis(500);

/// A kind of objects in a namespace, or in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Collection {
    pub kind: Arc<Kind>,
    pub namespace: Option<String>,
    /// The rest of the query.
    pub selector: String,
}

/// What is kept of an object.
pub(super) type Keep = fn(Value) -> Value;

/// A picture that follows the cluster.
pub(super) struct Mirror {
    shared: Arc<Shared>,
    followers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    picture: Mutex<Picture>,
    changed: Notify,
}

#[derive(Default)]
struct Picture {
    /// By the place of the collection, and the object's namespace and name.
    objects: HashMap<(usize, String), Value>,
    /// How many collections were listed.
    listed: Vec<usize>,
    trouble: Option<ApiError>,
}

impl Mirror {
    /// Begins to follow.
    pub fn start(api: &Api, collections: Vec<Collection>, keep: Keep) -> Self {
        let shared = Arc::<Shared>::default();
        let follow = |(place, collection)| {
            tokio::spawn(follow(
                api.clone(),
                place,
                collection,
                keep,
                Arc::clone(&shared),
            ))
        };
        let followers = collections.into_iter().enumerate().map(follow).collect();
        Self { shared, followers }
    }

    /// Waits until something has changed since the last time; a moment more takes what comes with it.
    pub async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// Whether all was listed once.
    pub fn is_whole(&self) -> bool {
        self.lock().listed.len() == self.followers.len()
    }

    /// Looks at each object.
    pub fn look<T>(&self, mut look: impl FnMut(&Value) -> Option<T>) -> Vec<T> {
        let picture = self.lock();
        picture.objects.values().filter_map(&mut look).collect()
    }

    /// Why it does not follow at the moment.
    pub fn trouble(&self) -> Option<ApiError> {
        self.lock().trouble.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Picture> {
        self.shared.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Picture> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        for follower in &self.followers {
            follower.abort();
        }
    }
}

async fn follow(api: Api, place: usize, collection: Collection, keep: Keep, shared: Arc<Shared>) {
    loop {
        let ended = follow_once(&api, place, &collection, keep, &shared).await;
        if let Err(error) = ended
            && !error.is_expired()
        {
            shared.lock().trouble = Some(error);
            shared.changed.notify_one();
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn follow_once(
    api: &Api,
    place: usize,
    collection: &Collection,
    keep: Keep,
    shared: &Shared,
) -> Result<(), ApiError> {
    let Collection {
        kind,
        namespace,
        selector,
    } = collection;
    let (objects, mut version) = api
        .list_with_version(kind, namespace.as_deref(), selector)
        .await?;
    take_list(place, objects, keep, shared);
    loop {
        let events = api
            .watch(kind, namespace.as_deref(), selector, &version)
            .await?;
        pin_mut!(events);
        while let Some(event) = events.next().await {
            match event? {
                Seen::Object(object) => {
                    version = text(&object, "/metadata/resourceVersion");
                    let key = (place, key(&object));
                    shared.lock().objects.insert(key, keep(object));
                    shared.changed.notify_one();
                }
                Seen::Gone(object) => {
                    version = text(&object, "/metadata/resourceVersion");
                    shared.lock().objects.remove(&(place, key(&object)));
                    shared.changed.notify_one();
                }
                Seen::Mark(mark) => version = mark,
            }
        }
    }
}

fn take_list(place: usize, objects: Vec<Value>, keep: Keep, shared: &Shared) {
    let mut picture = shared.lock();
    picture.objects.retain(|(other, _), _| *other != place);
    for object in objects {
        let key = (place, key(&object));
        picture.objects.insert(key, keep(object));
    }
    if !picture.listed.contains(&place) {
        picture.listed.push(place);
    }
    picture.trouble = None;
    drop(picture);
    shared.changed.notify_one();
}

fn key(object: &Value) -> String {
    format!(
        "{}/{}",
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name")
    )
}
