//! `towline exec`: a command in a container.

mod terminal;

use std::io::IsTerminal as _;

use clap::Args;
use tokio::io::{AsyncWriteExt as _, split};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::Session;
use crate::{
    api::{
        self,
        exec::{self, MAX_CONTENT, Said, Size},
        targets::Target,
    },
    exit::{Exit, Failure},
};
use terminal::Raw;

/// Frames that wait to be sent; beyond, the input waits.
const WAITING: usize = 16;

/// Run a command in a container
///
/// The command's output is this one's output, and its exit code this one's. The host's owner must allow it: exec = "allow" in
/// the agent's policy file.
#[derive(Debug, Args)]
pub struct Exec {
    /// The target that the container runs on, by name or id
    #[arg(long)]
    target: String,
    /// Pass the input on
    #[arg(long, short)]
    interactive: bool,
    /// Give the command a terminal of this one's size
    #[arg(long, short)]
    tty: bool,
    /// The container's name or id
    container: String,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Exec {
    /// Runs it to its end.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let size = self.tty.then(own_size).transpose()?;
        let target = api::find::<Target>(&client, &self.target).await?;
        let begun = exec::begin(&client, target.id, &self.container, &self.command, size);
        let (mut from, mut to) = split(begun.await?);
        // From here on keys go to the command; they are ours again however this ends.
        let raw = self.tty.then(Raw::enter).transpose()?;
        let (frames, mut waiting) = mpsc::channel::<Vec<u8>>(WAITING);
        if self.interactive {
            std::thread::spawn({
                let frames = frames.clone();
                move || read_input(&frames)
            });
        } else {
            // The channel is new, and has room.
            let _ = frames.try_send(exec::input_ends());
        }
        let mut resizes = resizes(self.tty)?;
        let ended = loop {
            tokio::select! {
                said = exec::next(&mut from) => match said {
                    Some(Said::Output(bytes)) => write(std::io::stdout(), &bytes)?,
                    Some(Said::Errors(bytes)) => write(std::io::stderr(), &bytes)?,
                    Some(Said::Ended(code)) => break Ok(code),
                    Some(Said::Lost(why)) => break Err(why),
                    None => break Err("the connection ended before the command".to_owned()),
                },
                Some(frame) = waiting.recv() => if to.write_all(&frame).await.is_err() {
                    break Err("the connection ended before the command".to_owned());
                },
                () = resized(&mut resizes) => if let Ok(size) = own_size() {
                    // A connection that has ended is seen by who reads it.
                    let _ = to.write_all(&exec::resized(size)).await;
                },
            }
            // What is said is small, and must not wait for more.
            let _ = to.flush().await;
        };
        drop(raw);
        match ended {
            Ok(0) => Ok(Exit::Success),
            Ok(code) => Ok(Exit::Of(u8::try_from(code).unwrap_or(u8::MAX))),
            Err(why) => Err(Failure::new(Exit::Unreachable, "It is not known how the command ended")
                .detail(why)
                .remedy("look with `towline ps TARGET` whether the container runs; what the command did is done")),
        }
    }
}

fn own_size() -> Result<Size, Failure> {
    let size = rustix::termios::tcgetwinsize(std::io::stdin());
    let size = size
        .ok()
        .filter(|_| std::io::stdin().is_terminal())
        .ok_or_else(|| {
            Failure::usage("There is no terminal to give the command")
                .remedy("leave --tty out, or run this on one")
        })?;
    Ok(Size {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

/// Blocks on the input, in a thread of its own: nothing can wait for a terminal and be called off.
fn read_input(frames: &mpsc::Sender<Vec<u8>>) {
    use std::io::Read as _;
    let mut piece = vec![0; MAX_CONTENT];
    loop {
        let frame = match std::io::stdin().read(&mut piece) {
            Ok(0) | Err(_) => exec::input_ends(),
            Ok(read) => exec::input(&piece[..read]),
        };
        let last = frame == exec::input_ends();
        if frames.blocking_send(frame).is_err() || last {
            return;
        }
    }
}

fn resizes(tty: bool) -> Result<Option<Signal>, Failure> {
    let listen = || {
        signal(SignalKind::window_change()).map_err(|error| {
            Failure::usage("The terminal's size cannot be followed").detail(error.to_string())
        })
    };
    tty.then(listen).transpose()
}

async fn resized(resizes: &mut Option<Signal>) {
    match resizes {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

fn write(mut to: impl std::io::Write, bytes: &[u8]) -> Result<(), Failure> {
    let written = to.write_all(bytes).and_then(|()| to.flush());
    written.map_err(|_| Failure::OutputClosed)
}
