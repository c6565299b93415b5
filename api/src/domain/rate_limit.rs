//! Rate limit rules, pure: sliding windows, lock-outs and code-length escalation.

pub(crate) mod guess_escalation;
pub(crate) mod lockout;
pub(crate) mod reset_escalation;
pub(crate) mod sliding_window;
