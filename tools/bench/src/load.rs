//! Load generation: an HTTP client, closed and open loops, and the users that send the requests.

pub(crate) mod client;
pub(crate) mod closed_loop;
pub(crate) mod journeys;
pub(crate) mod open_loop;
pub(crate) mod users;
