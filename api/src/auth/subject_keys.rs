//! Under which keys an address and a network stand in the limits, and are locked. Nobody can tell from them
//! who it is.

use crate::{
    app::App,
    domain::{email::EmailAddress, network::Network},
};

pub(crate) struct SubjectKeys {
    pub(crate) address: [u8; 32],
    /// The address together with the network that asks for it.
    pub(crate) here: [u8; 32],
    pub(crate) network: [u8; 32],
}

impl App {
    pub(crate) fn keys(&self, email: &EmailAddress, network: Network) -> SubjectKeys {
        let (key, network) = (self.ring.oldest(), network.name());
        SubjectKeys {
            address: self.address_name(email),
            here: key.pseudonym("address at network", &format!("{} {network}", email.as_str())),
            network: key.pseudonym("network", &network),
        }
    }

    pub(crate) fn address_name(&self, email: &EmailAddress) -> [u8; 32] {
        self.ring.oldest().pseudonym("address", email.as_str())
    }

    /// Under which the wrong guesses at the resets of an address are kept: they are no guesses at its registrations.
    pub(crate) fn reset_name(&self, email: &EmailAddress) -> [u8; 32] {
        self.ring.oldest().pseudonym("reset", email.as_str())
    }
}
