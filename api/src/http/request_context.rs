//! What every request handler knows about its request: the client and the request id.

use std::net::{IpAddr, Ipv4Addr};

use poem::{FromRequest, Request, RequestBody, Result};
use shared::telemetry::traces::spans;
use uuid::Uuid;

use super::{problem::Problem, unlock_cookie};
use crate::{
    domain::{
        client::Client,
        network::{Network, TrustedProxies},
    },
    rng,
};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The client and the id of a request. The request middleware makes it; handlers extract it.
#[derive(Clone, Copy)]
pub(crate) struct RequestContext {
    pub(crate) client: Client,
    /// The request id, also the id of the trace that the request begins.
    pub(crate) id: Uuid,
}

impl RequestContext {
    /// Creates a new id, and determines the client's network from the socket and from what trusted proxies forwarded.
    pub(crate) fn new(request: &Request, proxies: &TrustedProxies, public_url: &str) -> Self {
        let forwarded = request.headers().get_all(FORWARDED_FOR).iter();
        // A value that is not text was not written by a trusted proxy. Like any invalid entry, "?" ends the evaluation.
        let forwarded: Vec<_> = forwarded.map(|value| value.to_str().unwrap_or("?")).collect();
        let client = Client {
            network: Network::of(proxies.client(peer(request), forwarded.into_iter())),
            unlock_cookie: unlock_cookie::read(request.headers(), public_url),
        };
        Self { client, id: rng::id() }
    }

    /// The `traceparent` of the request. One sent by the client is ignored: it could attach the request to a trace of
    /// another client.
    pub(crate) fn traceparent(self) -> String {
        spans::traceparent(self.id.as_u128())
    }
}

/// The address of the socket's peer.
fn peer(request: &Request) -> IpAddr {
    request.remote_addr().as_socket_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |addr| addr.ip())
}

/// The peer of a request whose `X-Forwarded-For` is ignored because the peer is not a trusted proxy.
pub(crate) fn untrusted_proxy(request: &Request, proxies: &TrustedProxies) -> Option<IpAddr> {
    request.headers().contains_key(FORWARDED_FOR).then(|| peer(request)).filter(|peer| !proxies.trust(*peer))
}

impl<'a> FromRequest<'a> for RequestContext {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> Result<Self> {
        request.data::<Self>().copied().ok_or_else(|| Problem::internal().into())
    }
}
