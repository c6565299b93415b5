//! Codes as users type them.

use super::policy::FieldError;

/// Parses a code. White space around the digits is ignored; nothing else is allowed beside them.
pub(crate) fn parse(given: &str) -> Result<&str, FieldError> {
    let digits = given.trim();
    if digits.is_empty() {
        return Err(FieldError::new("code", "required", "The code from the mail is needed."));
    }
    if digits.len() > 10 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FieldError::new("code", "invalid", "A code has digits only."));
    }
    Ok(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_around_a_code_is_ignored() {
        assert_eq!(parse(" 0042\n"), Ok("0042"));
        for (given, code) in
            [("", "required"), ("  ", "required"), ("00 42", "invalid"), ("+042", "invalid"), ("٠٠٤٢", "invalid")]
        {
            assert_eq!(parse(given).unwrap_err().code, code, "{given:?}");
        }
    }

    #[test]
    fn code_has_at_most_ten_digits() {
        assert_eq!(parse("0123456789"), Ok("0123456789"));
        for digits in [11, 12, 1_000] {
            assert_eq!(parse(&"0".repeat(digits)).unwrap_err().code, "invalid", "{digits}");
        }
    }
}
