//! Lines in, replies out. Only CRLF ends a line: a server that takes less lets mails be smuggled in others.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

/// RFC 5321 asks for 1000 at least.
const MAX_LINE_BYTES: usize = 4096;

pub(super) enum Line<'a> {
    /// Without its end.
    Whole(&'a [u8]),
    TooLong,
}

pub(super) struct Wire {
    stream: BufReader<TcpStream>,
    line: Vec<u8>,
    /// How long the other side may take to hear a reply.
    patience: Duration,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, patience: Duration) -> Wire {
        Wire { stream: BufReader::new(stream), line: Vec::new(), patience }
    }

    /// The next line, or nothing if the other side is gone. Who drops this before its end drops the
    /// connection: what was read of the line so far is forgotten.
    pub(super) async fn line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let (most, mut too_long) = (MAX_LINE_BYTES + "\r\n".len(), false);
        loop {
            let room = most - self.line.len();
            if (&mut self.stream).take(room as u64).read_until(b'\n', &mut self.line).await? == 0 {
                return Ok(None);
            }
            if self.line.ends_with(b"\r\n") {
                let end = self.line.len() - "\r\n".len();
                return Ok(Some(if too_long { Line::TooLong } else { Line::Whole(&self.line[..end]) }));
            }
            if self.line.len() == most {
                too_long = true;
                // The last byte may be the first half of the end.
                self.line.drain(..most - 1);
            }
        }
    }

    pub(super) async fn say(&mut self, reply: &str) -> io::Result<()> {
        let reply = format!("{reply}\r\n");
        timeout(self.patience, self.stream.write_all(reply.as_bytes())).await?
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What the wire makes of these bytes: a line, or None for one that is too long.
    async fn lines_of(bytes: Vec<u8>) -> Vec<Option<Vec<u8>>> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut wire = Wire::new(listener.accept().await.unwrap().0, Duration::from_secs(5));
        let sending = tokio::spawn(async move { sender.write_all(&bytes).await });
        let mut lines = Vec::new();
        while let Some(line) = wire.line().await.unwrap() {
            lines.push(if let Line::Whole(line) = line { Some(line.to_vec()) } else { None });
        }
        sending.await.unwrap().unwrap();
        lines
    }

    #[tokio::test]
    async fn only_crlf_ends_a_line() {
        let lines = lines_of(b"a\nb\rc\r\n\n.\r\n\r\n.\n\r\nleft over".to_vec()).await;
        let expected: [&[u8]; 4] = [b"a\nb\rc", b"\n.", b"", b".\n"];
        assert_eq!(lines, expected.map(|line| Some(line.to_vec())));
    }

    #[tokio::test]
    async fn a_line_has_a_limit_and_the_next_one_is_a_line_again() {
        for (length, fits) in [(4096, true), (4097, false), (4098, false), (3 * 4097 + 1, false), (100_000, false)] {
            let lines = lines_of([vec![b'x'; length], b"\r\nnext\r\n".to_vec()].concat()).await;
            assert_eq!(lines.len(), 2, "{length}");
            assert_eq!(lines[0].is_some(), fits, "{length}");
            assert_eq!(lines[1].as_deref(), Some(b"next".as_slice()), "{length}");
        }
    }
}
