//! Deploying images that another host has built: first they come here, over the control plane, as far as this engine
//! lacks them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::sync::mpsc;
use towline_shared::outcome::{FailureReason, Step};
use towline_shared::policy::{HostPolicy, Permission};
use towline_shared::relay::{Digest, Image, layers_of};
use towline_shared::spec::{PinnedImage, Relayed};

use super::archive::{self, Outgoing, Packed};
use super::engine::EngineError;
use super::job::Job;
use super::kept;
use super::publish::{carried_words, layers_folder};
use super::release;
use super::stop::Stop;
use crate::relay::{Carried, Courier};
use crate::state_dir::write_durably;

/// How many pieces of an archive wait for the engine.
const PIECES: usize = 8;

/// Brings the images here, and the release up.
pub(super) async fn run(job: &mut Job<'_>, relayed: &Relayed) -> Result<Vec<PinnedImage>, Stop> {
    if let Some(message) = refusal(&job.host.policy) {
        return Err(Stop::failed(FailureReason::PolicyRefused, message));
    }
    let mut release = relayed.release.clone();
    release.images.extend(images(job).await?);
    release::run(job, &release).await
}

/// A host that takes images of some registries alone takes none that was built from anything at all.
fn refusal(policy: &HostPolicy) -> Option<String> {
    if policy.registries.is_empty() || policy.build == Permission::Allow {
        return None;
    }
    Some(format!(
        "this host runs images of {} alone (rule registries), so it takes none that another host has built; its owner \
         may allow them: `build = \"allow\"` in the agent's policy file",
        policy.registries.join(", ")
    ))
}

/// The images that services run, all of which are here then.
async fn images(job: &mut Job<'_>) -> Result<Vec<PinnedImage>, Stop> {
    let received = job.task.dir.join("received.json");
    let known = std::fs::read(&received).ok();
    if let Some(pins) = known.and_then(|text| serde_json::from_slice(&text).ok()) {
        return Ok(pins);
    }
    job.open().await?;
    job.engine_at_start().await?;
    job.task.progress.begin(Step::Receiving).await?;
    "the control plane to give the images".clone_into(&mut job.waiting_for);
    let mut courier = job.host.relay.courier(job.task.attempt);
    let images = job.bounded(courier.images()).await??;
    let mut carried = Carried::default();
    for image in &images.0 {
        check(image)?;
        receive(job, &mut courier, image, &mut carried).await?;
    }
    job.note(&carried_words("fetched", carried)).await;
    let pins: Vec<PinnedImage> = images.0.iter().map(pinned).collect();
    let written = serde_json::to_vec(&pins)
        .map_err(std::io::Error::other)
        .and_then(|text| write_durably(&received, &text));
    written.map_err(|error| Stop::internal("cannot write the job's folder", &error))?;
    if let Ok(folder) = layers_folder(job) {
        let _ = std::fs::remove_dir_all(folder);
    }
    Ok(pins)
}

fn pinned(image: &Image) -> PinnedImage {
    PinnedImage {
        service: image.service.clone(),
        reference: image.reference.clone(),
        id: image.id.to_string(),
        digests: Vec::new(),
    }
}

/// The control plane is not trusted with what an image is: its id says that.
fn check(image: &Image) -> Result<(), Stop> {
    use sha2::Digest as _;
    let sum = Digest(sha2::Sha256::digest(&image.config).into());
    if sum == image.id && layers_of(&image.config).as_ref() == Ok(&image.layers) {
        return Ok(());
    }
    Err(Stop::failed(
        FailureReason::RelayFailed,
        format!(
            "the image of service `{}` is not the one that its id says",
            image.service
        ),
    ))
}

/// Brings one image into the engine, if it is not there.
async fn receive(
    job: &Job<'_>,
    courier: &mut Courier<'_>,
    image: &Image,
    carried: &mut Carried,
) -> Result<(), Stop> {
    let id = image.id.to_string();
    let engine = job.host.engine.clone();
    if job.bounded(engine.image_id(&id)).await??.is_some() {
        job.note(&format!("the image of {} is here already", image.service))
            .await;
        return Ok(());
    }
    let present = shared_layers(image, &job.bounded(engine.all_layers()).await??);
    let missing = &image.layers[present..];
    let note = format!(
        "this host lacks {} of {} layers of the image of {}",
        missing.len(),
        image.layers.len(),
        image.service
    );
    job.note(&note).await;
    let layers = fetch(job, courier, missing, carried).await?;
    let (name, tag) = kept::name(job.project, &image.service, &id);
    load(job, image, format!("{name}:{tag}"), layers).await?;
    if job.bounded(engine.image_id(&id)).await??.is_some() {
        return Ok(());
    }
    Err(Stop::failed(
        FailureReason::RelayFailed,
        format!(
            "the engine has taken the image of service `{}` under another id: it keeps images in containerd's store, which \
             cannot take relayed ones yet; turn that off (`\"features\": {{\"containerd-snapshotter\": false}}` in its \
             daemon.json), or build on this host",
            image.service
        ),
    ))
}

/// How many of an image's layers, from the lowest on, the engine has as those of another image.
fn shared_layers(image: &Image, others: &[Vec<String>]) -> usize {
    let shared = |other: &Vec<String>| {
        let pairs = image.layers.iter().zip(other);
        pairs
            .take_while(|(ours, theirs)| ours.to_string() == **theirs)
            .count()
    };
    others.iter().map(shared).max().unwrap_or(0)
}

/// Fetches layers, each with its unpacked size.
async fn fetch(
    job: &Job<'_>,
    courier: &mut Courier<'_>,
    missing: &[Digest],
    carried: &mut Carried,
) -> Result<Vec<(Packed, u64)>, Stop> {
    let folder = layers_folder(job)?;
    let mut sizes = BTreeMap::new();
    for digest in missing {
        if !sizes.contains_key(digest) {
            let file = folder.join(format!("{}.zst", digest.hex()));
            sizes.insert(
                *digest,
                fetch_one(job, courier, *digest, file, carried).await?,
            );
        }
    }
    let packed = |(digest, size): (Digest, u64)| {
        let file = folder.join(format!("{}.zst", digest.hex()));
        (Packed { digest, file }, size)
    };
    Ok(sizes.into_iter().map(packed).collect())
}

/// What a former process of the agent has fetched may have been lost with the host's power: then it is fetched anew.
async fn fetch_one(
    job: &Job<'_>,
    courier: &mut Courier<'_>,
    digest: Digest,
    file: PathBuf,
    carried: &mut Carried,
) -> Result<u64, Stop> {
    for _ in 0..2 {
        let fetched = job.bounded(courier.fetch(digest, &file)).await??;
        carried.bytes += fetched.bytes;
        carried.cuts += fetched.cuts;
        let layer = Packed {
            digest,
            file: file.clone(),
        };
        let measured = tokio::task::spawn_blocking(move || archive::measure(&layer)).await;
        let measured =
            measured.map_err(|error| Stop::failed(FailureReason::Internal, error.to_string()))?;
        let measured = measured.map_err(|error| Stop::internal("cannot read a layer", &error))?;
        if let Some(size) = measured {
            return Ok(size);
        }
        let removed = std::fs::remove_file(&file);
        removed.map_err(|error| Stop::internal("cannot write the job's folder", &error))?;
    }
    Err(Stop::failed(
        FailureReason::RelayFailed,
        format!(
            "what the control plane gives for the layer {digest} has another digest; build the images again"
        ),
    ))
}

async fn load(
    job: &Job<'_>,
    image: &Image,
    name: String,
    layers: Vec<(Packed, u64)>,
) -> Result<(), Stop> {
    let (sender, mut receiver) = mpsc::channel(PIECES);
    let image = image.clone();
    let writing = tokio::task::spawn_blocking(move || {
        let pieces = std::io::BufWriter::with_capacity(256 * 1024, Outgoing(sender.clone()));
        let written = archive::write(pieces, &image, &name, &layers);
        if let Err(error) = &written {
            // Without it the engine would see an end.
            let _ = sender.blocking_send(Err(std::io::Error::other(error.to_string())));
        }
        written
    });
    let archive = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    let loaded = job.bounded(job.host.engine.load(archive)).await?;
    let written = writing.await;
    match (loaded, written) {
        (Ok(()), _) => Ok(()),
        (Err(_), Ok(Err(error))) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Stop::internal("cannot read a layer", &error))
        }
        (Err(error), _) => Err(of_load(&error)),
    }
}

fn of_load(error: &EngineError) -> Stop {
    let words = error.to_string();
    let reason = if words.contains("no space left on device") {
        FailureReason::DiskFull
    } else {
        FailureReason::RelayFailed
    };
    Stop::failed(
        reason,
        format!("the engine does not take the image: {words}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_few_registries_takes_no_image_of_another_host() {
        let policy = |registries: &[&str], build| HostPolicy {
            registries: registries.iter().map(|name| (*name).to_owned()).collect(),
            build,
            ..HostPolicy::default()
        };
        assert_eq!(refusal(&policy(&[], Permission::Deny)), None);
        assert_eq!(refusal(&policy(&["ghcr.io"], Permission::Allow)), None);
        let refused = refusal(&policy(&["ghcr.io"], Permission::Deny)).unwrap_or_default();
        assert!(refused.contains("ghcr.io alone"), "{refused}");
    }

    #[test]
    fn an_engine_has_what_another_image_has_from_below() {
        let digest = |byte| Digest([byte; 32]);
        let image = Image {
            service: "web".into(),
            reference: "shop-web".into(),
            id: digest(0),
            config: Vec::new(),
            layers: vec![digest(1), digest(2), digest(3)],
            size: 0,
        };
        let other = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|byte| digest(*byte).to_string())
                .collect::<Vec<_>>()
        };
        let table: [(&[&[u8]], usize); 5] = [
            (&[], 0),
            (&[&[2, 3]], 0),
            (&[&[1], &[1, 2, 9], &[9, 2]], 2),
            (&[&[1, 2, 3, 4]], 3),
            (&[&[]], 0),
        ];
        for (others, expected) in table {
            let others: Vec<_> = others.iter().map(|bytes| other(bytes)).collect();
            assert_eq!(shared_layers(&image, &others), expected, "{others:?}");
        }
    }
}
