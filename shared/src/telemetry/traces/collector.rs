//! Hands bytes to a collector: one POST on a connection of its own, of whose answer the status is read.

use std::{net::IpAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// From the connection to the status.
const TIMEOUT: Duration = Duration::from_secs(3);
const LONGEST_STATUS_LINE: usize = 1024;

pub(super) struct Collector {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Lines of the head that are the operator's own: credentials, most likely.
    pub(super) headers: SecretString,
}

impl Collector {
    /// As a log may have it: paths hold credentials sometimes.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether anybody on the way can read what the headers hold.
    pub(super) fn is_overheard(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']);
        let near = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        self.tls.is_none() && !near && !self.headers.expose_secret().is_empty()
    }

    pub(super) async fn take(&self, body: &[u8]) -> Result<()> {
        tokio::time::timeout(TIMEOUT, self.post(body)).await.context("no answer in time")?
    }

    async fn post(&self, body: &[u8]) -> Result<()> {
        // Brackets are for URLs.
        let address = (self.host.trim_matches(['[', ']']), self.port);
        let stream = TcpStream::connect(address).await.context("no connection")?;
        stream.set_nodelay(true)?;
        match &self.tls {
            Some((tls, name)) => self.talk(tls.connect(name.clone(), stream).await.context("TLS")?, body).await,
            None => self.talk(stream, body).await,
        }
    }

    async fn talk(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, body: &[u8]) -> Result<()> {
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
        let mut answer = Vec::new();
        while !answer.contains(&b'\n') && answer.len() < LONGEST_STATUS_LINE {
            if stream.read_buf(&mut answer).await? == 0 {
                bail!("it hung up");
            }
        }
        match status(&answer) {
            Some(200..300) => Ok(()),
            Some(status) => bail!("it answers {status}"),
            None => bail!("it does not speak HTTP"),
        }
    }
}

fn status(answer: &[u8]) -> Option<u16> {
    let code = answer.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

/// Certificates are always verified: by the public authorities, or by those of a file if one is named.
pub(super) fn connector(authorities: &str) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    if authorities.is_empty() {
        roots.roots.extend_from_slice(webpki_roots::TLS_SERVER_ROOTS);
    } else {
        for certificate in CertificateDer::pem_file_iter(authorities)? {
            roots.add(certificate?)?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}
