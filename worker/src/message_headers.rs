//! AMQP headers that the worker writes into a message that it retries or parks.

/// How many delivery attempts were made before this one.
pub(crate) const ATTEMPTS: &str = "x-vestibule-attempts";

/// How many attempts failed because the message could not be processed.
pub(crate) const ERRORS: &str = "x-vestibule-errors";

/// Why the message was parked.
pub(crate) const PARKED_REASON: &str = "x-vestibule-why";

/// When the message was parked.
pub(crate) const PARKED_AT: &str = "x-vestibule-since";
