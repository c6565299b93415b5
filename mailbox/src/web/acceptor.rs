//! TCP acceptor that disables Nagle's algorithm and pauses after a failed accept.

use std::{io, time::Duration};

use poem::{
    http::uri::Scheme,
    listener::{Acceptor, TcpAcceptor},
    web::{LocalAddr, RemoteAddr},
};
use tokio::net::{TcpListener, TcpStream};

/// Wraps poem's acceptor, which would retry a failed accept in a busy loop.
pub(super) struct PausingAcceptor(TcpAcceptor);

impl PausingAcceptor {
    /// Wraps a bound listener.
    pub(super) fn new(listener: TcpListener) -> io::Result<Self> {
        Ok(Self(TcpAcceptor::from_tokio(listener)?))
    }
}

impl Acceptor for PausingAcceptor {
    type Io = TcpStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.0.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(TcpStream, LocalAddr, RemoteAddr, Scheme)> {
        let accepted = self.0.accept().await;
        match &accepted {
            Ok((stream, ..)) => stream.set_nodelay(true)?,
            // The usual cause is a lack of file descriptors, and the server would retry immediately.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        accepted
    }
}
