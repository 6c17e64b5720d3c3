//! `towline top`: what hosts and containers use.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use chrono::Utc;
use clap::Args;

use super::{Session, agents::status, period, signals::Signals};
use crate::{
    api::{
        Client,
        metrics::{self, Container, Latest},
    },
    exit::{Exit, Failure},
    output::{
        Format, Reader, Surface,
        style::Style,
        table::{Field, Rows, optional, whole},
        units::{age, bytes, percent, share},
    },
};

/// Show what hosts and containers use, live
///
/// Agents measure every ten seconds. Without a terminal, with --once or with --json it shows the
/// latest samples and ends.
#[derive(Debug, Args)]
pub struct Top {
    /// Show it once
    #[arg(long)]
    once: bool,
    /// How often to look
    #[arg(long, value_name = "SPAN", default_value = "2s", value_parser = period::parse)]
    every: Duration,
}

/// The other screen of the terminal, so that what was on the first comes back.
struct Screen;

impl Screen {
    fn open() -> io::Result<Self> {
        // Alternate screen, cursor hidden.
        Self::write("\x1b[?1049h\x1b[?25l")?;
        Ok(Self)
    }

    /// From the top left corner, each line cleared before it is written, the rest below too.
    #[expect(clippy::unused_self, reason = "only an open screen can be shown on")]
    fn show(&self, text: &str) -> io::Result<()> {
        let cleared = text.replace('\n', "\x1b[K\r\n");
        Self::write(&format!("\x1b[H{cleared}\x1b[K\x1b[J"))
    }

    fn write(text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nobody to tell, and nothing else to try.
        let _ = Self::write("\x1b[?25h\x1b[?1049l");
    }
}

impl Top {
    /// Shows the latest samples, once or until Ctrl-C.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let live = !self.once
            && session.output.format == Format::Human
            && session.output.stdout.reader == Reader::Terminal;
        if live {
            return self.live(session, &client).await;
        }
        let latest = metrics::latest(&client).await?;
        session
            .output
            .result(&latest, |surface| tables(surface, &latest))?;
        Ok(Exit::Success)
    }

    async fn live(self, session: &Session, client: &Client) -> Result<Exit, Failure> {
        let mut signals = Signals::listen()?;
        let every = self.every.max(Duration::from_millis(250));
        let surface = session.output.stdout;
        let mut shown = text(surface, &metrics::latest(client).await?);
        let screen = Screen::open()?;
        loop {
            screen.show(&fitted(&shown))?;
            tokio::select! {
                _ = signals.next() => return Ok(Exit::Success),
                () = tokio::time::sleep(every) => {}
            }
            match metrics::latest(client).await {
                Ok(latest) => shown = text(surface, &latest),
                Err(failure) if failure.exit() == Exit::Unreachable => {
                    let told = surface
                        .colours
                        .paint(Style::Bad, failure.sentence().replace('\n', " "));
                    let last = shown.split_once("\n\n").map_or("", |(_, tables)| tables);
                    shown = format!("{told}\n\n{last}");
                }
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// What fits the terminal's height, if it is known; the rest would scroll the top away.
fn fitted(text: &str) -> String {
    let height = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_row);
    let shown = if height == 0 {
        usize::MAX
    } else {
        usize::from(height)
    };
    let lines: Vec<&str> = text.lines().take(shown).collect();
    lines.join("\n")
}

/// The tables below the time of the last look.
fn text(surface: Surface, latest: &[Latest]) -> String {
    let head = format!(
        "{}  Ctrl-C ends",
        Utc::now().format("%Y-%m-%d %H:%M:%S UTC")
    );
    let head = surface.colours.paint(Style::Quiet, head);
    format!("{head}\n\n{}", tables(surface, latest))
}

fn tables(surface: Surface, latest: &[Latest]) -> String {
    format!(
        "{}\n\n{}",
        hosts(surface, latest),
        containers(surface, latest)
    )
}

fn hosts(surface: Surface, latest: &[Latest]) -> String {
    let now = Utc::now();
    let mut rows = Rows::new(
        surface,
        [
            whole("agent"),
            optional("status"),
            whole("cpu"),
            optional("load"),
            whole("memory"),
            whole("disk"),
            optional("measured"),
        ],
    );
    for agent in latest {
        let Some(host) = &agent.host else { continue };
        let load: Vec<_> = host.load.iter().map(|load| format!("{load:.2}")).collect();
        rows.row([
            agent.name.as_str().into(),
            status(&agent.status),
            loaded(host.cpu_percent),
            load.join(" ").into(),
            share(host.memory_used, host.memory_total).into(),
            share(host.disk_used, host.disk_total).into(),
            age(agent.at, now).into(),
        ]);
    }
    rows.finish("No agent has measured anything yet.")
}

fn loaded(share: f64) -> Field {
    let style = match share {
        share if share >= 90.0 => Style::Bad,
        share if share >= 70.0 => Style::Warning,
        _ => Style::Good,
    };
    Field::styled(percent(share), style)
}

fn containers(surface: Surface, latest: &[Latest]) -> String {
    let mut all: Vec<(&str, &Container)> = latest
        .iter()
        .flat_map(|agent| {
            agent
                .containers
                .iter()
                .map(|container| (agent.name.as_str(), container))
        })
        .collect();
    all.sort_by(|(_, a), (_, b)| b.cpu_percent.total_cmp(&a.cpu_percent));
    let mut rows = Rows::new(
        surface,
        [
            whole("container"),
            whole("agent"),
            optional("project"),
            whole("cpu"),
            whole("memory"),
            optional("in / out"),
            optional("restarts"),
            whole("health"),
        ],
    );
    for (agent, container) in all {
        rows.row([
            container.name.as_str().into(),
            agent.into(),
            container.project.as_str().into(),
            percent(container.cpu_percent).into(),
            share(container.memory_used, container.memory_limit).into(),
            format!(
                "{} / {}",
                bytes(container.net_received),
                bytes(container.net_sent)
            )
            .into(),
            container.restarts.to_string().into(),
            container.health.as_str().into(),
        ]);
    }
    rows.finish("No containers run.")
}
