//! Server-sent events that notify open pages of changes to the mails.

use std::{sync::Arc, time::Duration};

use futures_util::stream;
use poem::{
    IntoResponse, Response, handler,
    http::StatusCode,
    web::{
        Data,
        sse::{Event, SSE},
    },
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{super::Inbox, middleware::error_response};

const MAX_EVENT_STREAMS: usize = 64;

/// A page that disappeared without closing its connection is detected within about this time.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// Limits the number of open event streams and ends them when the server stops.
#[derive(Clone)]
pub(super) struct EventStreams {
    permits: Arc<Semaphore>,
    stop: CancellationToken,
}

impl EventStreams {
    /// Streams end when `stop` is cancelled.
    pub(super) fn new(stop: CancellationToken) -> EventStreams {
        EventStreams { permits: Arc::new(Semaphore::new(MAX_EVENT_STREAMS)), stop }
    }
}

/// `GET /events`: sends `changed` whenever the page should fetch the list again.
///
/// The first event is sent immediately, because a page that reconnects may have missed changes.
#[handler]
pub(super) fn subscribe(inbox: Data<&Inbox>, streams: Data<&EventStreams>) -> Response {
    let Ok(permit) = Arc::clone(&streams.permits).try_acquire_owned() else {
        return error_response(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many inbox pages are open (64). Close some, then try again.",
        );
    };
    let mut changes = inbox.subscribe();
    changes.mark_changed();
    let events = stream::unfold((changes, streams.stop.clone(), permit), |(mut changes, stop, permit)| async move {
        tokio::select! {
            changed = changes.changed() => changed.ok()?,
            () = stop.cancelled() => return None,
        }
        Some((Event::message("changed"), (changes, stop, permit)))
    });
    SSE::new(events).keep_alive(HEARTBEAT_INTERVAL).into_response()
}
