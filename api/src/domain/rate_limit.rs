//! Rate limits, pure: sliding windows, lockouts after wrong passwords, and escalation to longer codes after wrong
//! guesses.

pub(crate) mod guess_escalation;
pub(crate) mod lockout;
pub(crate) mod reset_escalation;
pub(crate) mod sliding_window;
