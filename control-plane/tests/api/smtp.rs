//! A mail server on loopback, as far as a mail needs one.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use towline_server::config::Smtp;
use towline_server::mail::Mailer;

/// A mail server, and what it was given.
pub struct Postbox {
    pub address: SocketAddr,
    mails: mpsc::UnboundedReceiver<Received>,
}

/// A mail as it came.
#[derive(Debug)]
pub struct Received {
    pub from: String,
    pub to: Vec<String>,
    pub text: String,
}

impl Postbox {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, mails) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, sender.clone()));
            }
        });
        Self { address, mails }
    }

    /// A way to it.
    pub fn mailer(&self, query: &str) -> Mailer {
        let smtp = Smtp {
            url: format!("smtp://{}{query}", self.address).parse().unwrap(),
            from: "Towline <towline@plane.example>".to_owned(),
            password: None,
        };
        Mailer::new(&smtp, None).unwrap()
    }

    /// The next mail.
    pub async fn next(&mut self) -> Received {
        let next = timeout(Duration::from_secs(10), self.mails.recv()).await;
        next.expect("a mail comes").unwrap()
    }

    /// Whether none came.
    pub async fn is_empty(&mut self) -> bool {
        timeout(Duration::from_millis(300), self.mails.recv())
            .await
            .is_err()
    }
}

async fn converse(stream: TcpStream, mails: mpsc::UnboundedSender<Received>) {
    let mut stream = BufReader::new(stream);
    let (mut from, mut to) = (String::new(), Vec::new());
    stream
        .write_all(b"220 post.example ESMTP\r\n")
        .await
        .unwrap();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let verb = line.trim_end().to_uppercase();
        let answer: &[u8] = if verb.starts_with("EHLO") {
            b"250-post.example\r\n250 8BITMIME\r\n"
        } else if verb.starts_with("MAIL FROM:") {
            from = path(&line);
            b"250 2.1.0 ok\r\n"
        } else if verb.starts_with("RCPT TO:") {
            to.push(path(&line));
            b"250 2.1.5 ok\r\n"
        } else if verb == "DATA" {
            stream.write_all(b"354 go on\r\n").await.unwrap();
            let mail = Received {
                from: std::mem::take(&mut from),
                to: std::mem::take(&mut to),
                text: data(&mut stream).await,
            };
            let _ = mails.send(mail);
            b"250 2.0.0 taken\r\n"
        } else if verb == "QUIT" {
            b"221 2.0.0 bye\r\n"
        } else {
            b"502 5.5.2 not known\r\n"
        };
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

fn path(line: &str) -> String {
    let (_, rest) = line.split_once('<').unwrap();
    rest.split_once('>').unwrap().0.to_owned()
}

async fn data(stream: &mut BufReader<TcpStream>) -> String {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        match line.trim_end() {
            "." => return decoded(&text),
            kept => {
                text.push_str(kept.strip_prefix('.').unwrap_or(kept));
                text.push('\n');
            }
        }
    }
}

/// A mail's long lines are broken by `=` at their ends.
fn decoded(text: &str) -> String {
    if text.contains("Content-Transfer-Encoding: quoted-printable") {
        text.replace("=\n", "").replace("=3D", "=")
    } else {
        text.to_owned()
    }
}
