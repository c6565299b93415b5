//! Dead letters, for the operator: parked messages (RabbitMQ) and undeliverable mails (Postgres).

pub(crate) mod output;
pub(crate) mod parked;
pub(crate) mod undeliverable;

/// What a command does with dead letters. An ID is not checked yet: it is as the operator typed it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    List,
    Show(String),
    Requeue(Selection),
    Drop(String),
}

/// Which dead letters are requeued.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    All,
    Id(String),
}
