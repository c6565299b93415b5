//! A scripted mail server for the fuzzer, and the checks of what its replies allow the client to do.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A dialogue that the test and the client's end of the connection share.
pub(crate) type SharedDialogue = Arc<Mutex<Dialogue>>;

/// The script of the server, one turn for each time that it has received something, and the course of the dialogue.
#[derive(Default)]
pub(crate) struct Dialogue {
    /// The turns that were not sent yet.
    turns: VecDeque<Vec<u8>>,
    /// How many bytes are sent at once.
    chunk_bytes: usize,
    /// The turns that were sent; of the last one, `last_sent_bytes`.
    sent: Vec<Vec<u8>>,
    last_sent_bytes: usize,
    has_received_since_turn: bool,
    /// Everything that the client has sent.
    pub(crate) received: Vec<u8>,
}

impl Dialogue {
    /// Creates a dialogue in which the server sends these turns in chunks of at most `chunk_bytes`.
    pub(crate) fn new(turns: impl Iterator<Item = Vec<u8>>, chunk_bytes: usize) -> Dialogue {
        Dialogue { turns: turns.collect(), chunk_bytes, ..Dialogue::default() }
    }

    /// The next bytes from the server: `None` if it is not its turn, empty if it has closed the connection.
    fn next_chunk(&mut self, max_bytes: usize) -> Option<&[u8]> {
        if self.last_sent_bytes == self.sent.last().map_or(0, Vec::len) {
            if !(self.has_received_since_turn || self.sent.is_empty()) {
                return None;
            }
            let Some(next) = self.turns.pop_front() else { return Some(&[]) };
            self.sent.push(next);
            self.last_sent_bytes = 0;
            self.has_received_since_turn = false;
        }
        let turn = self.sent.last()?;
        let until = turn.len().min(self.last_sent_bytes + self.chunk_bytes.min(max_bytes));
        let chunk = &turn[self.last_sent_bytes..until];
        self.last_sent_bytes = until;
        // In an empty turn the server stays silent.
        if chunk.is_empty() { None } else { Some(chunk) }
    }

    /// Whether the replies so far mean that the server accepted the email.
    pub(crate) fn accepts_the_email(&self) -> bool {
        let [greeting, ehlo, .., end_of_data] = self.sent.as_slice() else { return false };
        // Replies before MAIL are judged by lettre, which also accepts a 3xx; they say nothing about an email.
        let opens = |turn: &[u8]| [b"2", b"3"].iter().any(|class| after_reply(turn, *class) == Some(0));
        let requests_email = match self.sent.as_slice() {
            [_, _, .., pipelined, _] if self.supports_pipelining() && requests_email_pipelined(pipelined) => true,
            [_, _, .., mail, rcpt, data, _] => {
                [mail, rcpt].into_iter().all(|turn| after_reply(turn, b"2") == Some(0))
                    && after_reply(data, b"354") == Some(0)
            }
            _ => false,
        };
        opens(greeting) && opens(ehlo) && requests_email && after_reply(end_of_data, b"2").is_some()
    }

    /// Whether any reply allows the client to send an email.
    pub(crate) fn requests_the_email(&self) -> bool {
        self.sent.iter().any(|turn| after_reply(turn, b"354") == Some(0) || requests_email_pipelined(turn))
    }

    fn supports_pipelining(&self) -> bool {
        self.sent.get(1).is_some_and(|ehlo| contains_word(ehlo, b"PIPELINING"))
    }

    /// Whether the replies so far mean that the server agreed to STARTTLS.
    pub(crate) fn agrees_to_starttls(&self) -> bool {
        let [greeting, ehlo, starttls] = self.sent.as_slice() else { return false };
        // Bytes that arrive after the reply was read belong to the handshake; bytes that arrived with it must not be
        // lost.
        let starttls = &starttls[..self.last_sent_bytes];
        contains_word(ehlo, b"STARTTLS")
            && [greeting.as_slice(), ehlo, starttls].into_iter().all(|turn| after_reply(turn, b"2") == Some(0))
    }
}

fn contains_word(turn: &[u8], word: &[u8]) -> bool {
    turn.to_ascii_uppercase().windows(word.len()).any(|part| part == word)
}

/// Whether a turn consists of exactly three positive replies, to pipelined MAIL, RCPT and DATA.
fn requests_email_pipelined(turn: &[u8]) -> bool {
    let mut left = Some(turn.len());
    for code in [b"2".as_slice(), b"2", b"354"] {
        left = left.and_then(|left| after_reply(&turn[turn.len() - left..], code));
    }
    left == Some(0)
}

/// If a turn begins with one complete reply whose code begins with `code`: how many bytes follow it.
fn after_reply(turn: &[u8], code: &[u8]) -> Option<usize> {
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

/// The client's end of the connection to the scripted server.
pub(crate) struct FakePeer(pub(crate) SharedDialogue);

impl FakePeer {
    fn dialogue(&self) -> MutexGuard<'_, Dialogue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for FakePeer {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut dialogue = self.dialogue();
        let Some(chunk) = dialogue.next_chunk(out.remaining()) else { return Poll::Pending };
        out.put_slice(chunk);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FakePeer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut dialogue = self.dialogue();
        let is_pipelined = bytes.starts_with(b"MAIL") && bytes.ends_with(b"DATA\r\n");
        assert!(
            !is_pipelined || dialogue.supports_pipelining(),
            "pipelined without the server's PIPELINING capability"
        );
        dialogue.has_received_since_turn = true;
        dialogue.received.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
