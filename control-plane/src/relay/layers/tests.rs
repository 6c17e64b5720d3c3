//! Layers that come in pieces, twice, broken, or not at all.
#![allow(clippy::unwrap_used)]

use axum::body::{Body, Bytes};
use futures_util::stream;

use super::*;

struct Place {
    folder: tempfile::TempDir,
    layers: Layers,
    team: TeamId,
}

/// A layer, and how it travels.
struct Sample {
    digest: Digest,
    packed: Vec<u8>,
}

fn sample(seed: usize) -> Sample {
    let plain: Vec<u8> = (0..300_000_usize)
        .map(|at| u8::try_from(at * seed % 251).unwrap())
        .collect();
    Sample {
        digest: Digest(Sha256::digest(&plain).into()),
        packed: zstd::encode_all(&plain[..], 1).unwrap(),
    }
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            layers: Layers::new(folder.path()),
            folder,
            team: TeamId::new(),
        }
    }

    async fn send(&self, layer: &Sample, from: usize, to: usize) -> Result<Received, LayersError> {
        let body = Body::from(layer.packed[from..to].to_vec());
        self.send_body(layer, from, body).await
    }

    async fn send_body(
        &self,
        layer: &Sample,
        from: usize,
        body: Body,
    ) -> Result<Received, LayersError> {
        let piece = Piece {
            digest: layer.digest,
            offset: from as u64,
            length: layer.packed.len() as u64,
            bytes: body.into_data_stream(),
        };
        self.layers.receive(self.team, piece).await
    }

    async fn missing(&self, team: TeamId, layer: &Sample) -> Option<u64> {
        let missing = self.layers.missing(team, vec![layer.digest]).await.unwrap();
        missing.first().map(|(_, have)| *have)
    }

    async fn read(&self, layer: &Sample, from: u64) -> Vec<u8> {
        let (mut file, length) = self
            .layers
            .read(self.team, layer.digest, from)
            .await
            .unwrap();
        let mut bytes = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut file, &mut bytes)
            .await
            .unwrap();
        assert_eq!(bytes.len() as u64, length);
        bytes
    }

    fn files(&self) -> usize {
        let team = self.folder.path().join("relay").join(self.team.to_string());
        fs::read_dir(team).map_or(0, Iterator::count)
    }
}

#[tokio::test]
async fn a_layer_goes_on_where_it_was_cut() {
    let (place, layer) = (Place::new(), sample(7));
    let length = layer.packed.len();
    assert_eq!(place.missing(place.team, &layer).await, Some(0));
    let third = length / 3;
    assert_eq!(
        place.send(&layer, 0, third).await.unwrap(),
        Received::Part(third as u64)
    );
    // What was cut in the middle is there as far as it came.
    let cut = stream::iter([
        Ok(Bytes::copy_from_slice(&layer.packed[third..third + 10])),
        Err(io::Error::other("cut")),
    ]);
    let sent = place.send_body(&layer, third, Body::from_stream(cut)).await;
    assert!(matches!(sent, Err(LayersError::Cut(_))), "{sent:?}");
    let have = third + 10;
    assert_eq!(place.missing(place.team, &layer).await, Some(have as u64));
    // Not from there: nothing is taken.
    for from in [0, have - 1, have + 1] {
        assert_eq!(
            place.send(&layer, from, length).await.unwrap(),
            Received::Part(have as u64)
        );
    }
    let missing = place.layers.read(place.team, layer.digest, 0).await;
    assert!(
        matches!(missing, Err(LayersError::Absent(_))),
        "half a layer is none"
    );
    assert_eq!(
        place.send(&layer, have, length).await.unwrap(),
        Received::Whole
    );
    assert_eq!(place.missing(place.team, &layer).await, None);
    assert_eq!(
        place.send(&layer, 0, length).await.unwrap(),
        Received::Whole
    );
    assert!(place.read(&layer, 0).await == layer.packed);
    assert!(place.read(&layer, 100).await == layer.packed[100..]);
    assert!(place.read(&layer, u64::MAX).await.is_empty());
    assert_eq!(
        place.missing(TeamId::new(), &layer).await,
        Some(0),
        "another team has none of it"
    );
}

#[tokio::test]
async fn what_is_not_the_layer_is_not_kept() {
    let (place, layer, other) = (Place::new(), sample(7), sample(11));
    let length = layer.packed.len();
    let swapped = Sample {
        digest: layer.digest,
        packed: other.packed.clone(),
    };
    let cut_short = Sample {
        digest: layer.digest,
        packed: layer.packed[..length - 1].to_vec(),
    };
    let with_more = Sample {
        digest: layer.digest,
        packed: [&layer.packed[..], b"more"].concat(),
    };
    let no_zstd = Sample {
        digest: layer.digest,
        packed: vec![7; 100],
    };
    for wrong in [swapped, cut_short, with_more, no_zstd] {
        let sent = place.send(&wrong, 0, wrong.packed.len()).await;
        assert!(matches!(sent, Err(LayersError::Wrong(..))), "{sent:?}");
        assert_eq!(place.files(), 0);
    }
    let longer = Body::from([&layer.packed[..], b"more"].concat());
    let sent = place.send_body(&layer, 0, longer).await;
    assert!(matches!(sent, Err(LayersError::Wrong(..))), "{sent:?}");
    assert_eq!(
        place.send(&layer, 0, length).await.unwrap(),
        Received::Whole
    );
}

#[tokio::test]
async fn a_layer_that_others_pack_otherwise_is_begun_anew() {
    let (place, layer) = (Place::new(), sample(7));
    let longer = Sample {
        digest: layer.digest,
        packed: [&layer.packed[..], &[0; 500]].concat(),
    };
    let all_but_one = longer.packed.len() - 1;
    place.send(&longer, 0, all_but_one).await.unwrap();
    assert_eq!(place.send(&layer, 0, 0).await.unwrap(), Received::Part(0));
    let length = layer.packed.len();
    assert_eq!(
        place.send(&layer, 0, length).await.unwrap(),
        Received::Whole
    );
}

#[tokio::test]
async fn one_at_a_time_brings_a_layer() {
    let (place, layer) = (Place::new(), sample(7));
    let never = stream::pending::<io::Result<Bytes>>();
    let first = place.send_body(&layer, 0, Body::from_stream(never));
    let second = async {
        tokio::task::yield_now().await;
        while place.layers.growing.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        place.send(&layer, 0, layer.packed.len()).await
    };
    let second =
        tokio::select! { _ = first => unreachable!("it never ends"), second = second => second };
    assert!(matches!(second, Err(LayersError::Busy(_))), "{second:?}");
    let length = layer.packed.len();
    assert_eq!(
        place.send(&layer, 0, length).await.unwrap(),
        Received::Whole
    );
}

#[tokio::test]
async fn what_nobody_asks_for_goes() {
    let (place, whole, part) = (Place::new(), sample(7), sample(11));
    place.send(&whole, 0, whole.packed.len()).await.unwrap();
    place.send(&part, 0, 10).await.unwrap();
    let root = place.folder.path().join("relay");
    let in_days = |days: u64| SystemTime::now() + Duration::from_hours(24 * days + 1);
    prune(&root, in_days(0)).unwrap();
    assert_eq!(place.files(), 2);
    prune(&root, in_days(1)).unwrap();
    assert_eq!(place.missing(place.team, &part).await, Some(0));
    assert_eq!(place.missing(place.team, &whole).await, None);
    prune(&root, in_days(3)).unwrap();
    assert_eq!(place.files(), 0);
    prune(&root.join("absent"), in_days(3)).unwrap();
}
