//! The inbox as those who use it meet it: by SMTP, by HTTP, and on the disk.

mod dialogue;
mod kept;
mod pages;

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

/// A folder that goes with the test.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        Place(std::env::temp_dir().join(format!("inbox-test-{}", new_id())))
    }

    fn eml_files(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "eml")).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An inbox that listens.
struct House {
    smtp: SocketAddr,
    web: SocketAddr,
    stop: CancellationToken,
    running: JoinSet<anyhow::Result<()>>,
}

impl House {
    async fn open(folder: &Path) -> House {
        let (inbox, stop) = (Inbox::open(folder).unwrap(), CancellationToken::new());
        let smtp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (smtp_addr, web_addr) = (smtp.local_addr().unwrap(), web.local_addr().unwrap());
        let mut running = JoinSet::new();
        running.spawn(inbox.clone().receive(smtp, stop.clone()));
        running.spawn(inbox.show(web, stop.clone()));
        House { smtp: smtp_addr, web: web_addr, stop, running }
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
        format!("http://{}{path}", self.web)
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
        while let Some(ended) = timeout(Duration::from_secs(30), self.running.join_next()).await.expect("a prompt end")
        {
            ended.unwrap().unwrap();
        }
    }
}

/// SMTP by hand.
struct Line(TcpStream);

impl Line {
    async fn open(house: &House) -> Line {
        let mut line = Line(TcpStream::connect(house.smtp).await.unwrap());
        assert!(line.hear().await.starts_with("220 "));
        line
    }

    async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// What comes next, as far as it is there; empty at the end.
    async fn hear(&mut self) -> String {
        let mut heard = vec![0; 4096];
        let length = timeout(Duration::from_secs(5), self.0.read(&mut heard)).await.expect("an answer").unwrap();
        String::from_utf8(heard[..length].to_vec()).unwrap()
    }

    /// The codes of so many replies, however they arrive.
    async fn codes(&mut self, count: usize) -> Vec<u16> {
        let mut heard = String::new();
        let finals = |heard: &str| -> Vec<u16> {
            let lines =
                heard.split_inclusive("\r\n").filter(|line| line.ends_with("\r\n") && line.as_bytes()[3] == b' ');
            lines.map(|line| line[..3].parse().unwrap()).collect()
        };
        while finals(&heard).len() < count {
            heard += &self.hear().await;
        }
        finals(&heard)
    }
}
