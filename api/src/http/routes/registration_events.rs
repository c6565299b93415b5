//! The timeline of a registration as it happens: its receipt, each time that it changes, as server-sent events.

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
    http::{
        caller::Caller,
        json,
        problem::{
            ProblemKind,
            responses::{OperationProblem, OperationProblems, operation_problems},
        },
        server::progress::Progress,
    },
    registration::{
        receipt::{self, Receipt},
        receipt_watch::Subscription,
    },
};

/// Then the client comes again: nobody has a place for ever.
const LIFETIME: Duration = Duration::from_secs(5 * 60);

/// After so long without news it is said that there is none, and what time it is here: so nobody on the way takes the
/// connection for dead, and the page knows that it hears us, and how its clock goes.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// When a client that lost its stream comes again.
const RETRY: &str = "retry: 2000\n\n";

pub(crate) struct RegistrationEvents {
    pub(crate) app: Arc<App>,
}

#[derive(ApiResponse)]
enum Told {
    /// The receipt, now and each time that it changes: `event: receipt`, and its `data` the same JSON that reading it
    /// has. When there was no news for ten seconds, `event: still` with our time in milliseconds. The stream ends after the
    /// last receipt (`activated`, `closed`), or after five minutes: come again.
    #[oai(status = 200)]
    Events(Events),
    /// You have the last one already (`Last-Event-ID`): do not come again.
    #[oai(status = 204)]
    Over,
}

operation_problems! {
    Watches: MalformedRequest, NotFound, TooManyRequests, Internal, Overloaded, Unavailable;
}

#[OpenApi(prefix_path = "/v1")]
impl RegistrationEvents {
    /// Subscribers a receipt
    ///
    /// Who knows the id may watch it, by server-sent events. They tell nothing that reading the receipt again and again
    /// would not.
    #[oai(path = "/registrations/:id/events", method = "get", operation_id = "watch_registration")]
    async fn watch(
        &self,
        caller: Caller,
        progress: Progress,
        id: Path<Uuid>,
        /// What the client saw last.
        #[oai(name = "Last-Event-ID")]
        last: Header<Option<String>>,
    ) -> Result<Told, OperationProblem<Watches>> {
        let receipt = receipt::read(&self.app, id.0).await?;
        if receipt.status.is_last() && last.0.is_some_and(|last| last == Event::of(receipt.clone()).id) {
            return Ok(Told::Over);
        }
        let watcher = self.app.subscribers.join(receipt, caller.network)?;
        Ok(Told::Events(Events(Body::from_bytes_stream(tell(watcher, progress)))))
    }
}

/// What one client is told, piece by piece.
struct Telling {
    watcher: Subscription,
    begun: bool,
    over: bool,
}

fn tell(watcher: Subscription, progress: Progress) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (pieces, told) = mpsc::channel(1);
    // Not in the body: who takes nothing never has it asked for more, and would have a place for ever.
    tokio::spawn(Telling { watcher, begun: false, over: false }.run(pieces));
    stream::unfold((told, progress), async |(mut told, progress)| {
        let piece = told.recv().await?;
        progress.made();
        Some((Ok(piece), (told, progress)))
    })
}

impl Telling {
    async fn run(mut self, pieces: mpsc::Sender<Bytes>) {
        let telling = async {
            while let Some(piece) = self.next().await {
                if pieces.send(piece).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            biased;
            () = tokio::time::sleep(LIFETIME) => {}
            () = pieces.closed() => {}
            () = telling => {}
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        if !std::mem::replace(&mut self.begun, true) {
            return Some(format!("{RETRY}{}", self.event()).into());
        }
        tokio::select! {
            biased;
            changed = self.watcher.news.changed() => changed.ok().map(|()| self.event().into()),
            () = tokio::time::sleep(KEEP_ALIVE) => Some(still().into()),
        }
    }

    fn event(&mut self) -> String {
        let receipt = self.watcher.news.borrow_and_update().clone();
        self.over = receipt.status.is_last();
        let Event { id, data } = Event::of(receipt);
        format!("id: {id}\nevent: receipt\ndata: {data}\n\n")
    }
}

fn still() -> String {
    #[expect(clippy::disallowed_methods, reason = "the same clock that the `Date` of any answer has")]
    let now = std::time::SystemTime::now();
    let millis = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    format!("event: still\ndata: {millis}\n\n")
}

struct Event {
    /// Of equal receipts the same, whichever process tells them.
    id: String,
    data: String,
}

impl Event {
    fn of(receipt: Receipt) -> Self {
        let data = json::Receipt::from(receipt).to_json_string();
        let id = Sha256::digest(data.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { id, data }
    }
}

struct Events(Body);

impl IntoResponse for Events {
    fn into_response(self) -> Response {
        // Some proxies would collect it first.
        Response::builder().content_type(Self::CONTENT_TYPE).header("x-accel-buffering", "no").body(self.0)
    }
}

impl Payload for Events {
    const CONTENT_TYPE: &'static str = "text/event-stream";

    fn schema_ref() -> MetaSchemaRef {
        let items = Some(Box::new(json::Receipt::schema_ref()));
        MetaSchemaRef::Inline(Box::new(MetaSchema { items, ..MetaSchema::new_with_format("array", "event-stream") }))
    }

    fn register(registry: &mut Registry) {
        json::Receipt::register(registry);
    }
}

impl<'a> FromRequest<'a> for Progress {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Ok(request.extensions().get::<Self>().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
