//! Validation of settings and the errors for invalid ones.

use super::*;

const VALID: [(&str, &str); 4] = [
    ("DATABASE_URL", "postgres://u:hunter2@h/x"),
    ("AMQP_URL", "amqp://u:hunter2@h"),
    ("SMTP_URL", "smtp://u:hunter2@mail.example.com:587?tls=required"),
    ("CODE_SECRETS", "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
];

/// What production requires beside the valid settings.
const PRODUCTION: [(&str, &str); 3] = [
    ("ENVIRONMENT", "production"),
    ("PUBLIC_URL", "https://sign-up.example.org"),
    ("MAIL_FROM", "Vestibule <no-reply@vestibule.test>"),
];

fn load_in_production(changed: &[(&str, &str)]) -> Result<Config> {
    load(&[&PRODUCTION, changed].concat())
}

fn load(changed: &[(&str, &str)]) -> Result<Config> {
    let variables = VALID.iter().chain(changed).map(|(name, value)| (name.to_string(), value.to_string()));
    Config::load_from(variables)
}

#[test]
fn missing_settings_have_documented_defaults() {
    assert_eq!(load(&[]).unwrap().concurrency, 8);
}

/// I-19: a worker that stops waits for the answer to the final dot of each mail, or the mail is sent twice.
#[test]
fn default_drain_outlasts_the_reply_to_a_mail() {
    let config = load(&[]).unwrap();
    let mail_timeout = config.drain - shared::shutdown::CLOSE_TIME;
    assert!(mail_timeout >= config.smtp.timeouts.end_of_data + config.smtp.timeouts.connect, "{mail_timeout:?}");
}

#[test]
fn production_rejects_the_example_code_secret() {
    let example = ("CODE_SECRETS", "x:ZXhhbXBsZS1zZWNyZXQtZG8tbm90LXVzZS1pbi1wcm9k");
    assert!(load(&[example]).is_ok());
    let error = load_in_production(&[example]).err().unwrap().to_string();
    assert!(error.starts_with("CODE_SECRETS holds the secret of .env.example"), "{error}");
}

#[test]
fn production_rejects_public_logins_plain_text_and_examples() {
    for (setting, message) in [
        (("AMQP_URL", "amqp://guest:guest@h"), "AMQP_URL has a well-known login"),
        (("AMQP_URL", "AMQP://h"), "AMQP_URL has a well-known login"),
        (("DATABASE_URL", "postgres://vestibule:vestibule@h/x"), "DATABASE_URL has a well-known login"),
        (("DATABASE_URL", "host=h user=vestibule password=%76estibule-hunter2"), ""),
        (("DATABASE_URL", "host=h user=vestibule password=vestibule"), "DATABASE_URL has a well-known login"),
        (("PUBLIC_URL", "http://sign-up.example.org"), "PUBLIC_URL is 'http://sign-up.example.org'"),
        (("SMTP_URL", "smtp://u:hunter2@mail.example.org"), "SMTP_URL sends mails, user and password unencrypted"),
        (("SMTP_URL", "smtp://mail.example.org"), "SMTP_URL sends mails, user and password unencrypted"),
        (("SMTP_URL", "smtp://mail:1025"), "SMTP_URL names MailDev"),
        (("SMTP_URL", "smtp://localhost:1025"), "SMTP_URL names MailDev"),
        (("MAIL_FROM", "Vestibule <no-reply@example.com>"), "MAIL_FROM is an example"),
        (("MAIL_FROM", "no-reply@mail.Example.org"), "MAIL_FROM is an example"),
    ] {
        assert!(load(&[setting]).is_ok());
        let result = load_in_production(&[setting]);
        if message.is_empty() {
            result.unwrap();
            continue;
        }
        let error = result.err().unwrap().to_string();
        assert!(error.starts_with(message) && !error.contains("hunter2"), "{error}");
    }
    for local in ["smtp://localhost", "smtp://127.0.0.1:2525", "smtp://[::1]"] {
        load_in_production(&[("SMTP_URL", local)]).unwrap();
    }
}

/// What the operator allows on purpose.
#[test]
fn production_accepts_what_allow_insecure_names() {
    let insecure_mail = [("SMTP_URL", "smtp://u:hunter2@mail:1025"), ("MAIL_FROM", "no-reply@example.com")];
    let allowing = |allowed| load_in_production(&[insecure_mail[0], insecure_mail[1], ("ALLOW_INSECURE", allowed)]);
    assert!(allowing("http").is_err());
    assert!(allowing("smtp").is_ok() && allowing("http,smtp").is_ok());
    let http = ("PUBLIC_URL", "http://sign-up.example.org");
    assert!(load_in_production(&[http, ("ALLOW_INSECURE", "http")]).is_ok());
    assert!(load_in_production(&[http, ("ALLOW_INSECURE", "smtp")]).is_err());
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
        ("DRAIN_SECONDS", "9"),
        ("DRAIN_SECONDS", "601"),
        ("ENVIRONMENT", "test"),
        ("ALLOW_INSECURE", "all"),
        ("PUBLIC_URL", "javascript:alert(1)"),
        ("AMQP_URL", "garbage"),
        ("OPS_ADDR", "9090"),
    ] {
        let error = format!("{:#}", load(&[(name, value)]).err().unwrap());
        assert!(error.contains(name), "{name}={value}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
