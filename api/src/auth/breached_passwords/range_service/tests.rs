use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;

use super::*;

/// A service over TLS that responds to every request with `abc`, and a file with its self-signed certificate.
async fn start_tls_service() -> (u16, tempfile::NamedTempFile) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), cert.pem()).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut head).await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (port, ca)
}

async fn range(service: &RangeService) -> Result<Vec<u8>> {
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    service.range("00000", permit).await
}

#[tokio::test]
async fn certificate_of_the_service_is_verified() {
    let (port, ca) = start_tls_service().await;
    let service = RangeService::parse(&format!("https://localhost:{port}/range")).unwrap();
    let error = range(&service).await.unwrap_err();
    assert_eq!(error.to_string(), "TLS handshake failed");

    let tls = service.tls.map(|(_, name)| (shared::tls::connector(ca.path().to_str().unwrap()).unwrap(), name));
    assert_eq!(range(&RangeService { tls, ..service }).await.unwrap(), b"abc");
}

/// Starts a service over HTTP that responds to every request with so many bytes.
async fn start_service(bytes: usize) -> RangeService {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut head).await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await.unwrap();
            // Fails when the client has received enough.
            let _ = stream.write_all(&vec![b'0'; bytes]).await;
        }
    });
    RangeService::parse(&url).unwrap()
}

#[tokio::test]
async fn answer_has_at_most_one_mebibyte() {
    assert_eq!(range(&start_service(1_048_576).await).await.unwrap().len(), 1_048_576);
    let error = range(&start_service(1_048_577).await).await.unwrap_err();
    assert_eq!(error.to_string(), "the answer is larger than 1048576 bytes");
}

#[test]
fn url_with_more_than_host_port_and_path_is_rejected() {
    for url in [
        "http://user@passwords.example.org",
        "http://:secret@passwords.example.org",
        "http://passwords.example.org?key=secret",
        "http://passwords.example.org#fragment",
    ] {
        let error = RangeService::parse(url).err().unwrap().to_string();
        assert_eq!(error, "it has more than host, port and path", "{url}");
    }
    let scheme = RangeService::parse("ftp://passwords.example.org").err().unwrap();
    assert_eq!(scheme.to_string(), "its scheme is neither https nor http");
    assert!(RangeService::parse("data:text").is_err());
}

#[test]
fn only_lookups_of_another_machine_must_be_encrypted() {
    let is_unencrypted = |url| RangeService::parse(url).unwrap().is_unencrypted();
    assert!(
        ["http://passwords.example.org", "http://192.0.2.1", "http://[2001:db8::1]"].into_iter().all(is_unencrypted)
    );
    let fine = ["https://passwords.example.org", "http://localhost:8080", "http://127.0.0.2", "http://[::1]"];
    assert!(!fine.into_iter().any(is_unencrypted));
}

#[test]
fn name_in_the_log_is_host_and_port() {
    assert_eq!(
        RangeService::parse("http://passwords.example.org:8080/key").unwrap().name(),
        "passwords.example.org:8080"
    );
}

#[test]
fn url_becomes_host_port_and_path() {
    for (url, expected) in [
        ("http://passwords.example.org", ("passwords.example.org", 80, "passwords.example.org", "")),
        ("https://passwords.example.org/range/", ("passwords.example.org", 443, "passwords.example.org", "/range")),
        ("https://[2001:db8::1]:8443/a/b//", ("2001:db8::1", 8443, "[2001:db8::1]:8443", "/a/b")),
    ] {
        let RangeService { host, port, authority, path, tls } = RangeService::parse(url).unwrap();
        assert_eq!((&*host, port, &*authority, &*path), expected);
        assert_eq!(tls.is_some(), url.starts_with("https"), "{url}");
    }
}
