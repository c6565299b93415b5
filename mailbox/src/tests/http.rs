//! HTTP: the REST calls, the page, its events, security headers, the host check and shutdown.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::timeout;

use super::{SmtpClient, TempFolder, TestInbox};

#[tokio::test]
async fn rest_calls_are_compatible_with_maildev() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    inbox.send("Grüße").await;
    let mails = inbox.json("/email").await;
    let mail = &mails[0];
    assert_eq!(mails.as_array().unwrap().len(), 1);
    assert_eq!((&mail["subject"], &mail["read"]), (&json!("Grüße"), &json!(false)));
    assert_eq!(mail["from"], json!([{ "address": "from@example.com", "name": "Vestibüle" }]));
    assert_eq!(mail["to"], json!([{ "address": "ada@example.com", "name": "" }]));
    assert_eq!(mail["text"], "Grüße:\n\n0042\n\n.\nbye\n");
    assert_eq!(mail["envelope"]["from"]["address"], "from@example.com");

    let path = format!("/email/{}", mail["id"].as_str().unwrap());
    assert_eq!(inbox.json(&path).await["headers"]["subject"], "Grüße");
    assert_eq!(inbox.json("/email").await[0]["read"], true);
    assert_eq!(inbox.get(&format!("{path}/html")).await.text().await.unwrap().trim_end(), "<p>Grüße: <b>0042</b></p>");
    let source = inbox.get(&format!("{path}/source")).await.text().await.unwrap();
    assert!(source.starts_with("From: ") && source.len() == mail["size"], "{source}");

    assert!(inbox.delete(&path).await.json::<bool>().await.unwrap());
    for path in [&path, &format!("{path}/html"), &format!("{path}/source"), "/email/..%2Fx", "/nowhere"] {
        let response = inbox.get(path).await;
        assert_eq!(response.status(), 404, "{path}");
        assert!(response.json::<serde_json::Value>().await.unwrap()["error"].is_string());
    }
    assert_eq!(inbox.delete(&path).await.status(), 404);
    inbox.stop().await;
}

#[tokio::test]
async fn delete_all_deletes_every_mail() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    inbox.send("one").await;
    inbox.send("two").await;
    assert_eq!(inbox.subjects().await, ["one", "two"]);
    assert!(inbox.delete("/email/all").await.json::<bool>().await.unwrap());
    assert_eq!(inbox.json("/email").await, json!([]));
    assert!(folder.eml_files().is_empty());
    inbox.stop().await;
}

#[tokio::test]
async fn every_response_has_security_headers() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    inbox.send("x").await;
    let id = inbox.json("/email").await[0]["id"].as_str().unwrap().to_owned();
    let html = format!("/email/{id}/html");
    for path in ["/", "/page.css", "/page.js", "/healthz", "/events", "/email", "/nowhere", "/email/x", &html] {
        let response = inbox.get(path).await;
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert_eq!(policy.starts_with("sandbox;"), path == html, "{path}");
        assert_eq!(policy.contains("unsafe-inline"), path == html, "{path}");
        assert!(!response.headers().contains_key("access-control-allow-origin"), "{path}");
    }
    assert_eq!(inbox.json("/healthz").await, true);
    assert_eq!(reqwest::Client::new().post(inbox.url("/email")).send().await.unwrap().status(), 405);
    inbox.stop().await;
}

#[tokio::test]
async fn foreign_host_name_is_rejected() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    for (host, status) in [("inbox.localhost:1080", 200), ("[::1]:1080", 200), ("rebound.example.com", 421)] {
        let request = reqwest::Client::new().get(inbox.url("/email")).header("host", host).send();
        assert_eq!(request.await.unwrap().status(), status, "{host}");
    }
    inbox.stop().await;
}

#[tokio::test]
async fn event_stream_reports_every_change() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    let mut events = inbox.get("/events").await.bytes_stream();
    let mut next = async || timeout(Duration::from_secs(5), events.next()).await.expect("no event within 5 s");
    assert_eq!(next().await.unwrap().unwrap(), "data: changed\n\n");
    inbox.send("one").await;
    assert_eq!(next().await.unwrap().unwrap(), "data: changed\n\n");
    inbox.delete("/email/all").await;
    assert_eq!(next().await.unwrap().unwrap(), "data: changed\n\n");
    inbox.stop().await;
    assert!(next().await.is_none());
}

#[tokio::test]
async fn event_stream_above_the_limit_is_rejected() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    let mut pages = Vec::new();
    for _ in 0..64 {
        pages.push(inbox.get("/events").await);
    }
    assert!(pages.iter().all(|page| page.status() == StatusCode::OK));
    assert_eq!(inbox.get("/events").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    inbox.stop().await;
}

#[tokio::test]
async fn open_connections_do_not_block_the_shutdown() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    let _event_stream = inbox.get("/events").await;
    let _smtp_client = SmtpClient::connect(&inbox).await;
    let _silent_connection = tokio::net::TcpStream::connect(inbox.http).await.unwrap();
    let client = reqwest::Client::new();
    client.get(inbox.url("/healthz")).send().await.unwrap();
    timeout(Duration::from_millis(1500), inbox.stop()).await.unwrap();
}
