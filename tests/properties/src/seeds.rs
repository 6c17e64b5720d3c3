//! Valid inputs: what the fuzzer and the tests change to find others.

use std::fmt::Write as _;

use towline_pki::AgentKey;
use towline_shared::log::{LogChunk, LogLine, LogPosition, LogStream};
use towline_shared::protocol::{ClientHandshake, ServerHandshake, encode_handshake};
use towline_shared::spec::{FileMode, ProjectFile};

use crate::archive::pack;
use crate::ledger::journal;

/// One of each message, as its bytes are pinned.
const GOLDEN: &str = include_str!("../../../shared/tests/golden_v1/messages.txt");

fn golden(prefix: &str) -> Vec<Vec<u8>> {
    let named = GOLDEN.lines().filter_map(|line| line.strip_prefix(prefix));
    named
        .filter_map(|line| Some(unhex(line.split_once(' ')?.1)))
        .collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.trim().as_bytes();
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).unwrap();
        u8::from_str_radix(text, 16).unwrap()
    };
    digits.chunks(2).map(byte).collect()
}

pub fn agent_frames() -> Vec<Vec<u8>> {
    golden("agent/")
}

pub fn server_frames() -> Vec<Vec<u8>> {
    golden("server/")
}

pub fn handshakes() -> Vec<Vec<u8>> {
    let shake = |build: &str| encode_handshake(&ClientHandshake::ours(build)).unwrap();
    let answers = [
        ServerHandshake::Speak(1),
        ServerHandshake::Speak(9),
        ServerHandshake::Refuse("upgrade the agent".into()),
    ];
    let answers = answers.map(|answer| encode_handshake(&answer).unwrap());
    [shake("0.1.0"), shake(&"b".repeat(1000))]
        .into_iter()
        .chain(answers)
        .collect()
}

pub fn specs() -> Vec<Vec<u8>> {
    let with_digest = |body: Vec<u8>| [vec![0; 32], body].concat();
    golden("spec/").into_iter().map(with_digest).collect()
}

fn line(number: usize) -> LogLine {
    LogLine {
        at_us: 1_700_000_000_000_000,
        stream: LogStream::Stdout,
        source: format!("web-{}", number % 3),
        text: format!("GET /items/{number} 200"),
    }
}

fn chunks() -> Vec<LogChunk> {
    let encode = |count: usize| {
        let lines: Vec<_> = (0..count).map(line).collect();
        LogChunk::encode(LogPosition::default(), &lines).unwrap().0
    };
    [1, 7, 100].map(encode).into()
}

/// Compressed ones, and their contents, which the property compresses again.
pub fn log_payloads() -> Vec<Vec<u8>> {
    let payloads = chunks().into_iter().flat_map(|chunk| {
        let columns = zstd::bulk::decompress(&chunk.payload, 1 << 20).unwrap();
        [chunk.payload, columns]
    });
    payloads.collect()
}

pub fn log_chunks() -> Vec<Vec<u8>> {
    let place = |chunk: LogChunk| {
        let lines = u16::try_from(chunk.lines).unwrap().to_le_bytes();
        [&[0, 0, 0, 0][..], &lines, &[0], &chunk.payload].concat()
    };
    chunks().into_iter().map(place).collect()
}

pub fn ledgers() -> Vec<Vec<u8>> {
    vec![journal(&[1]), journal(&[1, 2, 3])]
}

pub fn lives() -> Vec<Vec<u8>> {
    let whole: &[u8] = &[1, 1, 2, 1, 3, 1, 4, 1, 3, b'w', b'h', b'y', 1, 5, 1];
    let several: &[u8] = &[
        6, 2, 4, b's', b'p', b'e', b'c', 1, 2, 1, 3, 2, 2, 0, 1, 9, 3, 3,
    ];
    [whole, several, &[whole, several].concat()]
        .map(|records| [&[90, 0, 3][..], records].concat())
        .into()
}

pub fn compose_files() -> Vec<Vec<u8>> {
    let plain = "services:\n  web:\n    image: ghcr.io/acme/web:1\n    ports: [\"8080:80\"]\n    env_file: other.yaml\n    volumes:\n      - data:/data\n      - ./site:/www:ro\nvolumes:\n  data: {}\n";
    let hostile = "include:\n  - other.yaml\n  - path: [../x.yaml, other.yaml]\nservices:\n  web: &web\n    image: x\n    privileged: true\n    network_mode: host\n    pid: \"host\"\n    cap_add: [SYS_ADMIN]\n    devices: [\"/dev/sda:/dev/sda\"]\n    security_opt: [seccomp=unconfined]\n    volumes: [\"/etc:/host\", {type: bind, source: /, target: /h}]\n    extends: {file: other.yaml, service: base}\n  api:\n    <<: *web\n    build: {context: ., dockerfile: ${FILE:-../x}}\n    environment: {DOCKER_HOST: \"${X}\"}\nconfigs: {c: {file: /etc/shadow}}\nnetworks: {n: {driver_opts: {parent: eth0}}}\n";
    let other = "services:\n  base:\n    image: y\n    env_file: [/etc/shadow]\n";
    [
        plain.to_owned(),
        hostile.to_owned(),
        format!("{hostile}\0{other}\0DOCKER_HOST=tcp://x\nCOMPOSE_FILE=/etc/x\n"),
        format!("{}x{}", "[".repeat(200), "]".repeat(200)),
        references(),
    ]
    .map(String::into_bytes)
    .into()
}

/// A document that is small and says that it is large.
fn references() -> String {
    let mut text = String::from("a: &a [x,x,x,x,x,x,x,x]\n");
    for level in 0..8 {
        let (before, this) = (char::from(b'a' + level), char::from(b'b' + level));
        let _ = writeln!(
            text,
            "{this}: &{this} [{}]",
            format!("*{before},").repeat(8)
        );
    }
    text
}

pub fn policies() -> Vec<Vec<u8>> {
    let lax = "privileged = \"allow\"\nbind_mounts = [\"/srv\"]\ncapabilities = [\"NET_ADMIN\"]\nregistries = [\"ghcr.io/acme\"]\n";
    let plain = r#"{"name":"p","services":{"web":{"image":"x","volumes":[{"type":"volume","source":"d","target":"/d"}]}},"volumes":{"d":{"name":"p_d"}}}"#;
    let hostile = r#"{"services":{"web":{"image":"x","privileged":true,"network_mode":"host","pid":"host","cap_add":["SYS_ADMIN"],"devices":[{"source":"/dev/sda"}],"security_opt":["seccomp=unconfined"],"volumes":[{"type":"bind","source":"/etc","target":"/h"}],"build":{"context":"/"},"x-y":1}},"secrets":{"s":{"file":"/etc/shadow"}},"volumes":{"v":{"driver_opts":{"type":"none","o":"bind","device":"/"}}}}"#;
    [("", plain), (lax, plain), ("", hostile), (lax, hostile)]
        .map(|(policy, model)| format!("{policy}\0{model}").into_bytes())
        .into()
}

pub fn archives() -> Vec<Vec<u8>> {
    let file = |path: &str, content: &[u8]| ProjectFile {
        path: path.into(),
        content: content.to_vec(),
        mode: FileMode::Executable,
    };
    let long = format!("d/{}", "n".repeat(150));
    let files = [
        file("compose.yaml", b"services: {}"),
        file("d/e/f", &[7; 600]),
        file(&long, b""),
    ];
    let mut link = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    link.append_link(&mut header, "link", "/etc").unwrap();
    vec![
        pack(&files[..1]),
        pack(&files),
        link.into_inner().unwrap(),
        pack(&[file("compose.yaml", b"x")])[..700].to_vec(),
    ]
}

pub fn masked() -> Vec<Vec<u8>> {
    let one = b"\x01\x07hunter2\x00\x05\x00\x00\x07\x04user\x00\x00\x07\x01\n\x00";
    let two = b"\x02\x0efirst-half-mid\x0fmid-second-half\x01\x26\x40\x00\x07\x04abcd\x01\x07\x0b-secondhalf";
    let far = b"\x02\x06p@ss w\x08line two\x02\x03\x40\x00\x01\x07\x02\r\n\x00\x01\x01";
    vec![one.to_vec(), two.to_vec(), far.to_vec()]
}

pub fn requests() -> Vec<Vec<u8>> {
    let key = AgentKey::generate().unwrap();
    let mut requests = vec![key.csr_der().unwrap(), key.csr_pem().unwrap().into_bytes()];
    requests.extend(asking());
    requests
}

/// Requests that ask for names and rights.
fn asking() -> Vec<Vec<u8>> {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    };
    let key = KeyPair::generate().unwrap();
    let mut asks: Vec<CertificateParams> = (0..4).map(|_| CertificateParams::default()).collect();
    for params in &mut asks {
        params.distinguished_name = rcgen::DistinguishedName::new();
    }
    asks[0].distinguished_name.push(DnType::CommonName, "admin");
    asks[1].subject_alt_names = vec![rcgen::SanType::DnsName("x".try_into().unwrap())];
    asks[2].extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    asks[3].is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // The library refuses to write some of these.
    let written = asks
        .iter()
        .filter_map(|params| params.serialize_request(&key).ok());
    written.map(|request| request.der().to_vec()).collect()
}
