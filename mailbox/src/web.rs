//! HTTP server of the inbox: routes of the page, its events, and the REST calls.

mod acceptor;
mod events;
mod mails;
mod middleware;

use std::time::Duration;

use anyhow::Result;
use poem::{EndpointExt, IntoResponse, Route, Server, endpoint::make_sync, get, web::Json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Inbox;

/// Idle connections are closed after this. An open event stream sends its heartbeat more often.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long responses in progress may take after the server was asked to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves HTTP until `stop` is cancelled.
pub(super) async fn serve(inbox: Inbox, listener: TcpListener, stop: CancellationToken) -> Result<()> {
    let file = |content: &'static str, content_type: &'static str| {
        get(make_sync(move |_| content.with_content_type(content_type)))
    };
    let routes = Route::new()
        .at("/", file(include_str!("page.html"), "text/html; charset=utf-8"))
        .at("/page.css", file(include_str!("page.css"), "text/css; charset=utf-8"))
        .at("/page.js", file(include_str!("page.js"), "text/javascript; charset=utf-8"))
        .at("/healthz", get(make_sync(|_| Json(true))))
        .at("/events", get(events::subscribe.data(events::EventStreams::new(stop.clone()))))
        .at("/email", get(mails::list))
        .at("/email/all", poem::delete(mails::delete_all))
        .at("/email/:id", get(mails::get).delete(mails::delete))
        .at("/email/:id/html", get(mails::html))
        .at("/email/:id/source", get(mails::source));
    Server::new_with_acceptor(acceptor::PausingAcceptor::new(listener)?)
        .idle_timeout(IDLE_TIMEOUT)
        .run_with_graceful_shutdown(
            routes.data(inbox).around(middleware::apply),
            async move { stop.cancelled().await },
            Some(DRAIN_TIMEOUT),
        )
        .await?;
    Ok(())
}
