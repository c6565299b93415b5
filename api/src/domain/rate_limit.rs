//! Rate limits (protection against brute force), pure: sliding windows, lockouts after wrong passwords, and escalation
//! to longer codes after wrong guesses, whose number is limited to a share of the activations.
//!
//! `domain/policy` has the numbers. A request is checked in `registration/issue_code` (codes and registrations),
//! `auth/password_attempt`, `auth/code_attempt`, `auth/network_guesses` and `account/reset_attempt`; `store/rate_limits`,
//! `store/lockouts` and `store/guesses` hold the counts. Rejections are `RateLimited`, which becomes a 429.

pub(crate) mod guess_escalation;
pub(crate) mod guess_shares;
pub(crate) mod lockout;
pub(crate) mod reset_escalation;
pub(crate) mod sliding_window;
