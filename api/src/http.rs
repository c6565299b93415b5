//! The HTTP surface: which path leads where.

mod bearer;
mod cached_page;
mod caller;
mod csp;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod json;
mod language;
mod metric_labels;
pub(crate) mod middleware;
mod problem;
mod route_table;
pub(crate) mod routes;
pub(crate) mod server;
mod web_app;

use std::{net::IpAddr, sync::Arc};

use anyhow::Result;
use poem::{
    Endpoint, EndpointExt, IntoResponse, Route,
    middleware::{NormalizePath, TrailingSlash},
};
use poem_openapi::{OpenApi, OpenApiService};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    http::{
        middleware::{cors::Origins, security_headers::Headers},
        server::{accept_loop::Server, connection_limit::ConnectionLimit, tls::Tls},
    },
};

/// What is set about the way to us, not about what happens here.
pub(crate) struct Transport {
    pub(crate) docs: bool,
    pub(crate) max_connections: usize,
    pub(crate) origins: Origins,
    pub(crate) tls: Option<Tls>,
}

pub(crate) async fn serve(
    app: Arc<App>,
    transport: Transport,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<()> {
    let Transport { docs, max_connections, origins, tls } = transport;
    let proxies = app.trusted_proxies.clone();
    // Many may come through a proxy, and from this machine comes whoever runs it.
    let counts = move |address: IpAddr| !address.to_canonical().is_loopback() && !proxies.trust(address);
    let house = Server {
        open: Arc::clone(&app.metrics.connections),
        endpoint: Arc::new(endpoint(app, docs, origins)?),
        places: ConnectionLimit::new(max_connections, counts),
        tls: tls.clone(),
    };
    let certificate = async {
        match &tls {
            Some(tls) => tls.keep_up().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = crate::http::server::accept_loop::run(listener, house, stop) => Ok(()),
        never = certificate => match never {},
    }
}

/// From the outside in: headers for browsers; the edge; preflights; the paths.
fn endpoint(app: Arc<App>, with_docs: bool, origins: Origins) -> Result<impl Endpoint + 'static> {
    let headers = Headers::new(&app.public_url);
    let (of_app, not_me) = (Arc::clone(&app), crate::http::routes::not_me::page(Arc::clone(&app)));
    let web_app = Arc::new(web_app::page(app.policy.password_min_length, with_docs));
    let service = move || service(&of_app);
    let pages = crate::http::routes::docs::Pages::of(&service(), &app)?;
    let edge = crate::http::middleware::request::RequestMiddleware::new(
        app,
        route_table::Routes::new(pages.spec(), with_docs),
    );
    let routes = Route::new().nest("/", service()).at(crate::http::routes::not_me::PATTERN, not_me);
    let routes = if with_docs { pages.add_to(routes, service) } else { routes };
    let asked = origins.clone();
    let routes = routes.with(NormalizePath::new(TrailingSlash::Trim)).around(move |inner, request| {
        // What is nested at `/` takes that, too.
        let web_app = (request.uri().path() == "/").then(|| Arc::clone(&web_app));
        let preflight = asked.preflight(&request);
        async move {
            match (preflight, web_app) {
                (Some(answer), _) => Ok(answer),
                (None, Some(web_app)) => web_app.call(request).await,
                (None, None) => inner.call(request).await.map(IntoResponse::into_response),
            }
        }
    });
    Ok(routes.around(move |inner, request| {
        let (edge, origin) = (edge.clone(), origins.of(&request));
        async move {
            let mut response = edge.pass(inner, request).await;
            headers.complete(&mut response);
            if let Some(origin) = origin {
                crate::http::middleware::cors::open(&mut response, origin);
            }
            Ok(response)
        }
    }))
}

fn service(app: &Arc<App>) -> OpenApiService<impl OpenApi + use<>, ()> {
    let apis = (
        crate::http::routes::users::Users { app: Arc::clone(app) },
        crate::http::routes::registration_events::RegistrationEvents { app: Arc::clone(app) },
        crate::http::routes::sessions::Sessions { app: Arc::clone(app) },
        crate::http::routes::passwords::Passwords { app: Arc::clone(app) },
        crate::http::routes::policy::Policies { app: Arc::clone(app) },
        crate::http::routes::health::Health::new(app),
    );
    // Relative, so that the page works under whatever name it was reached.
    OpenApiService::new(apis, "Vestibule", env!("CARGO_PKG_VERSION")).server("/").description(DESCRIPTION)
}

const DESCRIPTION: &str = "People register with e-mail and password, get a code by mail, and activate with HTTP Basic \
and that code within one minute; then they log in and have a token. Every error is `application/problem+json` (RFC 9457).";
