//! TLS with a certificate and a key from files, which are reloaded when they change.

use std::{convert::Infallible, io, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the files are read. They are polled instead of watched, so that every way of replacing them is noticed, by
/// renaming or through a symbolic link alike.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The TLS settings of the server. Clones share the current certificate.
#[derive(Clone)]
pub(crate) struct Tls {
    paths: TlsPaths,
    current: watch::Sender<Arc<ServerConfig>>,
    /// The files as they were read at start.
    initial: PemFiles,
}

#[derive(Clone)]
struct TlsPaths {
    certificate: PathBuf,
    key: PathBuf,
}

/// The contents of both files.
#[derive(Clone, PartialEq, Eq)]
struct PemFiles {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the files that `TLS_CERT` and `TLS_KEY` name. `None` if neither is set.
    pub(crate) fn load(certificate: &str, key: &str) -> Result<Option<Self>> {
        let paths = match (certificate, key) {
            ("", "") => return Ok(None),
            ("", _) => bail!("TLS_KEY is set and TLS_CERT is not: set both or neither"),
            (_, "") => bail!("TLS_CERT is set and TLS_KEY is not: set both or neither"),
            _ => TlsPaths { certificate: certificate.into(), key: key.into() },
        };
        let initial = paths.read()?;
        let current = watch::Sender::new(Arc::new(initial.server_config()?));
        Ok(Some(Self { paths, current, initial }))
    }

    /// Performs the handshake with the current certificate, within `HANDSHAKE_TIMEOUT`.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.current.borrow()));
        tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await?
    }

    /// Reloads the certificate and the key whenever the files change. While the files cannot be used, the current
    /// certificate stays in use.
    pub(crate) async fn reload_on_change(&self) -> Infallible {
        let mut last_read = Ok(self.initial.clone());
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let paths = self.paths.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || paths.read()).await else { continue };
            let read = read.map_err(|error| format!("{error:#}"));
            if read == last_read {
                continue;
            }
            match read.clone().and_then(|files| files.server_config().map_err(|error| format!("{error:#}"))) {
                Ok(config) => {
                    self.current.send_replace(Arc::new(config));
                    tracing::info!("TLS certificate reloaded");
                }
                Err(error) => tracing::error!(error, "cannot reload the TLS certificate; keeping the current one"),
            }
            last_read = read;
        }
    }
}

impl TlsPaths {
    fn read(&self) -> Result<PemFiles> {
        let read = |name: &str, path: &PathBuf| {
            std::fs::read(path).with_context(|| format!("{name}: cannot read {}", path.display()))
        };
        Ok(PemFiles { certificate: read("TLS_CERT", &self.certificate)?, key: read("TLS_KEY", &self.key)? })
    }
}

impl PemFiles {
    fn server_config(&self) -> Result<ServerConfig> {
        let chain = CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| anyhow!("TLS_CERT is not a valid PEM file: {error}"))?;
        if chain.is_empty() {
            bail!("TLS_CERT holds no certificate in PEM format");
        }
        // The parser's error is dropped: it may repeat parts of the key.
        let key =
            PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| anyhow!("TLS_KEY holds no key in PEM format"))?;
        // Named explicitly: a process that links two crypto providers has no default one.
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| anyhow!("TLS_CERT and TLS_KEY do not work together: {error}"))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}
