//! Opens a connection up to the point where a mail can be sent: TCP, TLS or STARTTLS, EHLO, AUTH.

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
    config::{Security, SmtpConfig, TlsSettings},
    connection::{SmtpConnection, expect_completion, with_timeout},
    error::{SmtpError, SmtpErrorKind, Step},
    lockstep_stream::LockstepStream,
    starttls,
};

/// Opens a connection to the mail server and logs in, if `SMTP_URL` has credentials.
pub(crate) async fn connect(config: &SmtpConfig) -> Result<SmtpConnection, SmtpError> {
    let step_timeout = config.timeouts.step;
    let TcpConnection { stream: tcp, peer, address_literal } = connect_tcp(config).await?;
    let ehlo_name = config.ehlo_name.clone().map_or(address_literal, ClientId::Domain);
    match &config.security {
        Security::Plain => start_session(config, LockstepStream::new(tcp, peer), &ehlo_name).await,
        Security::Implicit(tls) => {
            let tls_stream = tls_handshake(tls, tcp, step_timeout).await?;
            start_session(config, LockstepStream::new(tls_stream, peer), &ehlo_name).await
        }
        Security::StartTls(tls) => {
            let tcp = starttls::negotiate(LockstepStream::new(tcp, peer), &ehlo_name, step_timeout).await?;
            let tls_stream = tls_handshake(tls, tcp, step_timeout).await?;
            start_session(config, LockstepStream::after_starttls(tls_stream, peer), &ehlo_name).await
        }
    }
}

/// Reads the greeting, sends EHLO and logs in. The encryption of the stream is already decided: capabilities that were
/// listed in plain text before STARTTLS may have been injected by an attacker, and do not count.
pub(crate) async fn start_session<S>(
    config: &SmtpConfig,
    stream: LockstepStream<S>,
    ehlo_name: &ClientId,
) -> Result<SmtpConnection, SmtpError>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
{
    let step_timeout = config.timeouts.step;
    let capabilities = stream.capabilities();
    let connecting = AsyncSmtpConnection::connect_with_transport(Box::new(stream), ehlo_name);
    let mut smtp = with_timeout(Step::Ehlo, step_timeout, connecting).await?;
    if let Some(credentials) = &config.credentials {
        let reply = with_timeout(Step::Auth, step_timeout, smtp.auth(DEFAULT_MECHANISMS, credentials)).await?;
        expect_completion(Step::Auth, &reply)?;
    }
    Ok(SmtpConnection { smtp, supports_pipelining: capabilities.pipelining() })
}

/// A TCP connection to the mail server.
struct TcpConnection {
    stream: TcpStream,
    peer: SocketAddr,
    /// The client's own address, as its name in EHLO.
    address_literal: ClientId,
}

/// Connects to the addresses of the host in turn, each with its own timeout, so that one unreachable address does not
/// prevent the use of another.
async fn connect_tcp(config: &SmtpConfig) -> Result<TcpConnection, SmtpError> {
    const MAX_ADDRESSES: usize = 4;
    let connect_timeout = config.timeouts.connect;
    let timed_out = || SmtpError::new(Step::Connect, SmtpErrorKind::TimedOut);
    let failed = |error: io::Error| SmtpError::connection_lost(Step::Connect, &error);

    let lookup = timeout(connect_timeout, lookup_host((config.host.as_str(), config.port))).await;
    let addresses = lookup.map_err(|_| timed_out())?.map_err(failed)?;
    let mut last_error = failed(io::ErrorKind::NotFound.into());
    for address in addresses.take(MAX_ADDRESSES) {
        match timeout(connect_timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return configure_tcp(stream, address).map_err(failed),
            Ok(Err(error)) => last_error = failed(error),
            Err(_) => last_error = timed_out(),
        }
    }
    Err(last_error)
}

/// Disables Nagle's algorithm, which lettre leaves on and which delays every second packet by 40 ms.
fn configure_tcp(stream: TcpStream, peer: SocketAddr) -> io::Result<TcpConnection> {
    stream.set_nodelay(true)?;
    // RFC 5321 requires an address literal of a client without a DNS name of its own; a container has none.
    let address_literal = match stream.local_addr()?.ip().to_canonical() {
        IpAddr::V4(ip) => ClientId::Ipv4(ip),
        IpAddr::V6(ip) => ClientId::Ipv6(ip),
    };
    Ok(TcpConnection { stream, peer, address_literal })
}

async fn tls_handshake(
    tls: &TlsSettings,
    tcp: TcpStream,
    handshake_timeout: Duration,
) -> Result<TlsStream<TcpStream>, SmtpError> {
    match timeout(handshake_timeout, tls.connector.connect(tls.server_name.clone(), tcp)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if is_invalid_certificate(&error) => {
            Err(SmtpError::new(Step::Tls, SmtpErrorKind::UntrustedCertificate))
        }
        Ok(Err(error)) => Err(SmtpError::connection_lost(Step::Tls, &error)),
        Err(_) => Err(SmtpError::new(Step::Tls, SmtpErrorKind::TimedOut)),
    }
}

fn is_invalid_certificate(error: &io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::{TcpConnection, configure_tcp};

    #[tokio::test]
    async fn tcp_has_nodelay_and_ehlo_uses_the_own_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connected = TcpStream::connect(address).await.unwrap();
        let TcpConnection { stream, peer, address_literal } = configure_tcp(connected, address).unwrap();
        assert!(stream.nodelay().unwrap());
        assert_eq!((peer, address_literal.to_string().as_str()), (address, "[127.0.0.1]"));
    }
}
