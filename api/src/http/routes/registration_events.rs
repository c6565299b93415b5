//! Server-sent events (SSE) of a registration: its receipt, now and each time that it changes.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, stream};
use poem::{Body, FromRequest, IntoResponse, Request, RequestBody, Response};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path},
    payload::Payload,
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    app::App,
    domain::receipt::Receipt,
    http::{
        json::ReceiptBody,
        problem::{
            ProblemKind,
            responses::{OperationProblem, OperationProblems, operation_problems},
        },
        request_context::RequestContext,
        server::progress::Progress,
    },
    registration::{receipt, subscribers::Subscription},
};

/// Maximum lifetime of a stream, so that no client keeps a subscription forever. The client then reconnects.
const LIFETIME: Duration = Duration::from_secs(5 * 60);

/// A stream without a new receipt for this long sends a `still` event with the server's time. It keeps proxies from
/// closing the connection, and shows the web app that the stream works and how far the device's clock is off.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The reconnection time of the stream: a client that has lost it reconnects after two seconds.
const RETRY: &str = "retry: 2000\n\n";

/// The operation that streams the events.
pub(crate) struct RegistrationEvents {
    pub(crate) app: Arc<App>,
}

#[derive(ApiResponse)]
enum EventsResponse {
    /// The receipt, now and each time that it changes: `event: receipt` with the same JSON in `data` as the receipt
    /// itself. After ten seconds without a change: `event: still` with the server's time in milliseconds. The stream
    /// ends after the last receipt (`activated`, `closed`), or after five minutes; then reconnect.
    #[oai(status = 200)]
    Events(EventStream),
    /// The client already has the last receipt (`Last-Event-ID`). Do not reconnect.
    #[oai(status = 204)]
    Ended,
}

operation_problems! {
    WatchProblems: MalformedRequest, NotFound, TooManyRequests, Internal, Overloaded, Unavailable;
}

#[OpenApi(prefix_path = "/v1")]
impl RegistrationEvents {
    /// Subscribe to a receipt
    ///
    /// Streams the receipt as server-sent events. Requires no credentials but the id. The events contain nothing that
    /// reading the receipt repeatedly would not return.
    #[oai(path = "/registrations/:id/events", method = "get", operation_id = "watch_registration")]
    async fn watch(
        &self,
        context: RequestContext,
        progress: Progress,
        id: Path<Uuid>,
        /// The id of the last event that the client received.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header<Option<String>>,
    ) -> Result<EventsResponse, OperationProblem<WatchProblems>> {
        let receipt = receipt::read(&self.app, id.0).await?;
        if receipt.status.is_last() && last_event_id.0.is_some_and(|id| id == ReceiptEvent::new(receipt.clone()).id) {
            return Ok(EventsResponse::Ended);
        }
        let subscription = self.app.subscribers.join(receipt, context.client.network)?;
        let body = Body::from_bytes_stream(event_stream(subscription, progress));
        Ok(EventsResponse::Events(EventStream(body)))
    }
}

/// The events for one subscription, each recorded as progress of the connection when it is sent.
fn event_stream(
    subscription: Subscription,
    progress: Progress,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(1);
    // A task holds the subscription, not the body: the body of a client that does not read is never polled, so its
    // lifetime would never end.
    tokio::spawn(EventSource { subscription, has_begun: false, has_ended: false }.run(sender));
    stream::unfold((receiver, progress), async |(mut receiver, progress)| {
        let event = receiver.recv().await?;
        progress.record();
        Some((Ok(event), (receiver, progress)))
    })
}

/// Produces the events of one stream.
struct EventSource {
    subscription: Subscription,
    has_begun: bool,
    /// The last receipt has been sent.
    has_ended: bool,
}

impl EventSource {
    /// Sends events until the last receipt, the end of `LIFETIME` or the client's disconnect.
    async fn run(mut self, sender: mpsc::Sender<Bytes>) {
        let send_all = async {
            while let Some(event) = self.next().await {
                if sender.send(event).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            biased;
            () = tokio::time::sleep(LIFETIME) => {}
            () = sender.closed() => {}
            () = send_all => {}
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        if self.has_ended {
            return None;
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some(format!("{RETRY}{}", self.receipt_event()).into());
        }
        tokio::select! {
            biased;
            changed = self.subscription.updates.changed() => changed.ok().map(|()| self.receipt_event().into()),
            () = tokio::time::sleep(KEEP_ALIVE) => Some(keep_alive_event().into()),
        }
    }

    fn receipt_event(&mut self) -> String {
        let receipt = self.subscription.updates.borrow_and_update().clone();
        self.has_ended = receipt.status.is_last();
        let ReceiptEvent { id, data } = ReceiptEvent::new(receipt);
        format!("id: {id}\nevent: receipt\ndata: {data}\n\n")
    }
}

fn keep_alive_event() -> String {
    #[expect(clippy::disallowed_methods, reason = "the same clock as in the `Date` header of responses")]
    let now = std::time::SystemTime::now();
    let millis = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    format!("event: still\ndata: {millis}\n\n")
}

struct ReceiptEvent {
    /// A hash of the receipt: equal receipts have equal ids, in every API process.
    id: String,
    data: String,
}

impl ReceiptEvent {
    fn new(receipt: Receipt) -> Self {
        let data = ReceiptBody::from(receipt).to_json_string();
        let id = Sha256::digest(data.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { id, data }
    }
}

/// A response body of server-sent events.
struct EventStream(Body);

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        // Asks proxies (nginx) not to buffer the response.
        Response::builder().content_type(Self::CONTENT_TYPE).header("x-accel-buffering", "no").body(self.0)
    }
}

impl Payload for EventStream {
    const CONTENT_TYPE: &'static str = "text/event-stream";

    fn schema_ref() -> MetaSchemaRef {
        let items = Some(Box::new(ReceiptBody::schema_ref()));
        MetaSchemaRef::Inline(Box::new(MetaSchema { items, ..MetaSchema::new_with_format("array", "event-stream") }))
    }

    fn register(registry: &mut Registry) {
        ReceiptBody::register(registry);
    }
}

/// The progress of the request's connection, which the server attached to the request.
impl<'a> FromRequest<'a> for Progress {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Ok(request.extensions().get::<Self>().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
