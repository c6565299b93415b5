//! What the fuzzer in fuzz/ throws at us as a mail server, and a test its seeds: whatever it says, in whatever pieces,
//! we neither panic nor wait for ever nor take a letter for accepted that is not. Panics where that is broken.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use lettre::transport::smtp::extension::ClientId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Failure, Letter, Server, Slot, open, starttls, turns::Turns};

/// The first byte says how it is done: in which pieces the server speaks, and whether there is a login or STARTTLS. The
/// rest is what the server says, its turns parted by `|`.
pub fn replies(bytes: &[u8]) {
    let [how, script @ ..] = bytes else { return };
    let turns: VecDeque<_> = script.split(|byte| *byte == b'|').map(<[u8]>::to_vec).collect();
    let piece = 1 + usize::from(how >> 2);
    let speech = Arc::new(Mutex::new(Speech { turns, piece, ..Speech::default() }));
    // With the clock standing still, whoever would wait for ever gives up at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let Ok(runtime) = runtime else { panic!("no runtime") };
    if how % 4 == 0 {
        let asked = runtime.block_on(ask_for_tls(Arc::clone(&speech)));
        assert!(asked.is_err() || speech.lock().is_ok_and(|speech| speech.agrees_to_tls()), "{}", shown(bytes));
    } else {
        let url = if how % 4 == 1 { "smtp://ada:secret@localhost" } else { "smtp://localhost" };
        let sent = runtime.block_on(deliver(url, Arc::clone(&speech)));
        let speech = speech.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(sent.is_err() || speech.takes_the_letter(), "{}", shown(bytes));
        let letter_was_said = speech.heard.windows(LETTER.len()).any(|window| window == LETTER);
        assert!(!letter_was_said || speech.asks_for_the_letter(), "{}", shown(bytes));
    }
}

const LETTER: &[u8] = b"Subject: hello";

async fn ask_for_tls(speech: Shared) -> Result<(), Failure> {
    let limit = server("smtp://localhost").timeouts.step;
    starttls::ask(Turns::new(Peer(speech), PEER), &hello(), limit).await.map(drop)
}

async fn deliver(url: &str, speech: Shared) -> Result<(), Failure> {
    let server = Arc::new(server(url));
    let connection = open::greet(&server, Box::new(Turns::new(Peer(speech), PEER)), &hello()).await?;
    let (Ok(from), Ok(to)) = ("no-reply@example.com".parse(), "ada@example.com".parse()) else { panic!("addresses") };
    Slot::new(server).hand_over(connection, &Letter { from, to, bytes: LETTER.to_vec() }).await
}

const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 25);

fn hello() -> ClientId {
    ClientId::Domain("localhost".into())
}

fn server(url: &str) -> Server {
    Server::parse(url).unwrap_or_else(|why| panic!("{why}"))
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

type Shared = Arc<Mutex<Speech>>;

/// What the server says, a turn each time it has heard something, and what it has said so far.
#[derive(Default)]
struct Speech {
    turns: VecDeque<Vec<u8>>,
    /// How many bytes come at once.
    piece: usize,
    said: Vec<Vec<u8>>,
    /// How much of the last of `said` has been read.
    read: usize,
    has_heard: bool,
    heard: Vec<u8>,
}

impl Speech {
    /// `None` when it is not its turn; nothing when it has hung up.
    fn say(&mut self, most: usize) -> Option<&[u8]> {
        if self.read == self.said.last().map_or(0, Vec::len) {
            if !(self.has_heard || self.said.is_empty()) {
                return None;
            }
            let Some(next) = self.turns.pop_front() else { return Some(&[]) };
            self.said.push(next);
            (self.read, self.has_heard) = (0, false);
        }
        let turn = self.said.last()?;
        let until = turn.len().min(self.read + self.piece.min(most));
        let piece = &turn[self.read..until];
        self.read = until;
        // A turn in which nothing is said is a silence.
        if piece.is_empty() { None } else { Some(piece) }
    }

    fn takes_the_letter(&self) -> bool {
        let [greeting, offers, .., mail, rcpt, data, dot] = self.said.as_slice() else { return false };
        // What comes before MAIL, lettre judges, to whom a 3xx is as good; it says nothing about a letter.
        let opens = |turn: &[u8]| [b"2", b"3"].iter().any(|class| is_reply(turn, *class) == Some(0));
        opens(greeting)
            && opens(offers)
            && [mail, rcpt].into_iter().all(|turn| is_reply(turn, b"2") == Some(0))
            && is_reply(data, b"354") == Some(0)
            && is_reply(dot, b"2").is_some()
    }

    fn asks_for_the_letter(&self) -> bool {
        self.said.iter().any(|turn| is_reply(turn, b"354") == Some(0))
    }

    fn agrees_to_tls(&self) -> bool {
        let [greeting, offers, agreed] = self.said.as_slice() else { return false };
        // What follows when the reply is read is for the handshake to judge; what came with it must not be lost.
        let agreed = &agreed[..self.read];
        let offered = offers.to_ascii_uppercase().windows(8).any(|word| word == b"STARTTLS");
        offered && [greeting.as_slice(), offers, agreed].into_iter().all(|turn| is_reply(turn, b"2") == Some(0))
    }
}

/// How many bytes are left over when a turn begins with one whole reply of this code, or beginning of a code.
fn is_reply(turn: &[u8], code: &[u8]) -> Option<usize> {
    let mut rest = turn;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = &rest[..end];
        let is_coded = line.len() >= 3 && line[..3].iter().all(u8::is_ascii_digit) && line.starts_with(code);
        if !is_coded {
            return None;
        }
        rest = &rest[end + 1..];
        if line.get(3) != Some(&b'-') {
            return Some(rest.len());
        }
    }
}

/// Our end of the connection to it.
struct Peer(Shared);

impl Peer {
    fn speech(&self) -> MutexGuard<'_, Speech> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Peer {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut speech = self.speech();
        let Some(piece) = speech.say(out.remaining()) else { return Poll::Pending };
        out.put_slice(piece);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut speech = self.speech();
        speech.has_heard = true;
        speech.heard.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_seeds_of_the_fuzzer_hold() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus-seeds/replies");
        for seed in std::fs::read_dir(seeds).unwrap() {
            super::replies(&std::fs::read(seed.unwrap().path()).unwrap());
        }
    }
}
