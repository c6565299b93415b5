//! Who asks: the network that a request comes from, and the id under which it is known.

use std::net::{IpAddr, Ipv4Addr};

use poem::{FromRequest, Request, RequestBody, Result};
use shared::telemetry::traces::spans;
use uuid::Uuid;

use super::problem::{Problem, ProblemKind};
use crate::{
    domain::network::{Network, TrustedProxies},
    rng,
};

#[derive(Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) network: Network,
    /// The id of a request is also the id of the trace that it begins.
    pub(crate) id: Uuid,
}

impl Caller {
    /// The network is what the socket and the proxies of ours tell, and nobody else.
    pub(crate) fn of(request: &Request, proxies: &TrustedProxies) -> Self {
        let socket = request.remote_addr().as_socket_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |addr| addr.ip());
        let forwarded = request.headers().get_all("x-forwarded-for").iter();
        // What is not text was not written by a proxy of ours, and ends the reading like any such thing.
        let forwarded: Vec<_> = forwarded.map(|value| value.to_str().unwrap_or("?")).collect();
        Self { network: Network::of(proxies.client(socket, forwarded.into_iter())), id: rng::id() }
    }

    /// What a client says of a trace of its own is not asked: it could choose whose trace this becomes part of.
    pub(crate) fn traceparent(self) -> String {
        spans::traceparent(self.id.as_u128())
    }
}

impl<'a> FromRequest<'a> for Caller {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> Result<Self> {
        let missing = || Problem::new(ProblemKind::Internal, "It is in our log under this request_id.").into();
        request.data::<Self>().copied().ok_or_else(missing)
    }
}
