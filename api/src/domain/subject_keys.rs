//! Keyed hashes that identify an email address or a network in rate limits and advisory locks.
//!
//! Without `SUBJECT_KEY`, such a key cannot be traced back to the email address or the network.

use shared::secret_key::SecretKey;

use crate::domain::{client::Client, email::EmailAddress, session::TokenHash};

/// The IPv6 prefix lengths of the surroundings of a network: one customer usually has a /56 or a /48.
const SURROUNDINGS: [u8; 2] = [56, 48];

/// `SUBJECT_KEY`: the key of the hashes that identify email addresses and networks. It is independent of `CODE_SECRETS`
/// and must never change, or all limits would start from zero.
pub(crate) struct SubjectKey(pub(crate) SecretKey);

impl SubjectKey {
    /// The keys of a request of this client for this email address.
    pub(crate) fn keys(&self, email: &EmailAddress, client: Client) -> SubjectKeys {
        let network = client.network.name();
        let at = |address: &str, network: &str| self.pseudonym("address at network", &format!("{address} {network}"));
        let at_prefix = |length| at(email.as_str(), &format!("{}/{length}", client.network.prefix(length).name()));
        SubjectKeys {
            email: self.email_key(email),
            email_and_network: at(email.as_str(), &network),
            mailbox: self.mailbox_key(email),
            mailbox_and_network: at(&email.mailbox(), &network),
            email_and_surroundings: client.network.is_ipv6().then(|| SURROUNDINGS.map(at_prefix)),
            network: self.pseudonym("network", &network),
            password_failures: self.pseudonym("password failures", email.as_str()),
            unlock_cookie: client.unlock_cookie,
        }
    }

    /// The key of an email address alone.
    pub(crate) fn email_key(&self, email: &EmailAddress) -> [u8; 32] {
        self.pseudonym("address", email.as_str())
    }

    /// The key of the mailbox of an email address. It is that of the email address if there is no `+tag`.
    pub(crate) fn mailbox_key(&self, email: &EmailAddress) -> [u8; 32] {
        self.pseudonym("address", &email.mailbox())
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
    /// The mailbox of the email address.
    pub(crate) mailbox: [u8; 32],
    /// The mailbox together with the network of the client.
    pub(crate) mailbox_and_network: [u8; 32],
    /// The email address together with the /56 and with the /48 of the client; `None` for IPv4.
    pub(crate) email_and_surroundings: Option<[[u8; 32]; 2]>,
    /// The network of the client.
    pub(crate) network: [u8; 32],
    /// Counts the consecutive wrong passwords of the email address.
    pub(crate) password_failures: [u8; 32],
    /// The hash of the client's unlock cookie, if it sent one. It is random, and so needs no key.
    pub(crate) unlock_cookie: Option<TokenHash>,
}

impl SubjectKeys {
    /// The locks of a request that counts attempts. The mailbox, which stands for all its email addresses, is locked
    /// before the network, never after.
    pub(crate) fn locks(&self) -> [&[u8; 32]; 2] {
        [&self.mailbox, &self.network]
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
