//! The HTTP surface: which path leads where.

mod acceptor;
mod body;
mod caller;
mod docs;
mod edge;
mod framework;
mod health;
mod policy;
mod problem;
mod refused;
mod routes;
mod users;

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use poem::{
    EndpointExt, Route, Server,
    middleware::{NormalizePath, TrailingSlash},
};
use poem_openapi::OpenApiService;
use shared::process::DRAIN;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::App;

pub(crate) async fn serve(
    app: Arc<App>,
    with_docs: bool,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<()> {
    let apis = (
        users::Users { app: Arc::clone(&app) },
        policy::Policies { app: Arc::clone(&app) },
        health::Health { app: Arc::clone(&app) },
    );
    // Relative, so that the page works under whatever name it was reached.
    let service =
        OpenApiService::new(apis, "Vestibule", env!("CARGO_PKG_VERSION")).server("/").description(DESCRIPTION);
    let pages = docs::Pages::of(&service, &app.public_url)?;
    let edge = edge::Edge::new(app, routes::Routes::new(pages.spec(), with_docs));
    let routes = Route::new().nest("/", service);
    let routes = if with_docs { pages.add_to(routes) } else { routes };
    let endpoint = routes.with(NormalizePath::new(TrailingSlash::Trim)).around(move |inner, request| {
        let edge = edge.clone();
        async move { Ok(edge.pass(inner, request).await) }
    });
    let acceptor = acceptor::NoDelay::new(listener)?;
    let told = stop.clone();
    Server::new_with_acceptor(acceptor)
        .run_with_graceful_shutdown(
            endpoint,
            async move { told.cancelled().await },
            Some(DRAIN.saturating_sub(Duration::from_secs(2))),
        )
        .await?;
    Ok(())
}

const DESCRIPTION: &str = "People register with e-mail and password, get a code by mail, and activate with HTTP Basic \
and that code within one minute. Every error is `application/problem+json` (RFC 9457).";
