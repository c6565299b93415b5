//! A code as a person types it.

use super::policy::FieldError;

/// Blanks around the digits are forgiven, nothing else.
pub(crate) fn read(given: &str) -> Result<&str, FieldError> {
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
    fn blanks_around_a_code_are_forgiven_and_nothing_else() {
        assert_eq!(read(" 0042\n"), Ok("0042"));
        for (given, code) in
            [("", "required"), ("  ", "required"), ("00 42", "invalid"), ("+042", "invalid"), ("٠٠٤٢", "invalid")]
        {
            assert_eq!(read(given).unwrap_err().code, code, "{given:?}");
        }
    }
}
