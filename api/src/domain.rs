//! The rules, pure: no I/O, and time and chance come as arguments.

pub(crate) mod common_passwords;
pub(crate) mod digits;
pub(crate) mod email;
pub(crate) mod event;
pub(crate) mod guesses;
pub(crate) mod lockout;
pub(crate) mod mute;
pub(crate) mod network;
pub(crate) mod password;
pub(crate) mod policy;
pub(crate) mod resets;
pub(crate) mod retention;
pub(crate) mod session;
pub(crate) mod share;
