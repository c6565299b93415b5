//! Accepts connections: without Nagle's delay, and without spinning when accepting fails.

use std::{io, time::Duration};

use poem::{
    http::uri::Scheme,
    listener::{Acceptor, TcpAcceptor},
    web::{LocalAddr, RemoteAddr},
};
use tokio::net::{TcpListener, TcpStream};

pub(super) struct Careful(TcpAcceptor);

impl Careful {
    pub(super) fn new(listener: TcpListener) -> io::Result<Self> {
        Ok(Self(TcpAcceptor::from_tokio(listener)?))
    }
}

impl Acceptor for Careful {
    type Io = TcpStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.0.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(TcpStream, LocalAddr, RemoteAddr, Scheme)> {
        let accepted = self.0.accept().await;
        match &accepted {
            Ok((stream, ..)) => stream.set_nodelay(true)?,
            // No file descriptors left, most likely: the server would ask again at once.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        accepted
    }
}
