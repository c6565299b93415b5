//! A stream on which client and server take turns: one reply to each command, and a bounded size to a turn.
//!
//! lettre takes whatever stands in its buffer for the answer to its last command, and reads a line
//! of any length. This stream hands it one line at a time, in a form it understands, and no more
//! replies than are due. A server that says more, or says something while it is not its turn (421 to
//! an idle connection, replies slipped in before the TLS handshake), breaks the connection before
//! another word of ours reaches the server. So does whoever speaks before all that is due is heard.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::smtp::{capabilities::Capabilities, expected_replies::ExpectedReplies, reply};

/// The longest honest reply is a list of extensions, some hundred bytes; of the short ones three may come at once.
const LONGEST_TURN: usize = 8 * 1024;

pub(crate) struct LockstepStream<S> {
    inner: S,
    peer: SocketAddr,
    /// What has come and is not yet part of a line: `heard[start..end]`.
    heard: Box<[u8]>,
    start: usize,
    end: usize,
    /// How much has come since we last spoke.
    length: usize,
    /// A line that has not come to its end.
    begun: Vec<u8>,
    /// The line that is being read from this stream, and how far it has been read.
    line: Vec<u8>,
    served: usize,
    /// What we want to say, and how much of it has been sent.
    unsaid: Vec<u8>,
    said: usize,
    due: ExpectedReplies,
    offers: Capabilities,
}

impl<S> LockstepStream<S> {
    pub(crate) fn new(inner: S, peer: SocketAddr) -> LockstepStream<S> {
        let heard = vec![0; 1024].into_boxed_slice();
        let (begun, line, unsaid) = (Vec::new(), Vec::new(), Vec::new());
        let (due, offers) = (ExpectedReplies::greeting(), Capabilities::default());
        let (start, end, length, served, said) = (0, 0, 0, 0, 0);
        LockstepStream { inner, peer, heard, start, end, length, begun, line, served, unsaid, said, due, offers }
    }

    /// A stream that reads a greeting first. lettre waits for one on every stream it is given, but
    /// a server does not greet again after STARTTLS.
    pub(crate) fn greeted(inner: S, peer: SocketAddr) -> LockstepStream<S> {
        let mut turns = LockstepStream { line: b"220 as before\r\n".into(), ..LockstepStream::new(inner, peer) };
        turns.due.heard(&turns.line);
        turns
    }

    /// What the server says to EHLO on this very stream: nothing of it was said before a TLS handshake.
    pub(crate) fn offers(&self) -> Capabilities {
        self.offers.clone()
    }

    /// The bare stream, unless words of the server are left over: they would be lost, or worse, believed.
    pub(crate) fn into_inner(self) -> io::Result<S> {
        if self.is_heard_out() { Ok(self.inner) } else { Err(io::ErrorKind::ConnectionAborted.into()) }
    }

    fn is_heard_out(&self) -> bool {
        self.start == self.end && self.begun.is_empty() && self.served == self.line.len()
    }
}

impl<S: AsyncRead + Unpin> LockstepStream<S> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = ReadBuf::new(&mut self.heard);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut space))?;
        (self.start, self.end) = (0, space.filled().len());
        self.length += self.end;
        let bounded = self.length <= LONGEST_TURN;
        Poll::Ready(if bounded { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) })
    }

    /// Makes `line` the next line; it is empty if the server has hung up. Fails if none is due.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.due.is_nothing() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        loop {
            let fresh = &self.heard[self.start..self.end];
            let until = fresh.iter().position(|byte| *byte == b'\n').map(|index| index + 1);
            let taken = until.unwrap_or(fresh.len());
            self.begun.extend_from_slice(&fresh[..taken]);
            self.start += taken;
            if until.is_some() {
                (self.line, self.served) = (reply::plain_line(&self.begun), 0);
                self.begun.clear();
                self.due.heard(&self.line);
                self.offers.heard(&self.line);
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_fill(cx))?;
            if self.end == 0 {
                (self.line, self.served) = (Vec::new(), 0);
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Fails if the server has yet to answer, has said something we did not ask for, or has hung up.
    fn check_silence(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.due.is_nothing() && self.is_heard_out() {
            match self.poll_fill(cx)? {
                Poll::Pending => return Ok(()),
                Poll::Ready(()) if self.end == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(()) => {}
            }
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> LockstepStream<S> {
    /// Sends what we have to say, if anything, and lets the server have its turn.
    fn poll_speak(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsaid.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if self.said == 0 {
            self.check_silence(cx)?;
        }
        while self.said < self.unsaid.len() {
            self.said += match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.unsaid[self.said..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => written,
            };
        }
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.due.said(&self.unsaid);
        self.offers.said(&self.unsaid);
        self.unsaid.clear();
        (self.said, self.length) = (0, 0);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for LockstepStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_speak(cx))?;
        if this.served == this.line.len() {
            ready!(this.poll_line(cx))?;
        }
        let until = this.line.len().min(this.served + out.remaining());
        out.put_slice(&this.line[this.served..until]);
        this.served = until;
        Poll::Ready(Ok(()))
    }
}

/// Nothing is sent before we listen: so a mail and the dot lettre writes after it are one packet.
impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LockstepStream<S> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().unsaid.extend_from_slice(bytes);
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
