//! The folder of certificates.

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use towline_pki::docker::{ClientName, DockerAuthority, HostNames, Issued};

use super::error::{DockerTlsError, Result};
use super::files::{PUBLIC, SECRET, Snapshot, make_folder};
use super::journal::Change;
use super::settings::{CA, CA_KEY, CLIENT, CLIENT_CERT, CLIENT_KEY, SERVER_CERT, SERVER_KEY};

/// What the client's certificate is called that is made here.
const CLIENT_NAME: &str = "client";
/// Names in the folder of what a renewal replaces, with their modes.
const RENEWED: [(&str, u32); 4] = [
    (SERVER_CERT, PUBLIC),
    (SERVER_KEY, SECRET),
    ("client/cert.pem", PUBLIC),
    ("client/key.pem", SECRET),
];

/// Makes an authority of this host and all that it issues, in a folder that is there.
pub fn make(folder: &Path, names: &HostNames, now: DateTime<Utc>) -> Result<()> {
    let first = names.iter().next().ok_or(towline_pki::PkiError::NoNames)?;
    let authority = DockerAuthority::generate(first, now)?;
    make_folder(&folder.join(CLIENT), 0o700)?;
    let certificate = authority.certificate();
    let new = |content: &str, mode| Snapshot::Absent.with(content, mode);
    new(&certificate, PUBLIC).put(&folder.join(CA))?;
    new(&authority.key(), SECRET).put(&folder.join(CA_KEY))?;
    new(&certificate, PUBLIC).put(&folder.join(CLIENT).join(CA))?;
    for (change, (_, mode)) in renewed(folder, &authority, names, now)?.iter().zip(RENEWED) {
        change.apply(mode)?;
    }
    Ok(())
}

/// New pairs by the authority of the folder, in place of those that are there.
pub fn anew(folder: &Path, names: &HostNames, now: DateTime<Utc>) -> Result<Vec<Change>> {
    let authority =
        DockerAuthority::from_pem(&text(&folder.join(CA))?, &text(&folder.join(CA_KEY))?)?;
    renewed(folder, &authority, names, now)
}

fn renewed(
    folder: &Path,
    authority: &DockerAuthority,
    names: &HostNames,
    now: DateTime<Utc>,
) -> Result<Vec<Change>> {
    let client: ClientName = CLIENT_NAME
        .parse()
        .map_err(|_| towline_pki::PkiError::Name(CLIENT_NAME.to_owned()))?;
    let server = authority.issue_server(names, now)?;
    let client = authority.issue_client(&client, now)?;
    let texts = [
        &server.certificate,
        &*server.key,
        &client.certificate,
        &*client.key,
    ];
    let changes = RENEWED.iter().zip(texts);
    changes
        .map(|((name, _), text)| Change::of(&folder.join(name), text.as_bytes()))
        .collect()
}

/// Puts new pairs in, each file with its mode.
pub fn apply(renewal: &[Change]) -> Result<()> {
    let modes = RENEWED.iter().map(|(_, mode)| *mode);
    renewal
        .iter()
        .zip(modes)
        .try_for_each(|(change, mode)| change.apply(mode))
}

/// The engine's certificate.
pub fn server(folder: &Path) -> Result<Issued> {
    Ok(Issued::from_pem(&text(&folder.join(SERVER_CERT))?)?)
}

/// The client's certificate.
pub fn client(folder: &Path) -> Result<Issued> {
    Ok(Issued::from_pem(&text(
        &folder.join(CLIENT).join(CLIENT_CERT),
    )?)?)
}

/// The client's pair.
pub fn client_pair(folder: &Path) -> Result<(String, zeroize::Zeroizing<String>)> {
    let client = folder.join(CLIENT);
    Ok((
        text(&client.join(CLIENT_CERT))?,
        zeroize::Zeroizing::new(text(&client.join(CLIENT_KEY))?),
    ))
}

/// The authority's certificate.
pub fn authority(folder: &Path) -> Result<String> {
    text(&folder.join(CA))
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|cause| DockerTlsError::io("cannot read", path, cause))
}
