//! Watching a deployment to its end: the log on stdout, what goes on below it, the exit code from
//! how it ended.

use std::io::{self, Write as _};

use uuid::Uuid;

use super::{
    Session,
    signals::{Signals, Stop},
};
use crate::{
    api::{
        Client,
        deployments::{self, Deployment},
    },
    exit::{Exit, Failure},
    follow::{
        deployment::{Follower, News},
        persist,
    },
    output::{Format, Reader, lines::LineWriter, outcome, preview, progress::Progress},
};

/// What Ctrl-C means while a deployment is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInterrupt {
    /// The watching stops, the deployment goes on.
    Leave,
    /// The deployment is cancelled, and watched to its end.
    Cancel,
}

/// How often it was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Never,
    Once,
}

struct Watch<'c> {
    session: &'c Session,
    client: &'c Client,
    deployment: Deployment,
    writer: LineWriter,
    progress: Progress,
    on_interrupt: OnInterrupt,
    asked: Asked,
}

/// Watches a deployment from the first line of its log on.
pub async fn watch(
    session: &Session,
    client: &Client,
    deployment: Deployment,
    on_interrupt: OnInterrupt,
) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()?;
    let surface = match session.output.format {
        Format::Human => session.output.stdout,
        Format::Json => session.output.stderr,
    };
    let mut follower = Follower::new(client, deployment.id, 0);
    let mut watch = Watch {
        session,
        client,
        writer: LineWriter::new(surface, Format::Human),
        progress: Progress::new(session.output),
        deployment,
        on_interrupt,
        asked: Asked::Never,
    };
    watch.progress.step(&outcome::now(&watch.deployment));
    if let Some(build) = watch.deployment.build_id
        && let Some(exit) = watch.build(build, &mut signals).await?
    {
        return Ok(exit);
    }
    loop {
        let ended = tokio::select! {
            news = follower.next() => watch.take(news?)?,
            stop = signals.next() => watch.stop(stop, &mut signals).await?,
        };
        if let Some(exit) = ended {
            return Ok(exit);
        }
    }
}

impl Watch<'_> {
    /// Shows the build that the deployment waits for, to its end. How that ended, the deployment tells.
    async fn build(&mut self, build: Uuid, signals: &mut Signals) -> Result<Option<Exit>, Failure> {
        let mut follower = Follower::new(self.client, build, 0);
        loop {
            let news = tokio::select! {
                news = follower.next() => news?,
                stop = signals.next() => match self.stop(stop, signals).await? {
                    Some(exit) => return Ok(Some(exit)),
                    None => continue,
                },
            };
            match news {
                News::Status(build) => self.progress.step(&outcome::now(&build)),
                News::End(build) => {
                    self.progress.step(&outcome::now(&build));
                    return Ok(None);
                }
                other => {
                    self.take(other)?;
                }
            }
        }
    }

    fn take(&mut self, news: News) -> Result<Option<Exit>, Failure> {
        match news {
            News::Lines(lines) => {
                let text = self.writer.render(&lines)?;
                self.write(&text)?;
            }
            News::LinesLost(count) => {
                self.note(&format!(
                    "{count} lines were lost by the control plane here"
                ));
            }
            News::Status(deployment) => {
                self.deployment = *deployment;
                // Of an ended one the end is told, when its log is whole.
                if self.deployment.status.exit() == Exit::Undecided {
                    self.progress.step(&outcome::now(&self.deployment));
                }
            }
            News::Lost(why) => {
                self.note(&format!("{why}; connecting again …"));
            }
            News::Back => self.note("Connected again."),
            News::End(deployment) => {
                self.deployment = *deployment;
                self.progress.finish();
                self.tell_end()?;
                return Ok(Some(self.deployment.status.exit()));
            }
        }
        Ok(None)
    }

    fn tell_end(&self) -> Result<(), Failure> {
        let output = &self.session.output;
        match output.format {
            Format::Json => output.json(&self.deployment),
            Format::Human => {
                if let Some(found) = &self.deployment.preview {
                    output.say(&preview::text(found, output.stdout))?;
                }
                output.note(&outcome::end(&self.deployment, output.stderr));
                Ok(())
            }
        }
    }

    async fn stop(&mut self, stop: Stop, signals: &mut Signals) -> Result<Option<Exit>, Failure> {
        let asked = std::mem::replace(&mut self.asked, Asked::Once);
        let id = self.deployment.id;
        match (self.on_interrupt, asked) {
            (OnInterrupt::Cancel, Asked::Never) => {
                self.note("Cancelling; stop once more to leave without waiting for it.");
                self.cancel(signals).await
            }
            (OnInterrupt::Leave, Asked::Never) if self.can_answer(stop) => {
                self.note(&format!(
                    "The deployment goes on. Press Ctrl-C again to stop watching; `towline cancel {id}` cancels it."
                ));
                Ok(None)
            }
            _ => self.leave(),
        }
    }

    /// Asks for the cancelling until it is heard, or until it was asked to stop once more.
    async fn cancel(&mut self, signals: &mut Signals) -> Result<Option<Exit>, Failure> {
        let (client, id) = (self.client, self.deployment.id);
        let cancelled = tokio::select! {
            cancelled = persist(
                async || deployments::cancel(client, id).await,
                |failure| self.note(&format!("{}; trying again …", failure.sentence())),
            ) => cancelled?,
            _ = signals.next() => return self.leave(),
        };
        self.deployment = cancelled;
        self.progress.step(&outcome::now(&self.deployment));
        Ok(None)
    }

    fn can_answer(&self, stop: Stop) -> bool {
        stop == Stop::Interrupt && self.session.output.stderr.reader == Reader::Terminal
    }

    fn leave(&mut self) -> Result<Option<Exit>, Failure> {
        self.progress.finish();
        let id = self.deployment.id;
        let output = &self.session.output;
        output.note(&format!(
            "Stopped watching; the deployment goes on.\n  watch it:  towline logs -f {id}\n  cancel it: towline cancel {id}"
        ));
        if output.format == Format::Json {
            output.json(&self.deployment)?;
        }
        Ok(Some(Exit::Undecided))
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        self.progress.above(|| match self.session.output.format {
            Format::Human => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(text.as_bytes())?;
                Ok(stdout.flush()?)
            }
            Format::Json => Ok(io::stderr().lock().write_all(text.as_bytes())?),
        })
    }

    fn note(&self, text: &str) {
        self.progress.above(|| self.session.output.note(text));
    }
}
