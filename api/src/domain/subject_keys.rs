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
pub(crate) mod tests {
    use super::*;
    use crate::domain::network::Network;

    fn subject_key() -> SubjectKey {
        SubjectKey(SecretKey::parse("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap())
    }

    fn email(address: &str) -> EmailAddress {
        EmailAddress::parse(address).unwrap()
    }

    /// The keys of a request for this email address from this IP address, without an unlock cookie.
    pub(crate) fn keys(address: &str, ip: &str) -> SubjectKeys {
        let client = Client { network: Network::of(ip.parse().unwrap()), unlock_cookie: None };
        subject_key().keys(&email(address), client)
    }

    /// The stored limits of every installation depend on this value.
    #[test]
    fn key_of_an_email_address_never_changes() {
        let key = subject_key().email_key(&email("ada@example.com"));
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "711996a3c7104c77d839dd97b5eeef6ad58d0c6ca86dc4a5cbcb29980952a1ec");
    }

    #[test]
    fn keys_of_different_kinds_differ() {
        let (key, ada) = (subject_key(), email("ada+shop@example.com"));
        let SubjectKeys { email, mailbox, network, password_failures, email_and_network, mailbox_and_network, .. } =
            keys("ada+shop@example.com", "203.0.113.7");
        let kinds = [
            email,
            mailbox,
            network,
            password_failures,
            email_and_network,
            mailbox_and_network,
            key.reset_guess_key(&ada),
            key.salt(&ada),
            key.fingerprint(),
        ];
        let distinct: std::collections::HashSet<_> = kinds.iter().collect();
        assert_eq!(distinct.len(), kinds.len());
    }

    #[test]
    fn keys_of_a_request_are_those_of_its_address() {
        let (key, ada) = (subject_key(), email("ada@example.com"));
        let keys = keys("ada@example.com", "203.0.113.7");
        assert_eq!((keys.email, keys.mailbox), (key.email_key(&ada), key.mailbox_key(&ada)));
        assert_eq!(key.mailbox_key(&email("ada+shop@example.com")), key.email_key(&ada));
        assert_ne!(key.fingerprint(), SubjectKey(SecretKey::parse(&"A".repeat(44)).unwrap()).fingerprint());
        for of in [SubjectKey::reset_guess_key, SubjectKey::salt] {
            assert_eq!(of(&key, &ada), of(&key, &ada));
            assert_ne!(of(&key, &ada), of(&key, &email("bob@example.com")));
        }
    }

    #[test]
    fn only_ipv6_networks_have_surroundings() {
        assert_eq!(keys("ada@example.com", "203.0.113.7").email_and_surroundings, None);
        let of = |ip| keys("ada@example.com", ip).email_and_surroundings.unwrap();
        let (first, same_48, same_56) = (of("2001:db8:1:100::1"), of("2001:db8:1:200::1"), of("2001:db8:1:1ff::1"));
        assert_eq!((first[0] == same_48[0], first[1] == same_48[1]), (false, true));
        assert_eq!(first, same_56);
    }

    #[test]
    fn mailbox_is_locked_before_the_network() {
        let keys = keys("ada+shop@example.com", "203.0.113.7");
        assert_eq!(keys.locks(), [&keys.mailbox, &keys.network]);
    }
}
