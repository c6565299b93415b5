//! Opens a connection up to the point where mail can go: TCP, TLS, EHLO, AUTH.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use lettre::transport::smtp::{authentication::DEFAULT_MECHANISMS, client::AsyncSmtpConnection, extension::ClientId};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::smtp::{
    connection::{Connection, completed, within},
    error::{SmtpError, SmtpErrorKind, Step},
    lockstep_stream::LockstepStream,
    server::{Security, Server, Tls},
    starttls,
};

pub(crate) async fn open(server: &Server) -> Result<Connection, SmtpError> {
    let limit = server.timeouts.step;
    let (tcp, peer, address) = connect(server).await?;
    let hello = server.hello.clone().map_or(address, ClientId::Domain);
    match &server.security {
        Security::Plain => greet(server, LockstepStream::new(tcp, peer), &hello).await,
        Security::Implicit(tls) => {
            greet(server, LockstepStream::new(handshake(tls, tcp, limit).await?, peer), &hello).await
        }
        Security::StartTls(tls) => {
            let tcp = starttls::ask(LockstepStream::new(tcp, peer), &hello, limit).await?;
            greet(server, LockstepStream::greeted(handshake(tls, tcp, limit).await?, peer), &hello).await
        }
    }
}

/// The dialogue up to where mail can go, on a stream whose protection is settled: what was offered in plain
/// text before STARTTLS may be anybody's words, and does not count.
pub(crate) async fn greet<S>(
    server: &Server,
    stream: LockstepStream<S>,
    hello: &ClientId,
) -> Result<Connection, SmtpError>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
{
    let (limit, offers) = (server.timeouts.step, stream.offers());
    let connecting = AsyncSmtpConnection::connect_with_transport(Box::new(stream), hello);
    let mut smtp = within(Step::Hello, limit, connecting).await?;
    if let Some(credentials) = &server.credentials {
        let reply = within(Step::Auth, limit, smtp.auth(DEFAULT_MECHANISMS, credentials)).await?;
        completed(Step::Auth, &reply)?;
    }
    Ok(Connection { smtp, pipelines: offers.pipelining() })
}

/// Tries the addresses of the host in turn, each with its own time, so that one dead address
/// does not hide a living one.
async fn connect(server: &Server) -> Result<(TcpStream, SocketAddr, ClientId), SmtpError> {
    const MOST_ADDRESSES: usize = 4;
    let limit = server.timeouts.connect;
    let silent = || SmtpError::new(Step::Connect, SmtpErrorKind::Silent);
    let lost = |error: io::Error| SmtpError::lost(Step::Connect, &error);

    let looked_up = timeout(limit, lookup_host((server.host.as_str(), server.port))).await;
    let addresses = looked_up.map_err(|_| silent())?.map_err(lost)?;
    let mut last = lost(io::ErrorKind::NotFound.into());
    for address in addresses.take(MOST_ADDRESSES) {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return prepare(tcp, address).map_err(lost),
            Ok(Err(error)) => last = lost(error),
            Err(_) => last = silent(),
        }
    }
    Err(last)
}

/// lettre leaves Nagle's algorithm on, which holds every second packet back for 40 ms.
fn prepare(tcp: TcpStream, peer: SocketAddr) -> io::Result<(TcpStream, SocketAddr, ClientId)> {
    tcp.set_nodelay(true)?;
    // An address literal is what RFC 5321 asks of a client without a name of its own in the DNS,
    // and a container has none.
    let hello = match tcp.local_addr()?.ip().to_canonical() {
        IpAddr::V4(ip) => ClientId::Ipv4(ip),
        IpAddr::V6(ip) => ClientId::Ipv6(ip),
    };
    Ok((tcp, peer, hello))
}

async fn handshake(tls: &Tls, tcp: TcpStream, limit: Duration) -> Result<TlsStream<TcpStream>, SmtpError> {
    match timeout(limit, tls.connector.connect(tls.name.clone(), tcp)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if is_distrust(&error) => Err(SmtpError::new(Step::Tls, SmtpErrorKind::Untrusted)),
        Ok(Err(error)) => Err(SmtpError::lost(Step::Tls, &error)),
        Err(_) => Err(SmtpError::new(Step::Tls, SmtpErrorKind::Silent)),
    }
}

fn is_distrust(error: &io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::prepare;

    #[tokio::test]
    async fn small_packets_are_not_held_back_and_we_say_our_own_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tcp, peer, hello) = prepare(TcpStream::connect(address).await.unwrap(), address).unwrap();
        assert!(tcp.nodelay().unwrap());
        assert_eq!((peer, hello.to_string().as_str()), (address, "[127.0.0.1]"));
    }
}
