//! Where the attacker's requests come from: one network each, as many as this machine honestly has.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::Result;
use reqwest::{Client, RequestBuilder, redirect::Policy};

use super::{
    chance,
    target::{LOCALHOST, Target},
};

/// More are not needed by any play.
const MOST: u8 = 240;
const TIMEOUT: Duration = Duration::from_secs(30);

/// One network, as the attacker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source(usize);

/// Where whatever is nowhere limited is asked from, however often: so the others last.
pub(crate) const READER: Source = Source(0);

pub(super) struct Sources {
    clients: Vec<Client>,
    forges: bool,
    next: AtomicUsize,
}

impl Sources {
    /// The one address that this machine has for everybody; with `forges`, each source claims another one.
    pub(super) fn single(forges: bool) -> Result<Self> {
        Ok(Self { clients: vec![client(None)?], forges, next: AtomicUsize::new(1) })
    }

    /// Addresses of 127.0.0.0/8, new ones each time: to an instance on this machine they are networks.
    pub(super) fn many() -> Result<Self> {
        let [a, b, c] = chance::loopback_network();
        let clients = (1..=MOST).map(|d| client(Some(Ipv4Addr::new(a, b, c, d).into()))).collect::<Result<_>>()?;
        Ok(Self { clients, forges: false, next: AtomicUsize::new(1) })
    }

    /// One that was not used yet, as long as there are any.
    pub(super) fn fresh(&self) -> Source {
        Source(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The network that it really is; what is forged is nothing.
    pub(super) fn network(&self, source: Source) -> usize {
        source.0 % self.clients.len()
    }

    pub(super) fn count(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn is_forging(&self) -> bool {
        self.forges
    }

    pub(super) fn request(&self, source: Source, method: reqwest::Method, url: String) -> RequestBuilder {
        let request = self.clients[self.network(source)].request(method, url);
        if !self.forges {
            return request;
        }
        let claimed = Ipv4Addr::from_bits(0x0A00_0000 | (u32::try_from(source.0).unwrap_or(0) & 0x00FF_FFFF));
        request.header("X-Forwarded-For", claimed.to_string())
    }
}

/// Follows no redirect, asks no proxy, and looks up no name for this machine: nobody else is attacked.
fn client(from: Option<IpAddr>) -> Result<Client> {
    let (name, ips) = LOCALHOST;
    let client = Client::builder().redirect(Policy::none()).no_proxy().timeout(TIMEOUT).local_address(from);
    Ok(client.resolve_to_addrs(name, &ips.map(|ip| (ip, 0).into())).build()?)
}

/// Many, if the target hears from them.
pub(super) async fn of(target: &Target, forges: bool) -> Result<Sources> {
    if !forges && target.is_ipv4_loopback() {
        let many = Sources::many()?;
        if many.request(READER, reqwest::Method::GET, format!("{target}/v1/policy")).send().await.is_ok() {
            return Ok(many);
        }
    }
    Sources::single(forges)
}
