//! Which passwords may be chosen.

use secrecy::ExposeSecret;

use super::{MAX_BYTES, MAX_CHARACTERS, Password};
use crate::domain::{email::EmailAddress, password::common_passwords, policy::FieldError};

/// The password of everybody who registers somewhere in a hurry.
const SERVICE: &str = "vestibule";
/// A shorter piece of a local part could not be a password by itself.
const TELLING_PIECE: usize = 8;

impl Password {
    /// A password somebody wants to have.
    pub(crate) fn choose(given: &str, email: Option<&EmailAddress>, min_length: usize) -> Result<Self, FieldError> {
        let fault = |code, message: &str| Err(FieldError::new("password", code, message));
        if given.is_empty() {
            return fault("required", "A password is needed.");
        }
        // Everything below works on what `given` has bounded.
        let Some(password) = Self::given(given) else {
            let message = format!("A password has at most {MAX_CHARACTERS} characters and {MAX_BYTES} bytes.");
            return fault("too-long", &message);
        };
        let text = password.0.expose_secret();
        if text.chars().any(char::is_control) {
            return fault("control-character", "A password must not hold control characters.");
        }
        if text.chars().count() < min_length {
            return fault("too-short", &format!("A password has at least {min_length} characters."));
        }
        let plain = password.plain();
        if let Some(email) = email {
            password.check_not_of(email)?;
        }
        if common_passwords::contains(&plain) || is_counted_up(&plain, SERVICE) {
            return fault("too-common", "This is one of the passwords that everybody tries first.");
        }
        Ok(password)
    }

    /// For whoever learns only later whose it is to be.
    pub(crate) fn check_not_of(&self, email: &EmailAddress) -> Result<(), FieldError> {
        if is_of_address(&self.plain(), email) {
            let message = "The password must not be the e-mail address or a part of it.";
            return Err(FieldError::new("password", "is-address", message));
        }
        Ok(())
    }

    /// Capitals, and blanks around, are no disguise.
    fn plain(&self) -> String {
        self.0.expose_secret().trim().to_lowercase()
    }
}

/// The address, each of its halves, the domain without its top level, the longer pieces of the local part.
fn is_of_address(plain: &str, email: &EmailAddress) -> bool {
    let (local, domain) = (email.local(), email.domain());
    let name = domain.rsplit_once('.').map_or(domain, |(name, _)| name);
    let pieces = local.split(['.', '_', '-', '+']).filter(|piece| piece.len() >= TELLING_PIECE);
    [email.as_str(), local, domain, name].into_iter().chain(pieces).any(|word| is_counted_up(plain, word))
}

/// The word alone, or with nothing but digits and `!` behind it.
fn is_counted_up(plain: &str, word: &str) -> bool {
    let counts = |byte: u8| byte.is_ascii_digit() || byte == b'!';
    plain.strip_prefix(word).is_some_and(|rest| rest.bytes().all(counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(given: &str, email: &str) -> Result<(), &'static str> {
        let email = EmailAddress::parse(email).unwrap();
        Password::choose(given, Some(&email), 8).map(drop).map_err(|fault| fault.code)
    }

    #[test]
    fn a_good_password_needs_no_composition() {
        for given in ["correct horse", "ünïcödé!", "zzzzyyyy", " p l a i n ", &"长".repeat(128)] {
            assert_eq!(choose(given, "ada.lovelace@example.com"), Ok(()), "{given}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_password_is_said() {
        let (too_many_characters, too_many_bytes) = ("a".repeat(129), "😀".repeat(129));
        for (given, code) in [
            ("", "required"),
            ("1234567", "too-short"),
            ("password", "too-common"),
            ("with\ttab and more", "control-character"),
            (too_many_characters.as_str(), "too-long"),
            (too_many_bytes.as_str(), "too-long"),
        ] {
            assert_eq!(choose(given, "ada.lovelace@example.com"), Err(code), "{given}");
        }
    }

    #[test]
    fn capitals_and_blanks_around_are_no_disguise() {
        for given in ["PassWord1", " password1", "Password1  ", "CONTRASEN\u{303}A", "\u{3000}Vestibule\u{a0}"] {
            assert_eq!(choose(given, "ada@example.com"), Err("too-common"), "{given:?}");
        }
        assert_eq!(choose(" ADA@example.com ", "ada@example.com"), Err("is-address"));
    }

    #[test]
    fn ones_own_address_is_no_secret() {
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
            assert_eq!(choose(given, email), Err("is-address"), "{given}");
        }
        for given in ["lovelace engine", "1815lovelace", "adalovelace", "lovelacf", "ada18151815", "mail.example"] {
            assert_eq!(choose(given, email), Ok(()), "{given}");
        }
    }

    #[test]
    fn a_short_local_part_or_domain_does_not_become_a_secret_by_counting() {
        for given in ["ada18521127", "ada!!!!!", "shop!2026", "shop.io2026"] {
            assert_eq!(choose(given, "ada@shop.io"), Err("is-address"), "{given}");
        }
        for given in ["ada1852a", "adas engine", "a shop in io", "1852 engines"] {
            assert_eq!(choose(given, "ada@shop.io"), Ok(()), "{given}");
        }
    }

    #[test]
    fn a_piece_of_the_local_part_tells_from_eight_characters_on() {
        assert_eq!(choose("babbage1791", "charles.babbage@example.com"), Ok(()));
        assert_eq!(choose("babbages1791", "charles.babbages@example.com"), Err("is-address"));
    }

    #[test]
    fn the_name_of_the_service_is_what_everybody_tries_here() {
        for given in ["vestibule", "Vestibule123", "vestibule2026!", "VESTIBULE!"] {
            assert_eq!(choose(given, "ada@example.com"), Err("too-common"), "{given}");
        }
        for given in ["vestibules", "my vestibule", "vestibule of glass"] {
            assert_eq!(choose(given, "ada@example.com"), Ok(()), "{given}");
        }
    }

    #[test]
    fn without_an_address_the_other_rules_hold() {
        let code = |given| Password::choose(given, None, 8).map(drop).map_err(|fault| fault.code);
        assert_eq!((code("ada.lovelace"), code("password")), (Ok(()), Err("too-common")));
    }
}
