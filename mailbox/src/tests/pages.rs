//! The inbox by HTTP: the REST calls, the page, its events, and who may ask.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::timeout;

use super::{House, Line, Place};

#[tokio::test]
async fn a_mail_is_read_as_from_maildev() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    house.send("Grüße").await;
    let mails = house.json("/email").await;
    let mail = &mails[0];
    assert_eq!(mails.as_array().unwrap().len(), 1);
    assert_eq!((&mail["subject"], &mail["read"]), (&json!("Grüße"), &json!(false)));
    assert_eq!(mail["from"], json!([{ "address": "from@example.com", "name": "Vestibüle" }]));
    assert_eq!(mail["to"], json!([{ "address": "ada@example.com", "name": "" }]));
    assert_eq!(mail["text"], "Grüße:\n\n0042\n\n.\nbye\n");
    assert_eq!(mail["envelope"]["from"]["address"], "from@example.com");

    let path = format!("/email/{}", mail["id"].as_str().unwrap());
    assert_eq!(house.json(&path).await["headers"]["subject"], "Grüße");
    assert_eq!(house.json("/email").await[0]["read"], true);
    assert_eq!(house.get(&format!("{path}/html")).await.text().await.unwrap().trim_end(), "<p>Grüße: <b>0042</b></p>");
    let source = house.get(&format!("{path}/source")).await.text().await.unwrap();
    assert!(source.starts_with("From: ") && source.len() == mail["size"], "{source}");

    assert!(house.delete(&path).await.json::<bool>().await.unwrap());
    for path in [&path, &format!("{path}/html"), &format!("{path}/source"), "/email/..%2Fx", "/nowhere"] {
        let answer = house.get(path).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert!(answer.json::<serde_json::Value>().await.unwrap()["error"].is_string());
    }
    assert_eq!(house.delete(&path).await.status(), 404);
    house.stop().await;
}

#[tokio::test]
async fn all_mails_go_at_once() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    house.send("one").await;
    house.send("two").await;
    assert_eq!(house.subjects().await, ["one", "two"]);
    assert!(house.delete("/email/all").await.json::<bool>().await.unwrap());
    assert_eq!(house.json("/email").await, json!([]));
    assert!(place.eml_files().is_empty());
    house.stop().await;
}

#[tokio::test]
async fn every_answer_is_guarded() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    house.send("x").await;
    let id = house.json("/email").await[0]["id"].as_str().unwrap().to_owned();
    let html = format!("/email/{id}/html");
    for path in ["/", "/page.css", "/page.js", "/healthz", "/events", "/email", "/nowhere", "/email/x", &html] {
        let answer = house.get(path).await;
        let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert_eq!(policy.starts_with("sandbox;"), path == html, "{path}");
        assert_eq!(policy.contains("unsafe-inline"), path == html, "{path}");
        assert!(!answer.headers().contains_key("access-control-allow-origin"), "{path}");
    }
    assert_eq!(house.json("/healthz").await, true);
    assert_eq!(reqwest::Client::new().post(house.url("/email")).send().await.unwrap().status(), 405);
    house.stop().await;
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_refused() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    for (host, status) in [("inbox.localhost:1080", 200), ("[::1]:1080", 200), ("rebound.example.com", 421)] {
        let asking = reqwest::Client::new().get(house.url("/email")).header("host", host).send();
        assert_eq!(asking.await.unwrap().status(), status, "{host}");
    }
    house.stop().await;
}

#[tokio::test]
async fn an_open_page_hears_of_every_change() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    let mut events = house.get("/events").await.bytes_stream();
    let mut next = async || timeout(Duration::from_secs(5), events.next()).await.expect("an event");
    assert_eq!(next().await.unwrap().unwrap(), "data: changed\n\n");
    house.send("one").await;
    assert_eq!(next().await.unwrap().unwrap(), "data: changed\n\n");
    house.delete("/email/all").await;
    assert_eq!(next().await.unwrap().unwrap(), "data: changed\n\n");
    house.stop().await;
    assert!(next().await.is_none());
}

#[tokio::test]
async fn open_pages_are_counted() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    let mut pages = Vec::new();
    for _ in 0..64 {
        pages.push(house.get("/events").await);
    }
    assert!(pages.iter().all(|page| page.status() == StatusCode::OK));
    assert_eq!(house.get("/events").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    house.stop().await;
}

#[tokio::test]
async fn nobody_who_is_connected_keeps_us_from_stopping() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    let _page = house.get("/events").await;
    let _line = Line::open(&house).await;
    let _silent = tokio::net::TcpStream::connect(house.web).await.unwrap();
    let client = reqwest::Client::new();
    client.get(house.url("/healthz")).send().await.unwrap();
    timeout(Duration::from_millis(1500), house.stop()).await.unwrap();
}
