//! A deployment's log and status, live, until it ends.

use std::{collections::VecDeque, mem};

use super::{
    cursor::{Cursor, Fit},
    link::{Contact, First, Heard, Link},
    not_understood, read,
};
use crate::{
    api::{
        Client,
        deployments::Deployment,
        logs::{self, Line},
        sse,
    },
    exit::Failure,
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
    news: VecDeque<News>,
}

impl<'c> Follower<'c> {
    /// Follows from a line on.
    pub fn new(client: &'c Client, deployment: uuid::Uuid, from: u64) -> Self {
        Self {
            client,
            deployment,
            cursor: Cursor::at(from),
            link: Link::new(First::Persists),
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
            match self.hear().await? {
                Heard::Opened => {}
                Heard::Events(events) => self.take(events)?,
                Heard::Lost(why) => return Ok(News::Lost(why)),
            }
        }
    }

    async fn hear(&mut self) -> Result<Heard, Failure> {
        let (client, id, next) = (self.client, self.deployment, self.cursor.next());
        let seen = self.cursor.seen().filter(|_| !self.link.is_new());
        self.link
            .next(async || logs::stream(client, id, next, seen).await)
            .await
    }

    fn take(&mut self, events: Vec<sse::Event>) -> Result<(), Failure> {
        if self.link.hear() == Contact::Lost {
            self.news.push_back(News::Back);
        }
        let mut lines = Vec::new();
        let mut rest = events.into_iter();
        let taken = rest.try_for_each(|event| self.take_one(&event, &mut lines));
        // What came before an event that cannot be used is news all the same.
        self.flush(&mut lines);
        match taken {
            Ok(()) => Ok(()),
            Err(Stop::Missed) => {
                self.link.reopen();
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

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Unreadable(failure)
    }
}

fn read_line(event: &sse::Event) -> Result<Line, Failure> {
    let mut line: Line = read(event)?;
    if line.n.is_none() {
        line.n = event.id.as_deref().and_then(|id| id.parse().ok());
    }
    match line.n {
        Some(_) => Ok(line),
        None => Err(not_understood("a line has no number")),
    }
}
