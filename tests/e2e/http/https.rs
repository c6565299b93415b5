//! HTTPS served by the API itself: HTTP/1.1 and HTTP/2, certificate reload, and errors in the TLS settings.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use hyper::{Request, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, pem::PemObject},
    },
};

use crate::http::transport::address;
use support::{
    running::RunningService,
    stack::{SUBJECT_KEY, Stack},
    standalone::StandaloneFolder,
};

const PUBLIC_URL: &str = "https://localhost:8000";

/// A certificate and its key in a folder that is replaced atomically by a symbolic link, as Kubernetes does it.
struct TlsFiles {
    folder: TempDir,
    version: u32,
}

impl TlsFiles {
    fn new() -> Self {
        let mut files = Self { folder: tempfile::tempdir().unwrap(), version: 0 };
        files.renew();
        files
    }

    /// Replaces both files with a new self-signed certificate.
    fn renew(&mut self) {
        let generated = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        self.replace(&generated.cert.pem(), &generated.signing_key.serialize_pem());
    }

    fn replace(&mut self, certificate: &str, key: &str) {
        self.version += 1;
        let name = self.version.to_string();
        let folder = self.folder.path().join(&name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("certificate.pem"), certificate).unwrap();
        std::fs::write(folder.join("key.pem"), key).unwrap();
        std::os::unix::fs::symlink(&name, self.folder.path().join("next")).unwrap();
        std::fs::rename(self.folder.path().join("next"), self.folder.path().join("current")).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("current").join(name)
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path("certificate.pem")).unwrap()
    }

    fn settings(&self) -> [(&'static str, String); 3] {
        let path = |name| self.path(name).to_str().unwrap().to_owned();
        [("TLS_CERT", path("certificate.pem")), ("TLS_KEY", path("key.pem")), ("PUBLIC_URL", PUBLIC_URL.into())]
    }

    /// Connects as a client that trusts only this certificate.
    async fn connect(&self, addr: SocketAddr, protocol: &str) -> io::Result<TlsStream<TcpStream>> {
        connect(&self.certificate(), addr, protocol).await
    }
}

/// Connects as a client that trusts only this certificate, with one ALPN protocol.
async fn connect(
    certificate: &CertificateDer<'static>,
    addr: SocketAddr,
    protocol: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.into()];
    let stream = TcpStream::connect(addr).await?;
    TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream).await
}

fn get_request(url: &str) -> Request<String> {
    Request::get(url).header("Host", "localhost").body(String::new()).unwrap()
}

async fn start(stack: &Stack, files: &TlsFiles) -> RunningService {
    let settings = files.settings();
    stack.start_api(&settings.each_ref().map(|(name, value)| (*name, value.as_str()))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn https_serves_http1_and_http2() {
    let stack = Stack::without_broker().await;
    let files = TlsFiles::new();
    let api = start(&stack, &files).await;
    // A client that never begins the TLS handshake must not block the others.
    let _silent = TcpStream::connect(address(&api)).await.unwrap();
    let stream = files.connect(address(&api), "h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) = conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let url = format!("{PUBLIC_URL}/v1/policy");
    let (first, second) =
        tokio::join!(client.clone().send_request(get_request(&url)), client.send_request(get_request(&url)));
    for answer in [first.unwrap(), second.unwrap()] {
        assert_eq!((answer.status().as_u16(), answer.version()), (200, hyper::Version::HTTP_2));
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
    }

    let stream = files.connect(address(&api), "http/1.1").await.unwrap();
    let (mut client, connection) = conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = client.send_request(get_request("/v1/policy")).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, hyper::Version::HTTP_11));

    assert!(api.client.request("GET", "/v1/policy").send().await.is_err(), "plain HTTP is not served");
    api.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_certificate_is_loaded_and_broken_one_ignored() {
    let mut files = TlsFiles::new();
    let settings = files.settings();
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let home = StandaloneFolder::new();
    let mut vestibule = home.start(&settings);
    let addr = vestibule.client.request("GET", "/").build().unwrap().url().socket_addrs(|| None).unwrap()[0];
    let old = files.certificate();
    let stream = files.connect(addr, "h2").await.unwrap();
    let (mut client, connection) = conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);

    files.replace("no certificate", "no key");
    vestibule.process.wait_for("keeping the current one");
    connect(&old, addr, "h2").await.unwrap();
    files.renew();
    vestibule.process.wait_for("TLS certificate reloaded");
    files.connect(addr, "h2").await.unwrap();
    assert!(connect(&old, addr, "h2").await.is_err());
    let answer = client.send_request(get_request(&format!("{PUBLIC_URL}/v1/policy"))).await.unwrap();
    assert_eq!(answer.status(), 200, "an open connection keeps working");
    drop(client);
    let log = vestibule.stop();
    assert_eq!(log.matches("keeping the current one").count(), 1, "{log}");
}

#[test]
fn invalid_tls_setting_is_named_at_startup() {
    let files = TlsFiles::new();
    let other_files = TlsFiles::new();
    let [certificate, key, public_url] = files.settings();
    let other_key = other_files.settings()[1].1.clone();
    for (cert, key, url, message) in [
        (&*certificate.1, "", &*public_url.1, "TLS_CERT is set and TLS_KEY is not"),
        ("", &*key.1, &*public_url.1, "TLS_KEY is set and TLS_CERT is not"),
        ("/nowhere.pem", &*key.1, &*public_url.1, "TLS_CERT: cannot read /nowhere.pem"),
        (&*certificate.1, "/nowhere.pem", &*public_url.1, "TLS_KEY: cannot read /nowhere.pem"),
        (&*key.1, &*key.1, &*public_url.1, "TLS_CERT holds no certificate"),
        (&*certificate.1, &*certificate.1, &*public_url.1, "TLS_KEY holds no key"),
        (&*certificate.1, &*other_key, &*public_url.1, "TLS_CERT and TLS_KEY do not work together"),
        (&*certificate.1, &*key.1, "http://localhost:8000", "PUBLIC_URL"),
    ] {
        let settings = [
            ("DATABASE_URL", "postgres://h/x"),
            ("CODE_SECRETS", "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ("SUBJECT_KEY", SUBJECT_KEY),
            ("TLS_CERT", cert),
            ("TLS_KEY", key),
            ("PUBLIC_URL", url),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let error = format!("{:#}", api::Config::load_from(settings).err().unwrap());
        assert!(error.contains(message), "{error}");
        assert!(!error.contains("PRIVATE"), "{error}");
    }
    let stderr = StandaloneFolder::new().start_error(&[("TLS_CERT", "/nowhere.pem"), ("TLS_KEY", "/nowhere.pem")], &[]);
    assert!(stderr.contains("TLS_CERT: cannot read /nowhere.pem"), "{stderr}");
}
