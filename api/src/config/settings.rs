//! The names of the settings and their defaults.

use secrecy::SecretString;
use shared::config::{API_ADDR, DRAIN_SECONDS, OPS_ADDR};

shared::settings! {
    /// The unvalidated settings: one field for each environment variable, of the same name in upper case. Missing ones have
    /// the defaults of the API contract.
    pub(crate) struct RawSettings {
        database_url: SecretString = SecretString::default(),
        migrate_database_url: SecretString = SecretString::default(),
        amqp_url: SecretString = SecretString::default(),
        code_secrets: SecretString = SecretString::default(),
        subject_key: SecretString = SecretString::default(),
        environment: String = "development".into(),
        allow_insecure: String = String::new(),
        docs: Option<String> = None,
        api_addr: String = API_ADDR.into(),
        ops_addr: String = OPS_ADDR.into(),
        public_url: String = "http://localhost:8000".into(),
        tls_cert: String = String::new(),
        tls_key: String = String::new(),
        allowed_origins: String = String::new(),
        max_connections: u32 = 4_096,
        code_length: u8 = 4,
        code_escalation: String = "on".into(),
        code_ttl_seconds: u32 = 60,
        code_max_age_seconds: u32 = 600,
        code_attempts: u8 = 3,
        reset_ttl_seconds: u32 = 600,
        resend_throttle_seconds: u32 = 60,
        codes_per_hour: u16 = 5,
        codes_per_day: u16 = 10,
        registrations_per_network_per_hour: u16 = 60,
        wrong_codes_per_network_per_day: u16 = 30,
        password_checks_per_network_per_minute: u16 = 120,
        trusted_proxies: String = String::new(),
        registration_ttl_seconds: u32 = 86_400,
        retain_registrations_seconds: u32 = 604_800,
        retain_deliveries_seconds: u32 = 2_592_000,
        housekeeping_seconds: u32 = 60,
        session_ttl_seconds: u32 = 86_400,
        password_changes_per_day: u16 = 5,
        password_min_length: u8 = 8,
        breached_passwords_url: String = String::new(),
        password_engine: String = "reference".into(),
        argon2_memory_kib: u32 = 19_456,
        argon2_passes: u32 = 2,
        hash_threads: Option<u16> = None,
        hash_queue_ms: u32 = 250,
        rescue_after_seconds: u32 = 240,
        amqp_prefix: String = "vestibule".into(),
        events_with_email: bool = false,
        migrate_on_start: bool = true,
        drain_seconds: u32 = DRAIN_SECONDS,
        log_format: String = "text".into(),
        access_log_success_percent: u32 = 100,
    }
}
