//! HTTP client of the range service: one GET for each lookup, on a connection of its own.

use std::{
    future::{pending, poll_fn},
    net::IpAddr,
    pin::Pin,
};

use anyhow::{Context, Result, bail, ensure};
use hyper::{
    Request, StatusCode,
    body::{Body, Incoming},
    client::conn::http1,
    header,
    http::uri::PathAndQuery,
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::TlsConnector;
use url::Url;

/// The maximum size of an answer. Those of the public service have about 40 KiB.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Where the range service is.
pub(crate) struct RangeService {
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// Host and port as in the URL.
    authority: String,
    /// Without a slash at its end.
    path: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl RangeService {
    /// Parses the base URL of a service. The error does not repeat it.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let url = Url::parse(url)?;
        let has_login = !url.username().is_empty() || url.password().is_some();
        ensure!(
            !has_login && url.query().is_none() && url.fragment().is_none(),
            "it has more than host, port and path"
        );
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { bail!("it has no host") };
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let host = host.trim_matches(['[', ']']).to_owned();
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some((shared::tls::connector("")?, ServerName::try_from(host.clone())?)),
            _ => bail!("its scheme is neither https nor http"),
        };
        let path = url.path().trim_end_matches('/').to_owned();
        // What every request would fail with is found out now.
        format!("{path}/00000").parse::<PathAndQuery>()?;
        Ok(Self { host, port, authority, path, tls })
    }

    /// Host and port, for the log. The path is left out, because it can contain credentials.
    pub(super) fn name(&self) -> &str {
        &self.authority
    }

    /// Whether lookups are sent unencrypted to another machine.
    pub(crate) fn is_unencrypted(&self) -> bool {
        let is_local = self.host == "localhost" || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        self.tls.is_none() && !is_local
    }

    /// Returns the body of the answer for a prefix. The error contains neither the prefix nor the path.
    pub(super) async fn range(&self, prefix: &str, permit: OwnedSemaphorePermit) -> Result<Vec<u8>> {
        let address = (self.host.clone(), self.port);
        // A name lookup cannot be cancelled. In a task of its own it keeps the permit until it has ended, so that a slow
        // name server does not occupy more threads than there are permits.
        let resolving = tokio::spawn(async move { (lookup_host(address).await.map(Vec::from_iter), permit) });
        let (addresses, _permit) = resolving.await?;
        let stream = TcpStream::connect(&*addresses.context("cannot resolve the host")?).await;
        let stream = stream.context("cannot connect")?;
        stream.set_nodelay(true)?;
        match &self.tls {
            Some((tls, name)) => {
                self.get(tls.connect(name.clone(), stream).await.context("TLS handshake failed")?, prefix).await
            }
            None => self.get(stream, prefix).await,
        }
    }

    async fn get(&self, stream: impl AsyncRead + AsyncWrite + Unpin, prefix: &str) -> Result<Vec<u8>> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(format!("{}/{prefix}", self.path))
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, concat!("vestibule/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close")
            .header("add-padding", "true")
            .body(String::new())?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            ensure!(status == StatusCode::OK, "the service responded with status {}", status.as_u16());
            read_body(response.into_body()).await
        };
        let drive = async {
            // Its error also ends `answer`, with what was received until then.
            let _ = connection.await;
            pending().await
        };
        tokio::select! { answer = answer => answer, never = drive => never }
    }
}

/// Reads a body up to its maximum size.
async fn read_body(mut body: Incoming) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else { continue };
        ensure!(bytes.len() + data.len() <= MAX_ANSWER_BYTES, "the answer is larger than {MAX_ANSWER_BYTES} bytes");
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
