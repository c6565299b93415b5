//! The one-process binary with embedded and external servers, in every combination.

use support::{
    database::server_url,
    fake_smtp::FakeSmtpServer,
    stack::Stack,
    standalone::{StandaloneFolder, StandaloneProcess},
};

const CODE_SECRETS: (&str, &str) = ("CODE_SECRETS", "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
const SUBJECT_KEY: (&str, &str) = ("SUBJECT_KEY", support::stack::SUBJECT_KEY);

/// A database, AMQP names and a mail server for this test, without processes.
async fn external_servers() -> Stack {
    Stack::prepare(&[]).await
}

/// Registers and activates, with the code from an external mail server.
async fn register_and_activate(vestibule: &StandaloneProcess, mail_server: &FakeSmtpServer, email: &str) {
    let answer = vestibule.client.register(email).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let mail = mail_server.mail_to(email).await;
    vestibule.client.wait_for_receipt(&answer.registration(), "sent").await;
    assert_eq!(vestibule.client.activate(email, &mail.code()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_database_works_with_external_broker() {
    let servers = external_servers().await;
    let home = StandaloneFolder::new();
    let running = home.start(&[("AMQP_URL", &server_url("AMQP_URL")), ("AMQP_PREFIX", &servers.topology.exchange)]);
    running.sign_up_and_activate("ada@example.com").await;
    servers.wait_for_queue_length(&servers.topology.codes.name, 0).await;
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn external_database_works_without_broker() {
    let servers = external_servers().await;
    let home = StandaloneFolder::new();
    let running = home.start(&[("DATABASE_URL", &servers.database.url)]);
    assert!(!running.banner.join("\n").contains("fsync"), "{:?}", running.banner);
    running.sign_up_and_activate("ada@example.com").await;
    servers.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    running.stop();
    assert!(!home.path("data/postgres").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn production_without_broker_needs_no_data_folder() {
    let servers = external_servers().await;
    let home = StandaloneFolder::new();
    let database = servers.database.production_url().await;
    let settings = [
        ("ENVIRONMENT", "production"),
        ("DATABASE_URL", &database),
        ("SMTP_URL", &servers.mail_server.url()),
        ("PUBLIC_URL", "https://sign-up.example.org"),
        ("MAIL_FROM", "no-reply@vestibule.test"),
        CODE_SECRETS,
        SUBJECT_KEY,
    ];
    let running = home.start(&settings);
    register_and_activate(&running, &servers.mail_server, "ada@example.com").await;
    running.stop();
    assert!(!home.path("data").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_sharing_a_database_mail_once() {
    let servers = external_servers().await;
    let home = StandaloneFolder::new();
    let settings = [
        ("DATABASE_URL", servers.database.url.as_str()),
        ("SMTP_URL", &servers.mail_server.url()),
        CODE_SECRETS,
        SUBJECT_KEY,
    ];
    let both = [home.start(&settings), home.start(&settings)];
    for n in 0..20 {
        assert_eq!(both[n % 2].client.register(&format!("ada{n}@example.com")).await.status, 202);
    }
    for n in 0..20 {
        servers.mail_server.mail_to(&format!("ada{n}@example.com")).await;
    }
    servers.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    assert_eq!(servers.mail_server.count(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_works_with_all_external_servers() {
    let servers = external_servers().await;
    let home = StandaloneFolder::new();
    let settings = [
        ("DATABASE_URL", servers.database.url.as_str()),
        ("AMQP_URL", &server_url("AMQP_URL")),
        ("AMQP_PREFIX", &servers.topology.exchange),
        ("SMTP_URL", &servers.mail_server.url()),
        CODE_SECRETS,
        SUBJECT_KEY,
    ];
    let running = home.start(&settings);
    register_and_activate(&running, &servers.mail_server, "ada@example.com").await;
    running.stop();
}
