//! Reads lines from and writes replies to an SMTP connection.
//!
//! Only CRLF ends a line: a server that accepts a bare CR or LF allows SMTP smuggling.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

/// RFC 5321 requires at least 1000.
const MAX_LINE_BYTES: usize = 4096;

/// One line of the client.
pub(super) enum Line<'a> {
    /// The line without its CRLF.
    Complete(&'a [u8]),
    /// A line of more than [`MAX_LINE_BYTES`]; its content was discarded.
    TooLong,
}

/// An SMTP connection as lines and replies.
pub(super) struct LineStream {
    stream: BufReader<TcpStream>,
    line: Vec<u8>,
    /// How long the client may take to accept a reply.
    write_timeout: Duration,
}

impl LineStream {
    /// Wraps a connection.
    pub(super) fn new(stream: TcpStream, write_timeout: Duration) -> LineStream {
        LineStream { stream: BufReader::new(stream), line: Vec::new(), write_timeout }
    }

    /// The next line, or `None` if the client closed the connection.
    ///
    /// Not cancel-safe: a partly read line is lost. The caller must close the connection if it drops this future.
    pub(super) async fn read_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let max_len = MAX_LINE_BYTES + "\r\n".len();
        let mut too_long = false;
        loop {
            let room = max_len - self.line.len();
            if (&mut self.stream).take(room as u64).read_until(b'\n', &mut self.line).await? == 0 {
                return Ok(None);
            }
            if self.line.ends_with(b"\r\n") {
                let end = self.line.len() - "\r\n".len();
                return Ok(Some(if too_long { Line::TooLong } else { Line::Complete(&self.line[..end]) }));
            }
            if self.line.len() == max_len {
                too_long = true;
                // The last byte is kept: it may be the CR of the line end.
                self.line.drain(..max_len - 1);
            }
        }
    }

    /// Writes a reply and its CRLF.
    pub(super) async fn write_reply(&mut self, reply: &str) -> io::Result<()> {
        let reply = format!("{reply}\r\n");
        timeout(self.write_timeout, self.stream.write_all(reply.as_bytes())).await?
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// The lines that are read from these bytes; `None` stands for a line that is too long.
    async fn read_lines(bytes: Vec<u8>) -> Vec<Option<Vec<u8>>> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = LineStream::new(listener.accept().await.unwrap().0, Duration::from_secs(5));
        let sending = tokio::spawn(async move { sender.write_all(&bytes).await });
        let mut lines = Vec::new();
        while let Some(line) = stream.read_line().await.unwrap() {
            lines.push(if let Line::Complete(line) = line { Some(line.to_vec()) } else { None });
        }
        sending.await.unwrap().unwrap();
        lines
    }

    #[tokio::test]
    async fn only_crlf_ends_a_line() {
        let lines = read_lines(b"a\nb\rc\r\n\n.\r\n\r\n.\n\r\nleft over".to_vec()).await;
        let expected: [&[u8]; 4] = [b"a\nb\rc", b"\n.", b"", b".\n"];
        assert_eq!(lines, expected.map(|line| Some(line.to_vec())));
    }

    #[tokio::test]
    async fn too_long_line_does_not_affect_the_next_line() {
        for (length, fits) in [(4096, true), (4097, false), (4098, false), (3 * 4097 + 1, false), (100_000, false)] {
            let lines = read_lines([vec![b'x'; length], b"\r\nnext\r\n".to_vec()].concat()).await;
            assert_eq!(lines.len(), 2, "{length}");
            assert_eq!(lines[0].is_some(), fits, "{length}");
            assert_eq!(lines[1].as_deref(), Some(b"next".as_slice()), "{length}");
        }
    }
}
