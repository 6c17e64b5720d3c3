//! A registry with one image, on the loopback of an engine, where that takes plain HTTP.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Names the folder with the image that is served.
const SAVED: &str = "TOWLINE_TEST_SAVED_IMAGE";
/// The first byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 22;
const SERVING: &str = "serving ";

/// It answers until it is dropped.
pub struct Registry {
    process: Child,
    digest: String,
}

impl Registry {
    /// Holds the image that an engine saved into a folder. It is this very program once more, in the engine's network.
    pub fn of(saved: &Path, engine: Option<&str>) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut command = match engine {
            Some(process) => {
                let mut command = Command::new("nsenter");
                command.args(["-t", process, "-n", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        let mut process = command
            .args(["--exact", "--nocapture", "registry::serve"])
            .env(SAVED, saved)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut told = lines.map_while(Result::ok).filter_map(|line| {
            let at = line.find(SERVING)?;
            Some(line[at + SERVING.len()..].to_owned())
        });
        let digest = told.next().expect("it serves");
        Self { process, digest }
    }

    /// The image by its digest.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

type Blobs = HashMap<String, (String, Vec<u8>)>;

/// The image of a folder as a registry has it, and the name of its manifest.
fn image(saved: &Path) -> (Blobs, String) {
    let listed: Value = read_json(&saved.join("manifest.json"));
    let mut blobs = Blobs::new();
    let mut add = |path: &Value, kind: &str| {
        let content = std::fs::read(saved.join(path.as_str().unwrap())).unwrap();
        let (digest, size) = (digest(&content), content.len());
        blobs.insert(digest.clone(), (kind.to_owned(), content));
        json!({"mediaType": kind, "size": size, "digest": digest})
    };
    let config = add(
        &listed[0]["Config"],
        "application/vnd.docker.container.image.v1+json",
    );
    let layers = listed[0]["Layers"].as_array().unwrap().iter();
    let layers: Vec<Value> = layers
        .map(|layer| add(layer, "application/vnd.docker.image.rootfs.diff.tar.gzip"))
        .collect();
    let manifest =
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
    let manifest = manifest.to_string().into_bytes();
    let name = digest(&manifest);
    blobs.insert(name.clone(), (MANIFEST.to_owned(), manifest));
    (blobs, name)
}

/// Other tests start it with an image, in the network of an engine; by itself it serves one of a few bytes.
#[tokio::test]
async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    if let Some(saved) = std::env::var_os(SAVED) {
        let (blobs, manifest) = image(Path::new(&saved));
        println!("{SERVING}{address}/shop@{manifest}");
        return answer_all(listener, blobs).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let listed = br#"[{"Config":"c","Layers":["l"]}]"#;
    for (name, content) in [
        ("manifest.json", &listed[..]),
        ("c", b"{}"),
        ("l", b"layer"),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let (blobs, manifest) = image(folder.path());
    let serving = tokio::spawn(answer_all(listener, blobs));
    let asked = [manifest, digest(b"layer"), digest(b"something else")];
    for (asked, expected) in asked.iter().zip(["\"schemaVersion\":2", "layer", "404"]) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /v2/shop/blobs/{asked} HTTP/1.1\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(expected), "{answer}");
    }
    serving.abort();
}

async fn answer_all(listener: TcpListener, blobs: Blobs) {
    let blobs = Arc::new(blobs);
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, Arc::clone(&blobs)));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(content))
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// One request of a connection: `/v2/`, or something whose path ends in its digest.
async fn answer(mut stream: TcpStream, blobs: Arc<Blobs>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            // Engines try TLS before they fall back to plain HTTP.
            Ok(TLS_HANDSHAKE) if request.is_empty() => return,
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let empty = ("application/json".to_owned(), b"{}".to_vec());
    let asked = path.rsplit('/').next().unwrap();
    let found = if path == "/v2/" {
        Some(&empty)
    } else {
        blobs.get(asked)
    };
    let (status, (kind, content)) =
        found.map_or(("404 Not Found", &empty), |found| ("200 OK", found));
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nDocker-Content-Digest: {asked}\r\n\
         Docker-Distribution-Api-Version: registry/2.0\r\nConnection: close\r\n\r\n",
        content.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    if method != "HEAD" {
        let _ = stream.write_all(content).await;
    }
    let _ = stream.shutdown().await;
}

/// Unpacks what an engine saved.
pub fn unpack(archive: &Path, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let unpacked = Command::new("tar")
        .args(["--extract", "--file"])
        .arg(archive)
        .arg("--directory")
        .arg(folder)
        .status();
    assert!(unpacked.unwrap().success());
}
