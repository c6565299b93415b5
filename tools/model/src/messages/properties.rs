//! What must hold for messages, and the model in the form that is searched.

use stateright::{Model, Property};

use super::{
    MAX_RESCUES, Mail, Messages, Mutation,
    state::{
        Action, End, Fault, Message, RELAYS, RelayAction, RelayStep, RelayTask, RescuerAction, Round, Row, State,
        TimeAction, WORKERS, WorkerAction,
    },
};
use crate::search::Rules;

impl Model for Messages {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let message = |&mail: &Mail| Message { mail, ..Message::default() };
        let state = |mails: &&[Mail]| State {
            messages: mails.iter().map(message).collect(),
            round: Round::default(),
            faults: 0,
        };
        self.messages.iter().map(state).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        use {RelayAction::*, RescuerAction::*, TimeAction::*, WorkerAction::*};
        for message in 0..state.messages.len() {
            for relay in 0..RELAYS {
                actions.extend([Lease, Publish, Confirm, Delete].map(|it| Action::Relay(it, message, relay)));
                actions.extend([Fault::StallRelay, Fault::FailPublish].map(|it| Action::Fault(it(message, relay))));
            }
            for worker in 0..WORKERS {
                let steps = [Take, ReadFacts, Send, FailToSend, Record, NoteOnItsWay, CopyToRetryQueue, Requeue, Ack];
                actions.extend(steps.map(|it| Action::Worker(it, message, worker)));
                actions.extend([Fault::StallWorker, Fault::FailNote].map(|it| Action::Fault(it(message, worker))));
            }
            actions.extend([LeaseRunsOut, RetryIsDue, DeadlinePasses].map(|it| Action::Time(it, message)));
            actions.extend([Action::Rescuer(PublishAgain(message)), Action::Fault(Fault::UndoDelete(message))]);
        }
        actions.extend([Search, SeenEmpty, MarkMissing].map(Action::Rescuer));
        actions.extend((0..RELAYS).map(|relay| Action::Fault(Fault::CrashRelay(relay))));
        for worker in 0..WORKERS {
            actions.extend([Fault::CrashWorker, Fault::LoseConnectionOfWorker].map(|it| Action::Fault(it(worker))));
        }
        actions.extend([Fault::LoseWorkQueue, Fault::LoseRetryQueues].map(Action::Fault));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Relay(action, message, relay) => self.relay(&mut next.messages[message], relay, action),
            Action::Worker(action, message, worker) => self.worker(&mut next.messages[message], worker, action),
            Action::Time(action, message) => self.time(&mut next.messages[message], action),
            Action::Rescuer(action) => self.rescuer(&mut next, action),
            Action::Fault(fault) => self.fault(&mut next, fault),
        }?;
        Some(next.in_order())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("I-03 at rest, a message has exactly one end", |model: &Self, state: &State| {
                state.all(|message| message.ends <= 1)
                    && model.holds_at_rest(state, |message| message.ends == 1 || message.waits_for_deadline())
            }),
            Property::always("I-04 a row is deleted after the confirm", |_, state: &State| {
                state.all(|message| message.row != Row::Absent || message.is_confirmed)
            }),
            Property::always("I-05 an ack follows the record or the retry copy", |_, state: &State| {
                state.all(|message| !message.is_acked_early)
            }),
            // A fault costs at most two mails: its own, and one of the rescue that it causes.
            Property::always("I-06 a mail is sent again only after a fault", |_, state: &State| {
                state.all(|message| message.mails <= 1 + 2 * state.faults)
            }),
            Property::always(
                "I-17 what is never accepted is dropped after its deadline",
                |model: &Self, state: &State| {
                    model.holds_at_rest(state, |message| {
                        message.mail == Mail::Accepted || !message.is_expired || message.end == Some(End::Dropped)
                    })
                },
            ),
            Property::always("I-18 one relay publishes a row, unless it has lost its lease", |_, state: &State| {
                let publishes = |task: &&RelayTask| task.step != RelayStep::Idle && !task.has_lost_lease;
                state.all(|message| message.relays.iter().filter(publishes).count() <= 1)
            }),
            Property::always("I-25 at rest, what is of use has been mailed", |model: &Self, state: &State| {
                model.holds_at_rest(state, |message| {
                    let is_of_use = message.mail == Mail::Accepted && !message.is_expired;
                    !is_of_use || (message.end == Some(End::Delivered) && message.mails > 0)
                })
            }),
            Property::always("the bound of rescues is never reached", |_, state: &State| {
                state.all(|message| message.rescues < MAX_RESCUES)
            }),
        ];
        if self.max_faults > 0 {
            properties.extend([
                // That the model can do what it is about.
                Property::sometimes("a rescued message is mailed once", |_, state: &State| {
                    !state.all(|it| it.rescues == 0 || it.end != Some(End::Delivered) || it.mails != 1)
                }),
                Property::sometimes("a rescued message is dropped", |_, state: &State| {
                    !state.all(|message| message.rescues == 0 || message.end != Some(End::Dropped))
                }),
            ]);
        }
        properties
    }
}

impl Messages {
    /// Whether nothing happens any more, or this holds for all messages. `search::every_run_ends`: each run comes to rest.
    fn holds_at_rest(&self, state: &State, condition: impl Fn(&Message) -> bool) -> bool {
        state.all(condition) || !self.is_at_rest(state)
    }

    /// Whether nothing happens any more without a fault, except that deadlines pass.
    fn is_at_rest(&self, state: &State) -> bool {
        let mut actions = vec![];
        self.actions(state, &mut actions);
        let waits = |action| matches!(action, Action::Fault(_) | Action::Time(TimeAction::DeadlinePasses, _));
        actions.into_iter().all(|action| waits(action) || self.next_state(state, action).is_none())
    }
}

impl Rules for Messages {
    type Mutation = Mutation;
    const MUTATIONS: &'static [Mutation] = Mutation::ALL;

    fn with(self, broken: Mutation, max_faults: u8) -> Self {
        Self { broken: Some(broken), max_faults, ..self }
    }

    fn max_faults(&self) -> u8 {
        self.max_faults
    }

    fn bounds(&self) -> String {
        let messages = self.messages.iter().map(|messages| messages.len()).max().unwrap_or(0);
        let Self { max_faults, max_give_backs, .. } = self;
        format!(
            "messages {messages}, relays {RELAYS}, workers {WORKERS}, faults ≤ {max_faults}, give-backs ≤ {max_give_backs}"
        )
    }
}
