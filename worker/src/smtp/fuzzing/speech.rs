//! A mail server that says what the fuzzer wants, and which promises of ours its words are held against.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) type Shared = Arc<Mutex<Speech>>;

/// What the server says, a turn each time it has heard something, and what it has said so far.
#[derive(Default)]
pub(crate) struct Speech {
    turns: VecDeque<Vec<u8>>,
    /// How many bytes come at once.
    piece: usize,
    said: Vec<Vec<u8>>,
    /// How much of the last of `said` has been read.
    read: usize,
    has_heard: bool,
    pub(crate) heard: Vec<u8>,
}

impl Speech {
    pub(crate) fn new(turns: impl Iterator<Item = Vec<u8>>, piece: usize) -> Speech {
        Speech { turns: turns.collect(), piece, ..Speech::default() }
    }

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

    pub(crate) fn takes_the_letter(&self) -> bool {
        let [greeting, offers, .., dot] = self.said.as_slice() else { return false };
        // What comes before MAIL, lettre judges, to whom a 3xx is as good; it says nothing about a email.
        let opens = |turn: &[u8]| [b"2", b"3"].iter().any(|class| is_reply(turn, *class) == Some(0));
        let asks = match self.said.as_slice() {
            [_, _, .., all, _] if self.offers_pipelining() && asks_at_once(all) => true,
            [_, _, .., mail, rcpt, data, _] => {
                [mail, rcpt].into_iter().all(|turn| is_reply(turn, b"2") == Some(0))
                    && is_reply(data, b"354") == Some(0)
            }
            _ => false,
        };
        opens(greeting) && opens(offers) && asks && is_reply(dot, b"2").is_some()
    }

    pub(crate) fn asks_for_the_letter(&self) -> bool {
        self.said.iter().any(|turn| is_reply(turn, b"354") == Some(0) || asks_at_once(turn))
    }

    fn offers_pipelining(&self) -> bool {
        self.said.get(1).is_some_and(|offers| has_word(offers, b"PIPELINING"))
    }

    pub(crate) fn agrees_to_tls(&self) -> bool {
        let [greeting, offers, agreed] = self.said.as_slice() else { return false };
        // What follows when the reply is read is for the handshake to judge; what came with it must not be lost.
        let agreed = &agreed[..self.read];
        has_word(offers, b"STARTTLS")
            && [greeting.as_slice(), offers, agreed].into_iter().all(|turn| is_reply(turn, b"2") == Some(0))
    }
}

fn has_word(turn: &[u8], word: &[u8]) -> bool {
    turn.to_ascii_uppercase().windows(word.len()).any(|part| part == word)
}

/// Whether MAIL, RCPT and DATA, said at once, got each its good reply, and no more than that.
fn asks_at_once(turn: &[u8]) -> bool {
    let mut left = Some(turn.len());
    for code in [b"2".as_slice(), b"2", b"354"] {
        left = left.and_then(|left| is_reply(&turn[turn.len() - left..], code));
    }
    left == Some(0)
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
pub(crate) struct Peer(pub(crate) Shared);

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
        let are_several = bytes.starts_with(b"MAIL") && bytes.ends_with(b"DATA\r\n");
        assert!(!are_several || speech.offers_pipelining(), "said at once, and nobody had offered to hear it");
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
