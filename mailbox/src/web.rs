//! The inbox by HTTP: which path leads where.

mod acceptor;
mod edge;
mod events;
mod mails;

use std::time::Duration;

use anyhow::Result;
use poem::{EndpointExt, IntoResponse, Route, Server, endpoint::make_sync, get, web::Json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Inbox;

/// How long a connection may do nothing. An open event stream does something more often.
const IDLE: Duration = Duration::from_secs(60);

/// How long answers that are on their way may still take once we are told to stop.
const GRACE: Duration = Duration::from_secs(1);

pub(super) async fn show(inbox: Inbox, listener: TcpListener, stop: CancellationToken) -> Result<()> {
    let file = |content: &'static str, content_type: &'static str| {
        get(make_sync(move |_| content.with_content_type(content_type)))
    };
    let routes = Route::new()
        .at("/", file(include_str!("page.html"), "text/html; charset=utf-8"))
        .at("/page.css", file(include_str!("page.css"), "text/css; charset=utf-8"))
        .at("/page.js", file(include_str!("page.js"), "text/javascript; charset=utf-8"))
        .at("/healthz", get(make_sync(|_| Json(true))))
        .at("/events", get(events::listen.data(events::Pages::new(stop.clone()))))
        .at("/email", get(mails::all))
        .at("/email/all", poem::delete(mails::remove_all))
        .at("/email/:id", get(mails::one).delete(mails::remove))
        .at("/email/:id/html", get(mails::html))
        .at("/email/:id/source", get(mails::source));
    Server::new_with_acceptor(acceptor::Careful::new(listener)?)
        .idle_timeout(IDLE)
        .run_with_graceful_shutdown(
            routes.data(inbox).around(edge::pass),
            async move { stop.cancelled().await },
            Some(GRACE),
        )
        .await?;
    Ok(())
}
