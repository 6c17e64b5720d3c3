//! Bringing images that were built here to the control plane: only the layers that it does not have.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use towline_shared::outcome::FailureReason;
use towline_shared::relay::{self, Digest, Images, Offered};
use towline_shared::spec::PinnedImage;

use super::archive::{self, Incoming, Packed};
use super::engine::Image;
use super::job::Job;
use super::stop::Stop;
use crate::relay::{Carried, Courier, Refused};

/// How many pieces of an archive wait for who reads them.
const PIECES: usize = 8;
/// How many packed layers wait for the network.
const PACKED: usize = 2;

/// An image that was built for a service.
pub(super) struct Built {
    pub service: String,
    /// What the project calls it.
    pub reference: String,
    pub image: Image,
}

/// Brings all of them.
pub(super) async fn run(job: &mut Job<'_>, built: &[Built]) -> Result<Vec<PinnedImage>, Stop> {
    "the control plane to take the images".clone_into(&mut job.waiting_for);
    let mut courier = job.host.relay.courier(job.task.attempt);
    let mut images = built.iter().map(image_of).collect::<Result<Vec<_>, _>>()?;
    let offered = Offered {
        images: distinct(images.iter().map(|image| image.id)),
        layers: distinct(images.iter().flat_map(|image| image.layers.iter().copied())),
    };
    let wanted = job.bounded(courier.offer(&offered)).await??;
    let (layers, all) = (wanted.layers.len(), offered.layers.len());
    job.note(&format!("the control plane lacks {layers} of {all} layers"))
        .await;
    if !(wanted.images.is_empty() && wanted.layers.is_empty()) {
        let mut configs = bring(job, &mut courier, built, wanted).await?;
        for image in &mut images {
            image.config = configs.remove(&image.id).unwrap_or_default();
        }
    }
    job.bounded(courier.tell(&Images(images))).await??;
    Ok(built.iter().map(pinned).collect())
}

fn distinct(digests: impl Iterator<Item = Digest>) -> Vec<Digest> {
    let mut seen = HashSet::new();
    digests.filter(|digest| seen.insert(*digest)).collect()
}

fn image_of(built: &Built) -> Result<relay::Image, Stop> {
    let unfit = |_| {
        Stop::failed(
            FailureReason::RelayFailed,
            format!(
                "the engine names the image of service `{}` otherwise than by SHA-256",
                built.service
            ),
        )
    };
    let layers = built.image.layers.iter().map(|layer| layer.parse());
    Ok(relay::Image {
        service: built.service.clone(),
        reference: built.reference.clone(),
        id: built.image.id.parse().map_err(unfit)?,
        config: Vec::new(),
        layers: layers.collect::<Result<_, _>>().map_err(unfit)?,
        size: built.image.size,
    })
}

fn pinned(built: &Built) -> PinnedImage {
    PinnedImage {
        service: built.service.clone(),
        reference: built.reference.clone(),
        id: built.image.id.clone(),
        digests: Vec::new(),
    }
}

/// Takes what is wanted out of the engine's archive and brings it, each layer while the next one is packed.
async fn bring(
    job: &Job<'_>,
    courier: &mut Courier<'_>,
    built: &[Built],
    wanted: relay::Wanted,
) -> Result<HashMap<Digest, Vec<u8>>, Stop> {
    let have: HashMap<Digest, u64> = wanted.layers.iter().copied().collect();
    let (sender, mut packed) = mpsc::channel(PACKED);
    let unpacking = unpack(job, built, &wanted, sender).await?;
    let mut carried = Carried::default();
    while let Some(Packed { digest, file }) = job.bounded(packed.recv()).await? {
        let from = have.get(&digest).copied().unwrap_or(0);
        let layer = job.bounded(courier.bring(digest, from, &file)).await??;
        carried.bytes += layer.bytes;
        carried.cuts += layer.cuts;
        let _ = std::fs::remove_file(file);
    }
    let configs = unpacking.await;
    let configs =
        configs.map_err(|error| Stop::failed(FailureReason::Internal, error.to_string()))?;
    let configs =
        configs.map_err(|error| Stop::internal("cannot take images out of the engine", &error))?;
    job.note(&carried_words("brought", carried)).await;
    match wanted.images.iter().find(|id| !configs.contains_key(id)) {
        None => Ok(configs),
        Some(id) => Err(Stop::failed(
            FailureReason::RelayFailed,
            format!(
                "the engine does not give the configuration of {id}: it keeps images in containerd's store, which cannot \
                 be relayed yet; turn that off (`\"features\": {{\"containerd-snapshotter\": false}}` in its daemon.json), \
                 or build where the project runs"
            ),
        )),
    }
}

type Unpacking = JoinHandle<io::Result<HashMap<Digest, Vec<u8>>>>;

/// Begins to take what is wanted out of the engine's archive of the images.
async fn unpack(
    job: &Job<'_>,
    built: &[Built],
    wanted: &relay::Wanted,
    packed: mpsc::Sender<Packed>,
) -> Result<Unpacking, Stop> {
    let wanted = archive::Wanted {
        images: wanted.images.iter().copied().collect(),
        layers: wanted.layers.iter().map(|(digest, _)| *digest).collect(),
    };
    // An image of which nothing is wanted need not be read.
    let is_wanted = |built: &&Built| {
        let mut layers = built
            .image
            .layers
            .iter()
            .filter_map(|layer| layer.parse().ok());
        let id = built.image.id.parse();
        id.is_ok_and(|id| wanted.images.contains(&id))
            || layers.any(|layer| wanted.layers.contains(&layer))
    };
    let images: Vec<&str> = built
        .iter()
        .filter(is_wanted)
        .map(|built| built.image.id.as_str())
        .collect();
    let archive = job.bounded(job.host.engine.save(&images)).await??;
    let (archive, folder) = (pump(Box::pin(archive)), layers_folder(job)?);
    Ok(tokio::task::spawn_blocking(move || {
        archive::unpack(archive, &wanted, &folder, &packed)
    }))
}

/// Hands a stream on to a reader on a thread of its own.
pub(super) fn pump(
    mut stream: impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
) -> Incoming {
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::spawn(async move {
        while let Some(piece) = stream.next().await {
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    });
    Incoming::new(receiver)
}

/// What a transfer came to, for the log.
pub(super) fn carried_words(verb: &str, carried: Carried) -> String {
    let cuts = match carried.cuts {
        0 => String::new(),
        1 => ", cut once".to_owned(),
        cuts => format!(", cut {cuts} times"),
    };
    format!("{verb} {} bytes{cuts}", carried.bytes)
}

/// Where packed layers are until they have gone, or were loaded.
pub(super) fn layers_folder(job: &Job<'_>) -> Result<PathBuf, Stop> {
    let folder = job.task.dir.join("layers");
    let made = std::fs::create_dir_all(&folder);
    made.map_err(|error| Stop::internal("cannot write the job's folder", &error))?;
    Ok(folder)
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::failed(FailureReason::RelayFailed, refused.to_string())
    }
}
