//! The client of a request, as the limits see it.

use super::{network::Network, session::TokenHash};

/// The network of a client, and what else its browser proves about it.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub(crate) network: Network,
    /// The hash of its unlock cookie, if it sent one. Whether that is valid, and for which account, is in the database.
    pub(crate) unlock_cookie: Option<TokenHash>,
}
