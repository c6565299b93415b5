//! A stream on which client and server alternate: commands, then exactly one reply to each, of a bounded size.
//!
//! lettre takes whatever is in its buffer for the reply to its last command, and reads lines of any length. This stream
//! passes lettre one line at a time, in a form that lettre can parse, and no more replies than are expected. If the
//! server sends more, or sends something out of turn (421 to an idle connection, replies injected before the TLS
//! handshake), the connection fails before any further byte is sent to the server. It also fails if the client sends
//! before it has read all expected replies.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::smtp::{capabilities::Capabilities, expected_replies::ExpectedReplies, reply};

/// The most bytes that a server may send per turn. The longest real reply is a list of extensions of some hundred
/// bytes; of the short ones, three may arrive at once.
const MAX_TURN_BYTES: usize = 8 * 1024;

const READ_BUFFER_BYTES: usize = 1024;

/// The stream between lettre and the network.
pub(crate) struct LockstepStream<S> {
    inner: S,
    peer: SocketAddr,
    /// Bytes that were received and not yet split into lines: `read_buffer[read_start..read_end]`.
    read_buffer: Box<[u8]>,
    read_start: usize,
    read_end: usize,
    /// How many bytes were received since the last write.
    turn_bytes: usize,
    /// The beginning of a line whose end was not received yet.
    partial_line: Vec<u8>,
    /// The line that is being passed on, and how much of it was passed on.
    line: Vec<u8>,
    line_position: usize,
    /// What is to be sent, and how much of it was sent.
    write_buffer: Vec<u8>,
    written: usize,
    expected_replies: ExpectedReplies,
    capabilities: Capabilities,
}

impl<S> LockstepStream<S> {
    /// Wraps a new connection, on which the server sends a greeting first.
    pub(crate) fn new(inner: S, peer: SocketAddr) -> LockstepStream<S> {
        LockstepStream {
            inner,
            peer,
            read_buffer: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            read_start: 0,
            read_end: 0,
            turn_bytes: 0,
            partial_line: Vec::new(),
            line: Vec::new(),
            line_position: 0,
            write_buffer: Vec::new(),
            written: 0,
            expected_replies: ExpectedReplies::greeting(),
            capabilities: Capabilities::default(),
        }
    }

    /// Wraps a connection after the TLS handshake of STARTTLS, and generates a greeting: lettre waits for one on every
    /// stream, but the server does not send a second one.
    pub(crate) fn after_starttls(inner: S, peer: SocketAddr) -> LockstepStream<S> {
        let mut stream = LockstepStream { line: b"220 as before\r\n".into(), ..LockstepStream::new(inner, peer) };
        stream.expected_replies.on_reply_line(&stream.line);
        stream
    }

    /// The capabilities that the server lists on this stream. None of them was received before a TLS handshake.
    pub(crate) fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    /// Returns the inner stream; fails if received bytes are left: they would be lost, or, worse, trusted.
    pub(crate) fn into_inner(self) -> io::Result<S> {
        if self.is_read_completely() { Ok(self.inner) } else { Err(io::ErrorKind::ConnectionAborted.into()) }
    }

    fn is_read_completely(&self) -> bool {
        self.read_start == self.read_end && self.partial_line.is_empty() && self.line_position == self.line.len()
    }
}

impl<S: AsyncRead + Unpin> LockstepStream<S> {
    /// Receives more bytes; fails if the server sends too many in this turn.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = ReadBuf::new(&mut self.read_buffer);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut space))?;
        self.read_start = 0;
        self.read_end = space.filled().len();
        self.turn_bytes += self.read_end;
        let is_bounded = self.turn_bytes <= MAX_TURN_BYTES;
        Poll::Ready(if is_bounded { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) })
    }

    /// Makes `line` the next line; it is empty if the server has closed the connection. Fails if no reply is expected.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.expected_replies.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        loop {
            let unread = &self.read_buffer[self.read_start..self.read_end];
            let line_end = unread.iter().position(|byte| *byte == b'\n').map(|index| index + 1);
            let taken = line_end.unwrap_or(unread.len());
            self.partial_line.extend_from_slice(&unread[..taken]);
            self.read_start += taken;
            if line_end.is_some() {
                self.line = reply::normalize_line(&self.partial_line);
                self.line_position = 0;
                self.partial_line.clear();
                self.expected_replies.on_reply_line(&self.line);
                self.capabilities.on_reply_line(&self.line);
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_fill(cx))?;
            if self.read_end == 0 {
                self.line = Vec::new();
                self.line_position = 0;
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Fails if a reply is missing, or if the server has sent something unsolicited or closed the connection.
    fn check_clients_turn(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.expected_replies.is_empty() && self.is_read_completely() {
            match self.poll_fill(cx)? {
                Poll::Pending => return Ok(()),
                Poll::Ready(()) if self.read_end == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(()) => {}
            }
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> LockstepStream<S> {
    /// Sends the write buffer, if it is not empty; then it is the server's turn.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.write_buffer.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if self.written == 0 {
            self.check_clients_turn(cx)?;
        }
        while self.written < self.write_buffer.len() {
            let rest = &self.write_buffer[self.written..];
            self.written += match ready!(Pin::new(&mut self.inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => written,
            };
        }
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.expected_replies.on_sent(&self.write_buffer);
        self.capabilities.on_sent(&self.write_buffer);
        self.write_buffer.clear();
        self.written = 0;
        self.turn_bytes = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for LockstepStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        if this.line_position == this.line.len() {
            ready!(this.poll_line(cx))?;
        }
        let until = this.line.len().min(this.line_position + out.remaining());
        out.put_slice(&this.line[this.line_position..until]);
        this.line_position = until;
        Poll::Ready(Ok(()))
    }
}

/// Buffers writes and sends them at the next read, so that a mail and the dot that lettre writes after it are one
/// packet.
impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LockstepStream<S> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().write_buffer.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

impl<S> fmt::Debug for LockstepStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockstepStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> AsyncTokioStream for LockstepStream<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
