//! What there is: the messages with their rows, copies and tasks; and the steps of all actors.

use super::Mail;

pub(super) const RELAYS: usize = 2;
pub(super) const WORKERS: usize = 2;

/// All messages, the rescuer's round, and the faults so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(super) messages: Vec<Message>,
    pub(super) round: Round,
    pub(super) faults: u8,
}

/// One message, everywhere. It is committed, with its outbox row.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Message {
    pub(super) mail: Mail,
    /// Postgres: the outbox.
    pub(super) row: Row,
    /// Postgres: the record in `deliveries`, and how many were written (history).
    pub(super) end: Option<End>,
    pub(super) ends: u8,
    /// Postgres: `unfinished_messages`.
    pub(super) unfinished: Unfinished,
    pub(super) rescues: u8,
    /// Whether its deadline has passed.
    pub(super) is_expired: bool,
    /// The broker: copies that are ready in the work queue, and in a retry queue.
    pub(super) ready: u8,
    pub(super) retrying: u8,
    pub(super) relays: [RelayTask; RELAYS],
    pub(super) workers: [WorkerTask; WORKERS],
    /// Whether the rescuer has read it as a candidate in this round.
    pub(super) is_candidate: bool,
    pub(super) give_backs: u8,
    /// History: mails that the mail server accepted; a confirm of the broker; an ack that came too early.
    pub(super) mails: u8,
    pub(super) is_confirmed: bool,
    pub(super) is_acked_early: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Row {
    Absent,
    #[default]
    Free,
    LeasedBy(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum End {
    Delivered,
    Dropped,
}

/// What `unfinished_messages` says about a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Unfinished {
    #[default]
    No,
    /// `seen_at`: a worker has given it back, so it may be in a retry queue.
    OnItsWay,
    /// `missing_since`: the rescuer saw it nowhere, and waits for its grace.
    Missing,
}

/// The delivery of a message by a relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RelayTask {
    pub(super) step: RelayStep,
    /// It stood still until its lease ran out, or the row is deleted.
    pub(super) has_lost_lease: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum RelayStep {
    #[default]
    Idle,
    Leased,
    Published,
    Confirmed,
}

/// A message in the hands of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WorkerTask {
    pub(super) step: WorkerStep,
    /// Whether the broker still waits for the ack; not after the connection or the queue was lost.
    pub(super) is_unacked: bool,
    /// Further copies, which wait for this one (`InFlight::duplicates`).
    pub(super) duplicates: u8,
    /// Whether it was in hand when the rescuer found the message missing: the grace ends after this.
    pub(super) is_in_grace: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum WorkerStep {
    #[default]
    Idle,
    Taken,
    /// The decision by the facts; of a message whose end is on record: `Recorded`.
    ToSend,
    ToDrop,
    Sent,
    /// The mail server fails for a while, or the worker stops.
    Failed,
    Noted,
    Copied,
    Recorded,
}

/// What the rescuer's round has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Round {
    #[default]
    Over,
    Searched,
    SeenEmpty,
}

/// One step of one actor. The numbers are those of the message and of the relay or worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Relay(RelayAction, usize, usize),
    Worker(WorkerAction, usize, usize),
    Time(TimeAction, usize),
    Rescuer(RescuerAction),
    Fault(Fault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RelayAction {
    Lease,
    Publish,
    Confirm,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerAction {
    Take,
    ReadFacts,
    Send,
    FailToSend,
    Record,
    NoteOnItsWay,
    CopyToRetryQueue,
    Requeue,
    Ack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeAction {
    LeaseRunsOut,
    RetryIsDue,
    DeadlinePasses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RescuerAction {
    Search,
    SeenEmpty,
    MarkMissing,
    PublishAgain(usize),
}

/// What goes wrong outside. Where there are two numbers, they are those of the message and of the relay or worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    CrashRelay(usize),
    CrashWorker(usize),
    /// It stands still until its lease has run out.
    StallRelay(usize, usize),
    /// The process is frozen until the rescuer's grace has expired.
    StallWorker(usize, usize),
    /// The broker refuses a publish, or its confirm is lost.
    FailPublish(usize, usize),
    FailNote(usize, usize),
    LoseConnectionOfWorker(usize),
    LoseWorkQueue,
    LoseRetryQueues,
    /// Postgres crashes before the commit that deleted the row is on disk.
    UndoDelete(usize),
}

impl WorkerTask {
    /// The copies that the broker gets back from a worker that crashes.
    pub(super) fn unacked(self) -> u8 {
        u8::from(self.is_unacked) + self.duplicates
    }

    pub(super) fn lose_copies(&mut self) {
        (self.is_unacked, self.duplicates) = (false, 0);
    }

    /// `Consumer::finish`: the next copy of the message, if one waits.
    pub(super) fn end_of_copy(&mut self) {
        *self = match self.duplicates.checked_sub(1) {
            Some(duplicates) => Self { step: WorkerStep::Taken, is_unacked: true, duplicates, ..*self },
            None => Self::default(),
        };
    }
}

impl Message {
    /// Whether the note about it is not over yet.
    pub(super) fn may_be_in_retry_queue(&self) -> bool {
        self.retrying > 0 || self.workers.iter().any(|task| task.step == WorkerStep::Noted)
    }

    /// Whether it is retried until its deadline, which has not passed yet.
    pub(super) fn waits_for_deadline(&self) -> bool {
        self.mail == Mail::NeverAccepted && !self.is_expired
    }
}

impl State {
    /// The same state with messages, relays and workers in a certain order: how they are numbered makes no difference.
    pub(super) fn in_order(mut self) -> Self {
        self.messages.sort_unstable();
        let of_relay = |relay| move |message: &Message| (message.relays[relay], message.row == Row::LeasedBy(relay));
        if self.messages.iter().map(of_relay(1)).lt(self.messages.iter().map(of_relay(0))) {
            for message in &mut self.messages {
                message.relays.swap(0, 1);
                if let Row::LeasedBy(relay) = &mut message.row {
                    *relay = 1 - *relay;
                }
            }
        }
        let of_worker = |worker| move |message: &Message| message.workers[worker];
        if self.messages.iter().map(of_worker(1)).lt(self.messages.iter().map(of_worker(0))) {
            self.messages.iter_mut().for_each(|message| message.workers.swap(0, 1));
        }
        self
    }

    /// Whether this holds for all messages.
    pub(super) fn all(&self, condition: impl Fn(&Message) -> bool) -> bool {
        self.messages.iter().all(condition)
    }
}
