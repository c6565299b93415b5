//! The TLS certificate of a fake SMTP server, signed by a temporary authority whose certificate is in a file.

use std::{env::temp_dir, fs, path::PathBuf, process, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

/// The server's TLS acceptor and the file with its certificate authority.
pub(super) struct Certificates {
    pub(super) acceptor: TlsAcceptor,
    /// The authority's certificate in PEM; the file is deleted on drop.
    pub(super) ca: PathBuf,
}

impl Certificates {
    /// Creates an authority and a certificate for this host.
    pub(super) fn new(host: &str, port: u16) -> Certificates {
        let mut authority = CertificateParams::new([]).expect("an authority without names");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, key()).expect("an authority's certificate");
        let server_key = key();
        let server = CertificateParams::new([host.to_owned()]).expect("a host that can have a certificate");
        let server = server.signed_by(&server_key, &authority).expect("a signed certificate");

        let private = PrivateKeyDer::try_from(server_key.serialize_der()).expect("a private key in PKCS #8");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![server.der().clone()], private)
            .expect("a certificate that fits its key");

        let ca = temp_dir().join(format!("vestibule-smtp-{}-{port}.pem", process::id()));
        fs::write(&ca, authority.pem()).expect("a temporary directory to write the authority's certificate to");
        Certificates { acceptor: TlsAcceptor::from(Arc::new(config)), ca }
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a fresh key pair")
}

impl Drop for Certificates {
    fn drop(&mut self) {
        // A file that remains in the temporary directory is harmless.
        let _ = fs::remove_file(&self.ca);
    }
}
