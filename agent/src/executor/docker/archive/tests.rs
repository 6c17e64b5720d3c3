//! Archives of both layouts, and what is packed and written again.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use super::*;

const CONFIG: &[u8] = br#"{"rootfs":{"diff_ids":[]}}"#;

struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn file(mut self, path: &str, content: &[u8]) -> Self {
        append(&mut self.0, path, content.len() as u64, content).unwrap();
        self
    }

    fn link(mut self, path: &str, to: &str) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        self.0.append_link(&mut header, path, to).unwrap();
        self
    }

    /// What comes out of it: the configurations, and the layers that were packed.
    fn unpack(
        self,
        layers: &[Digest],
    ) -> (HashMap<Digest, Vec<u8>>, Vec<Packed>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let bytes = self.0.into_inner().unwrap();
        let wanted = Wanted {
            images: HashSet::from([digest_of(CONFIG)]),
            layers: layers.iter().copied().collect(),
        };
        let (sender, mut receiver) = mpsc::channel(16);
        let configs = unpack(&bytes[..], &wanted, folder.path(), &sender).unwrap();
        drop(sender);
        let mut packed = Vec::new();
        while let Some(layer) = receiver.blocking_recv() {
            packed.push(layer);
        }
        (configs, packed, folder)
    }
}

fn large(seed: u8) -> Vec<u8> {
    let mut byte = u32::from(seed);
    let next = |_| {
        byte = byte.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        byte.to_le_bytes()[3]
    };
    (0..2 * MAX_CONFIG).map(next).collect()
}

#[test]
fn layers_are_known_by_their_digest_whatever_they_are_called() {
    let (small, big, other) = (b"small".to_vec(), large(1), large(2));
    let (a, b) = (digest_of(&small), digest_of(&big));
    let unwanted = digest_of(&other);
    let old = Archive::new()
        .file("1f/layer.tar", &small)
        .file("2e/layer.tar", &big)
        .file("3d/layer.tar", &other)
        .link("4c/layer.tar", "../2e/layer.tar")
        .file("config.json", CONFIG)
        .file("manifest.json", b"[]");
    let new = Archive::new()
        .file(&format!("blobs/sha256/{}", a.hex()), &small)
        .file(&format!("blobs/sha256/{}", b.hex()), &big)
        .file(&format!("blobs/sha256/{}", unwanted.hex()), &other)
        .file(&format!("blobs/sha256/{}", digest_of(CONFIG).hex()), CONFIG)
        .file("index.json", b"{}");
    for archive in [old, new] {
        let (configs, packed, folder) = archive.unpack(&[a, b]);
        assert_eq!(
            configs.get(&digest_of(CONFIG)).map(Vec::as_slice),
            Some(CONFIG)
        );
        let digests: Vec<_> = packed.iter().map(|layer| layer.digest).collect();
        assert_eq!(digests, [a, b]);
        let sizes: Vec<_> = packed.iter().map(|layer| measure(layer).unwrap()).collect();
        assert_eq!(sizes, [Some(small.len() as u64), Some(big.len() as u64)]);
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 2, "nothing of what nobody wants");
    }
}

#[test]
fn a_layer_that_is_not_what_it_is_called_is_found() {
    let content = large(3);
    let (_, packed, folder) = Archive::new()
        .file("1f/layer.tar", &content)
        .unpack(&[digest_of(&content)]);
    let layer = packed.first().unwrap();
    let bytes = std::fs::read(&layer.file).unwrap();
    let named_otherwise = Packed {
        digest: Digest([9; 32]),
        file: layer.file.clone(),
    };
    assert_eq!(measure(&named_otherwise).unwrap(), None);
    let cut = Packed {
        digest: layer.digest,
        file: folder.path().join("cut"),
    };
    for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&cut.file, &bytes[..length]).unwrap();
        assert_eq!(measure(&cut).unwrap(), None, "{length}");
    }
    std::fs::write(&cut.file, &bytes).unwrap();
    assert_eq!(measure(&cut).unwrap(), Some(content.len() as u64));
}

#[test]
fn what_is_written_has_the_layers_that_are_missing_and_names_all() {
    let (below, above) = (large(4), large(5));
    let (known, missing) = (digest_of(&below), digest_of(&above));
    let (_, packed, _folder) = Archive::new()
        .file("x/layer.tar", &above)
        .unpack(&[missing]);
    let layers: Vec<_> = packed
        .into_iter()
        .map(|layer| {
            let size = measure(&layer).unwrap().unwrap();
            (layer, size)
        })
        .collect();
    let image = Image {
        service: "web".into(),
        reference: "shop-web".into(),
        id: digest_of(CONFIG),
        config: CONFIG.to_vec(),
        layers: vec![known, missing],
        size: 0,
    };
    let mut bytes = Vec::new();
    write(&mut bytes, &image, "towline/shop/web:1", &layers).unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut files = HashMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        files.insert(path, content);
    }
    assert_eq!(files.len(), 3, "{:?}", files.keys());
    assert!(files[&format!("{}/layer.tar", missing.hex())] == above);
    assert_eq!(files[&format!("{}.json", image.id.hex())], CONFIG);
    let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let expected = json!([{
        "Config": format!("{}.json", image.id.hex()),
        "RepoTags": ["towline/shop/web:1"],
        "Layers": [format!("{}/layer.tar", known.hex()), format!("{}/layer.tar", missing.hex())],
    }]);
    assert_eq!(manifest, expected);
}

#[test]
fn bytes_go_from_thread_to_thread() {
    let (sender, receiver) = mpsc::channel(4);
    let written = std::thread::spawn(move || {
        let mut to = Outgoing(sender);
        (0..100_u8).try_for_each(|byte| to.write_all(&[byte; 1000]))
    });
    let mut read = Vec::new();
    Incoming::new(receiver).read_to_end(&mut read).unwrap();
    written.join().unwrap().unwrap();
    assert_eq!(
        read,
        (0..100_u8)
            .flat_map(|byte| [byte; 1000])
            .collect::<Vec<_>>()
    );
    let (sender, receiver) = mpsc::channel(4);
    sender.blocking_send(Err(io::Error::other("cut"))).unwrap();
    assert!(Incoming::new(receiver).read(&mut [0; 8]).is_err());
}
