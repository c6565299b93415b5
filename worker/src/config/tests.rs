//! Validation of settings and the errors for invalid ones.

use super::*;

const VALID: [(&str, &str); 4] = [
    ("DATABASE_URL", "postgres://u:hunter2@h/x"),
    ("AMQP_URL", "amqp://u:hunter2@h"),
    ("SMTP_URL", "smtp://u:hunter2@mail.example.com:587?tls=required"),
    ("CODE_SECRETS", "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
];

fn load(changed: &[(&str, &str)]) -> Result<Config> {
    let variables = VALID.iter().chain(changed).map(|(name, value)| (name.to_string(), value.to_string()));
    Config::load_from(variables)
}

#[test]
fn missing_settings_have_documented_defaults() {
    assert_eq!(load(&[]).unwrap().concurrency, 8);
}

#[test]
fn production_rejects_the_example_code_secret() {
    let example = ("CODE_SECRETS", "x:ZXhhbXBsZS1zZWNyZXQtZG8tbm90LXVzZS1pbi1wcm9k");
    assert!(load(&[example]).is_ok());
    let error = load(&[example, ("ENVIRONMENT", "production")]).err().unwrap().to_string();
    assert!(error.starts_with("CODE_SECRETS holds the secret of .env.example"), "{error}");
}

#[test]
fn production_rejects_public_logins_and_plain_text_passwords() {
    for (setting, message) in [
        (("AMQP_URL", "amqp://guest:guest@h"), "AMQP_URL has a well-known login"),
        (("AMQP_URL", "AMQP://h"), "AMQP_URL has a well-known login"),
        (("DATABASE_URL", "postgres://vestibule:vestibule@h/x"), "DATABASE_URL has a well-known login"),
        (("SMTP_URL", "smtp://u:hunter2@mail.example.com"), "SMTP_URL sends user and password"),
    ] {
        assert!(load(&[setting]).is_ok());
        let error = load(&[setting, ("ENVIRONMENT", "production")]).err().unwrap().to_string();
        assert!(error.starts_with(message) && !error.contains("hunter2"), "{error}");
    }
    let without_login = ("SMTP_URL", "smtp://mail.example.com");
    assert!(load(&[without_login, ("ENVIRONMENT", "production")]).is_ok());
    assert!(load(&[("ENVIRONMENT", "production")]).is_ok());
}

#[test]
fn invalid_setting_is_named_without_repeating_secrets() {
    for (name, value) in [
        ("DATABASE_URL", ""),
        ("SMTP_URL", ""),
        ("SMTP_URL", "http://u:hunter2@h"),
        ("CODE_SECRETS", "hunter2"),
        ("MAIL_FROM", "not-an-address"),
        ("WORKER_CONCURRENCY", "0"),
        ("WORKER_CONCURRENCY", "many"),
        ("ENVIRONMENT", "test"),
        ("PUBLIC_URL", "javascript:alert(1)"),
        ("AMQP_URL", "garbage"),
        ("OPS_ADDR", "9090"),
    ] {
        let error = format!("{:#}", load(&[(name, value)]).err().unwrap());
        assert!(error.contains(name), "{name}={value}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
