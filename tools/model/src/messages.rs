//! The path of a message: outbox row, relay, broker, worker, mail, record; and the rescuer, which publishes again what the
//! broker lost. This file says what each actor may do, with the names of the source; `messages/state.rs` what there is, and
//! `messages/properties.rs` what must hold.
//!
//! Time is abstracted: whatever takes time takes any time, except that
//! * a relay renews its leases, unless it stands still ([`Fault::StallRelay`]);
//! * a worker holds a message for less than the rescuer's grace, unless it stands still ([`Fault::StallWorker`]);
//! * a copy leaves its retry queue before the note about it has expired.

mod properties;
mod state;

use crate::search::{mutations, require};
use state::{
    End, Fault, Message, RelayAction, RelayStep, RelayTask, RescuerAction, Round, Row, State, TimeAction, Unfinished,
    WorkerAction, WorkerStep, WorkerTask,
};

/// More rescues than any run needs while all rules hold: it bounds the search of broken ones.
const MAX_RESCUES: u8 = 3;

/// The model: its bounds, and the rule that is broken, if one is.
#[derive(Clone, Copy)]
pub(crate) struct Messages {
    /// The messages of each initial state.
    messages: &'static [&'static [Mail]],
    /// How many faults happen at most, in all.
    max_faults: u8,
    /// How often a message is given back at most because the mail server fails for a while, or its worker stops.
    max_give_backs: u8,
    broken: Option<Mutation>,
}

/// Whether the mail server ever accepts a mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Mail {
    #[default]
    Accepted,
    /// Every attempt fails for a while, until the deadline of the message.
    NeverAccepted,
}

mutations! {
    LeaseWithoutOwner,
    ReleaseWithoutOwner,
    DeleteBeforeConfirm,
    AckBeforeRecord,
    AckBeforeRetryCopy,
    RecordNotFirstWins,
    DecideWithoutDeadline,
    GiveBackWithoutNote,
    PublishNothingAgain,
    SearchOnlyWhatIsOfUse,
    PublishAgainWithoutGrace,
    MarkMissingWithoutLook,
    LookBeforeSearch,
    MarkMissingOverNewerNote,
    WaitFromNoteNotFromLook,
}

impl Messages {
    /// One message, and up to two faults.
    pub(crate) const ONE: Self =
        Self { messages: &[&[Mail::Accepted], &[Mail::NeverAccepted]], max_faults: 2, max_give_backs: 1, broken: None };

    /// Two messages, one of which may never be accepted, without faults: with one there are tens of millions of states.
    pub(crate) const TWO: Self = Self {
        messages: &[&[Mail::Accepted, Mail::Accepted], &[Mail::Accepted, Mail::NeverAccepted]],
        max_faults: 0,
        ..Self::ONE
    };

    /// `api/src/outbox/relay.rs` and `in_flight.rs`; SQL in `api/src/store/outbox.rs`.
    fn relay(&self, message: &mut Message, relay: usize, action: RelayAction) -> Option<()> {
        let task = &mut message.relays[relay];
        match action {
            // LEASE_CODES: rows without a lease, or whose lease has run out.
            RelayAction::Lease => {
                let is_leased = matches!(message.row, Row::LeasedBy(_)) && self.breaks(Mutation::LeaseWithoutOwner);
                require(task.step == RelayStep::Idle && (message.row == Row::Free || is_leased))?;
                message.row = Row::LeasedBy(relay);
                task.step = RelayStep::Leased;
            }
            RelayAction::Publish => {
                require(task.step == RelayStep::Leased)?;
                message.ready += 1;
                task.step = RelayStep::Published;
            }
            RelayAction::Confirm => {
                require(task.step == RelayStep::Published)?;
                message.is_confirmed = true;
                task.step = RelayStep::Confirmed;
            }
            // DELETE: whichever relay holds the lease by now.
            RelayAction::Delete => {
                let is_published = task.step == RelayStep::Published && self.breaks(Mutation::DeleteBeforeConfirm);
                require(task.step == RelayStep::Confirmed || is_published)?;
                *task = RelayTask::default();
                message.row = Row::Absent;
                message.relays.iter_mut().for_each(|task| task.has_lost_lease = task.step != RelayStep::Idle);
            }
        }
        Some(())
    }

    /// `worker/src/consumer.rs`, `delivery/handler.rs` and `store.rs`.
    fn worker(&self, message: &mut Message, worker: usize, action: WorkerAction) -> Option<()> {
        let mut task = message.workers[worker];
        match action {
            // `Consumer::start`: a second copy waits for the first.
            WorkerAction::Take => {
                require(message.ready > 0)?;
                message.ready -= 1;
                match task.step {
                    WorkerStep::Idle => {
                        task = WorkerTask { step: WorkerStep::Taken, is_unacked: true, ..WorkerTask::default() };
                    }
                    _ => task.duplicates += 1,
                }
            }
            // `Store::load_facts`, and `Facts::decide` in `domain/decision.rs`.
            WorkerAction::ReadFacts => {
                require(task.step == WorkerStep::Taken)?;
                task.step = match message.end {
                    Some(_) => WorkerStep::Recorded,
                    None if message.is_expired && !self.breaks(Mutation::DecideWithoutDeadline) => WorkerStep::ToDrop,
                    None => WorkerStep::ToSend,
                };
            }
            WorkerAction::Send => {
                require(task.step == WorkerStep::ToSend && message.mail == Mail::Accepted)?;
                message.mails += 1;
                task.step = WorkerStep::Sent;
            }
            WorkerAction::FailToSend => {
                let may_fail = message.mail == Mail::NeverAccepted || message.give_backs < self.max_give_backs;
                require(task.step == WorkerStep::ToSend && may_fail)?;
                task.step = WorkerStep::Failed;
            }
            // `Store::record`: ON CONFLICT (message_id) DO NOTHING.
            WorkerAction::Record => {
                let end = match task.step {
                    WorkerStep::Sent => End::Delivered,
                    WorkerStep::ToDrop => End::Dropped,
                    _ => return None,
                };
                if message.end.is_none() || self.breaks(Mutation::RecordNotFirstWins) {
                    message.end = Some(end);
                    message.ends += 1;
                }
                task.step = WorkerStep::Recorded;
            }
            _ => self.settle(message, &mut task, action)?,
        }
        message.workers[worker] = task;
        Some(())
    }

    /// `worker/src/consumer/ack.rs`; the note in `delivery/handler.rs`.
    fn settle(&self, message: &mut Message, task: &mut WorkerTask, action: WorkerAction) -> Option<()> {
        match action {
            // `Store::note_on_its_way`: before it is given back without an end.
            WorkerAction::NoteOnItsWay => {
                require(task.step == WorkerStep::Failed)?;
                message.unfinished = match self.breaks(Mutation::WaitFromNoteNotFromLook) {
                    true => Unfinished::Missing,
                    false => Unfinished::OnItsWay,
                };
                // `MarkMissing` passes a message with a newer note (MARK_MISSING).
                message.is_candidate &= self.breaks(Mutation::MarkMissingOverNewerNote);
                task.step = WorkerStep::Noted;
            }
            // `Acknowledger::publish_copy`: not if the connection was lost, because then the broker redelivers it.
            WorkerAction::CopyToRetryQueue => {
                self.require_noted(*task)?;
                message.give_backs = self.max_give_backs.min(message.give_backs + 1);
                if task.is_unacked {
                    message.retrying += 1;
                    task.step = WorkerStep::Copied;
                } else {
                    task.end_of_copy();
                }
            }
            // `Outcome::Requeue`, when the worker stops: the broker gets back what it has in hand.
            WorkerAction::Requeue => {
                self.require_noted(*task)?;
                require(message.give_backs < self.max_give_backs)?;
                message.give_backs += 1;
                message.ready += task.unacked();
                *task = WorkerTask::default();
            }
            // `Acknowledger::try_settle`: last.
            WorkerAction::Ack => {
                let is_settled = matches!(task.step, WorkerStep::Recorded | WorkerStep::Copied);
                let is_early = match task.step {
                    WorkerStep::Sent | WorkerStep::ToDrop => self.breaks(Mutation::AckBeforeRecord),
                    WorkerStep::Noted => self.breaks(Mutation::AckBeforeRetryCopy),
                    _ => false,
                };
                require(is_settled || (is_early && task.is_unacked))?;
                message.is_acked_early |= task.is_unacked && message.end.is_none() && task.step != WorkerStep::Copied;
                if is_settled { task.end_of_copy() } else { task.is_unacked = false }
            }
            _ => return None,
        }
        Some(())
    }

    fn require_noted(&self, task: WorkerTask) -> Option<()> {
        let is_failed = task.step == WorkerStep::Failed && self.breaks(Mutation::GiveBackWithoutNote);
        require(task.step == WorkerStep::Noted || is_failed)
    }

    fn time(&self, message: &mut Message, action: TimeAction) -> Option<()> {
        match action {
            // Of a relay that crashed: others renew their leases.
            TimeAction::LeaseRunsOut => {
                let Row::LeasedBy(relay) = message.row else { return None };
                require(message.relays[relay].step == RelayStep::Idle)?;
                message.row = Row::Free;
            }
            // After the last attempt that is modelled, the message waits for its deadline.
            TimeAction::RetryIsDue => {
                let has_attempts = message.give_backs < self.max_give_backs || message.mail == Mail::Accepted;
                require(message.retrying > 0 && (has_attempts || message.is_expired))?;
                message.retrying -= 1;
                message.ready += 1;
            }
            TimeAction::DeadlinePasses => {
                require(!message.is_expired)?;
                message.is_expired = true;
            }
        }
        Some(())
    }

    /// `api/src/outbox/rescuer.rs`: one at a time. A round that finds nothing is no step.
    fn rescuer(&self, state: &mut State, action: RescuerAction) -> Option<()> {
        match action {
            RescuerAction::Search => {
                require(state.round == Round::Over && state.messages.iter().any(|message| self.is_candidate(message)))?;
                self.read_candidates(state);
                state.round = Round::Searched;
            }
            // The candidates are in no queue then: each is with a worker, or lost.
            RescuerAction::SeenEmpty => {
                let is_empty = Self::is_empty(state) || self.breaks(Mutation::MarkMissingWithoutLook);
                require(state.round == Round::Searched && is_empty)?;
                state.round = Round::SeenEmpty;
            }
            RescuerAction::MarkMissing => {
                require(state.round == Round::SeenEmpty)?;
                if self.breaks(Mutation::LookBeforeSearch) {
                    self.read_candidates(state);
                }
                for message in state.messages.iter_mut().filter(|message| message.is_candidate) {
                    message.is_candidate = false;
                    message.unfinished = Unfinished::Missing;
                    message.workers.iter_mut().for_each(|task| task.is_in_grace = task.step != WorkerStep::Idle);
                }
                state.round = Round::Over;
            }
            // After the grace. The next wait begins when it is published and again nowhere to be seen.
            RescuerAction::PublishAgain(message) => {
                require(Self::is_empty(state))?;
                let message = &mut state.messages[message];
                require(message.unfinished == Unfinished::Missing && message.end.is_none())?;
                let is_in_grace = message.workers.iter().any(|task| task.is_in_grace);
                // As if the wait began with the note.
                require(!message.may_be_in_retry_queue() || !self.breaks(Mutation::WaitFromNoteNotFromLook))?;
                require(!is_in_grace || self.breaks(Mutation::PublishAgainWithoutGrace))?;
                require(message.rescues < MAX_RESCUES && !self.breaks(Mutation::PublishNothingAgain))?;
                message.rescues += 1;
                message.unfinished = Unfinished::No;
                if message.row == Row::Absent {
                    message.row = Row::Free;
                }
            }
        }
        Some(())
    }

    /// `look_at_queue` and COUNT_RETRYING: nothing is ready, and there is a note of each message in a retry queue.
    fn is_empty(state: &State) -> bool {
        let retrying: u8 = state.messages.iter().map(|message| message.retrying).sum();
        let noted = state.messages.iter().filter(|message| message.unfinished == Unfinished::OnItsWay).count();
        state.all(|message| message.ready == 0) && usize::from(retrying) <= noted
    }

    fn read_candidates(&self, state: &mut State) {
        for message in &mut state.messages {
            message.is_candidate = self.is_candidate(message);
        }
    }

    /// Published, without an end, and not known to be missing or in a retry queue.
    fn is_candidate(&self, message: &Message) -> bool {
        let is_known = match message.unfinished {
            Unfinished::No => false,
            Unfinished::OnItsWay => message.may_be_in_retry_queue(),
            Unfinished::Missing => true,
        };
        let is_passed = message.is_expired && self.breaks(Mutation::SearchOnlyWhatIsOfUse);
        message.row == Row::Absent && message.end.is_none() && !is_known && !is_passed
    }

    fn fault(&self, state: &mut State, fault: Fault) -> Option<()> {
        require(state.faults < self.max_faults)?;
        state.faults += 1;
        let before = state.messages.clone();
        let messages = &mut state.messages;
        match fault {
            Fault::CrashRelay(relay) => messages.iter_mut().for_each(|it| it.relays[relay] = RelayTask::default()),
            Fault::CrashWorker(worker) => {
                for message in messages.iter_mut() {
                    message.ready += message.workers[worker].unacked();
                    message.workers[worker] = WorkerTask::default();
                }
            }
            Fault::StallRelay(message, relay) => {
                let message = &mut messages[message];
                require(message.row == Row::LeasedBy(relay) && message.relays[relay].step != RelayStep::Idle)?;
                message.row = Row::Free;
                message.relays[relay].has_lost_lease = true;
            }
            Fault::StallWorker(message, worker) => messages[message].workers[worker].is_in_grace = false,
            // RELEASE: a row that another relay has leased meanwhile keeps that lease.
            Fault::FailPublish(message, relay) => {
                let message = &mut messages[message];
                require(matches!(message.relays[relay].step, RelayStep::Leased | RelayStep::Published))?;
                message.relays[relay] = RelayTask::default();
                let is_leased = matches!(message.row, Row::LeasedBy(_)) && self.breaks(Mutation::ReleaseWithoutOwner);
                if message.row == Row::LeasedBy(relay) || is_leased {
                    message.row = Row::Free;
                }
            }
            Fault::FailNote(message, worker) => {
                let step = &mut messages[message].workers[worker].step;
                require(*step == WorkerStep::Failed)?;
                *step = WorkerStep::Noted;
            }
            // Tasks go on, without an ack; the broker redelivers.
            Fault::LoseConnectionOfWorker(worker) => {
                for message in messages.iter_mut() {
                    message.ready += message.workers[worker].unacked();
                    message.workers[worker].lose_copies();
                }
            }
            Fault::LoseWorkQueue => {
                for message in messages.iter_mut() {
                    message.ready = 0;
                    message.workers.iter_mut().for_each(WorkerTask::lose_copies);
                }
            }
            Fault::LoseRetryQueues => messages.iter_mut().for_each(|message| message.retrying = 0),
            Fault::UndoDelete(message) => {
                require(messages[message].row == Row::Absent)?;
                messages[message].row = Row::Free;
            }
        }
        require(*messages != before)
    }

    fn breaks(&self, mutation: Mutation) -> bool {
        self.broken == Some(mutation)
    }
}
