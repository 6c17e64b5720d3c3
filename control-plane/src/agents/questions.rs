//! The questions of one session that wait for the agent's answer.

use std::collections::HashMap;

use tokio::sync::oneshot;
use towline_shared::protocol::v1::QueryReply;
use towline_shared::query::Reply;

use super::registry::Unreachable;

/// Who waits for an answer.
pub(super) type Asker = oneshot::Sender<Result<Reply, Unreachable>>;

/// The most questions that wait on one agent.
const MOST: usize = 32;

/// Who waits for which answer.
#[derive(Debug, Default)]
pub(super) struct Questions {
    next: u32,
    waiting: HashMap<u32, Asker>,
}

impl Questions {
    /// Notes who asks, and gives the question a name; or tells the asker that too many wait.
    pub(super) fn ask(&mut self, asker: Asker) -> Option<u32> {
        self.waiting.retain(|_, asker| !asker.is_closed());
        if self.waiting.len() >= MOST {
            // The asker may have given up just now.
            let _ = asker.send(Err(Unreachable::Busy));
            return None;
        }
        while self.waiting.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        self.waiting.insert(id, asker);
        Some(id)
    }

    /// Hands an answer to who asked; one that came too late is dropped.
    pub(super) fn answer(&mut self, answer: QueryReply) {
        if let Some(asker) = self.waiting.remove(&answer.id) {
            let _ = asker.send(Ok(answer.reply));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reply(id: u32) -> QueryReply {
        let reply = Reply::Failed(id.to_string());
        QueryReply { id, reply }
    }

    #[test]
    fn answers_find_their_askers_in_any_order() {
        let mut questions = Questions::default();
        let mut ask = || {
            let (asker, answer) = oneshot::channel();
            (questions.ask(asker).unwrap(), answer)
        };
        let mut asked: Vec<_> = (0..5).map(|_| ask()).collect();
        for (id, _) in asked.iter().rev() {
            questions.answer(reply(*id));
        }
        for (id, answer) in &mut asked {
            assert_eq!(answer.try_recv().unwrap().unwrap(), reply(*id).reply);
        }
        questions.answer(reply(77));
    }

    #[test]
    fn they_are_bounded_and_forget_who_gave_up() {
        let mut questions = Questions {
            next: u32::MAX - 3,
            ..Questions::default()
        };
        let mut answers = Vec::new();
        for _ in 0..MOST {
            let (asker, answer) = oneshot::channel();
            questions.ask(asker).unwrap();
            answers.push(answer);
        }
        assert_eq!(questions.waiting.len(), MOST);
        let (asker, mut answer) = oneshot::channel();
        assert_eq!(questions.ask(asker), None);
        assert_eq!(answer.try_recv().unwrap(), Err(Unreachable::Busy));
        answers.pop();
        let (asker, _answer) = oneshot::channel();
        assert!(questions.ask(asker).is_some());
    }
}
