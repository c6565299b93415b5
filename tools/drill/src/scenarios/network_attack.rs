//! Concurrent requests about one email address or mailbox, from one network after another.

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Environment, Row, compare_grants};
use crate::{client::retry_overloaded, response::Response, sources::Source};

/// Requests of each network beyond what the policy promises it: enough to show that the limit is not enforced.
const EXCESS_REQUESTS: u64 = 3;
/// So that the attack ends whatever the policy promises.
const MAX_REQUESTS_PER_NETWORK: u64 = 50;
const MAX_NETWORKS: usize = 40;

/// What the networks were granted so far.
pub(super) struct NetworkAttack<'e> {
    environment: &'e Environment,
    /// Whether a response grants what is counted.
    is_granted: fn(&Response) -> bool,
    pub(super) responses: Vec<Response>,
    granted: u64,
    max_granted_to_network: u64,
}

/// What the policy promises at most.
#[derive(Clone, Copy)]
pub(super) struct Promise {
    pub(super) to_all: u64,
    pub(super) to_network: u64,
}

impl<'e> NetworkAttack<'e> {
    pub(super) fn new(environment: &'e Environment, is_granted: fn(&Response) -> bool) -> Self {
        Self { environment, is_granted, responses: vec![], granted: 0, max_granted_to_network: 0 }
    }

    /// Sends more concurrent requests from a network than the policy promises it. Returns how many were granted.
    pub(super) async fn send_from(
        &mut self,
        source: Source,
        promise: Promise,
        send: &impl AsyncFn(Source) -> Result<Response>,
    ) -> Result<u64> {
        let count = usize::try_from(promise.to_network.min(MAX_REQUESTS_PER_NETWORK) + EXCESS_REQUESTS)?;
        let requests = stream::iter(0..count).map(|_| retry_overloaded(move || send(source)));
        let responses: Vec<_> = requests.buffer_unordered(count).try_collect().await?;
        let granted = responses.iter().filter(|response| (self.is_granted)(response)).count();
        let granted = u64::try_from(granted)?;
        self.responses.extend(responses);
        self.granted += granted;
        self.max_granted_to_network = self.max_granted_to_network.max(granted);
        Ok(granted)
    }

    /// The same from further networks, until one is granted nothing or all together more than the policy promises.
    pub(super) async fn send_from_new_networks(
        &mut self,
        promise: Promise,
        send: &impl AsyncFn(Source) -> Result<Response>,
    ) -> Result<()> {
        let client = &self.environment.client;
        for _ in 0..MAX_NETWORKS {
            if !client.has_many_networks() || client.is_out_of_time() || self.granted > promise.to_all {
                break;
            }
            if self.send_from(client.next_source(), promise, send).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Compares the grants with the promise: those of all networks together, and the most of one.
    pub(super) fn rows(&self, [all, network]: [&str; 2], promise: Promise) -> Result<Vec<Row>> {
        let all = if self.environment.client.has_real_networks() {
            compare_grants(all, &self.responses, self.granted, promise.to_all)?
        } else {
            Row::not_tried(all, "all requests come from one network")
        };
        Ok(vec![all, compare_grants(network, &self.responses, self.max_granted_to_network, promise.to_network)?])
    }
}
