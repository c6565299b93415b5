//! TLS by files, which may be replaced while it runs.

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

/// How often the files are looked at. They are read, not watched: whatever way somebody replaces them,
/// by renaming or through a link, is seen.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct Tls {
    files: Files,
    current: watch::Sender<Arc<ServerConfig>>,
    first: Contents,
}

#[derive(Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Clone, PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads `TLS_CERT` and `TLS_KEY`: both, or neither.
    pub(crate) fn load(certificate: &str, key: &str) -> Result<Option<Self>> {
        let files = match (certificate, key) {
            ("", "") => return Ok(None),
            ("", _) => bail!("TLS_KEY is set and TLS_CERT is not: set both or neither"),
            (_, "") => bail!("TLS_CERT is set and TLS_KEY is not: set both or neither"),
            _ => Files { certificate: certificate.into(), key: key.into() },
        };
        let first = files.read()?;
        let current = watch::Sender::new(Arc::new(first.config()?));
        Ok(Some(Self { files, current, first }))
    }

    /// The handshake, in bounded time, with the certificate of this moment.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.current.borrow()));
        tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await?
    }

    /// Takes what the files hold whenever that changes. As long as it is of no use, what was in use stays.
    pub(crate) async fn keep_up(&self) -> Infallible {
        let mut seen = Ok(self.first.clone());
        loop {
            tokio::time::sleep(LOOK).await;
            let files = self.files.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || files.read()).await else { continue };
            let read = read.map_err(|error| format!("{error:#}"));
            if read == seen {
                continue;
            }
            match read.clone().and_then(|contents| contents.config().map_err(|error| format!("{error:#}"))) {
                Ok(config) => {
                    self.current.send_replace(Arc::new(config));
                    tracing::info!("a new certificate is in use");
                }
                Err(error) => tracing::error!(error, "the certificate in use stays in use"),
            }
            seen = read;
        }
    }
}

impl Files {
    fn read(&self) -> Result<Contents> {
        let read = |name: &str, path: &PathBuf| {
            std::fs::read(path).with_context(|| format!("{name}: cannot read {}", path.display()))
        };
        Ok(Contents { certificate: read("TLS_CERT", &self.certificate)?, key: read("TLS_KEY", &self.key)? })
    }
}

impl Contents {
    fn config(&self) -> Result<ServerConfig> {
        let chain = CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| anyhow!("TLS_CERT is not PEM: {error}"))?;
        if chain.is_empty() {
            bail!("TLS_CERT holds no certificate in PEM");
        }
        // Whatever is wrong with a key is not repeated.
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| anyhow!("TLS_KEY holds no key in PEM"))?;
        // The provider is named because a process that links two of them has no default one.
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| anyhow!("TLS_CERT and TLS_KEY do not work together: {error}"))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}
