//! Whether anything is still getting on with a connection: requests that come and are answered, bytes that leave.

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

/// A client that takes less than this at a time is not getting on with it.
const STEP_BYTES: usize = 64 * 1024;

#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Notify>);

impl Progress {
    pub(crate) fn made(&self) {
        self.0.notify_one();
    }

    /// Waits until none is made: not within `first` from now, or not within `then` after any.
    pub(crate) async fn ceases(&self, first: Duration, then: Duration) {
        let mut patience = first;
        while tokio::time::timeout(patience, self.0.notified()).await.is_ok() {
            patience = then;
        }
    }

    /// The same stream, whose writing counts. Its reading does not: bytes are cheap to send.
    pub(crate) fn watch<I>(&self, stream: I) -> ProgressStream<I> {
        ProgressStream { stream, progress: self.clone(), written: 0 }
    }
}

pub(crate) struct ProgressStream<I> {
    stream: I,
    progress: Progress,
    written: usize,
}

impl<I> ProgressStream<I> {
    fn count(&mut self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = outcome {
            self.written += bytes;
            if self.written >= STEP_BYTES {
                self.written = 0;
                self.progress.made();
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
        self.count(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.count(outcome)
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
