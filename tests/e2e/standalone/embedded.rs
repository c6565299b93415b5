//! `cargo run`: the whole service in one process, with nothing but what it brings along.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use tokio::net::TcpListener;

use support::{
    client::{at_once, count},
    standalone::{Home, Vestibule, code},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_makes_everything_and_the_next_finds_it_again() {
    let home = Home::new();
    let first = home.start(&[]);
    let said = first.banner.join("\n");
    assert!(said.starts_with("Preparing the database in "), "{said}");
    for part in ["http://localhost:8000/docs", "inbox ", "does not fsync", &home.path("data").display().to_string()] {
        assert!(said.contains(part), "{part}: {said}");
    }
    first.sign_up_and_activate("ada@example.com").await;
    let code = first.sign_up("bob@example.com").await;
    first.stop();

    let mode = |name: &str| std::fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("data"), mode("data/secrets")), (0o700, 0o600));

    let second = home.start(&[]);
    assert!(!second.banner.join("\n").contains("Preparing"), "{:?}", second.banner);
    assert_eq!(second.inbox.mails_to("bob@example.com").await.len(), 1, "the inbox keeps its mails");
    let again = second.client.activate("ada@example.com", "0000").await;
    assert_eq!(again.problem(), (409, "already-active".into()));
    assert_eq!(second.client.activate("bob@example.com", &code).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_waits_when_it_is_stopped_goes_out_after_the_next_start() {
    let home = Home::new();
    let first = home.start(&[("SMTP_URL", "smtp://127.0.0.1:1")]);
    let registration = first.client.register("ada@example.com").await.registration();
    first.stop();
    let second = home.start(&[]);
    let mail = second.inbox.mail_to("ada@example.com").await;
    second.client.receipt_when(&registration, "sent").await;
    assert_eq!(second.client.activate("ada@example.com", &code(&mail)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_commit_and_delivery_loses_nothing() {
    let home = Home::new();
    // It lets everybody in and never says a word.
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
        second.client.receipt_when(registration, "sent").await;
        assert_eq!(second.inbox.mails_to(&email).await.len(), 1);
        assert_eq!(second.client.activate(&email, &code(&mail)).await.status, 200);
    }
}

/// The embedded database has one connection, and makes whoever asks for a second one wait for ever: who
/// asked while holding the first would be answered with 503, or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn one_connection_is_enough_for_all_that_happens_at_once() {
    let home = Home::new();
    let running = home.start(&[("CODES_PER_HOUR", "9"), ("RESEND_THROTTLE_SECONDS", "0")]);
    let client = running.client.clone();
    // So many that they are in each other's way, and not so many that a slow machine has to send some away.
    for round in 0..3 {
        let registered = at_once(20, |n| {
            let (client, email) = (client.clone(), format!("ada{}@example.com", (20 * round + n) / 3));
            async move { client.register(&email).await }
        });
        assert_eq!(count(&registered.await), [(202, 20)].into());
    }
    for round in 0..4 {
        let everything = at_once(20, |n| {
            let (client, email) = (client.clone(), format!("ada{}@example.com", (20 * round + n) / 4));
            async move {
                match n % 4 {
                    0 => client.resend(&email).await,
                    1 => client.activate(&email, "x").await,
                    2 => client.get("/health").await,
                    _ => client.register_once("a-key", &email, "correct horse battery").await,
                }
            }
        });
        let counted = count(&everything.await);
        assert!(counted.keys().all(|status| *status < 500), "{counted:?}");
    }
    running.sign_up_and_activate("bob@example.com").await;
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_in_which_nothing_moves_sends_nobody_away() {
    let home = Home::new();
    let running = home.start(&[]);
    for after in [40, 160] {
        let client = running.client.clone();
        let registering = tokio::spawn(at_once(30, move |n| {
            let (client, email) = (client.clone(), format!("ada{after}-{n}@example.com"));
            async move { client.register(&email).await }
        }));
        tokio::time::sleep(Duration::from_millis(after)).await;
        running.process.stands_still(Duration::from_millis(2_500)).await;
        assert_eq!(count(&registering.await.unwrap()), [(202, 30)].into());
    }
    running.stop();
}

/// What is written for MailDev works here.
#[tokio::test(flavor = "multi_thread")]
async fn the_inbox_is_cleared_as_that_of_maildev() {
    let home = Home::new();
    let running = home.start(&[]);
    running.sign_up("ada@example.com").await;
    let mail = running.inbox.mail_to("ada@example.com").await;
    let path = format!("/email/{}", mail["id"].as_str().unwrap());
    let one: serde_json::Value = running.inbox.get(&path).await.json().await.unwrap();
    assert_eq!((&one["text"], &one["subject"]), (&mail["text"], &mail["subject"]));
    running.inbox.clear().await;
    assert_eq!(running.inbox.get(&path).await.status(), 404);
    assert!(running.inbox.mails_to("ada@example.com").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_what_there_is_and_chooses_the_port() {
    let home = Home::new();
    let help = home.command(&[]).arg("--help").output().unwrap();
    let said = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success());
    for part in ["--port N", "--data DIR", "--ephemeral", "DATABASE_URL", "AMQP_URL", "SMTP_URL", "INBOX_ADDR"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // 0 lets the system choose: no test may be in another's way.
    let mut command = home.command(&[]);
    command.env_remove("PUBLIC_URL").args(["--port", "0", "--ephemeral"]);
    let running = Vestibule::start(&mut command);
    let port = running.client.port();
    assert_eq!(running.client.get("/health").await.status, 200);
    assert!(running.banner.join("\n").contains(&format!("http://localhost:{port}/docs")), "{:?}", running.banner);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_one_leaves_nothing_behind() {
    let home = Home::new();
    let temporary = home.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = home.command(&[("TMPDIR", temporary.to_str().unwrap())]);
    let running = Vestibule::start(command.arg("--ephemeral"));
    running.sign_up_and_activate("ada@example.com").await;
    running.stop();
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    assert!(!home.path("data").exists());
}
