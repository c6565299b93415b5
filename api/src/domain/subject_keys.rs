//! Keyed hashes that identify an email address or a network in rate limits and advisory locks.
//!
//! Without `SUBJECT_KEY`, such a key cannot be traced back to the email address or the network.

use shared::secret_key::SecretKey;

use crate::domain::{email::EmailAddress, network::Network};

/// `SUBJECT_KEY`: the key of the hashes that identify email addresses and networks. It is independent of `CODE_SECRETS`
/// and must never change, or all limits would start from zero.
pub(crate) struct SubjectKey(pub(crate) SecretKey);

impl SubjectKey {
    /// The keys of a request for this email address from this network.
    pub(crate) fn keys(&self, email: &EmailAddress, network: Network) -> SubjectKeys {
        let network = network.name();
        SubjectKeys {
            email: self.email_key(email),
            email_and_network: self.pseudonym("address at network", &format!("{} {network}", email.as_str())),
            network: self.pseudonym("network", &network),
        }
    }

    /// The key of an email address alone.
    pub(crate) fn email_key(&self, email: &EmailAddress) -> [u8; 32] {
        self.pseudonym("address", email.as_str())
    }

    /// The key that wrong reset codes of an email address are counted under. They do not count as wrong codes of its
    /// registrations.
    pub(crate) fn reset_guess_key(&self, email: &EmailAddress) -> [u8; 32] {
        self.pseudonym("reset", email.as_str())
    }

    /// The first salt of the passwords of an email address.
    pub(crate) fn salt(&self, email: &EmailAddress) -> [u8; 32] {
        self.pseudonym("salt", email.as_str())
    }

    /// Identifies this key in the database.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        self.pseudonym("sample", "")
    }

    /// A keyed hash that identifies a value without revealing it. `kind` separates values of different kinds.
    fn pseudonym(&self, kind: &str, value: &str) -> [u8; 32] {
        self.0.mac("vestibule/pseudonym/1", &[kind.as_bytes(), &[0], value.as_bytes()])
    }
}

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
    /// The locks of a request that counts attempts. The email address is locked before the network, never after.
    pub(crate) fn locks(&self) -> [&[u8; 32]; 2] {
        [&self.email, &self.network]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stored limits of every installation depend on this value.
    #[test]
    fn key_of_an_email_address_never_changes() {
        let secret = SecretKey::parse("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap();
        let key = SubjectKey(secret).email_key(&EmailAddress::parse("ada@example.com").unwrap());
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "711996a3c7104c77d839dd97b5eeef6ad58d0c6ca86dc4a5cbcb29980952a1ec");
    }
}
