//! The settings: what the processes read, `.env.example` and Docker compose agree.

use std::{collections::BTreeSet, path::Path};

use shared::config::DRAIN_SECONDS;

/// Settings of the containers, which the API and the worker do not read.
const OF_COMPOSE: [&str; 13] = [
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "POSTGRES_SERVICE_USER",
    "POSTGRES_SERVICE_PASSWORD",
    "POSTGRES_DB",
    "RABBITMQ_DEFAULT_USER",
    "RABBITMQ_DEFAULT_PASS",
    "EXPOSED_API_PORT",
    "EXPOSED_SMTP_WEB_PORT",
    "EXPOSED_PROMETHEUS_PORT",
    "EXPOSED_GRAFANA_PORT",
    "VESTIBULE_VERSION",
    "COMPOSE_PROFILES",
];

/// The only setting of `vestibule` alone.
const OF_STANDALONE: &str = "INBOX_ADDR";

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap()
}

/// The settings that the API, the worker, their logs and their traces read.
fn read_by_processes() -> BTreeSet<String> {
    let of_telemetry = shared::telemetry::variables().into_iter();
    api::Config::variables().into_iter().chain(worker::Config::variables()).chain(of_telemetry).collect()
}

#[test]
fn env_example_documents_every_setting_and_no_other() {
    let text = file(".env.example");
    let lines: Vec<&str> = text.lines().collect();
    let mut documented = BTreeSet::new();
    for (n, line) in lines.iter().enumerate() {
        let Some((name, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) else { continue };
        documented.insert(name.to_owned());
        let is_explained =
            lines[..n].iter().rev().take_while(|line| !line.is_empty()).any(|line| line.starts_with('#'));
        assert!(is_explained, "no comment explains {name}");
    }
    let others = OF_COMPOSE.into_iter().chain([OF_STANDALONE]).map(str::to_owned);
    let expected: BTreeSet<_> = read_by_processes().into_iter().chain(others).collect();
    assert_eq!(documented, expected);
}

/// I-19: compose kills no process that still drains, or exports its last spans (2 s).
#[test]
fn compose_outlasts_the_drain() {
    let text = file("docker-compose.yml");
    let (_, process) = text.split_once("x-process: &process\n").unwrap();
    let (process, services) = process.split_once("\n\n").unwrap();
    let grace = process.lines().find_map(|line| line.trim().strip_prefix("stop_grace_period: ")?.strip_suffix('s'));
    let grace: u32 = grace.expect("stop_grace_period in seconds").parse().unwrap();
    assert!(grace > DRAIN_SECONDS + 2, "{grace} s");
    for service in ["migrate", "api", "worker"] {
        assert!(services.contains(&format!("\n  {service}:\n    <<: *process\n")), "{service}");
    }
    assert_eq!(services.matches("stop_grace_period").count(), 2, "only of the servers");
    assert!(file(".env.example").contains(&format!("\nDRAIN_SECONDS={DRAIN_SECONDS}\n")));
}

/// A log without a limit fills the disk.
#[test]
fn compose_limits_the_log_of_every_container() {
    let text = file("docker-compose.yml");
    let (head, services) = text.split_once("\nservices:\n").unwrap();
    assert!(head.contains("\nx-logging: &logging\n  driver: json-file\n  options: {max-size: 20m, max-file: \"5\"}\n"));
    let (services, _) = services.split_once("\nnetworks:\n").unwrap();
    let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ") && line.ends_with(':');
    let names: Vec<_> = services.lines().filter(is_name).collect();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        let (_, service) = services.split_once(&format!("{name}\n")).unwrap();
        let service: Vec<_> = service.lines().take_while(|line| line.is_empty() || line.starts_with("    ")).collect();
        assert!(service.contains(&"    logging: *logging"), "{name}");
    }
}

/// The containers of the API and of the worker get the settings that their processes read; secrets also as files. Only
/// `migrate` gets the login of the schema's owner.
#[test]
fn compose_passes_every_setting_to_the_containers() {
    let text = file("docker-compose.yml");
    let (_, list) = text.split_once("x-settings: &settings\n").unwrap();
    let lines = list.lines().take_while(|line| line.starts_with("  ")).map(str::trim);
    let passed = lines.filter(|line| !line.starts_with('#')).map(|line| line.split_once(':').unwrap().0);
    let passed: BTreeSet<_> = passed.filter(|name| !name.ends_with("_FILE")).map(str::to_owned).collect();
    let mut expected = read_by_processes();
    assert!(expected.remove("MIGRATE_DATABASE_URL"));
    assert_eq!(passed, expected);
    for secret in ["DATABASE_URL", "AMQP_URL", "SMTP_URL", "CODE_SECRETS", "SUBJECT_KEY", "OTEL_EXPORTER_OTLP_HEADERS"]
    {
        assert!(list.contains(&format!("  {secret}_FILE:\n")), "{secret}_FILE");
    }
    let (before, migrate) = text.split_once("\n  migrate:\n").unwrap();
    let (migrate, after) = migrate.split_once("\n\n").unwrap();
    for name in ["MIGRATE_DATABASE_URL:", "MIGRATE_DATABASE_URL_FILE:"] {
        assert!(migrate.contains(name) && !before.contains(name) && !after.contains(name), "{name}");
    }
    let (_, environment) = migrate.split_once("    environment:\n").unwrap();
    let names = environment.lines().map_while(|line| line.strip_prefix("      ")?.strip_suffix(':'));
    let secrets = ["DATABASE_URL_FILE", "MIGRATE_DATABASE_URL_FILE", "RUST_LOG"].map(str::to_owned);
    let expected: BTreeSet<_> = api::MigrationConfig::variables().into_iter().chain(secrets).collect();
    assert_eq!(names.map(str::to_owned).collect::<BTreeSet<_>>(), expected, "migrate has no key and no other login");
}
