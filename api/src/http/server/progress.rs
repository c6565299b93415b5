//! Tracks the progress of a connection, so that a stalled one can be closed.
//!
//! Progress is a request that arrives, a response that starts, and each 64 KiB that are sent.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

/// This many sent bytes count as progress. Fewer do not: a client could keep a connection open by reading byte by byte.
const STEP_BYTES: usize = 64 * 1024;

/// Progress of one connection. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Notify>);

impl Progress {
    /// Records that the connection made progress.
    pub(crate) fn record(&self) {
        self.0.notify_one();
    }

    /// Returns when no progress was made for `first` from now, or for `then` after the last progress.
    pub(crate) async fn stalled(&self, first: Duration, then: Duration) {
        let mut timeout = first;
        while tokio::time::timeout(timeout, self.0.notified()).await.is_ok() {
            timeout = then;
        }
    }

    /// Wraps a stream so that writes are recorded. Reads are not: sending bytes costs a client nothing.
    pub(crate) fn wrap<I>(&self, stream: I) -> ProgressStream<I> {
        ProgressStream { stream, progress: self.clone(), written: 0 }
    }
}

/// A stream whose writes are recorded as progress.
pub(crate) struct ProgressStream<I> {
    stream: I,
    progress: Progress,
    /// Bytes written since progress was last recorded.
    written: usize,
}

impl<I> ProgressStream<I> {
    fn record_write(&mut self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = outcome {
            self.written += bytes;
            if self.written >= STEP_BYTES {
                self.written = 0;
                self.progress.record();
            }
        }
        outcome
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for ProgressStream<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for ProgressStream<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.record_write(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.record_write(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
