//! Source networks of the attack: one HTTP client per source address of this machine.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::Result;
use reqwest::{Client, RequestBuilder, redirect};

use super::{
    rng,
    target::{LOCALHOST, Target},
};

/// Number of loopback addresses to send from; no scenario needs more.
const LOOPBACK_SOURCES: u8 = 240;
const TIMEOUT: Duration = Duration::from_secs(30);

/// A network that requests come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source(usize);

/// The source of all requests that no limit counts (policy and receipts), so that they use up no other source.
pub(crate) const SHARED_SOURCE: Source = Source(0);

/// The pool of source networks.
pub(super) struct Sources {
    clients: Vec<Client>,
    spoof: bool,
    next: AtomicUsize,
}

impl Sources {
    /// The default address of this machine. With `spoof`, each source claims another address in `X-Forwarded-For`.
    pub(super) fn single(spoof: bool) -> Result<Self> {
        Ok(Self { clients: vec![client(None)?], spoof, next: AtomicUsize::new(1) })
    }

    /// Random addresses in 127.0.0.0/8, which an instance on this machine counts as separate networks.
    pub(super) fn loopback() -> Result<Self> {
        let [a, b, c] = rng::loopback_network();
        let addresses = (1..=LOOPBACK_SOURCES).map(|d| Ipv4Addr::new(a, b, c, d));
        let clients = addresses.map(|address| client(Some(address.into()))).collect::<Result<_>>()?;
        Ok(Self { clients, spoof: false, next: AtomicUsize::new(1) })
    }

    /// A source that was not used yet, as long as there are any; then they are used again.
    pub(super) fn next_unused(&self) -> Source {
        Source(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The real network of a source, ignoring spoofed addresses.
    pub(super) fn network(&self, source: Source) -> usize {
        source.0 % self.clients.len()
    }

    /// The number of real networks.
    pub(super) fn count(&self) -> usize {
        self.clients.len()
    }

    /// Whether requests carry a spoofed `X-Forwarded-For` header.
    pub(super) fn is_spoofing(&self) -> bool {
        self.spoof
    }

    /// A request from this source.
    pub(super) fn request(&self, source: Source, method: reqwest::Method, url: String) -> RequestBuilder {
        let request = self.clients[self.network(source)].request(method, url);
        if !self.spoof {
            return request;
        }
        let claimed = Ipv4Addr::from_bits(0x0A00_0000 | (u32::try_from(source.0).unwrap_or(0) & 0x00FF_FFFF));
        request.header("X-Forwarded-For", claimed.to_string())
    }
}

/// An HTTP client that follows no redirect, uses no proxy and does not resolve `localhost`, so that no other host is
/// attacked.
fn client(local_address: Option<IpAddr>) -> Result<Client> {
    let (name, ips) = LOCALHOST;
    let client =
        Client::builder().redirect(redirect::Policy::none()).no_proxy().timeout(TIMEOUT).local_address(local_address);
    Ok(client.resolve_to_addrs(name, &ips.map(|ip| (ip, 0).into())).build()?)
}

/// Many loopback sources if the target accepts requests from them, otherwise a single one.
pub(super) async fn available(target: &Target, spoof: bool) -> Result<Sources> {
    if !spoof && target.is_ipv4_loopback() {
        let loopback = Sources::loopback()?;
        let probe = loopback.request(SHARED_SOURCE, reqwest::Method::GET, format!("{target}/v1/policy"));
        if probe.send().await.is_ok() {
            return Ok(loopback);
        }
    }
    Sources::single(spoof)
}
