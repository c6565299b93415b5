//! Tests of valid and invalid settings, and of the errors for invalid ones.

use super::*;
use crate::password_hashing::EngineKind;
use shared::telemetry::traces::sampling::SamplingRatio;

const REQUIRED: [(&str, &str); 4] = [
    ("DATABASE_URL", "postgres://u:hunter2@h/x"),
    ("AMQP_URL", "amqp://u:hunter2@h"),
    ("CODE_SECRETS", "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ("SUBJECT_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
];

fn load_in_production(changed: &[(&str, &str)]) -> Result<Config> {
    load(&[&[("ENVIRONMENT", "production"), ("PUBLIC_URL", "https://sign-up.example.org")], changed].concat())
}

fn load(changed: &[(&str, &str)]) -> Result<Config> {
    let all = REQUIRED.iter().chain(changed).map(|(name, value)| (name.to_string(), value.to_string()));
    Config::load_from(all)
}

#[test]
fn defaults_match_the_api_contract() {
    let config = load(&[]).unwrap();
    assert_eq!((config.policy.guesses.code_lengths(), config.policy.code_attempts), (&[4, 6, 8][..], 3));
    assert_eq!(config.policy.code_ttl, time::Duration::MINUTE);
    assert_eq!(config.policy.session_ttl, time::Duration::DAY);
    assert_eq!(config.policy.reset_ttl, time::Duration::minutes(10));
    assert_eq!(config.policy.password_checks_per_network, Some(120));
    assert_eq!(
        load(&[("PASSWORD_CHECKS_PER_NETWORK_PER_MINUTE", "0")]).unwrap().policy.password_checks_per_network,
        None
    );
    assert_eq!(config.hashing.engine, EngineKind::Reference);
    assert_eq!(load(&[("PASSWORD_ENGINE", "fast")]).unwrap().hashing.engine, EngineKind::Fast);
    assert_eq!(config.transport.access_log_ratio, SamplingRatio::ALL);
    let none = load(&[("ACCESS_LOG_SUCCESS_PERCENT", "0")]).unwrap().transport.access_log_ratio;
    assert_eq!(none, SamplingRatio::NONE);
    assert!(config.transport.docs && config.migrate_on_start && !config.events_with_email);
    assert!(config.api_addr.ip().is_loopback() && config.ops_addr.ip().is_loopback());
    assert!(!load_in_production(&[]).unwrap().transport.docs);
    assert!(load_in_production(&[("DOCS", "on")]).unwrap().transport.docs);
}

#[test]
fn production_rejects_the_example_keys() {
    for (name, value) in [
        ("CODE_SECRETS", "x:ZXhhbXBsZS1zZWNyZXQtZG8tbm90LXVzZS1pbi1wcm9k"),
        ("SUBJECT_KEY", "ZXhhbXBsZS1zZWNyZXQtZG8tbm90LXVzZS1pbi1wcm9k"),
    ] {
        assert!(load(&[(name, value)]).is_ok());
        let error = load_in_production(&[(name, value)]).err().unwrap().to_string();
        assert!(error.starts_with(name) && error.contains("of .env.example"), "{error}");
    }
}

/// An installation from before `SUBJECT_KEY` learns which value keeps its limits.
#[test]
fn missing_subject_key_names_the_value_for_an_upgrade() {
    let error = load(&[("SUBJECT_KEY", "")]).err().unwrap().to_string();
    assert!(error.starts_with("SUBJECT_KEY is not set"), "{error}");
    assert!(error.contains("the base64 part of the last entry of CODE_SECRETS"), "{error}");
}

#[test]
fn production_rejects_the_example_logins() {
    let (broker, database) =
        (("AMQP_URL", "amqp://guest:guest@h"), ("DATABASE_URL", "host=h user=vestibule password=vestibule"));
    for login in [broker, database] {
        assert!(load(&[login]).is_ok());
        let error = load_in_production(&[login]).err().unwrap().to_string();
        assert!(error.starts_with(&format!("{} has a well-known login", login.0)), "{error}");
    }
}

#[test]
fn production_rejects_argon2_costs_below_owasp() {
    for (memory, passes) in [("9216", "3"), ("7167", "64"), ("19456", "1")] {
        let costs = [("ARGON2_MEMORY_KIB", memory), ("ARGON2_PASSES", passes)];
        assert!(load(&costs).is_ok());
        let error = load_in_production(&costs).err().unwrap().to_string();
        assert!(error.starts_with("ARGON2_MEMORY_KIB"), "{error}");
    }
    // All recommendations of OWASP.
    for (memory, passes) in [("47104", "1"), ("19456", "2"), ("12288", "3"), ("9216", "4"), ("7168", "5")] {
        load_in_production(&[("ARGON2_MEMORY_KIB", memory), ("ARGON2_PASSES", passes)]).unwrap();
    }
}

#[test]
fn production_requires_https_unless_http_is_allowed() {
    let http = ("PUBLIC_URL", "http://sign-up.example.org");
    assert!(load(&[http]).is_ok());
    let error = load_in_production(&[http]).err().unwrap().to_string();
    assert!(error.contains("it must begin with https://") && error.contains("ALLOW_INSECURE=http"), "{error}");
    assert!(load_in_production(&[http, ("ALLOW_INSECURE", "http")]).is_ok());
}

#[test]
fn production_requires_https_for_breached_passwords() {
    let setting = |value| ("BREACHED_PASSWORDS_URL", value);
    assert!(load(&[]).unwrap().breached_passwords.is_none());
    for accepted in
        ["https://passwords.example.org/range/", "http://localhost:8080", "http://127.0.0.1", "http://[::1]:1"]
    {
        assert!(load_in_production(&[setting(accepted)]).unwrap().breached_passwords.is_some(), "{accepted}");
    }
    let http = setting("http://passwords.example.org");
    assert!(load(&[http]).is_ok());
    let error = load_in_production(&[http]).err().unwrap().to_string();
    assert!(error.starts_with("BREACHED_PASSWORDS_URL") && error.contains("ALLOW_INSECURE=http"), "{error}");
    assert!(load_in_production(&[http, ("ALLOW_INSECURE", "http")]).is_ok());
}

#[test]
fn only_the_separate_process_needs_a_broker() {
    let error = load(&[("AMQP_URL", "")]).unwrap().amqp_url().unwrap_err().to_string();
    assert!(error.starts_with("AMQP_URL is not set"), "{error}");
}

#[test]
fn error_names_the_setting_and_repeats_no_secret() {
    for (name, value) in [
        ("DATABASE_URL", ""),
        ("AMQP_URL", "garbage"),
        ("CODE_SECRETS", "hunter2"),
        ("SUBJECT_KEY", "hunter2"),
        ("SUBJECT_KEY", "c2hvcnQ="),
        ("CODE_LENGTH", "3"),
        ("CODE_LENGTH", "eleven"),
        ("CODE_TTL_SECONDS", "0"),
        ("CODE_MAX_AGE_SECONDS", "59"),
        ("CODE_ATTEMPTS", "-1"),
        ("RESET_TTL_SECONDS", "0"),
        ("RESET_TTL_SECONDS", "3601"),
        ("ENVIRONMENT", "test"),
        ("ALLOW_INSECURE", "all"),
        ("DOCS", "yes"),
        ("ALLOWED_ORIGINS", "*"),
        ("MAX_CONNECTIONS", "0"),
        ("TLS_CERT", "hunter2"),
        ("CODE_ESCALATION", "maybe"),
        ("TRUSTED_PROXIES", "10.0.0.0/40"),
        ("REGISTRATIONS_PER_NETWORK_PER_HOUR", "-1"),
        ("WRONG_CODES_PER_NETWORK_PER_DAY", "-1"),
        ("WRONG_CODES_PER_NETWORK_PER_DAY", "10001"),
        ("PASSWORD_CHECKS_PER_NETWORK_PER_MINUTE", "-1"),
        ("PASSWORD_CHECKS_PER_NETWORK_PER_MINUTE", "10001"),
        ("SESSION_TTL_SECONDS", "0"),
        ("SESSION_TTL_SECONDS", "31536001"),
        ("API_ADDR", "8000"),
        ("PUBLIC_URL", "localhost"),
        ("HASH_THREADS", "0"),
        ("HASH_THREADS", "1025"),
        ("HASH_QUEUE_MS", "60001"),
        ("BREACHED_PASSWORDS_URL", "passwords.example.org"),
        ("BREACHED_PASSWORDS_URL", "ftp://passwords.example.org"),
        ("BREACHED_PASSWORDS_URL", "https://user:hunter2@passwords.example.org"),
        ("BREACHED_PASSWORDS_URL", "https://hunter2@passwords.example.org"),
        ("BREACHED_PASSWORDS_URL", "https://passwords.example.org/range?key=hunter2"),
        ("BREACHED_PASSWORDS_URL", "https://passwords.example.org/range#hunter2"),
        ("PASSWORD_ENGINE", "quick"),
        ("ARGON2_MEMORY_KIB", "7"),
        ("ARGON2_PASSES", "0"),
        ("MIGRATE_ON_START", "maybe"),
        ("ACCESS_LOG_SUCCESS_PERCENT", "101"),
        ("ACCESS_LOG_SUCCESS_PERCENT", "-1"),
        ("ACCESS_LOG_SUCCESS_PERCENT", "0.5"),
        ("DRAIN_SECONDS", "9"),
        ("DRAIN_SECONDS", "601"),
        ("EVENTS_WITH_EMAIL", "on"),
        ("PASSWORD_MIN_LENGTH", "4"),
        ("PASSWORD_CHANGES_PER_DAY", "0"),
        ("RETAIN_REGISTRATIONS_SECONDS", "86399"),
        ("RETAIN_DELIVERIES_SECONDS", "604799"),
        ("HOUSEKEEPING_SECONDS", "0"),
        ("RESCUE_AFTER_SECONDS", "0"),
    ] {
        let error = format!("{:#}", load(&[(name, value)]).err().unwrap());
        assert!(error.contains(name), "{name}={value}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
