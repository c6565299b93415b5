//! The one-process binary with its embedded database and mailbox, as `cargo run` starts it.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use tokio::net::TcpListener;

use support::{
    client::{concurrently, count},
    standalone::{StandaloneFolder, StandaloneProcess, code},
};

#[tokio::test(flavor = "multi_thread")]
async fn second_start_reuses_the_data_folder() {
    let home = StandaloneFolder::new();
    let first = home.start(&[]);
    let banner = first.banner.join("\n");
    assert!(banner.starts_with("Preparing the database in "), "{banner}");
    for part in ["http://localhost:8000/docs", "inbox ", "does not fsync", &home.path("data").display().to_string()] {
        assert!(banner.contains(part), "{part}: {banner}");
    }
    first.sign_up_and_activate("ada@example.com").await;
    let code = first.sign_up("bob@example.com").await;
    let log = first.stop();
    assert!(log.contains("mailbox: mail received"), "the mailbox is one of the crates whose log is shown: {log}");

    let mode = |name: &str| std::fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("data"), mode("data/secrets"), mode("data/subject-key")), (0o700, 0o600, 0o600));

    let second = home.start(&[]);
    assert!(!second.banner.join("\n").contains("Preparing"), "{:?}", second.banner);
    assert_eq!(second.inbox.mails_to("bob@example.com").await.len(), 1, "the inbox keeps its mails");
    let again = second.client.activate("ada@example.com", "0000").await;
    assert_eq!(again.problem(), (409, "already-active".into()));
    assert_eq!(second.client.activate("bob@example.com", &code).await.status, 200);
    let log = second.stop();
    assert!(!log.contains("Postgres limits no statements"), "the embedded database has timeouts: {log}");
}

/// Versions without `SUBJECT_KEY` used the last code secret in its place. Afterwards that secret can be retired.
#[tokio::test(flavor = "multi_thread")]
async fn older_data_folder_keeps_its_last_secret_as_subject_key() {
    let (home, subject_key) = (StandaloneFolder::new(), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let secrets = home.path("data/secrets");
    std::fs::create_dir(home.path("data")).unwrap();
    std::fs::write(&secrets, format!("new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=,first:{subject_key}\n"))
        .unwrap();
    let first = home.start(&[]);
    first.sign_up_and_activate("ada@example.com").await;
    first.stop();
    assert_eq!(std::fs::read_to_string(home.path("data/subject-key")).unwrap().trim(), subject_key);

    std::fs::write(&secrets, "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n").unwrap();
    home.start(&[]).sign_up_and_activate("bob@example.com").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unsent_mail_is_sent_after_restart() {
    let home = StandaloneFolder::new();
    let first = home.start(&[("SMTP_URL", "smtp://127.0.0.1:1")]);
    let registration = first.client.register("ada@example.com").await.registration();
    first.stop();
    let second = home.start(&[]);
    let mail = second.inbox.mail_to("ada@example.com").await;
    second.client.wait_for_receipt(&registration, "sent").await;
    assert_eq!(second.client.activate("ada@example.com", &code(&mail)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_before_delivery_loses_no_mail() {
    let home = StandaloneFolder::new();
    // A mail server that accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", silent.local_addr().unwrap());
    let first = home.start(&[("SMTP_URL", &url)]);
    let mut registrations = vec![];
    for n in 0..5 {
        registrations.push(first.client.register(&format!("ada{n}@example.com")).await.registration());
    }
    silent.accept().await.unwrap();
    first.process.kill();

    let second = home.start(&[]);
    for (n, registration) in registrations.iter().enumerate() {
        let email = format!("ada{n}@example.com");
        let mail = second.inbox.mail_to(&email).await;
        second.client.wait_for_receipt(registration, "sent").await;
        assert_eq!(second.inbox.mails_to(&email).await.len(), 1);
        assert_eq!(second.client.activate(&email, &code(&mail)).await.status, 200);
    }
}

/// The embedded database has a single connection. Code that asked for a second one while it holds the first would wait
/// until its request is rejected with 503, or forever.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_share_one_database_connection() {
    let home = StandaloneFolder::new();
    let running = home.start(&[("CODES_PER_HOUR", "9"), ("RESEND_THROTTLE_SECONDS", "0")]);
    let client = running.client.clone();
    // Enough requests to compete for the connection, but not so many that a slow machine has to reject some.
    for round in 0..3 {
        let registered = concurrently(20, |n| {
            let client = client.clone();
            let email = format!("ada{}@example.com", (20 * round + n) / 3);
            async move { client.register(&email).await }
        });
        assert_eq!(count(&registered.await), [(202, 20)].into());
    }
    for round in 0..4 {
        let mixed = concurrently(20, |n| {
            let client = client.clone();
            let email = format!("ada{}@example.com", (20 * round + n) / 4);
            async move {
                match n % 4 {
                    0 => client.resend(&email).await,
                    1 => client.activate(&email, "x").await,
                    2 => client.get("/health").await,
                    _ => client.register_with_key("a-key", &email, "correct horse battery").await,
                }
            }
        });
        let counted = count(&mixed.await);
        assert!(counted.keys().all(|status| *status < 500), "{counted:?}");
    }
    running.sign_up_and_activate("bob@example.com").await;
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn stall_of_2500_ms_rejects_no_registration() {
    let home = StandaloneFolder::new();
    let running = home.start(&[]);
    for after in [40, 160] {
        let client = running.client.clone();
        let registering = tokio::spawn(concurrently(30, move |n| {
            let client = client.clone();
            let email = format!("ada{after}-{n}@example.com");
            async move { client.register(&email).await }
        }));
        tokio::time::sleep(Duration::from_millis(after)).await;
        running.process.freeze(Duration::from_millis(2_500)).await;
        assert_eq!(count(&registering.await.unwrap()), [(202, 30)].into());
    }
    running.stop();
}

/// The mailbox implements the HTTP API of MailDev, so that tools for MailDev work with it.
#[tokio::test(flavor = "multi_thread")]
async fn mailbox_is_cleared_by_the_maildev_api() {
    let home = StandaloneFolder::new();
    let running = home.start(&[]);
    running.sign_up("ada@example.com").await;
    let mail = running.inbox.mail_to("ada@example.com").await;
    let path = format!("/email/{}", mail["id"].as_str().unwrap());
    let found: serde_json::Value = running.inbox.get(&path).await.json().await.unwrap();
    assert_eq!((&found["text"], &found["subject"]), (&mail["text"], &mail["subject"]));
    running.inbox.clear().await;
    assert_eq!(running.inbox.get(&path).await.status(), 404);
    assert!(running.inbox.mails_to("ada@example.com").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn help_lists_options_and_port_option_works() {
    let home = StandaloneFolder::new();
    let help = home.command(&[]).arg("--help").output().unwrap();
    let stdout = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success());
    for part in ["--port N", "--data DIR", "--ephemeral", "DATABASE_URL", "AMQP_URL", "SMTP_URL", "INBOX_ADDR"] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    // With port 0 the system chooses a free port, so that tests do not collide.
    let mut command = home.command(&[]);
    command.env_remove("PUBLIC_URL").args(["--port", "0", "--ephemeral"]);
    let running = StandaloneProcess::start(&mut command);
    let port = running.client.port();
    assert_eq!(running.client.get("/health").await.status, 200);
    assert!(running.banner.join("\n").contains(&format!("http://localhost:{port}/docs")), "{:?}", running.banner);
}

#[tokio::test(flavor = "multi_thread")]
async fn ephemeral_process_leaves_no_files() {
    let home = StandaloneFolder::new();
    let temporary = home.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = home.command(&[("TMPDIR", temporary.to_str().unwrap())]);
    let running = StandaloneProcess::start(command.arg("--ephemeral"));
    running.sign_up_and_activate("ada@example.com").await;
    running.stop();
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    assert!(!home.path("data").exists());
}
