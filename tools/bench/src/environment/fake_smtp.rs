//! Fake SMTP server: accepts every mail and records its recipient and time. Fast, and supports PIPELINING.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

use crate::{clock::now, load::users, report::statistics::middle_rate};

/// Delay of a mail server that syncs each mail to disk before it replies 250.
pub(crate) const DISK_LATENCY: Duration = Duration::from_millis(5);

const HELLO: &str = "250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n";

/// A received mail.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) to: String,
    /// When the server replied 250 to the message.
    pub(crate) at: Instant,
}

/// A code that was mailed.
#[derive(Debug)]
pub(crate) struct MailedCode {
    pub(crate) digits: String,
    /// When the server replied 250 to the message.
    pub(crate) at: Instant,
}

#[derive(Default)]
struct Received {
    mails: Vec<Mail>,
    /// The last message, as it was sent.
    last_message: Vec<u8>,
    /// Receivers of the code of a user's next mail.
    expected_codes: HashMap<u64, oneshot::Sender<MailedCode>>,
}

/// The server; it stops when this is dropped.
pub(crate) struct FakeSmtpServer {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
    listening: JoinHandle<()>,
}

impl FakeSmtpServer {
    /// Starts the server, which replies to each message after `delay`.
    pub(crate) async fn start(delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, received) = (listener.local_addr()?, Arc::<Mutex<Received>>::default());
        let listening = tokio::spawn(listen(listener, Arc::clone(&received), delay));
        Ok(Self { address, received, listening })
    }

    /// The address that the server listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value of `SMTP_URL`.
    pub(crate) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Mails since the last [`FakeSmtpServer::take`].
    pub(crate) fn count(&self) -> usize {
        lock(&self.received).mails.len()
    }

    /// Removes and returns the recorded mails.
    pub(crate) fn take(&self) -> Vec<Mail> {
        std::mem::take(&mut lock(&self.received).mails)
    }

    /// Receives the code of the next mail to this user.
    pub(crate) fn expect_code(&self, user: u64) -> oneshot::Receiver<MailedCode> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.received).expected_codes.insert(user, sender);
        receiver
    }

    /// The last message, as it was sent.
    pub(crate) fn last_message(&self) -> Vec<u8> {
        lock(&self.received).last_message.clone()
    }

    /// Waits until `count` mails were received.
    pub(crate) async fn wait_for(&self, count: usize, timeout: Duration) -> Result<()> {
        let deadline = now() + timeout;
        while self.count() < count {
            ensure!(now() < deadline, "only {} of {count} mails were received within {timeout:?}", self.count());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Waits until `count` mails were received, and returns their rate per second.
    pub(crate) async fn receive_rate(&self, count: usize, timeout: Duration) -> Result<f64> {
        self.wait_for(count, timeout).await?;
        let mails = self.take();
        let started = mails.iter().map(|mail| mail.at).min().unwrap_or_else(now);
        let times: Vec<_> = mails.iter().map(|mail| (mail.at - started).as_secs_f64()).collect();
        Ok(middle_rate(&times))
    }
}

impl Drop for FakeSmtpServer {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn lock(received: &Mutex<Received>) -> MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The code in a mail: the first line that consists of digits.
fn code_in(message: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(message);
    let is_code = |line: &&str| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit());
    text.lines().find(is_code).map(str::to_owned)
}

async fn listen(listener: TcpListener, received: Arc<Mutex<Received>>, delay: Duration) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let session = Session { stream, buffer: Vec::new(), to: String::new(), received: Arc::clone(&received), delay };
        // Errors are ignored: if a lost connection loses a mail, the bench notices that it is missing.
        connections.spawn(async { drop(session.run().await) });
    }
}

struct Session {
    stream: TcpStream,
    buffer: Vec<u8>,
    to: String,
    received: Arc<Mutex<Received>>,
    delay: Duration,
}

impl Session {
    async fn run(mut self) -> std::io::Result<()> {
        self.stream.set_nodelay(true)?;
        let mut reply = "220 sink.example\r\n".to_owned();
        loop {
            // Pipelined commands get their replies in one write.
            let Some(line) = self.take_until(b"\r\n") else {
                self.stream.write_all(reply.as_bytes()).await?;
                reply.clear();
                if self.stream.read_buf(&mut self.buffer).await? == 0 {
                    return Ok(());
                }
                continue;
            };
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            match verb.as_slice() {
                b"EHLO" | b"HELO" => reply.push_str(HELLO),
                b"RCPT" => {
                    let line = String::from_utf8_lossy(&line);
                    let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
                    self.to = address.map(|(address, _)| address.to_owned()).unwrap_or_default();
                    reply.push_str("250 OK\r\n");
                }
                b"DATA" => {
                    reply.push_str("354 send the message\r\n");
                    self.stream.write_all(reply.as_bytes()).await?;
                    reply.clear();
                    self.receive_message().await?;
                }
                b"QUIT" => return self.stream.write_all(b"221 bye\r\n").await,
                _ => reply.push_str("250 OK\r\n"),
            }
        }
    }

    async fn receive_message(&mut self) -> std::io::Result<()> {
        let message = loop {
            if let Some(message) = self.take_until(b"\r\n.\r\n") {
                break message;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        };
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        {
            let (mut received, at) = (lock(&self.received), now());
            let expected = users::from_email(&self.to).and_then(|user| received.expected_codes.remove(&user));
            if let (Some(expected), Some(digits)) = (expected, code_in(&message)) {
                // A client that gave up does not receive it.
                let _ = expected.send(MailedCode { digits, at });
            }
            received.mails.push(Mail { to: std::mem::take(&mut self.to), at });
            received.last_message = message;
        }
        self.stream.write_all(b"250 accepted\r\n").await
    }

    /// Removes everything up to `end` from the buffer, and returns it without `end`; `None` if `end` has not arrived
    /// yet.
    fn take_until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        let at = self.buffer.windows(end.len()).position(|window| window == end)?;
        let mut taken: Vec<_> = self.buffer.drain(..at + end.len()).collect();
        taken.truncate(at);
        Some(taken)
    }
}
