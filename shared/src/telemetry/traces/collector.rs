//! HTTP client of the collector: one POST for each export on a connection of its own; only the status of the response
//! is read.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context, Result, bail};
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// The timeout of an export, from connecting to reading the status.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_STATUS_LINE_BYTES: usize = 1024;

/// Where and how spans are exported.
pub(super) struct Collector {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Header lines that the operator configured; they usually contain credentials.
    pub(super) headers: SecretString,
}

impl Collector {
    /// The host and port, for the log. The path is left out, because it can contain credentials.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether the configured headers are sent unencrypted to another machine.
    pub(super) fn sends_headers_in_clear_text(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']);
        let is_local = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        self.tls.is_none() && !is_local && !self.headers.expose_secret().is_empty()
    }

    /// Sends the body of an export. The error does not contain secrets.
    pub(super) async fn export(&self, body: &[u8]) -> Result<()> {
        tokio::time::timeout(EXPORT_TIMEOUT, self.post(body)).await.context("timed out")?
    }

    async fn post(&self, body: &[u8]) -> Result<()> {
        // An IPv6 address has brackets only in a URL.
        let address = (self.host.trim_matches(['[', ']']), self.port);
        let stream = TcpStream::connect(address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        match &self.tls {
            Some((tls, name)) => {
                self.send(tls.connect(name.clone(), stream).await.context("TLS handshake failed")?, body).await
            }
            None => self.send(stream, body).await,
        }
    }

    async fn send(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, body: &[u8]) -> Result<()> {
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: vestibule/{}\r\nContent-Type: application/x-protobuf\r\n\
            Content-Length: {}\r\nConnection: close\r\n{}\r\n",
            self.path,
            self.name(),
            env!("CARGO_PKG_VERSION"),
            body.len(),
            self.headers.expose_secret(),
        );
        stream.write_all(&[head.as_bytes(), body].concat()).await?;
        stream.flush().await?;
        let mut response = Vec::new();
        while !response.contains(&b'\n') && response.len() < MAX_STATUS_LINE_BYTES {
            if stream.read_buf(&mut response).await? == 0 {
                bail!("the collector closed the connection");
            }
        }
        match status(&response) {
            Some(200..300) => Ok(()),
            Some(status) => bail!("the collector responded with status {status}"),
            None => bail!("the response is not HTTP"),
        }
    }
}

/// The status code of an HTTP response.
fn status(response: &[u8]) -> Option<u16> {
    let code = response.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}
