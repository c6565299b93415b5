//! Keyed hashes that identify an email address or a network in rate limits and advisory locks.
//!
//! Without the secret, such a key cannot be traced back to the email address or the network.

use shared::codes::CodeSecrets;

use crate::domain::{email::EmailAddress, network::Network};

/// The keys of one request: under them its limits are stored, and by them it is serialised with other requests.
pub(crate) struct SubjectKeys {
    /// The email address.
    pub(crate) email: [u8; 32],
    /// The email address together with the network of the client.
    pub(crate) email_and_network: [u8; 32],
    /// The network of the client.
    pub(crate) network: [u8; 32],
}

impl SubjectKeys {
    /// The keys of a request for this email address from this network.
    pub(crate) fn new(secrets: &CodeSecrets, email: &EmailAddress, network: Network) -> Self {
        let key = secrets.oldest();
        let network = network.name();
        Self {
            email: email_key(secrets, email),
            email_and_network: key.pseudonym("address at network", &format!("{} {network}", email.as_str())),
            network: key.pseudonym("network", &network),
        }
    }

    /// The locks of a request that counts attempts. The email address is locked before the network, never after.
    pub(crate) fn locks(&self) -> [&[u8; 32]; 2] {
        [&self.email, &self.network]
    }
}

/// The key of an email address alone.
pub(crate) fn email_key(secrets: &CodeSecrets, email: &EmailAddress) -> [u8; 32] {
    secrets.oldest().pseudonym("address", email.as_str())
}

/// The key that wrong reset codes of an email address are counted under. They do not count as wrong codes of its
/// registrations.
pub(crate) fn reset_guess_key(secrets: &CodeSecrets, email: &EmailAddress) -> [u8; 32] {
    secrets.oldest().pseudonym("reset", email.as_str())
}
