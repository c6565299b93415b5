//! The rules for new passwords: length, no control characters, not common, not derived from the email address.

use secrecy::ExposeSecret;

use super::{MAX_BYTES, MAX_CHARACTERS, Password};
use crate::domain::{email::EmailAddress, password::common_passwords, policy::FieldError};

/// The name of the service: a common password of users who register in a hurry.
const SERVICE: &str = "vestibule";

/// Pieces of the local part from this length on must not be the password. A shorter piece could not be a password by
/// itself.
const MIN_PIECE_LENGTH: usize = 8;

impl Password {
    /// Parses and validates a new password. `email` is its owner's, if known; otherwise the caller calls
    /// [`Self::check_not_derived_from`] later.
    pub(crate) fn parse_new(given: &str, email: Option<&EmailAddress>, min_length: usize) -> Result<Self, FieldError> {
        let error = |code, message: &str| Err(FieldError::new("password", code, message));
        if given.is_empty() {
            return error("required", "A password is needed.");
        }
        // Everything below works on a length that `parse` has bounded.
        let Some(password) = Self::parse(given) else {
            let message = format!("A password has at most {MAX_CHARACTERS} characters and {MAX_BYTES} bytes.");
            return error("too-long", &message);
        };
        let text = password.0.expose_secret();
        if text.chars().any(char::is_control) {
            return error("control-character", "A password must not hold control characters.");
        }
        if text.chars().count() < min_length {
            return error("too-short", &format!("A password has at least {min_length} characters."));
        }
        let folded = password.folded();
        if let Some(email) = email {
            password.check_not_derived_from(email)?;
        }
        if common_passwords::contains(&folded) || is_word_with_digits(&folded, SERVICE) {
            return error("too-common", "This is one of the most common passwords. Choose another one.");
        }
        Ok(password)
    }

    /// Rejects a password that is derived from its owner's email address. For callers of [`Self::parse_new`] that learn
    /// the email address only later.
    pub(crate) fn check_not_derived_from(&self, email: &EmailAddress) -> Result<(), FieldError> {
        if is_of_address(&self.folded(), email) {
            let message = "The password must not be the email address or a part of it. Choose another one.";
            return Err(FieldError::new("password", "is-address", message));
        }
        Ok(())
    }

    /// Trimmed and in lower case, for the comparison with known words.
    fn folded(&self) -> String {
        self.0.expose_secret().trim().to_lowercase()
    }
}

/// Whether the password is the email address, its local part, its domain, its domain without the top level, or one of
/// the longer pieces of the local part.
fn is_of_address(folded: &str, email: &EmailAddress) -> bool {
    let (local, domain) = (email.local(), email.domain());
    let name = domain.rsplit_once('.').map_or(domain, |(name, _)| name);
    let pieces = local.split(['.', '_', '-', '+']).filter(|piece| piece.len() >= MIN_PIECE_LENGTH);
    [email.as_str(), local, domain, name].into_iter().chain(pieces).any(|word| is_word_with_digits(folded, word))
}

/// Whether the password is the word alone, or followed by nothing but digits and `!`.
fn is_word_with_digits(folded: &str, word: &str) -> bool {
    let is_filler = |byte: u8| byte.is_ascii_digit() || byte == b'!';
    folded.strip_prefix(word).is_some_and(|rest| rest.bytes().all(is_filler))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_new(given: &str, email: &str) -> Result<(), &'static str> {
        let email = EmailAddress::parse(email).unwrap();
        Password::parse_new(given, Some(&email), 8).map(drop).map_err(|error| error.code)
    }

    #[test]
    fn no_character_classes_are_required() {
        for given in ["correct horse", "ünïcödé!", "zzzzyyyy", " p l a i n ", &"长".repeat(128)] {
            assert_eq!(parse_new(given, "ada.lovelace@example.com"), Ok(()), "{given}");
        }
    }

    #[test]
    fn invalid_passwords_have_an_error_code() {
        let (too_many_characters, too_many_bytes) = ("a".repeat(129), "😀".repeat(129));
        for (given, code) in [
            ("", "required"),
            ("1234567", "too-short"),
            ("password", "too-common"),
            ("with\ttab and more", "control-character"),
            (too_many_characters.as_str(), "too-long"),
            (too_many_bytes.as_str(), "too-long"),
        ] {
            assert_eq!(parse_new(given, "ada.lovelace@example.com"), Err(code), "{given}");
        }
    }

    #[test]
    fn case_and_surrounding_white_space_are_ignored() {
        for given in ["PassWord1", " password1", "Password1  ", "CONTRASEN\u{303}A", "\u{3000}Vestibule\u{a0}"] {
            assert_eq!(parse_new(given, "ada@example.com"), Err("too-common"), "{given:?}");
        }
        assert_eq!(parse_new(" ADA@example.com ", "ada@example.com"), Err("is-address"));
    }

    #[test]
    fn password_from_own_email_address_is_rejected() {
        let email = "Ada.Lovelace_1815+analytical@mail.example.co.uk";
        for given in [
            "ada.lovelace_1815+analytical@mail.example.co.uk",
            "Ada.Lovelace_1815+Analytical",
            "ada.lovelace_1815+analytical2026!",
            "mail.example.co.uk",
            "mail.example.co",
            "mail.example.co1!",
            "lovelace",
            "Lovelace1852",
            "analytical!!",
        ] {
            assert_eq!(parse_new(given, email), Err("is-address"), "{given}");
        }
        for given in ["lovelace engine", "1815lovelace", "adalovelace", "lovelacf", "ada18151815", "mail.example"] {
            assert_eq!(parse_new(given, email), Ok(()), "{given}");
        }
    }

    #[test]
    fn short_local_part_with_digits_is_rejected() {
        for given in ["ada18521127", "ada!!!!!", "shop!2026", "shop.io2026"] {
            assert_eq!(parse_new(given, "ada@shop.io"), Err("is-address"), "{given}");
        }
        for given in ["ada1852a", "adas engine", "a shop in io", "1852 engines"] {
            assert_eq!(parse_new(given, "ada@shop.io"), Ok(()), "{given}");
        }
    }

    #[test]
    fn pieces_of_the_local_part_count_from_eight_characters() {
        assert_eq!(parse_new("babbage1791", "charles.babbage@example.com"), Ok(()));
        assert_eq!(parse_new("babbages1791", "charles.babbages@example.com"), Err("is-address"));
    }

    #[test]
    fn name_of_the_service_is_too_common() {
        for given in ["vestibule", "Vestibule123", "vestibule2026!", "VESTIBULE!"] {
            assert_eq!(parse_new(given, "ada@example.com"), Err("too-common"), "{given}");
        }
        for given in ["vestibules", "my vestibule", "vestibule of glass"] {
            assert_eq!(parse_new(given, "ada@example.com"), Ok(()), "{given}");
        }
    }

    #[test]
    fn other_rules_apply_without_an_email_address() {
        let code = |given| Password::parse_new(given, None, 8).map(drop).map_err(|error| error.code);
        assert_eq!((code("ada.lovelace"), code("password")), (Ok(()), Err("too-common")));
    }
}
