//! Rate limits, guess limits and lock-outs, and attacks on them.

pub(crate) mod attacks;
pub(crate) mod code_guesses;
pub(crate) mod guess_escalation;
pub(crate) mod guess_shares;
pub(crate) mod hash_fairness;
pub(crate) mod hot_rows;
pub(crate) mod lockout_attacks;
pub(crate) mod mail_budgets;
pub(crate) mod mailboxes;
pub(crate) mod network_limits;
pub(crate) mod password_lockout;
pub(crate) mod reset_guesses;
