//! The names of the settings and what they are when they are missing.

use secrecy::SecretString;
use serde::Deserialize;

/// One flat struct: the names are the variables'. Numbers that are missing have the contract's defaults.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct Settings {
    pub(super) database_url: SecretString,
    pub(super) amqp_url: SecretString,
    pub(super) code_secrets: SecretString,
    pub(super) environment: String,
    pub(super) docs: Option<String>,
    pub(super) api_addr: String,
    pub(super) ops_addr: String,
    pub(super) public_url: String,
    pub(super) tls_cert: String,
    pub(super) tls_key: String,
    pub(super) allowed_origins: String,
    pub(super) max_connections: u32,
    pub(super) code_length: u8,
    pub(super) code_escalation: String,
    pub(super) code_ttl_seconds: u32,
    pub(super) code_max_age_seconds: u32,
    pub(super) code_attempts: u8,
    pub(super) resend_throttle_seconds: u32,
    pub(super) codes_per_hour: u16,
    pub(super) codes_per_day: u16,
    pub(super) registrations_per_network_per_hour: u16,
    pub(super) trusted_proxies: String,
    pub(super) registration_ttl_seconds: u32,
    pub(super) password_min_length: u8,
    pub(super) password_engine: String,
    pub(super) argon2_memory_kib: u32,
    pub(super) argon2_passes: u32,
    pub(super) hash_threads: Option<u16>,
    pub(super) hash_queue_ms: u32,
    pub(super) amqp_prefix: String,
    pub(super) migrate_on_start: bool,
    pub(super) log_format: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            database_url: SecretString::default(),
            amqp_url: SecretString::default(),
            code_secrets: SecretString::default(),
            environment: "development".into(),
            docs: None,
            api_addr: "0.0.0.0:8000".into(),
            ops_addr: "0.0.0.0:9090".into(),
            public_url: "http://localhost:8000".into(),
            tls_cert: String::new(),
            tls_key: String::new(),
            allowed_origins: String::new(),
            max_connections: 4_096,
            code_length: 4,
            code_escalation: "on".into(),
            code_ttl_seconds: 60,
            code_max_age_seconds: 600,
            code_attempts: 3,
            resend_throttle_seconds: 60,
            codes_per_hour: 5,
            codes_per_day: 10,
            registrations_per_network_per_hour: 60,
            trusted_proxies: String::new(),
            registration_ttl_seconds: 86_400,
            password_min_length: 8,
            password_engine: "fast".into(),
            argon2_memory_kib: 19_456,
            argon2_passes: 2,
            hash_threads: None,
            hash_queue_ms: 250,
            amqp_prefix: "vestibule".into(),
            migrate_on_start: true,
            log_format: "text".into(),
        }
    }
}
