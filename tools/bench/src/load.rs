//! Load: clients that ask in closed and open loops, and what they need.

pub(crate) mod client;
pub(crate) mod closed_loop;
pub(crate) mod open_loop;
pub(crate) mod users;
