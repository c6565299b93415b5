//! What every request handler knows about its request: the client's network and the request id.

use std::net::{IpAddr, Ipv4Addr};

use poem::{FromRequest, Request, RequestBody, Result};
use shared::telemetry::traces::spans;
use uuid::Uuid;

use super::problem::Problem;
use crate::{
    domain::network::{Network, TrustedProxies},
    rng,
};

/// The client's network and the id of a request. The request middleware makes it; handlers extract it.
#[derive(Clone, Copy)]
pub(crate) struct RequestContext {
    pub(crate) network: Network,
    /// The request id, also the id of the trace that the request begins.
    pub(crate) id: Uuid,
}

impl RequestContext {
    /// Creates a new id, and determines the client's network from the socket and from what trusted proxies forwarded.
    pub(crate) fn new(request: &Request, proxies: &TrustedProxies) -> Self {
        let socket = request.remote_addr().as_socket_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |addr| addr.ip());
        let forwarded = request.headers().get_all("x-forwarded-for").iter();
        // A value that is not text was not written by a trusted proxy. Like any invalid entry, "?" ends the evaluation.
        let forwarded: Vec<_> = forwarded.map(|value| value.to_str().unwrap_or("?")).collect();
        Self { network: Network::of(proxies.client(socket, forwarded.into_iter())), id: rng::id() }
    }

    /// The `traceparent` of the request. One sent by the client is ignored: it could attach the request to a trace of
    /// another client.
    pub(crate) fn traceparent(self) -> String {
        spans::traceparent(self.id.as_u128())
    }
}

impl<'a> FromRequest<'a> for RequestContext {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> Result<Self> {
        request.data::<Self>().copied().ok_or_else(|| Problem::internal().into())
    }
}
