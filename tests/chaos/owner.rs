//! The owner of a project: deploys, redeploys, cancels and removes it all the time, one after the other.

use std::{
    thread::Scope,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;

use crate::{
    client::{Client, has_ended},
    curtain::Curtain,
    diary::{Diary, Order, Wish},
    dice::Dice,
    follower, project,
    world::Project,
};

/// How many of an owner's orders may wait at once.
const WAITING: usize = 3;
/// How long an owner watches one order before giving the next.
const PATIENCE: Duration = Duration::from_secs(12);
/// Between two looks at a deployment.
const LOOK: Duration = Duration::from_millis(250);
/// The longest time between an order and its cancel.
const CANCEL_WITHIN: Duration = Duration::from_secs(3);
/// How long a deploy may take when nothing is broken, on a machine that is busy.
const QUIET_LIMIT: Duration = Duration::from_mins(2);
/// How often a deploy is tried in the end: an engine may refuse a container that it was starting when it died.
const LAST_ATTEMPTS: usize = 4;

/// An owner at work.
#[derive(Debug)]
pub struct Owner<'r> {
    client: Client<'r>,
    diary: &'r Diary,
    curtain: &'r Curtain,
    project: &'r Project,
    dice: Dice,
    releases: usize,
    pending: Vec<String>,
}

impl<'r> Owner<'r> {
    /// The owner of a project, who decides by these dice.
    pub fn new(
        client: Client<'r>,
        diary: &'r Diary,
        curtain: &'r Curtain,
        project: &'r Project,
        dice: Dice,
    ) -> Self {
        Self {
            client,
            diary,
            curtain,
            project,
            dice,
            releases: 0,
            pending: Vec::new(),
        }
    }

    /// Gives orders until work is over; followers of logs live in `scope`.
    pub fn work<'s>(&mut self, scope: &'s Scope<'s, '_>)
    where
        'r: 's,
    {
        while !self.curtain.work_is_over() {
            match self.dice.below(10) {
                0 => drop(self.remove()),
                1..=3 => self.deploy_and_cancel(scope),
                4 => {
                    self.deploy(scope);
                    self.deploy_and_cancel(scope);
                }
                _ => drop(self.deploy(scope)),
            }
            self.watch();
        }
    }

    /// What must succeed when nothing is broken any more: one deploy.
    pub fn bring_to_rest<'s>(&mut self, scope: &'s Scope<'s, '_>)
    where
        'r: 's,
    {
        for _ in 0..LAST_ATTEMPTS {
            let Some(id) = self.deploy(scope) else { return };
            match self.wait_for_end(&id, QUIET_LIMIT).as_deref() {
                Some("succeeded") => return,
                Some(_) => self.curtain.sleep(Duration::from_secs(3), Curtain::is_down),
                None => break,
            }
        }
        if !self.curtain.is_interrupted() {
            let name = &self.project.name;
            self.diary.breach(format!(
                "{name} cannot be deployed though all faults are over"
            ));
        }
    }

    fn deploy<'s>(&mut self, scope: &'s Scope<'s, '_>) -> Option<String>
    where
        'r: 's,
    {
        self.releases += 1;
        let mark = format!("{}-{}", self.project.name, self.releases);
        let archive = project::release(&mark).archive();
        let path = format!("/projects/{}/files", self.project.id);
        self.client.insist("an upload", |api| {
            api.request(Method::PUT, &path)
                .header("Content-Type", "application/x-tar")
                .body(archive.clone())
        })?;
        let id = self.order("deployments", Wish::Deploy { mark })?;
        if self.dice.chance(50) {
            let (client, diary, curtain) = (self.client, self.diary, self.curtain);
            let (id, dice) = (id.clone(), Dice::new(self.dice.below(u64::MAX)));
            self.diary.open().following += 1;
            scope.spawn(move || follower::follow(client, diary, curtain, &id, dice));
        }
        Some(id)
    }

    fn remove(&mut self) -> Option<String> {
        self.order("removals", Wish::Remove)
    }

    fn order(&mut self, what: &str, wish: Wish) -> Option<String> {
        let path = format!("/projects/{}/{what}", self.project.id);
        let body = json!({ "target": self.project.target });
        let id = self.client.order(&path, &body, self.dice.chance(20))?;
        self.diary.open().orders.push(Order {
            id: id.clone(),
            project: self.project.number,
            host: self.project.host,
            wish,
            cancelled: false,
        });
        self.pending.push(id.clone());
        Some(id)
    }

    /// Sometimes at once, while it is queued; sometimes in the middle.
    fn deploy_and_cancel<'s>(&mut self, scope: &'s Scope<'s, '_>)
    where
        'r: 's,
    {
        let Some(id) = self.deploy(scope) else { return };
        if self.dice.chance(60) {
            let pause = self.dice.between(Duration::ZERO, CANCEL_WITHIN);
            self.curtain.sleep(pause, Curtain::work_is_over);
        }
        let path = format!("/deployments/{id}/cancel");
        let asked = self.client.insist("a cancel", |api| {
            api.request(Method::POST, &path).json(&json!({}))
        });
        if asked.is_some() {
            let mut entries = self.diary.open();
            let mut orders = entries.orders.iter_mut();
            let order = orders.find(|order| order.id == id);
            order.expect("it was noted").cancelled = true;
        }
    }

    /// Waits for the last order, and until few enough are waiting.
    fn watch(&mut self) {
        let end = Instant::now() + PATIENCE;
        while !self.curtain.work_is_over() {
            let client = self.client;
            self.pending
                .retain(|id| !client.look(id).is_some_and(|shown| has_ended(&shown)));
            let late = Instant::now() >= end;
            if self.pending.is_empty() || (late && self.pending.len() < WAITING) {
                return;
            }
            self.curtain.sleep(LOOK, Curtain::work_is_over);
        }
    }

    fn wait_for_end(&self, id: &str, limit: Duration) -> Option<String> {
        let end = Instant::now() + limit;
        while Instant::now() < end && !self.curtain.is_down() {
            let shown = self.client.look(id).filter(has_ended);
            if let Some(status) = shown.as_ref().and_then(|shown| shown["status"].as_str()) {
                return Some(status.to_owned());
            }
            self.curtain.sleep(LOOK, Curtain::is_down);
        }
        None
    }
}
