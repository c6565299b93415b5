//! Whom we believe to be the mail server: the public authorities, and one private one if it is named.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_rustls::TlsConnector;

/// Certificates are always verified, and always against the name of the host.
pub(crate) fn connector(ca: Option<&str>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca {
        add_private_authority(&mut roots, path).ok_or("has a ca= that is not a readable file of PEM certificates")?;
    }
    // The provider is named because a process that links two of them has no default one.
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| "needs TLS, which this program was built without")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn add_private_authority(roots: &mut RootCertStore, path: &str) -> Option<()> {
    let public = roots.len();
    for certificate in CertificateDer::pem_file_iter(path).ok()? {
        roots.add(certificate.ok()?).ok()?;
    }
    (roots.len() > public).then_some(())
}
