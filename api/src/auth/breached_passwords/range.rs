//! The range protocol: which digits of a password's hash are sent, and whether an answer lists the hash.

use secrecy::{ExposeSecret, SecretString};
use sha1::{Digest, Sha1};

use crate::domain::password::Password;

/// How many digits are sent.
const PREFIX_LENGTH: usize = 5;

/// How many digits each line of an answer begins with.
const SUFFIX_LENGTH: usize = 35;

/// The SHA-1 of a password as 40 upper-case hexadecimal digits.
pub(super) struct PasswordDigest(SecretString);

/// An answer that is not a list of suffixes with counts.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not a list of hashes")]
pub(super) struct InvalidAnswer;

impl PasswordDigest {
    /// Hashes a password.
    pub(super) fn of(password: &Password) -> Self {
        let digest = Sha1::digest(password.bytes());
        Self(digest.iter().map(|byte| format!("{byte:02X}")).collect::<String>().into())
    }

    /// The digits that the service gets.
    pub(super) fn prefix(&self) -> &str {
        &self.0.expose_secret()[..PREFIX_LENGTH]
    }

    /// Whether the answer to [`Self::prefix`] lists this hash. A count of 0 is padding.
    pub(super) fn is_listed_in(&self, answer: &[u8]) -> Result<bool, InvalidAnswer> {
        let suffix = &self.0.expose_secret()[PREFIX_LENGTH..];
        let mut is_listed = false;
        // To the end, also after a match: an answer with an invalid line is no answer.
        for line in answer.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
            let (listed, is_padding) = parse_line(line).ok_or(InvalidAnswer)?;
            is_listed |= !is_padding && listed.eq_ignore_ascii_case(suffix.as_bytes());
        }
        Ok(is_listed)
    }
}

/// The suffix of a line, and whether its count is 0.
fn parse_line(line: &[u8]) -> Option<(&[u8], bool)> {
    let (suffix, rest) = line.split_at_checked(SUFFIX_LENGTH)?;
    let count = rest.strip_prefix(b":")?;
    let is_valid =
        suffix.iter().all(u8::is_ascii_hexdigit) && !count.is_empty() && count.iter().all(u8::is_ascii_digit);
    is_valid.then(|| (suffix, count.iter().all(|&digit| digit == b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    // SHA-1 of "password".
    const PREFIX: &str = "5BAA6";
    const SUFFIX: &str = "1E4C9B93F3F0682250B6CF8331B7EE68FD8";
    const OTHER: &str = "0018A45C4D1DEF81644B54AB7F969B88D65";

    fn digest(password: &str) -> PasswordDigest {
        PasswordDigest::of(&Password::parse(password).unwrap())
    }

    fn is_listed(answer: &str) -> Result<bool, InvalidAnswer> {
        digest("password").is_listed_in(answer.as_bytes())
    }

    #[test]
    fn prefix_is_five_digits_of_the_nfc_password() {
        assert_eq!(digest("password").prefix(), PREFIX);
        assert_eq!(digest("caf\u{e9} noir").prefix(), digest("cafe\u{301} noir").prefix());
    }

    #[test]
    fn listed_suffix_is_found_in_either_case() {
        for answer in [
            format!("{SUFFIX}:9545824"),
            format!("{OTHER}:1\r\n{SUFFIX}:1\r\n"),
            format!("{OTHER}:1\n\n{}:99999999999999999999999\n{OTHER}:0", SUFFIX.to_lowercase()),
            format!("{SUFFIX}:010"),
        ] {
            assert_eq!(is_listed(&answer), Ok(true), "{answer}");
        }
    }

    #[test]
    fn padding_and_other_suffixes_do_not_match() {
        for answer in ["".into(), "\r\n".into(), format!("{OTHER}:3\r\n{SUFFIX}:0"), format!("{SUFFIX}:000")] {
            assert_eq!(is_listed(&answer), Ok(false), "{answer}");
        }
    }

    #[test]
    fn anything_but_a_list_is_invalid() {
        for line in [
            "<html>".into(),
            SUFFIX.into(),
            format!("{SUFFIX}:"),
            format!("{SUFFIX}:-1"),
            format!("{SUFFIX}:1 2"),
            format!("{PREFIX}{SUFFIX}:1"),
            format!("{}:1", &SUFFIX[1..]),
            format!("{}G:1", &SUFFIX[1..]),
            format!("{}é:1", &SUFFIX[2..]),
        ] {
            assert_eq!(is_listed(&line), Err(InvalidAnswer), "{line}");
            assert_eq!(is_listed(&format!("{SUFFIX}:1\r\n{line}")), Err(InvalidAnswer), "{line}");
        }
        assert_eq!(digest("password").is_listed_in(&[0xff, 0xfe]), Err(InvalidAnswer));
    }
}
