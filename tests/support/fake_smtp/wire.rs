//! Reads lines and writes replies, with the scripted misbehaviour.

use std::{io, mem, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use super::behaviour::{Behaviour, Stage};

/// A plain or TLS stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// One connection. Every error ends it.
pub(super) struct Wire {
    stream: BufReader<Box<dyn Stream>>,
    scripts: Vec<Behaviour>,
}

impl Wire {
    /// A connection without scripts.
    pub(super) fn new(stream: impl Stream + 'static) -> Wire {
        Wire { stream: BufReader::new(Box::new(stream)), scripts: Vec::new() }
    }

    /// Adds a behaviour, which is used once, at its stage.
    pub(super) fn add_script(&mut self, behaviour: Option<Behaviour>) {
        self.scripts.extend(behaviour);
    }

    /// Removes the behaviours of the current delivery, so that they do not affect the next one.
    pub(super) fn discard_delivery_scripts(&mut self) {
        self.scripts.retain(|behaviour| !matches!(behaviour.stage(), Stage::Rcpt | Stage::Data | Stage::Dot));
    }

    /// Reads a line, without its line ending.
    pub(super) async fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Whether more data than the last line has arrived.
    pub(super) fn has_buffered_data(&self) -> bool {
        !self.stream.buffer().is_empty()
    }

    /// Reads a mail up to the final dot, and removes dot-stuffing.
    pub(super) async fn read_mail(&mut self) -> io::Result<String> {
        let mut mail = String::new();
        loop {
            let line = self.read_line().await?;
            if line == "." {
                return Ok(mail);
            }
            mail.push_str(line.strip_prefix('.').unwrap_or(&line));
            mail.push_str("\r\n");
        }
    }

    /// Sends a reply, without scripts.
    pub(super) async fn reply(&mut self, reply: &str) -> io::Result<()> {
        self.stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        self.stream.flush().await
    }

    /// Sends the success reply, or what the script has instead. Returns whether the command succeeded.
    pub(super) async fn scripted_reply(&mut self, at: Stage, success: &str) -> io::Result<bool> {
        self.scripted_reply_after(at, success, || ()).await
    }

    /// The same; runs `commit` right before a success reply.
    pub(super) async fn scripted_reply_after(
        &mut self,
        at: Stage,
        success: &str,
        commit: impl FnOnce(),
    ) -> io::Result<bool> {
        match self.take_script(at) {
            Some(Behaviour::Reply { code, .. }) => {
                let class = code / 100;
                self.reply(&format!("{code} {class}.7.0 as the script for <user@example.org> requires")).await?;
                return Ok(false);
            }
            Some(Behaviour::Raw { bytes, .. }) => {
                let succeeds = matches!(bytes, [b'2' | b'3', ..]);
                succeeds.then(commit);
                self.stream.write_all(bytes).await?;
                self.stream.flush().await?;
                return Ok(succeeds);
            }
            Some(Behaviour::Silence(_)) => return self.ignore_input().await,
            Some(Behaviour::Cut(_)) => return Err(closed()),
            Some(Behaviour::Endless(_)) => return self.send_endlessly("250-", &"x".repeat(1024)).await,
            Some(Behaviour::EndlessLines(_)) => return self.send_endlessly("", "250-and another thing\r\n").await,
            Some(Behaviour::Slow(_, pause)) => {
                sleep(pause).await;
                commit();
                self.reply(success).await?;
            }
            Some(Behaviour::Drip(_, pause)) => {
                commit();
                self.drip(success, pause).await?;
            }
            Some(Behaviour::Twice(_)) => {
                commit();
                self.reply(&format!("{success}\r\n250 2.0.0 and once more")).await?;
            }
            Some(Behaviour::AcceptThenCut) => {
                commit();
                self.reply(success).await?;
                return Err(closed());
            }
            Some(Behaviour::AcceptThen421) => {
                commit();
                self.reply(&format!("{success}\r\n421 4.4.2 idle for too long")).await?;
                return Err(closed());
            }
            None => {
                commit();
                self.reply(success).await?;
            }
        }
        Ok(true)
    }

    /// Starts TLS on the connection.
    pub(super) async fn start_tls(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        match self.take_script(Stage::Tls) {
            Some(Behaviour::Silence(_)) => self.ignore_input().await.map(drop),
            Some(_) => Err(closed()),
            None => {
                let placeholder: Box<dyn Stream> = Box::new(tokio::io::empty());
                let plain = mem::replace(&mut self.stream, BufReader::new(placeholder)).into_inner();
                self.stream = BufReader::new(Box::new(acceptor.accept(plain).await?));
                Ok(())
            }
        }
    }

    /// Takes the first behaviour for this stage.
    fn take_script(&mut self, at: Stage) -> Option<Behaviour> {
        let index = self.scripts.iter().position(|behaviour| behaviour.stage() == at)?;
        Some(self.scripts.remove(index))
    }

    /// Reads and ignores everything until the client closes the connection.
    async fn ignore_input(&mut self) -> io::Result<bool> {
        tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await?;
        Err(closed())
    }

    /// Sends `start`, then `repeated` until the client closes the connection.
    async fn send_endlessly(&mut self, start: &str, repeated: &str) -> io::Result<bool> {
        self.stream.write_all(start.as_bytes()).await?;
        loop {
            self.stream.write_all(repeated.as_bytes()).await?;
            self.stream.flush().await?;
        }
    }

    /// Sends a reply with a pause after each byte.
    async fn drip(&mut self, reply: &str, pause: Duration) -> io::Result<()> {
        for byte in format!("{reply}\r\n").bytes() {
            self.stream.write_all(&[byte]).await?;
            self.stream.flush().await?;
            sleep(pause).await;
        }
        Ok(())
    }
}

/// The error that closes a connection on purpose.
pub(super) fn closed() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}
