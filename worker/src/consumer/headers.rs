//! What a worker writes into the headers of a message, for itself and for the operator.

/// How often a message was tried before.
pub(crate) const ATTEMPTS: &str = "x-vestibule-attempts";

/// Why a message was parked.
pub(crate) const WHY: &str = "x-vestibule-why";

/// When it was parked.
pub(crate) const SINCE: &str = "x-vestibule-since";
