//! What is kept of a project's releases on its host: the last one that came up, whole, and the images of the last few
//! under names of our own.
//!
//! A build leaves the image before it without a name, and so does a pull of a tag that has moved; whoever tidies up the
//! host then takes it away. A name keeps it for a rollback. Nothing here decides whether a deploy succeeds: what cannot
//! be kept is told in its log.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use towline_shared::spec::{Deploy, PinnedImage, VolumeFate};

use super::job::Job;
use crate::state_dir::write_durably;

/// What all names of our own begin with.
const NAMESPACE: &str = "towline/";
const IMAGES: &str = "images.json";
const LAST: &str = "last-release";

/// The release that ran last, with the images it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Last {
    pub deploy: Deploy,
    pub images: Vec<PinnedImage>,
}

/// The images of releases, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Releases(Vec<BTreeSet<(String, String)>>);

impl Releases {
    /// Notes what runs now, and forgets all but so many.
    fn note(&mut self, images: &[PinnedImage], kept: u16) {
        let now: BTreeSet<_> = images
            .iter()
            .map(|image| (image.service.clone(), image.id.clone()))
            .collect();
        self.0.retain(|release| *release != now);
        self.0.insert(0, now);
        self.0.truncate(usize::from(kept));
    }

    /// The names that keep all of them.
    fn names(&self, project: &str) -> BTreeSet<String> {
        let images = self.0.iter().flatten();
        let names = images.map(|(service, id)| name(project, service, id));
        names.map(|(name, tag)| format!("{name}:{tag}")).collect()
    }
}

/// Keeps what has just come up, and lets go of what nobody goes back to.
pub(super) async fn keep(job: &Job<'_>, deploy: &Deploy, images: &[PinnedImage]) {
    if let Err(error) = keep_images(job, images).await {
        let note = format!("the images of this release are not kept for a later rollback: {error}");
        job.note(&note).await;
    }
    let last = Last {
        deploy: deploy.clone(),
        images: images.to_vec(),
    };
    if let Err(error) = write_last(&job.folder.record(LAST), &last) {
        let note = format!("this release is not kept for an automatic rollback: {error}");
        job.note(&note).await;
    }
}

async fn keep_images(job: &Job<'_>, images: &[PinnedImage]) -> Result<(), String> {
    let path = job.folder.record(IMAGES);
    let before = read(&path);
    let mut releases = before.clone();
    releases.note(images, job.task.terms.keep_releases());
    if releases == before {
        return Ok(());
    }
    let engine = &job.host.engine;
    for image in images {
        let (name, tag) = name(job.project, &image.service, &image.id);
        let tagged = engine.tag(&image.id, &name, &tag).await;
        tagged.map_err(|error| error.to_string())?;
    }
    let text = serde_json::to_vec(&releases).map_err(|error| error.to_string())?;
    write_durably(&path, &text).map_err(|error| error.to_string())?;
    let_go(job, &releases.names(job.project)).await;
    Ok(())
}

/// Takes our names away, but for these. What a container is made of still stays for the next time.
async fn let_go(job: &Job<'_>, needed: &BTreeSet<String>) {
    let engine = &job.host.engine;
    let pattern = format!("{NAMESPACE}{}/*", component(job.project));
    for name in engine.tags(&pattern).await.unwrap_or_default() {
        if name.starts_with(NAMESPACE) && !needed.contains(&name) {
            let _ = engine.untag(&name).await;
        }
    }
}

/// The project is removed: nothing of it runs. Who wants its data gone wants its images gone, too.
pub(super) async fn forget(job: &Job<'_>, volumes: VolumeFate) {
    let _ = std::fs::remove_file(job.folder.record(LAST));
    if volumes == VolumeFate::Delete {
        let_go(job, &BTreeSet::new()).await;
    }
}

/// The release that ran last, if one did.
pub(super) fn last(job: &Job<'_>) -> Option<Last> {
    let bytes = std::fs::read(job.folder.record(LAST)).ok()?;
    postcard::from_bytes(&bytes).ok()
}

fn write_last(path: &Path, last: &Last) -> std::io::Result<()> {
    let bytes = postcard::to_stdvec(last).map_err(std::io::Error::other)?;
    if std::fs::read(path).is_ok_and(|known| known == bytes) {
        return Ok(());
    }
    write_durably(path, &bytes)
}

/// What cannot be read is forgotten: it is only for convenience.
fn read(path: &Path) -> Releases {
    let text = std::fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Our name of an image: what is before the colon, and behind it.
pub(super) fn name(project: &str, service: &str, id: &str) -> (String, String) {
    let name = format!("{NAMESPACE}{}/{}", component(project), component(service));
    let digest = id.rsplit(':').next().unwrap_or(id);
    (name, digest.chars().take(32).collect())
}

/// Whether a name is one of ours; no registry has it.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with(NAMESPACE)
}

/// A part of an image's name, which allows less than names of projects and services do.
pub(super) fn component(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let parts = || name.split(['-', '_', '.']);
    if parts().all(|part| !part.is_empty() && part.chars().all(is_plain)) {
        return name.to_owned();
    }
    let plain: String = name
        .to_ascii_lowercase()
        .chars()
        .filter(|c| is_plain(*c))
        .collect();
    let digest = Sha256::digest(name);
    format!(
        "{plain}x{:02x}{:02x}{:02x}{:02x}",
        digest[0], digest[1], digest[2], digest[3]
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use towline_shared::spec::KEPT_RELEASES;

    fn image(service: &str, id: &str) -> PinnedImage {
        PinnedImage {
            service: service.into(),
            reference: "x".into(),
            id: format!("sha256:{id}"),
            digests: Vec::new(),
        }
    }

    #[test]
    fn the_images_of_the_last_releases_are_kept() {
        let mut releases = Releases::default();
        for id in ["1", "2", "3", "4", "5", "6", "2"] {
            releases.note(&[image("web", id), image("db", "d")], KEPT_RELEASES);
        }
        let names: Vec<_> = releases.names("shop").into_iter().collect();
        let web = ["2", "3", "4", "5", "6"].map(|id| format!("towline/shop/web:{id}"));
        assert_eq!(names[0], "towline/shop/db:d");
        assert_eq!(names[1..], web, "the first has gone, the second ran again");
        releases.note(&[image("web", "6"), image("db", "d")], 2);
        let names: Vec<_> = releases.names("shop").into_iter().collect();
        let web = ["2", "6"].map(|id| format!("towline/shop/web:{id}"));
        assert_eq!(names[1..], web, "what runs, and what ran before it");
    }

    #[test]
    fn names_are_what_engines_take() {
        let table = [
            ("shop", "shop"),
            ("shop-1_a.b", "shop-1_a.b"),
            ("Web", "webx"),
            ("a--b", "abx"),
            ("shop_", "shopx"),
        ];
        for (name, expected) in table {
            let part = component(name);
            assert!(part.starts_with(expected), "{name}: {part}");
            assert_eq!(part == name, expected == name, "{name}: {part}");
        }
        assert_ne!(component("shop_"), component("shop"));
        let (name, tag) = name("shop", "web", &format!("sha256:{}", "ab".repeat(32)));
        assert_eq!((name.as_str(), tag.len()), ("towline/shop/web", 32));
        assert!(is_ours(&name) && !is_ours("nginx@sha256:1"));
    }
}
