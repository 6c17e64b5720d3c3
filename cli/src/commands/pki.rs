//! `towline pki`: certificates, and keys and signatures of releases, without a control plane.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;
use towline_pki::{
    PkiError,
    docker::{ClientName, DockerAuthority, HostName, HostNames, IssuedPair},
};
use zeroize::Zeroizing;

use super::{
    Session,
    release::{ReleaseKeyFiles, SignAgent},
};
use crate::{
    bundle::{self, Piece, Readers},
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, facts, whole},
        units::moment,
    },
};

const CA: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";
const SERVER: [&str; 2] = ["server-cert.pem", "server-key.pem"];
const CLIENT: [&str; 2] = ["cert.pem", "key.pem"];
/// Where the engine's files are put in what is printed.
const INSTALLED: &str = "/etc/docker/tls";

/// Certificates and signatures of agents without a control plane
#[derive(Debug, Subcommand)]
pub enum Pki {
    /// Certificates for a Docker engine's own Remote API over TLS; nothing is connected to
    Docker(Docker),
    /// A key that signs releases of agents, of which hosts keep the public half
    ReleaseKey(ReleaseKeyFiles),
    /// Sign an agent, so that hosts that trust the key become it by an upgrade
    SignAgent(SignAgent),
}

impl Pki {
    /// Writes files.
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Docker(command) => command.run(session),
            Self::ReleaseKey(command) => command.run(session),
            Self::SignAgent(command) => command.run(session),
        }
    }
}

/// Certificates for a Docker engine's own Remote API over TLS; nothing is connected to
///
/// An authority in the folder is used again, so the same command with --force renews. Without --host and --ip, with
/// --client and the authority of before, one more client's certificate is made. Whoever has a client's key is root on
/// the host.
#[derive(Debug, Args)]
pub struct Docker {
    /// A name of the host, as clients use it; give it several times for several
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// An address of the host, likewise
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<String>,
    /// Where the files are written
    #[arg(long, value_name = "DIR", default_value = "docker-tls")]
    out: PathBuf,
    /// Where ca.pem and ca-key.pem are, or will be; the same folder, unless this says
    #[arg(long, value_name = "DIR")]
    ca: Option<PathBuf>,
    /// The person or purpose that the client's certificate is for [default: client]
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Replace certificates that are there; an authority never is
    #[arg(long)]
    force: bool,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Written {
    folder: PathBuf,
    authority: Authority,
    authority_fingerprint: String,
    files: Vec<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Server>,
    client: Client,
    next: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Authority {
    New,
    UsedAgain,
}

#[derive(Debug, Serialize)]
struct Server {
    names: Vec<String>,
    expires_at: DateTime<Utc>,
}

#[derive(Debug, Serialize)]
struct Client {
    name: String,
    expires_at: DateTime<Utc>,
}

impl Docker {
    fn run(self, session: &Session) -> Result<Exit, Failure> {
        let names = self.names()?;
        let client: ClientName = self.client.as_deref().unwrap_or("client").parse().map_err(
            |error: towline_pki::docker::ClientNameError| {
                Failure::usage("--client cannot be used").detail(error.to_string())
            },
        )?;
        let home = self.ca.as_ref().unwrap_or(&self.out);
        let now = Utc::now();
        let (authority, origin) = authority_of(home, names.as_ref(), now)?;
        let issued = Issued::by(&authority, names.as_ref(), &client, now)?;
        let pieces = self.pieces(&authority, origin, home, &issued);
        self.refuse_to_overwrite(&pieces)?;
        if origin == Authority::New && home != &self.out {
            bundle::write(home, &authority_pieces(&authority))?;
        }
        bundle::write(&self.out, &pieces)?;
        let written = self.written(&authority, origin, &pieces, &issued, names, &client);
        let output = &session.output;
        output.result(&written, |surface| told(surface, &written))?;
        output.note("warning: whoever has key.pem or ca-key.pem is root on this host");
        Ok(Exit::Success)
    }

    /// The names, or none when one more client's certificate is asked for.
    fn names(&self) -> Result<Option<HostNames>, Failure> {
        if self.host.is_empty() && self.ip.is_empty() && self.client.is_some() {
            return Ok(None);
        }
        let names = HostNames::read(&self.host, &self.ip);
        names.map(Some).map_err(|refusal| {
            Failure::usage("The names cannot be used")
                .detail(refusal.to_string())
                .remedy("give --host NAME and --ip ADDRESS, each as often as needed")
        })
    }

    fn pieces(
        &self,
        authority: &DockerAuthority,
        origin: Authority,
        home: &Path,
        issued: &Issued,
    ) -> Vec<Piece> {
        let mut pieces = Vec::new();
        match (origin, home == self.out) {
            (Authority::New, true) => pieces.extend(authority_pieces(authority)),
            (Authority::UsedAgain, true) => {}
            (_, false) => pieces.push(public(CA, authority.certificate())),
        }
        if let Some(server) = &issued.server {
            pieces.extend(pair(SERVER, server));
        }
        pieces.extend(pair(CLIENT, &issued.client));
        pieces
    }

    /// A copy of the same authority is no loss.
    fn refuse_to_overwrite(&self, pieces: &[Piece]) -> Result<(), Failure> {
        for piece in pieces {
            let path = self.out.join(piece.name);
            let there = bundle::read(&path)?;
            let same = there.as_deref() == Some(&*piece.text);
            let foreign = piece.name == CA || !self.force;
            if there.is_some() && !same && foreign {
                let remedy = if piece.name == CA {
                    "it is of another authority: give another folder by --out"
                } else {
                    "renew it by --force, or give another folder by --out"
                };
                let refusal = Failure::usage(format!("{} is there already", path.display()));
                return Err(refusal.remedy(remedy));
            }
        }
        Ok(())
    }

    fn written(
        &self,
        authority: &DockerAuthority,
        origin: Authority,
        pieces: &[Piece],
        issued: &Issued,
        names: Option<HostNames>,
        client: &ClientName,
    ) -> Written {
        let names: Option<Vec<String>> =
            names.map(|names| names.iter().map(ToString::to_string).collect());
        let folder = std::path::absolute(&self.out).unwrap_or_else(|_| self.out.clone());
        Written {
            authority: origin,
            authority_fingerprint: authority.fingerprint().to_string(),
            files: pieces.iter().map(|piece| folder.join(piece.name)).collect(),
            next: next(&folder, names.as_deref()),
            server: names
                .zip(issued.server.as_ref())
                .map(|(names, pair)| Server {
                    names,
                    expires_at: pair.not_after,
                }),
            client: Client {
                name: client.to_string(),
                expires_at: issued.client.not_after,
            },
            folder,
        }
    }
}

/// The authority of a folder, or a new one for these names.
fn authority_of(
    home: &Path,
    names: Option<&HostNames>,
    now: DateTime<Utc>,
) -> Result<(DockerAuthority, Authority), Failure> {
    let place = home.display();
    let (certificate, key) = (home.join(CA), home.join(CA_KEY));
    match (bundle::read(&certificate)?, bundle::read(&key)?, names) {
        (Some(certificate), Some(key), _) => {
            let read = DockerAuthority::from_pem(&certificate, &key);
            let read = read.map_err(|error| {
                Failure::usage(format!("The authority in {place} cannot be used"))
                    .detail(error.to_string())
                    .remedy("put its own two files back, or begin anew in another folder")
            })?;
            Ok((read, Authority::UsedAgain))
        }
        (None, None, Some(names)) => {
            let first: &HostName = names
                .iter()
                .next()
                .ok_or_else(|| failed(&PkiError::NoNames))?;
            let made = DockerAuthority::generate(first, now).map_err(|error| failed(&error))?;
            Ok((made, Authority::New))
        }
        (None, None, None) => Err(Failure::usage(format!("There is no authority in {place}"))
            .remedy("name the folder of ca.pem and ca-key.pem by --ca, or the host by --host")),
        (found, _, _) => {
            let (there, missing) = match found {
                Some(_) => (CA, CA_KEY),
                None => (CA_KEY, CA),
            };
            Err(Failure::usage(format!("{place} has {there} and no {missing}")).remedy(
                "name the folder that has both by --ca, or begin anew in another folder by --out",
            ))
        }
    }
}

/// The new pairs.
struct Issued {
    server: Option<IssuedPair>,
    client: IssuedPair,
}

impl Issued {
    fn by(
        authority: &DockerAuthority,
        names: Option<&HostNames>,
        client: &ClientName,
        now: DateTime<Utc>,
    ) -> Result<Self, Failure> {
        let server = names
            .map(|names| authority.issue_server(names, now))
            .transpose();
        Ok(Self {
            server: server.map_err(|error| failed(&error))?,
            client: authority
                .issue_client(client, now)
                .map_err(|error| failed(&error))?,
        })
    }
}

fn failed(error: &PkiError) -> Failure {
    Failure::usage("The certificates cannot be made").detail(error.to_string())
}

fn authority_pieces(authority: &DockerAuthority) -> [Piece; 2] {
    [
        public(CA, authority.certificate()),
        Piece {
            name: CA_KEY,
            text: authority.key(),
            readers: Readers::Owner,
        },
    ]
}

fn pair(names: [&'static str; 2], pair: &IssuedPair) -> [Piece; 2] {
    [
        public(names[0], pair.certificate.clone()),
        Piece {
            name: names[1],
            text: pair.key.clone(),
            readers: Readers::Owner,
        },
    ]
}

fn public(name: &'static str, text: String) -> Piece {
    Piece {
        name,
        text: Zeroizing::new(text),
        readers: Readers::Everybody,
    }
}

/// What to do with the files, a line each.
fn next(folder: &Path, names: Option<&[String]>) -> Vec<String> {
    let at = folder.display();
    let host = names
        .and_then(<[String]>::first)
        .map_or("HOST", String::as_str);
    let authority = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let url = format!("tcp://{authority}:2376");
    let mut lines = Vec::new();
    if names.is_some() {
        lines.extend([
            format!("On the host: put {CA}, {} and {} into {INSTALLED} (root, the key 0600), and these keys into /etc/docker/daemon.json:", SERVER[0], SERVER[1]),
            format!("  \"tlsverify\": true, \"tlscacert\": \"{INSTALLED}/{CA}\", \"tlscert\": \"{INSTALLED}/{}\", \"tlskey\": \"{INSTALLED}/{}\",", SERVER[0], SERVER[1]),
            "  \"hosts\": [\"fd://\", \"tcp://0.0.0.0:2376\"] (and take -H fd:// out of the unit; `towline-agent docker-tls enable` does all of this)".to_owned(),
        ]);
    }
    lines.extend([
        "At the client:".to_owned(),
        format!("  docker context create NAME --docker 'host={url},ca={at}/{CA},cert={at}/{},key={at}/{}'", CLIENT[0], CLIENT[1]),
        format!("  or: DOCKER_HOST={url} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={at} docker version"),
        format!("Keep {CA_KEY} where no client is: it makes keys to the host."),
    ]);
    lines
}

fn told(surface: Surface, written: &Written) -> String {
    let mut rows = Rows::new(surface, [whole("file")]);
    for file in &written.files {
        rows.row([file.display().to_string().into()]);
    }
    let server = written.server.as_ref();
    let list = [
        (
            "authority",
            match written.authority {
                Authority::New => "new",
                Authority::UsedAgain => "the one that was there",
            }
            .to_owned(),
        ),
        ("fingerprint", written.authority_fingerprint.clone()),
        (
            "names",
            server
                .map(|server| server.names.join(", "))
                .unwrap_or_default(),
        ),
        (
            "server until",
            moment(server.map(|server| server.expires_at)),
        ),
        ("client", written.client.name.clone()),
        ("client until", moment(Some(written.client.expires_at))),
    ];
    format!(
        "{}\n\n{}\n{}\n",
        rows.finish(""),
        facts(surface, &list),
        written.next.join("\n")
    )
}
