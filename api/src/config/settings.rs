//! The names of the settings and their defaults.

use secrecy::SecretString;
use serde::Deserialize;

/// The unvalidated settings: one field for each environment variable, of the same name in upper case. Missing ones have
/// the defaults of the API contract.
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct RawSettings {
    pub(crate) database_url: SecretString,
    pub(crate) amqp_url: SecretString,
    pub(crate) code_secrets: SecretString,
    pub(crate) environment: String,
    pub(crate) docs: Option<String>,
    pub(crate) api_addr: String,
    pub(crate) ops_addr: String,
    pub(crate) public_url: String,
    pub(crate) tls_cert: String,
    pub(crate) tls_key: String,
    pub(crate) allowed_origins: String,
    pub(crate) max_connections: u32,
    pub(crate) code_length: u8,
    pub(crate) code_escalation: String,
    pub(crate) code_ttl_seconds: u32,
    pub(crate) code_max_age_seconds: u32,
    pub(crate) code_attempts: u8,
    pub(crate) reset_ttl_seconds: u32,
    pub(crate) resend_throttle_seconds: u32,
    pub(crate) codes_per_hour: u16,
    pub(crate) codes_per_day: u16,
    pub(crate) registrations_per_network_per_hour: u16,
    pub(crate) trusted_proxies: String,
    pub(crate) registration_ttl_seconds: u32,
    pub(crate) retain_registrations_seconds: u32,
    pub(crate) retain_deliveries_seconds: u32,
    pub(crate) housekeeping_seconds: u32,
    pub(crate) session_ttl_seconds: u32,
    pub(crate) password_min_length: u8,
    pub(crate) password_engine: String,
    pub(crate) argon2_memory_kib: u32,
    pub(crate) argon2_passes: u32,
    pub(crate) hash_threads: Option<u16>,
    pub(crate) hash_queue_ms: u32,
    pub(crate) amqp_prefix: String,
    pub(crate) events_with_email: bool,
    pub(crate) migrate_on_start: bool,
    pub(crate) log_format: String,
}

impl Default for RawSettings {
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
            reset_ttl_seconds: 600,
            resend_throttle_seconds: 60,
            codes_per_hour: 5,
            codes_per_day: 10,
            registrations_per_network_per_hour: 60,
            trusted_proxies: String::new(),
            registration_ttl_seconds: 86_400,
            retain_registrations_seconds: 604_800,
            retain_deliveries_seconds: 2_592_000,
            housekeeping_seconds: 60,
            session_ttl_seconds: 86_400,
            password_min_length: 8,
            password_engine: "fast".into(),
            argon2_memory_kib: 19_456,
            argon2_passes: 2,
            hash_threads: None,
            hash_queue_ms: 250,
            amqp_prefix: "vestibule".into(),
            events_with_email: false,
            migrate_on_start: true,
            log_format: "text".into(),
        }
    }
}
