//! Tells open pages that the mails have changed.

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

use super::{super::Inbox, edge};

const MAX_PAGES: usize = 64;

/// How often a page that is gone without a word is found out.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The pages that may listen, and for how long at most.
#[derive(Clone)]
pub(super) struct Pages {
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Pages {
    pub(super) fn new(stop: CancellationToken) -> Pages {
        Pages { places: Arc::new(Semaphore::new(MAX_PAGES)), stop }
    }
}

/// An event says only that there is something to fetch. The first one comes at once: who was away has missed some.
#[handler]
pub(super) fn listen(inbox: Data<&Inbox>, pages: Data<&Pages>) -> Response {
    let Ok(place) = Arc::clone(&pages.places).try_acquire_owned() else {
        return edge::refuse(StatusCode::SERVICE_UNAVAILABLE, "Too many pages are open; close some.");
    };
    let mut changes = inbox.changes();
    changes.mark_changed();
    let events = stream::unfold((changes, pages.stop.clone(), place), |(mut changes, stop, place)| async move {
        tokio::select! {
            changed = changes.changed() => changed.ok()?,
            () = stop.cancelled() => return None,
        }
        Some((Event::message("changed"), (changes, stop, place)))
    });
    SSE::new(events).keep_alive(HEARTBEAT).into_response()
}
