//! Tests of the running inbox over SMTP, over HTTP, and on disk.

mod http;
mod smtp;
mod storage;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor, message::MultiPart};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Inbox, new_id};

/// A path for a mail folder; the folder is removed when this is dropped.
struct TempFolder(PathBuf);

impl TempFolder {
    fn new() -> TempFolder {
        TempFolder(std::env::temp_dir().join(format!("inbox-test-{}", new_id())))
    }

    fn eml_files(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "eml")).collect()
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An inbox that listens for SMTP and HTTP on free ports.
struct TestInbox {
    smtp: SocketAddr,
    http: SocketAddr,
    stop: CancellationToken,
    servers: JoinSet<anyhow::Result<()>>,
}

impl TestInbox {
    async fn start(folder: &Path) -> TestInbox {
        let (inbox, stop) = (Inbox::open(folder).unwrap(), CancellationToken::new());
        let smtp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (smtp_addr, http_addr) = (smtp.local_addr().unwrap(), http.local_addr().unwrap());
        let mut servers = JoinSet::new();
        servers.spawn(inbox.clone().serve_smtp(smtp, stop.clone()));
        servers.spawn(inbox.serve_http(http, stop.clone()));
        TestInbox { smtp: smtp_addr, http: http_addr, stop, servers }
    }

    async fn send(&self, subject: &str) {
        let parts = MultiPart::alternative_plain_html(
            "Grüße:\n\n0042\n\n.\nbye\n".to_owned(),
            "<p>Grüße: <b>0042</b></p>".to_owned(),
        );
        let message = Message::builder()
            .from("Vestibüle <from@example.com>".parse().unwrap())
            .to("ada@example.com".parse().unwrap())
            .subject(subject)
            .multipart(parts)
            .unwrap();
        let transport =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1").port(self.smtp.port()).build();
        transport.send(message).await.unwrap();
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(self.url(path)).await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    async fn delete(&self, path: &str) -> reqwest::Response {
        reqwest::Client::new().delete(self.url(path)).send().await.unwrap()
    }

    async fn subjects(&self) -> Vec<String> {
        let mails = self.json("/email").await;
        mails.as_array().unwrap().iter().map(|mail| mail["subject"].as_str().unwrap().to_owned()).collect()
    }

    async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = timeout(Duration::from_secs(30), self.servers.join_next())
            .await
            .expect("the servers did not stop within 30 s")
        {
            ended.unwrap().unwrap();
        }
    }
}

/// A client that sends raw bytes on an SMTP connection.
struct SmtpClient(TcpStream);

impl SmtpClient {
    async fn connect(inbox: &TestInbox) -> SmtpClient {
        let mut client = SmtpClient(TcpStream::connect(inbox.smtp).await.unwrap());
        assert!(client.receive().await.starts_with("220 "));
        client
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next bytes of the server, possibly a part of a reply; empty if the server closed the connection.
    async fn receive(&mut self) -> String {
        let mut buffer = vec![0; 4096];
        let length =
            timeout(Duration::from_secs(5), self.0.read(&mut buffer)).await.expect("no reply within 5 s").unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// Waits for `count` replies and returns their codes.
    async fn reply_codes(&mut self, count: usize) -> Vec<u16> {
        let mut received = String::new();
        let codes = |received: &str| -> Vec<u16> {
            let lines =
                received.split_inclusive("\r\n").filter(|line| line.ends_with("\r\n") && line.as_bytes()[3] == b' ');
            lines.map(|line| line[..3].parse().unwrap()).collect()
        };
        while codes(&received).len() < count {
            received += &self.receive().await;
        }
        codes(&received)
    }
}
