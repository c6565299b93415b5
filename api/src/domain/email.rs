//! Email addresses in the canonical form that is stored, compared and mailed to.

use std::fmt;

use super::policy::FieldError;

const MAX_ADDRESS: usize = 254;
const MAX_LOCAL: usize = 64;

/// A valid email address: lower case, dot-atom local part, ASCII domain with a dot. The validated text is the stored
/// text and the text in SMTP `RCPT TO`. Its debug output is masked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EmailAddress(String);

impl EmailAddress {
    /// Parses and normalises what a client sent.
    pub(crate) fn parse(given: &str) -> Result<Self, FieldError> {
        let given = given.trim();
        if given.is_empty() {
            return Err(FieldError::new("email", "required", "An email address is needed."));
        }
        let invalid = FieldError::new("email", "invalid", "This is not an email address of the form name@example.com.");
        // Longer than any email address can be, even before its domain is converted to ASCII: rejected before the
        // expensive steps.
        if given.len() > 4 * MAX_ADDRESS {
            return Err(invalid);
        }
        let (local, domain) = given.split_once('@').ok_or_else(|| invalid.clone())?;
        let (Some(local), Some(domain)) = (local_part(local), domain_part(domain)) else { return Err(invalid) };
        let address = format!("{local}@{domain}");
        if address.len() > MAX_ADDRESS { Err(invalid) } else { Ok(Self(address)) }
    }

    /// An email address from the database, which was parsed before it was stored.
    pub(crate) fn from_database(stored: String) -> Self {
        Self(stored)
    }

    /// The canonical text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The mailbox that mails to the address arrive in: the address without its `+tag`. Mail budgets and suppressions
    /// count the mailbox; for everything else, addresses that differ are different.
    pub(crate) fn mailbox(&self) -> String {
        let mailbox = self.local().split('+').next().filter(|mailbox| !mailbox.is_empty());
        format!("{}@{}", mailbox.unwrap_or(self.local()), self.domain())
    }

    /// The part before the `@`.
    pub(crate) fn local(&self) -> &str {
        self.0.split('@').next().unwrap_or_default()
    }

    /// The part after the `@`.
    pub(crate) fn domain(&self) -> &str {
        self.0.split('@').nth(1).unwrap_or_default()
    }
}

/// Validates a dot-atom of RFC 5322: atoms of `atext`, joined by single dots.
fn local_part(local: &str) -> Option<String> {
    let atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    let atom = |atom: &str| !atom.is_empty() && atom.bytes().all(atext);
    (local.len() <= MAX_LOCAL && local.split('.').all(atom)).then(|| local.to_ascii_lowercase())
}

/// Validates a host name with a dot, converted to ASCII by IDNA, which also checks the characters and the lengths of its
/// labels. A last label of digits only would be an IPv4 address.
fn domain_part(domain: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii_strict(domain).ok()?;
    let (_, top) = ascii.rsplit_once('.')?;
    let is_number = top.bytes().all(|byte| byte.is_ascii_digit());
    (!is_number).then_some(ascii)
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}***@{}", self.0.chars().next().unwrap_or('?'), self.domain())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(given: &str) -> Option<String> {
        EmailAddress::parse(given).ok().map(|address| address.0)
    }

    #[test]
    fn mailbox_is_the_address_without_its_tag() {
        for (address, mailbox) in [
            ("ada@example.com", "ada@example.com"),
            ("ada+shop@example.com", "ada@example.com"),
            ("ada+a+b@example.com", "ada@example.com"),
            ("ada+@example.com", "ada@example.com"),
            ("+tag@example.com", "+tag@example.com"),
        ] {
            assert_eq!(EmailAddress::parse(address).unwrap().mailbox(), mailbox);
        }
    }

    #[test]
    fn address_is_normalised() {
        for (given, canonical) in [
            ("  Ada@Example.COM\n", "ada@example.com"),
            ("a.b+c@sub.example.org", "a.b+c@sub.example.org"),
            ("u@Bücher.example", "u@xn--bcher-kva.example"),
            ("o'neil@x.ie", "o'neil@x.ie"),
        ] {
            assert_eq!(parsed(given).as_deref(), Some(canonical), "{given}");
        }
    }

    #[test]
    fn invalid_addresses_are_rejected() {
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long_domain = format!("a@{}.com", "a.".repeat(130));
        let long_label = format!("a@{}.com", "a".repeat(64));
        for given in [
            "",
            " ",
            "a",
            "@",
            "a@",
            "@x.io",
            "a@localhost",
            "a@x.io.",
            "a@.io",
            "a@x..io",
            "a@-x.io",
            "a@x-.io",
            "a@x.io-",
            "a@x!.io",
            "a@x/y.io",
            "a@x。",
            "a@x.io。",
            ".a@x.io",
            "a.@x.io",
            "a..b@x.io",
            "a b@x.io",
            "Bob <b@x.io>",
            "\"a b\"@x.io",
            "a(c)@x.io",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@x.io,b@x.io",
            "a@x.io;b@x.io",
            "a@b@x.io",
            "a\r\nb@x.io",
            "a@x.io\r\nRCPT",
            "a\0@x.io",
            "ä@x.io",
            "a@x_y.io",
            "a@x.i\u{0}o",
            &long_local,
            &long_domain,
            &long_label,
        ] {
            assert_eq!(parsed(given), None, "{given:?}");
        }
    }

    #[test]
    fn local_part_has_at_most_64_characters() {
        assert!(parsed(&format!("{}@example.com", "a".repeat(64))).is_some());
        assert_eq!(parsed(&format!("{}@example.com", "a".repeat(65))), None);
    }

    #[test]
    fn address_has_at_most_254_characters() {
        let (local, label) = ("a".repeat(64), "b".repeat(63));
        let of_length = |length: usize| parsed(&format!("{local}@{label}.{label}.{}.com", "b".repeat(length - 197)));
        assert_eq!(of_length(254).unwrap().len(), 254);
        assert_eq!([255, 256].map(of_length), [None, None]);
    }

    /// IDNA ignores soft hyphens, so that even a very long input can be a short email address.
    #[test]
    fn input_has_at_most_1016_bytes() {
        let of_bytes = |bytes: usize| {
            let padding = bytes - "ab@example.com".len();
            let local = if padding.is_multiple_of(2) { "ab" } else { "abc" };
            parsed(&format!("{local}@{}example.com", "\u{ad}".repeat(padding / 2)))
        };
        assert_eq!([258, 1_016].map(|bytes| of_bytes(bytes).unwrap()), ["ab@example.com"; 2]);
        assert_eq!([1_017, 1_018, 5_000].map(of_bytes), [None, None, None]);
    }

    #[test]
    fn debug_output_is_masked() {
        assert_eq!(format!("{:?}", EmailAddress::parse("ada@example.com").unwrap()), "a***@example.com");
    }

    proptest! {
        #[test]
        fn parsing_is_idempotent_and_never_panics(given in "\\PC{0,40}(@\\PC{0,40})?") {
            if let Some(once) = parsed(&given) {
                prop_assert_eq!(parsed(&once), Some(once.clone()));
                prop_assert!(once.is_ascii() && !once.contains(char::is_whitespace));
            }
        }

        #[test]
        fn domain_consists_of_host_name_labels(domain in "[a-z0-9A-ZäßＡ。._ !/\\-\u{200d}]{0,70}\\.[a-z0-9ö\\-]{0,9}") {
            if let Some(address) = parsed(&format!("a@{domain}")) {
                for label in address["a@".len()..].split('.') {
                    prop_assert!((1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-'));
                    prop_assert!(label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{}", label);
                }
            }
        }
    }
}
