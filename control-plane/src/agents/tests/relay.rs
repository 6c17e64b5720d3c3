//! Connections for images: what an agent may ask on them, and what nobody may.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use towline_pki::ServerName;
use towline_pki::tls::{AgentPurpose, agent_client_config};
use towline_shared::outcome::Outcome;
use towline_shared::protocol::v1::{Attempt, Finished};
use towline_shared::relay::{Digest, Image, Images, Offered, Received, Wanted};

use super::site::{Host, Site};
use super::{LogPosition, PATIENCE};
use crate::ops;

async fn connect(site: &Site, host: &Host) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(site.address).await.unwrap();
    let config = agent_client_config(&host.roots, &host.identity, AgentPurpose::Relay).unwrap();
    let connector = TlsConnector::from(Arc::clone(&config));
    let name = ServerName::from(site.address.ip());
    connector.connect(name, stream).await.unwrap()
}

/// Asks on a connection of its own; nothing when it is closed without an answer.
async fn try_ask(site: &Site, host: &Host, head: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
    let mut wire = connect(site, host).await;
    let length = body.len();
    let head = format!("{head}host: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    let _ = wire.write_all(head.as_bytes()).await;
    let _ = wire.write_all(body).await;
    let mut answer = Vec::new();
    // Who is refused before all was read may see the end as a reset.
    let _ = timeout(PATIENCE, wire.read_to_end(&mut answer))
        .await
        .unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let status = std::str::from_utf8(&answer[9..12])
        .unwrap()
        .parse()
        .unwrap();
    Some((status, answer.split_off(end + 4)))
}

/// Somebody who asks about a job under a fence.
struct Asker<'a> {
    site: &'a Site,
    host: &'a Host,
    attempt: Attempt,
}

const fn by<'a>(site: &'a Site, host: &'a Host, attempt: Attempt) -> Asker<'a> {
    Asker {
        site,
        host,
        attempt,
    }
}

impl Asker<'_> {
    async fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let Attempt { job, fence } = self.attempt;
        let head = format!("{method} /jobs/{job}/{path} HTTP/1.1\r\ntowline-fence: {fence}\r\n");
        try_ask(self.site, self.host, &head, body)
            .await
            .expect("an answer")
    }

    async fn status(&self, method: &str, path: &str, body: &impl Serialize) -> u16 {
        self.ask(method, path, &written(body)).await.0
    }

    async fn put_layer(&self, layer: &Layer, bytes: &[u8]) -> (u16, Vec<u8>) {
        let path = format!("layers/{}?offset=0&length={}", layer.digest, bytes.len());
        self.ask("PUT", &path, bytes).await
    }
}

fn written(body: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(body).unwrap()
}

fn read<T: DeserializeOwned>((status, body): (u16, Vec<u8>)) -> T {
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    postcard::from_bytes(&body).unwrap()
}

struct Layer {
    digest: Digest,
    packed: Vec<u8>,
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

fn layer() -> Layer {
    let plain = vec![7; 100_000];
    Layer {
        digest: digest_of(&plain),
        packed: zstd::encode_all(&plain[..], 1).unwrap(),
    }
}

fn image(layers: &[Digest]) -> Image {
    let names: Vec<String> = layers.iter().map(|layer| format!("\"{layer}\"")).collect();
    let config = format!(r#"{{"rootfs":{{"diff_ids":[{}]}}}}"#, names.join(",")).into_bytes();
    Image {
        service: "web".into(),
        reference: "shop-web".into(),
        id: digest_of(&config),
        config,
        layers: layers.to_vec(),
        size: 100_000,
    }
}

async fn start(site: &Site, host: &Host) -> Attempt {
    let attempt = site
        .store
        .claim(host.agent)
        .await
        .unwrap()
        .remove(0)
        .attempt;
    site.store.accepted(host.agent, attempt).await.unwrap();
    site.store.started(host.agent, attempt).await.unwrap();
    attempt
}

async fn finish(site: &Site, host: &Host, attempt: Attempt) {
    let end = Finished {
        attempt,
        outcome: Outcome::Ran { images: Vec::new() },
        log: LogPosition::default(),
    };
    site.store.finished(host.agent, &end).await.unwrap();
}

#[tokio::test]
async fn images_come_from_their_builder_and_go_to_who_runs_them_alone() {
    let site = Site::open().await;
    let (builder, target) = (site.enrol("builder").await, site.enrol("target").await);
    let stranger = site.enrol("stranger").await;
    site.deploy_built(&target, &builder).await;
    let attempt = start(&site, &builder).await;
    let (own, foreign) = (by(&site, &builder, attempt), by(&site, &stranger, attempt));
    let mut stale = by(&site, &builder, attempt);
    stale.attempt.fence.epoch -= 1;

    let layer = layer();
    let offered = Offered {
        images: vec![image(&[layer.digest]).id],
        layers: vec![layer.digest],
    };
    for nobody in [&foreign, &stale] {
        assert_eq!(nobody.status("POST", "offer", &offered).await, 403);
        assert_eq!(nobody.put_layer(&layer, &layer.packed).await.0, 403);
        assert_eq!(
            nobody.status("PUT", "images", &Images::default()).await,
            403
        );
    }
    let wanted: Wanted = read(own.ask("POST", "offer", &written(&offered)).await);
    assert_eq!(
        (wanted.images, wanted.layers),
        (offered.images.clone(), vec![(layer.digest, 0)])
    );

    // What is not what it says is not taken.
    let named = Images(vec![image(&[layer.digest])]);
    assert_eq!(
        own.status("PUT", "images", &named).await,
        422,
        "its layer was not sent"
    );
    assert_eq!(own.put_layer(&layer, b"no zstd").await.0, 422);
    let received: Received = read(own.put_layer(&layer, &layer.packed).await);
    assert_eq!(received, Received::Whole);
    let of = |change: fn(&mut Image)| {
        let mut image = image(&[layer.digest]);
        change(&mut image);
        Images(vec![image])
    };
    let wrong = [
        of(|image| image.id = Digest([9; 32])),
        of(|image| image.layers.clear()),
        of(|image| image.config = b"{}".to_vec()),
        of(|image| image.config.clear()),
    ];
    for images in &wrong {
        assert_eq!(own.status("PUT", "images", images).await, 422, "{images:?}");
    }
    assert_eq!(own.status("PUT", "images", &Images::default()).await, 400);
    assert_eq!(own.status("PUT", "images", &named).await, 204);
    assert_eq!(
        own.ask("GET", "images", &[]).await.0,
        403,
        "it runs nothing"
    );

    finish(&site, &builder, attempt).await;
    assert_eq!(
        own.status("POST", "offer", &offered).await,
        403,
        "it has ended"
    );
    let runs = start(&site, &target).await;
    let own = by(&site, &target, runs);
    let got: Images = read(own.ask("GET", "images", &[]).await);
    assert_eq!(got, named);
    let path = format!("layers/{}?offset=", layer.digest);
    assert_eq!(
        own.ask("GET", &format!("{path}0"), &[]).await,
        (200, layer.packed.clone())
    );
    let rest = layer.packed[5..].to_vec();
    assert_eq!(own.ask("GET", &format!("{path}5"), &[]).await, (200, rest));
    let absent = format!("layers/{}?offset=0", Digest([3; 32]));
    assert_eq!(own.ask("GET", &absent, &[]).await.0, 404);
    for nobody in [by(&site, &builder, runs), by(&site, &stranger, runs)] {
        assert_eq!(nobody.ask("GET", "images", &[]).await.0, 403);
        assert_eq!(nobody.ask("GET", &format!("{path}0"), &[]).await.0, 403);
    }
    assert_eq!(
        own.status("POST", "offer", &offered).await,
        403,
        "it builds nothing"
    );
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let site = Site::open().await;
    let (builder, target) = (site.enrol("builder").await, site.enrol("target").await);
    site.deploy_built(&target, &builder).await;
    let attempt = start(&site, &builder).await;
    let own = by(&site, &builder, attempt);
    let job = attempt.job;
    let table = [
        (format!("POST /jobs/{job}/offer HTTP/1.1\r\n"), 400),
        (
            format!("POST /jobs/{job}/offer HTTP/1.1\r\ntowline-fence: x\r\n"),
            400,
        ),
        ("GET /api/v1/me HTTP/1.1\r\n".to_owned(), 404),
        ("POST /jobs/x/offer HTTP/1.1\r\n".to_owned(), 400),
        (format!("DELETE /jobs/{job}/images HTTP/1.1\r\n"), 405),
    ];
    for (head, expected) in table {
        let answer = try_ask(&site, &builder, &head, &[]).await;
        assert_eq!(answer.map(|(status, _)| status), Some(expected), "{head}");
    }
    for digest in ["x", "sha256:..%2F..%2Fmaster.key", "sha256:AB"] {
        let path = format!("layers/{digest}?offset=0&length=1");
        assert_eq!(own.ask("PUT", &path, b"x").await.0, 400, "{digest}");
    }
    assert_eq!(own.ask("POST", "offer", b"\xff\xff\xff\xff").await.0, 400);
    let flood = vec![0; towline_shared::relay::MAX_BODY + 1];
    let head = format!(
        "POST /jobs/{job}/offer HTTP/1.1\r\ntowline-fence: {}\r\n",
        attempt.fence
    );
    let answer = try_ask(&site, &builder, &head, &flood).await;
    assert!(answer.is_none_or(|(status, _)| status == 400));
    // Nobody asks any more who was revoked.
    ops::revoke(&site.store, &site.tenant, builder.agent)
        .await
        .unwrap();
    assert!(try_ask(&site, &builder, &head, &[]).await.is_none());
}

#[tokio::test]
async fn one_agent_takes_no_more_than_its_places() {
    let site = Site::open().await;
    let (greedy, other) = (site.enrol("greedy").await, site.enrol("other").await);
    let request = "GET / HTTP/1.1\r\n";
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut wire = connect(&site, &greedy).await;
        wire.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = [0; 12];
        timeout(PATIENCE, wire.read_exact(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&answer, b"HTTP/1.1 204");
        held.push(wire);
    }
    assert!(try_ask(&site, &greedy, request, &[]).await.is_none());
    assert!(try_ask(&site, &other, request, &[]).await.is_some());
    held.clear();
    let until = std::time::Instant::now() + PATIENCE;
    while try_ask(&site, &greedy, request, &[]).await.is_none() {
        assert!(
            std::time::Instant::now() < until,
            "its places are free again"
        );
    }
}
