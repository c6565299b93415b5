//! TLS configuration: trusts the public certificate authorities, and a private one if `ca=` names its file.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_rustls::TlsConnector;

/// Creates the TLS connector. Certificates are always verified, and always against the host name.
pub(crate) fn connector(ca: Option<&str>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca {
        add_private_authority(&mut roots, path)
            .ok_or("has a ca= that is not a readable file of PEM certificates: check its path and content")?;
    }
    // The crypto provider is explicit because rustls has no default in a process that links two providers.
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| "requires TLS, but this program was built without it")?
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
