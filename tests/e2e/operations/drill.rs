//! `vestibule drill`: passes for an instance that keeps its documented limits, and reports the limits that are broken.

use std::{process::Output, time::Duration};

use poem::{
    Endpoint, IntoResponse, Request, Response,
    http::{Method, StatusCode},
    listener::{Acceptor, Listener, TcpListener},
};
use serde_json::{Value, json};
use tokio::process::Command;

use support::{
    client::PASSWORD,
    fake_smtp::{
        FakeSmtpServer,
        behaviour::{Behaviour, Stage},
    },
    standalone::{StandaloneFolder, StandaloneProcess},
};

/// Runs the drill: exit code, JSON report and stderr. It must ignore the proxies of the environment.
async fn drill(arguments: &[&str]) -> (Option<i32>, Value, String) {
    let mut command = Command::new(support::process::program("vestibule"));
    command.env_clear().envs([("http_proxy", "http://127.0.0.1:1"), ("HTTP_PROXY", "http://127.0.0.1:1")]);
    let run = command.arg("drill").args(arguments).arg("--json").kill_on_drop(true).output();
    let Output { status, stdout, stderr } = tokio::time::timeout(Duration::from_secs(120), run).await.unwrap().unwrap();
    (status.code(), serde_json::from_slice(&stdout).unwrap_or_default(), String::from_utf8(stderr).unwrap())
}

fn url(running: &StandaloneProcess) -> String {
    running.client.base().to_owned()
}

fn verdicts<'a>(report: &'a Value, verdict: &str) -> Vec<&'a str> {
    let rows = report["plays"].as_array().unwrap().iter();
    rows.filter(|row| row["verdict"] == verdict).map(|row| row["play"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn drill_passes_for_a_real_instance() {
    let home = StandaloneFolder::new();
    let running = home.start(&[("RESEND_THROTTLE_SECONDS", "0")]);
    running.sign_up_and_activate("ada@example.com").await;
    let url = url(&running);
    // A few more calls than a comparison needs at least, so that one lost call on a busy machine does not fail the
    // test.
    let account = format!("ada@example.com:{PASSWORD}");
    let mut arguments = vec![&*url, "--rounds", "1", "--calls", "60", "--active", "ada@example.com"];
    arguments.extend(["--account", &account]);
    let (code, report, stderr) = drill(&arguments).await;
    assert_eq!((code, &report["kept"]), (Some(0), &json!(true)), "{stderr}{report:#}");
    assert_eq!(verdicts(&report, "not tried"), [""; 0], "{report:#}");
    let row = |play: &str| report["plays"].as_array().unwrap().iter().find(|row| row["play"] == play).unwrap().clone();
    // When a guess happens to be right, no further codes are compared: then the scenario that counts the hits reports
    // it.
    for (play, granted, hits_play) in [
        ("guess: … for one address, 4 digits", 9, "guess: comparisons for one code"),
        ("burst: comparisons for one code", 3, "burst: comparisons for one code"),
    ] {
        assert!(row(play)["granted"] == granted || row(hits_play)["hits"].as_u64() > Some(0), "{play}: {report:#}");
    }
    for (play, granted) in [
        ("burst: mails to one address", 5),
        ("tags: codes for one mailbox", 5),
        ("tags: … from one network", 3),
        ("changes: password changes of one account", 5),
        ("lockout: wrong passwords for one address", 50),
        ("lockout: … from one network", 5),
    ] {
        assert_eq!(row(play)["granted"], granted, "{play}: {report:#}");
    }
    let log_in = running.client.login("ada@example.com", PASSWORD).await;
    assert_eq!(log_in.status, 200, "the last change restores the password: {log_in:?}");
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_mail_is_no_enumeration_finding() {
    let mail_server = FakeSmtpServer::start().await;
    let home = StandaloneFolder::new();
    // The first of the slow mails is for the pending registration, the next two are for unknown email addresses.
    mail_server.script_after(3, Behaviour::Slow(Stage::Dot, Duration::from_millis(1_500)));
    let running = home.start(&[("RESEND_THROTTLE_SECONDS", "0"), ("SMTP_URL", &mail_server.url())]);
    let (code, report, stderr) = drill(&[&url(&running), "--only", "body"]).await;
    assert_eq!(code, Some(0), "{stderr}{report:#}");
    assert_eq!(mail_server.count(), 5);
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn drill_fails_when_forged_addresses_are_trusted() {
    for (trusted, expected) in [("127.0.0.1", 1), ("192.0.2.0/24", 0)] {
        let home = StandaloneFolder::new();
        let running = home.start(&[("TRUSTED_PROXIES", trusted)]);
        let (code, report, stderr) = drill(&[&url(&running), "--spoof", "--only", "forge"]).await;
        assert_eq!(code, Some(expected), "{stderr}{report:#}");
        assert_eq!(verdicts(&report, "broken").is_empty(), expected == 0, "{report:#}");
    }
}

/// Responds like the service, but compares every code and enforces no limit.
async fn unlimited_service(request: Request) -> poem::Result<Response> {
    let sent = json!({ "registration": "01890000-0000-7000-8000-000000000001", "status": "sent", "code_length": 4,
                       "attempts_left": 3 });
    let windows = json!([{ "limit": 5, "seconds": 3_600 }]);
    let policy = json!({
        "code": { "lengths": [4, 6, 8], "attempts": 3, "resend_after": 60, "per_address": windows,
                  "per_address_and_network": windows },
        "password_changes": windows,
        "password_checks_per_network": [{ "limit": 20, "seconds": 60 }],
        "wrong_codes": { "per_address": 9, "per_network": [{ "limit": 10, "seconds": 600 }] },
        "wrong_passwords": { "per_address_and_network": 5, "per_address": 50, "within": 900 },
        "bounds": { "address_per_year": 0.001_018_5 },
    });
    // ada@example.com:ada
    let is_right_password = request.header("authorization") == Some("Basic YWRhQGV4YW1wbGUuY29tOmFkYQ==");
    let (status, body) = match (request.method(), request.uri().path()) {
        (_, "/v1/policy") => (StatusCode::OK, policy),
        (&Method::GET, _) => (StatusCode::OK, sent),
        (_, "/v1/users/activate") => {
            (StatusCode::UNPROCESSABLE_ENTITY, json!({ "type": "http://localhost/problems/wrong-code" }))
        }
        (_, "/v1/users/login") if is_right_password => (StatusCode::OK, json!({ "token": "t" })),
        (_, "/v1/users/login") => (StatusCode::UNAUTHORIZED, json!({})),
        (_, "/v1/users/me/password") => (StatusCode::NO_CONTENT, json!({})),
        _ => (StatusCode::ACCEPTED, sent),
    };
    Ok(poem::web::Json(body).with_status(status).into_response())
}

async fn serve(endpoint: impl Endpoint + 'static) -> String {
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
    let addr = acceptor.local_addr()[0].as_socket_addr().copied().unwrap();
    tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(endpoint));
    format!("http://{addr}")
}

#[tokio::test(flavor = "multi_thread")]
async fn drill_reports_every_broken_limit() {
    let target = serve(poem::endpoint::make(unlimited_service)).await;
    let (code, report, stderr) =
        drill(&[&target, "--rounds", "1", "--calls", "20", "--account", "ada@example.com:ada"]).await;
    assert_eq!((code, &report["kept"]), (Some(1), &json!(false)), "{stderr}{report:#}");
    let broken = verdicts(&report, "broken");
    for play in [
        "guess: comparisons for one code",
        "guess: … for one address, 4 digits",
        "odd-codes: read as a code",
        "odd-codes: compared and not counted",
        "burst: comparisons for one code",
        "burst: mails to one address",
        "resend: codes sent again",
        "tags: codes for one mailbox",
        "tags: … from one network",
        "changes: password changes of one account",
        "flood: passwords verified for one network",
        "lockout: wrong passwords for one address",
        "lockout: … from one network",
        "all: codes for one address",
    ] {
        assert!(broken.contains(&play), "{play}: {broken:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drill_rejects_targets_it_may_not_attack() {
    let redirecting = serve(poem::endpoint::make_sync(|_| {
        StatusCode::TEMPORARY_REDIRECT.with_header("location", "http://example.com/v1/policy").into_response()
    }))
    .await;
    let confirmed_once = ["http://example.com", "--i-own-this"];
    for (arguments, why) in [
        (&[][..], "needs the URL"),
        (&["http://example.com"], "confirmed with both"),
        (&confirmed_once, "confirmed with both"),
        (&["http://127.0.0.1.nip.io:8000"], "confirmed with both"),
        (&["https://localhost"], "plain http"),
        (&["http://127.0.0.1:1"], "cannot be reached"),
        (&[&redirecting], "is not a Vestibule instance"),
    ] {
        let (code, report, stderr) = drill(arguments).await;
        let last = stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("vestibule: ") && last.contains(why), "{arguments:?}: {stderr}");
        assert_eq!((code, report), (Some(2), Value::Null), "{arguments:?}");
    }
}
