//! Rules, pure: whether a mail is still worth sending, and the outcome of a delivery.

pub(crate) mod decision;
pub(crate) mod outcome;
