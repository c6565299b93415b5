//! TLS for HTTPS clients. Certificates are always verified.

use std::sync::Arc;

use anyhow::Result;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_rustls::TlsConnector;

/// A TLS connector that trusts the public certificate authorities or, if a path is given, those of that file.
pub fn connector(ca_path: &str) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    if ca_path.is_empty() {
        roots.roots.extend_from_slice(webpki_roots::TLS_SERVER_ROOTS);
    } else {
        for certificate in CertificateDer::pem_file_iter(ca_path)? {
            roots.add(certificate?)?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}
