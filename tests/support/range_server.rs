//! A range service of breached passwords for tests: records the requests, and can misbehave.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use sha1::{Digest, Sha1};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How the service responds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeBehaviour {
    /// Lists these passwords, among others, in a chunked body.
    Lists(&'static [&'static str]),
    /// Accepts the connection and never responds.
    NeverResponds,
    /// Sends one byte of a valid head every 100 ms.
    Drips,
    /// With 500.
    Fails,
    /// With a valid list that never ends.
    NeverEnds,
    /// With 200 and a page.
    Page,
    /// With bytes that are not HTTP.
    NotHttp,
    /// Closes the connection after the request.
    Closes,
}

/// A range service on a free port of loopback.
pub struct RangeServer {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    behaviour: RangeBehaviour,
    /// Request lines with headers.
    heads: Vec<String>,
    /// Requests whose connection the client has not closed yet.
    open: usize,
    /// The most of them at one time.
    max_open: usize,
}

impl RangeServer {
    /// Starts a service with this behaviour.
    pub async fn start(behaviour: RangeBehaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { behaviour, heads: vec![], open: 0, max_open: 0 }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    /// The value of `BREACHED_PASSWORDS_URL`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/range", self.port)
    }

    /// Changes the behaviour for later requests.
    pub fn set_behaviour(&self, behaviour: RangeBehaviour) {
        self.state.lock().unwrap().behaviour = behaviour;
    }

    /// Request line and headers of all requests.
    pub fn heads(&self) -> Vec<String> {
        self.state.lock().unwrap().heads.clone()
    }

    /// The number of requests whose client still waits.
    pub fn open_requests(&self) -> usize {
        self.state.lock().unwrap().open
    }

    /// The maximum of [`Self::open_requests`] so far.
    pub fn max_open_requests(&self) -> usize {
        self.state.lock().unwrap().max_open
    }

    /// Waits until this number of requests has arrived.
    pub async fn wait_for_requests(&self, requests: usize) {
        let wait = async {
            while self.state.lock().unwrap().heads.len() < requests {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the service was not asked");
    }
}

/// The SHA-1 of a password, as 40 upper-case hexadecimal digits.
pub fn sha1_hex(password: &str) -> String {
    Sha1::digest(password).iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Reads one request, records it, and responds.
async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let prefix = head.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
    let behaviour = {
        let mut state = state.lock().unwrap();
        state.heads.push(head);
        state.open += 1;
        state.max_open = state.max_open.max(state.open);
        state.behaviour
    };
    // A client that gives up closes the connection, which makes a write fail or a read end.
    let _ = respond(&mut stream, behaviour, &prefix).await;
    if behaviour != RangeBehaviour::Closes {
        let _ = stream.read(&mut [0]).await;
    }
    state.lock().unwrap().open -= 1;
}

async fn respond(stream: &mut TcpStream, behaviour: RangeBehaviour, prefix: &str) -> std::io::Result<()> {
    match behaviour {
        RangeBehaviour::Lists(passwords) => stream.write_all(listing(passwords, prefix).as_bytes()).await,
        RangeBehaviour::NeverResponds | RangeBehaviour::Closes => Ok(()),
        RangeBehaviour::Drips => {
            for byte in "HTTP/1.1 200 OK\r\n".bytes().chain(std::iter::repeat(b'x')) {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        }
        RangeBehaviour::Fails => {
            stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n").await
        }
        RangeBehaviour::NeverEnds => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            let lines = format!("{}:1\r\n", "0".repeat(35)).repeat(1_000);
            loop {
                stream.write_all(lines.as_bytes()).await?;
            }
        }
        RangeBehaviour::Page => {
            let page = "<html>Log in to the network first</html>";
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len());
            stream.write_all(answer.as_bytes()).await
        }
        RangeBehaviour::NotHttp => stream.write_all(b"220 mail.example.com ESMTP\r\n").await,
    }
}

/// A chunked response that lists the suffixes of those passwords that have the prefix, between others.
fn listing(passwords: &[&str], prefix: &str) -> String {
    let mut lines = vec![format!("{}:12", "0".repeat(35))];
    for (n, hash) in passwords.iter().map(|password| sha1_hex(password)).enumerate() {
        if let Some(suffix) = hash.strip_prefix(prefix) {
            // Services differ in the case of the digits.
            lines.push(format!("{}:{}", if n % 2 == 0 { suffix.to_owned() } else { suffix.to_lowercase() }, n + 1));
        }
    }
    lines.push(format!("{}:0", "F".repeat(35)));
    let body = lines.join("\r\n");
    // Chunks end in the middle of lines.
    let chunks = body.as_bytes().chunks(20).map(|chunk| std::str::from_utf8(chunk).unwrap());
    let chunks: String = chunks.map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
}
