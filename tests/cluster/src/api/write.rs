//! Writes: planned, asked about, and done.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    admission::{self, Question},
    api::{
        patches::Change,
        prepare::{Outcome, Plan, Task, Trust, plan},
        request::{Asked, Effect, ResourcePlace},
    },
    document::{items, put, text},
    kinds::{Kind, decode::Strictness},
    refusal::{Answer, Refusal},
    state::{Shared, State},
    store::key_of,
};

/// The most bytes of a stored object.
const LARGEST_OBJECT: usize = 1_572_864;

/// What was written, or would have been.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub object: Arc<Value>,
    pub outcome: Outcome,
    pub warnings: Vec<String>,
}

impl Written {
    pub(crate) fn code(&self) -> u16 {
        match self.outcome {
            Outcome::Created => 201,
            Outcome::Updated | Outcome::Unchanged => 200,
        }
    }
}

enum Step {
    Done(Written),
    Ask(Vec<Question>),
}

/// Does what a client asks for.
pub(crate) async fn write(
    shared: &Shared,
    place: &ResourcePlace,
    asked: &Asked,
    change: Change,
) -> Answer<Written> {
    let task = shared.with(|state| task_of(state, place, asked, change))?;
    let step = shared.with(|state| {
        let plan = plan(state, &task)?;
        let questions = admission::questions(state, &task, &plan);
        if questions.is_empty() {
            return commit(state, &task, plan).map(Step::Done);
        }
        Ok(Step::Ask(questions))
    })?;
    match step {
        Step::Done(written) => Ok(written),
        Step::Ask(questions) => {
            for question in questions {
                question.ask().await?;
            }
            shared.with(|state| {
                let plan = plan(state, &task)?;
                commit(state, &task, plan)
            })
        }
    }
}

fn task_of(state: &State, place: &ResourcePlace, asked: &Asked, change: Change) -> Answer<Task> {
    let kind = place.kind(state)?;
    let mut name = place.name.clone();
    if let (Change::Create(object), true) = (&change, name.is_empty()) {
        text(object, "metadata/name").clone_into(&mut name);
    }
    let mut namespace = place.namespace.clone();
    if kind.is_namespaced() && namespace.is_empty() {
        if let Change::Create(object) = &change {
            text(object, "metadata/namespace").clone_into(&mut namespace);
        }
        if namespace.is_empty() {
            let message = "an empty namespace may not be set during creation";
            return Err(Refusal::bad_request(message));
        }
    }
    Ok(Task {
        kind,
        namespace,
        name,
        subresource: place.subresource.clone(),
        change,
        manager: asked.manager.clone(),
        strictness: asked.strictness,
        effect: asked.effect,
        trust: Trust::Client(asked.user.clone()),
    })
}

/// The effect of a plan that was made under the same lock.
pub(crate) fn commit(state: &mut State, task: &Task, plan: Plan) -> Answer<Written> {
    let resource = task.kind.resource();
    let warnings = match task.strictness {
        Strictness::Warn => plan.warnings,
        _ => Vec::new(),
    };
    let mut object = plan.object;
    let outcome = plan.outcome;
    if outcome == Outcome::Unchanged || task.effect.is_dry() {
        let object = Arc::new(object);
        return Ok(Written {
            object,
            outcome,
            warnings,
        });
    }
    if object.to_string().len() > LARGEST_OBJECT {
        return Err(Refusal::plain(500, "", "etcdserver: request is too large"));
    }
    put(&mut object, "apiVersion", task.kind.api_version());
    let written = state.store.write(&resource, object);
    let is_over = !text(&written, "metadata/deletionTimestamp").is_empty()
        && items(&written, "metadata/finalizers").is_empty()
        && !admission::lives_on(&task.kind, &written);
    let object = if is_over {
        state
            .store
            .remove(&resource, &key_of(&written))
            .unwrap_or(written)
    } else {
        written
    };
    Ok(Written {
        object,
        outcome,
        warnings,
    })
}

/// What a controller of the cluster writes, as `manager`; refusals of it are its own affair.
pub(crate) fn by_controller(
    state: &mut State,
    kind: &Arc<Kind>,
    subresource: &str,
    manager: &str,
    change: Change,
    trust: Trust,
) -> Answer<Arc<Value>> {
    let (Change::Create(object) | Change::Replace(object)) = &change else {
        return Err(Refusal::internal("controllers create and replace"));
    };
    let (namespace, name) = key_of(object);
    let task = Task {
        kind: Arc::clone(kind),
        namespace,
        name,
        subresource: subresource.to_owned(),
        change,
        manager: manager.to_owned(),
        strictness: Strictness::Ignore,
        effect: Effect::Real,
        trust,
    };
    let plan = plan(state, &task)?;
    commit(state, &task, plan).map(|written| written.object)
}
