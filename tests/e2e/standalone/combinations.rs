//! `cargo run` with some parts embedded and some not, in any mix.

use support::{
    database::server,
    fake_smtp::FakeSmtpServer,
    stack::Stack,
    standalone::{Home, Vestibule},
};

const SECRETS: (&str, &str) = ("CODE_SECRETS", "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");

/// Its own database and AMQP names, as every test has them; nothing runs in it.
async fn servers() -> Stack {
    Stack::prepare(&[]).await
}

async fn comes_in(vestibule: &Vestibule, mail_server: &FakeSmtpServer, email: &str) {
    let answer = vestibule.client.register(email).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let mail = mail_server.mail_to(email).await;
    vestibule.client.receipt_when(&answer.registration(), "sent").await;
    assert_eq!(vestibule.client.activate(email, &mail.code()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_database_with_a_real_broker() {
    let (servers, home) = (servers().await, Home::new());
    let running = home.start(&[("AMQP_URL", &server("AMQP_URL")), ("AMQP_PREFIX", &servers.topology.exchange)]);
    running.sign_up_and_activate("ada@example.com").await;
    servers.queue_holds(&servers.topology.queue, 0).await;
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_database_without_a_broker() {
    let (servers, home) = (servers().await, Home::new());
    let running = home.start(&[("DATABASE_URL", &servers.database.url)]);
    assert!(!running.banner.join("\n").contains("fsync"), "{:?}", running.banner);
    running.sign_up_and_activate("ada@example.com").await;
    servers.database.becomes("SELECT count(*) FROM outbox", 0).await;
    running.stop();
    assert!(!home.path("data/postgres").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_small_production_form_needs_no_folder() {
    let (servers, home) = (servers().await, Home::new());
    let settings = [
        ("ENVIRONMENT", "production"),
        ("DATABASE_URL", &servers.database.production_url()),
        ("SMTP_URL", &servers.mail_server.url()),
        SECRETS,
    ];
    let running = home.start(&settings);
    comes_in(&running, &servers.mail_server, "ada@example.com").await;
    running.stop();
    assert!(!home.path("data").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_without_a_broker_share_one_database_and_mail_everything_once() {
    let (servers, home) = (servers().await, Home::new());
    let settings = [("DATABASE_URL", servers.database.url.as_str()), ("SMTP_URL", &servers.mail_server.url()), SECRETS];
    let both = [home.start(&settings), home.start(&settings)];
    for n in 0..20 {
        assert_eq!(both[n % 2].client.register(&format!("ada{n}@example.com")).await.status, 202);
    }
    for n in 0..20 {
        servers.mail_server.mail_to(&format!("ada{n}@example.com")).await;
    }
    servers.database.becomes("SELECT count(*) FROM outbox", 0).await;
    assert_eq!(servers.mail_server.count(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_real_in_one_process() {
    let (servers, home) = (servers().await, Home::new());
    let settings = [
        ("DATABASE_URL", servers.database.url.as_str()),
        ("AMQP_URL", &server("AMQP_URL")),
        ("AMQP_PREFIX", &servers.topology.exchange),
        ("SMTP_URL", &servers.mail_server.url()),
        SECRETS,
    ];
    let running = home.start(&settings);
    comes_in(&running, &servers.mail_server, "ada@example.com").await;
    running.stop();
}
