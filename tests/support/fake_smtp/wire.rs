//! Lines in, replies out, and the scripted misbehaviour in between.

use std::{io, mem, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use super::behaviour::{Behaviour, Stage};

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An error anywhere means that this connection is over.
pub(super) struct Wire {
    stream: BufReader<Box<dyn Stream>>,
    scripts: Vec<Behaviour>,
}

impl Wire {
    pub(super) fn new(stream: impl Stream + 'static) -> Wire {
        Wire { stream: BufReader::new(Box::new(stream)), scripts: Vec::new() }
    }

    /// A behaviour waits until its stage comes and is used up there.
    pub(super) fn plan(&mut self, behaviour: Option<Behaviour>) {
        self.scripts.extend(behaviour);
    }

    /// What was meant for one delivery does not spoil the next.
    pub(super) fn forget_delivery(&mut self) {
        self.scripts.retain(|behaviour| !matches!(behaviour.stage(), Stage::Rcpt | Stage::Data | Stage::Dot));
    }

    pub(super) async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Whether more has come than the last line.
    pub(super) fn has_more(&self) -> bool {
        !self.stream.buffer().is_empty()
    }

    /// Reads up to the dot that stands alone, and takes the stuffing out.
    pub(super) async fn mail(&mut self) -> io::Result<String> {
        let mut mail = String::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                return Ok(mail);
            }
            mail.push_str(line.strip_prefix('.').unwrap_or(&line));
            mail.push_str("\r\n");
        }
    }

    pub(super) async fn say(&mut self, reply: &str) -> io::Result<()> {
        self.stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        self.stream.flush().await
    }

    /// Gives the good reply, or what the script has instead; true if it was the good one.
    pub(super) async fn answer(&mut self, at: Stage, good: &str) -> io::Result<bool> {
        self.answer_after(at, good, || ()).await
    }

    /// Runs `commit` right before the good reply, if it comes to that.
    pub(super) async fn answer_after(&mut self, at: Stage, good: &str, commit: impl FnOnce()) -> io::Result<bool> {
        match self.scripted(at) {
            Some(Behaviour::Reply { code, .. }) => {
                let class = code / 100;
                self.say(&format!("{code} {class}.7.0 as the script for <somebody@example.org> says")).await?;
                return Ok(false);
            }
            Some(Behaviour::Raw { bytes, .. }) => {
                let good = matches!(bytes, [b'2' | b'3', ..]);
                good.then(commit);
                self.stream.write_all(bytes).await?;
                self.stream.flush().await?;
                return Ok(good);
            }
            Some(Behaviour::Silence(_)) => return self.hear_nothing().await,
            Some(Behaviour::Cut(_)) => return Err(over()),
            Some(Behaviour::Endless(_)) => return self.babble("250-", &"x".repeat(1024)).await,
            Some(Behaviour::EndlessLines(_)) => return self.babble("", "250-and another thing\r\n").await,
            Some(Behaviour::Slow(_, pause)) => {
                sleep(pause).await;
                commit();
                self.say(good).await?;
            }
            Some(Behaviour::Drip(_, pause)) => {
                commit();
                self.drip(good, pause).await?;
            }
            Some(Behaviour::Twice(_)) => {
                commit();
                self.say(&format!("{good}\r\n250 2.0.0 and once more")).await?;
            }
            Some(Behaviour::AcceptThenCut) => {
                commit();
                self.say(good).await?;
                return Err(over());
            }
            Some(Behaviour::AcceptThen421) => {
                commit();
                self.say(&format!("{good}\r\n421 4.4.2 idle for too long")).await?;
                return Err(over());
            }
            None => {
                commit();
                self.say(good).await?;
            }
        }
        Ok(true)
    }

    /// Puts TLS over the connection.
    pub(super) async fn secure(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        match self.scripted(Stage::Tls) {
            Some(Behaviour::Silence(_)) => self.hear_nothing().await.map(drop),
            Some(_) => Err(over()),
            None => {
                let nothing: Box<dyn Stream> = Box::new(tokio::io::empty());
                let plain = mem::replace(&mut self.stream, BufReader::new(nothing)).into_inner();
                self.stream = BufReader::new(Box::new(acceptor.accept(plain).await?));
                Ok(())
            }
        }
    }

    fn scripted(&mut self, at: Stage) -> Option<Behaviour> {
        let index = self.scripts.iter().position(|behaviour| behaviour.stage() == at)?;
        Some(self.scripts.remove(index))
    }

    async fn hear_nothing(&mut self) -> io::Result<bool> {
        tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await?;
        Err(over())
    }

    async fn babble(&mut self, start: &str, again: &str) -> io::Result<bool> {
        self.stream.write_all(start.as_bytes()).await?;
        loop {
            self.stream.write_all(again.as_bytes()).await?;
            self.stream.flush().await?;
        }
    }

    async fn drip(&mut self, reply: &str, pause: Duration) -> io::Result<()> {
        for byte in format!("{reply}\r\n").bytes() {
            self.stream.write_all(&[byte]).await?;
            self.stream.flush().await?;
            sleep(pause).await;
        }
        Ok(())
    }
}

pub(super) fn over() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}
