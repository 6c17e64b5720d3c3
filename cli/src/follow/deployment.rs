//! A deployment's log and status, live, until it ends.

use std::{collections::VecDeque, mem};

use super::{
    Contact,
    backoff::Backoff,
    cursor::{Cursor, Fit},
    passes,
};
use crate::{
    api::{
        Client, EventStream,
        deployments::Deployment,
        logs::{self, Line},
        sse,
    },
    exit::{Exit, Failure},
};

/// What following tells.
#[derive(Debug)]
pub enum News {
    /// Lines, in order, each once.
    Lines(Vec<Line>),
    /// This many lines do not exist any more.
    LinesLost(u64),
    /// The deployment changed.
    Status(Box<Deployment>),
    /// The deployment ended.
    End(Box<Deployment>),
    /// The connection was lost; it is being made again.
    Lost(String),
    /// The connection is there again.
    Back,
}

/// Follows one deployment.
#[derive(Debug)]
pub struct Follower<'c> {
    client: &'c Client,
    deployment: uuid::Uuid,
    cursor: Cursor,
    link: Link,
    contact: Contact,
    backoff: Backoff,
    news: VecDeque<News>,
}

#[derive(Debug)]
enum Link {
    /// Not yet opened.
    New,
    /// Open.
    Open(Box<EventStream>),
    /// To be opened again: it was lost, or lines were missed.
    Again,
}

impl<'c> Follower<'c> {
    /// Follows from a line on.
    pub fn new(client: &'c Client, deployment: uuid::Uuid, from: u64) -> Self {
        Self {
            client,
            deployment,
            cursor: Cursor::at(from),
            link: Link::New,
            contact: Contact::Kept,
            backoff: Backoff::new(),
            news: VecDeque::new(),
        }
    }

    /// The next news. Fails only for what does not pass by itself. Cancelling the wait loses
    /// nothing.
    pub async fn next(&mut self) -> Result<News, Failure> {
        loop {
            if let Some(news) = self.news.pop_front() {
                return Ok(news);
            }
            let advanced = match &mut self.link {
                Link::Open(stream) => match stream.next().await {
                    Ok(Some(events)) => self.take(events),
                    Ok(None) => Err(ended()),
                    Err(failure) => Err(failure),
                },
                Link::New | Link::Again => self.open().await,
            };
            match advanced {
                Ok(()) => {}
                Err(failure) if passes(&failure) => self.lose(&failure).await,
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn open(&mut self) -> Result<(), Failure> {
        let seen = match self.link {
            Link::New => None,
            _ => self.cursor.seen(),
        };
        let stream = logs::stream(self.client, self.deployment, self.cursor.next(), seen).await?;
        self.link = Link::Open(Box::new(stream));
        Ok(())
    }

    /// Says once that the connection was lost, and waits before the next try.
    async fn lose(&mut self, failure: &Failure) {
        self.link = Link::Again;
        if self.contact.lose() == Contact::Kept {
            self.news
                .push_back(News::Lost(failure.sentence().into_owned()));
        }
        tokio::time::sleep(self.backoff.wait()).await;
    }

    fn take(&mut self, events: Vec<sse::Event>) -> Result<(), Failure> {
        if self.contact.hear() == Contact::Lost {
            self.news.push_back(News::Back);
        }
        let mut lines = Vec::new();
        let mut rest = events.into_iter();
        let taken = rest.try_for_each(|event| self.take_one(&event, &mut lines));
        // What came before an event that cannot be used is news all the same.
        self.flush(&mut lines);
        match taken {
            Ok(()) => {
                self.backoff.reset();
                Ok(())
            }
            Err(Stop::Missed) => {
                self.link = Link::Again;
                Ok(())
            }
            Err(Stop::Unreadable(failure)) => Err(failure),
        }
    }

    fn take_one(&mut self, event: &sse::Event, lines: &mut Vec<Line>) -> Result<(), Stop> {
        match event.kind.as_str() {
            "line" => {
                let line = read_line(event)?;
                let number = line.n.unwrap_or_default();
                match self.cursor.take(number) {
                    Fit::Next => lines.push(line),
                    Fit::Repeat => {}
                    Fit::Missed => return Err(Stop::Missed),
                    Fit::AfterLost(count) => {
                        self.flush(lines);
                        self.news.push_back(News::LinesLost(count));
                        lines.push(line);
                    }
                }
            }
            "status" => {
                self.flush(lines);
                self.news.push_back(News::Status(Box::new(read(event)?)));
            }
            "end" => {
                self.flush(lines);
                let deployment: Deployment = read(event)?;
                let total = deployment.log.as_ref().map_or(0, |log| log.lines);
                match self.cursor.finish(total) {
                    Fit::Missed => return Err(Stop::Missed),
                    Fit::AfterLost(count) => self.news.push_back(News::LinesLost(count)),
                    Fit::Next | Fit::Repeat => {}
                }
                self.news.push_back(News::End(Box::new(deployment)));
            }
            // Kinds of events are only ever added.
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self, lines: &mut Vec<Line>) {
        if !lines.is_empty() {
            self.news.push_back(News::Lines(mem::take(lines)));
        }
    }
}

enum Stop {
    Missed,
    Unreadable(Failure),
}

fn read_line(event: &sse::Event) -> Result<Line, Stop> {
    let mut line: Line = read(event)?;
    if line.n.is_none() {
        line.n = event.id.as_deref().and_then(|id| id.parse().ok());
    }
    match line.n {
        Some(_) => Ok(line),
        None => Err(Stop::Unreadable(not_understood("a line has no number"))),
    }
}

fn read<T: serde::de::DeserializeOwned>(event: &sse::Event) -> Result<T, Stop> {
    serde_json::from_str(&event.data)
        .map_err(|error| Stop::Unreadable(not_understood(&error.to_string())))
}

fn not_understood(why: &str) -> Failure {
    Failure::new(Exit::Failed, "The control plane's stream is not understood")
        .detail(why)
        .remedy(
            "use the towline of the control plane's version; `towline --version` shows this one's",
        )
}

fn ended() -> Failure {
    Failure::new(Exit::Unreachable, "The control plane ended the stream")
}
