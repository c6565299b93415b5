//! The HTTP surface of the API: routes, middleware, the server below them, problem documents and the web app.

mod bearer;
mod cached_page;
mod csp;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod json;
mod language;
mod metric_labels;
pub(crate) mod middleware;
pub(crate) mod paths;
mod problem;
mod request_context;
mod route_table;
pub(crate) mod routes;
pub(crate) mod server;
mod unlock_cookie;
mod web_app;

use std::{net::IpAddr, sync::Arc, time::Duration};

use anyhow::Result;
use poem::{
    Endpoint, EndpointExt, IntoResponse, Route,
    middleware::{NormalizePath, TrailingSlash},
};
use poem_openapi::{OpenApi, OpenApiService};
use shared::telemetry::traces::sampling::SamplingRatio;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    http::{
        middleware::{
            cors::{self, AllowedOrigins},
            request::RequestMiddleware,
            security_headers::SecurityHeaders,
        },
        route_table::RouteTable,
        routes::{
            docs::DocsPages, health::Health, not_me, passwords::Passwords, policy::Policies, problems,
            registration_events::RegistrationEvents, sessions::Sessions, unlock, users::Users,
        },
        server::{
            accept_loop::{self, Server},
            connection_limit::ConnectionLimit,
            tls::Tls,
        },
    },
};

/// Settings of the HTTP server and of the pages it serves.
pub(crate) struct Transport {
    /// Whether the OpenAPI document and its pages are served.
    pub(crate) docs: bool,
    pub(crate) max_connections: usize,
    /// Origins of web pages that may call the API from a browser (CORS).
    pub(crate) origins: AllowedOrigins,
    /// `None`: plain HTTP.
    pub(crate) tls: Option<Tls>,
    /// Which successful requests are logged.
    pub(crate) access_log_ratio: SamplingRatio,
}

/// Serves HTTP on `listener` until `stop` is cancelled and the open connections have drained, which may take as long as
/// `drain`.
pub(crate) async fn serve(
    app: Arc<App>,
    transport: Transport,
    drain: Duration,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<()> {
    let Transport { docs, max_connections, origins, tls, access_log_ratio } = transport;
    let proxies = app.trusted_proxies.clone();
    // Exempt from the limit per network: a trusted proxy carries many clients, and loopback connections come from the
    // operator.
    let is_limited = move |address: IpAddr| !address.to_canonical().is_loopback() && !proxies.trust(address);
    let server = Server {
        open_connections: app.metrics.connections.clone(),
        endpoint: Arc::new(endpoint(app, docs, origins, access_log_ratio)?),
        connection_limit: ConnectionLimit::new(max_connections, is_limited),
        tls: tls.clone(),
        drain,
    };
    let reload_certificate = async {
        match &tls {
            Some(tls) => tls.reload_on_change().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = accept_loop::run(listener, server, stop) => Ok(()),
        never = reload_certificate => match never {},
    }
}

/// Builds the endpoint, from the outside in: CORS and security headers, request middleware, CORS preflights, routes.
fn endpoint(
    app: Arc<App>,
    with_docs: bool,
    origins: AllowedOrigins,
    access_log_ratio: SamplingRatio,
) -> Result<impl Endpoint + 'static> {
    let security_headers = SecurityHeaders::new(&app.public_url);
    let not_me_page = not_me::page(Arc::clone(&app));
    let unlock_page = unlock::page(Arc::clone(&app));
    let web_app = Arc::new(web_app::page(app.policy.password_min_length, with_docs));
    let service = {
        let app = Arc::clone(&app);
        move || service(&app)
    };
    let docs = DocsPages::new(&service(), &app)?;
    let request_middleware = RequestMiddleware::new(app, RouteTable::new(docs.spec(), with_docs), access_log_ratio);

    let routes = Route::new()
        .nest("/", service())
        .at(paths::NOT_ME_ROUTE, not_me_page)
        .at(paths::UNLOCK_ROUTE, unlock_page)
        .at(paths::PROBLEM_ROUTE, problems::page())
        .at(paths::FAVICON, web_app::favicon());
    let routes = if with_docs { docs.add_to(routes, service) } else { routes };
    let preflight_origins = origins.clone();
    let routes = routes.with(NormalizePath::new(TrailingSlash::Trim)).around(move |inner, request| {
        // Not a route of its own: the service that is nested at `/` also matches exactly `/`.
        let web_app = (request.uri().path() == paths::WEB_APP).then(|| Arc::clone(&web_app));
        let preflight = preflight_origins.preflight(&request);
        async move {
            match (preflight, web_app) {
                (Some(response), _) => Ok(response),
                (None, Some(web_app)) => web_app.call(request).await,
                (None, None) => inner.call(request).await.map(IntoResponse::into_response),
            }
        }
    });
    Ok(routes.around(move |inner, request| {
        let request_middleware = request_middleware.clone();
        let origin = origins.allowed_origin(&request);
        async move {
            let mut response = request_middleware.handle(inner, request).await;
            security_headers.add_to(&mut response);
            if let Some(origin) = origin {
                cors::allow(&mut response, origin);
            }
            Ok(response)
        }
    }))
}

fn service(app: &Arc<App>) -> OpenApiService<impl OpenApi + use<>, ()> {
    let apis = (
        Users { app: Arc::clone(app) },
        RegistrationEvents { app: Arc::clone(app) },
        Sessions { app: Arc::clone(app) },
        Passwords { app: Arc::clone(app) },
        Policies { app: Arc::clone(app) },
        Health::new(app),
    );
    // A relative server URL, so that the docs pages work under any host name.
    OpenApiService::new(apis, "Vestibule", env!("CARGO_PKG_VERSION")).server("/").description(DESCRIPTION)
}

/// The description in the OpenAPI document.
const DESCRIPTION: &str = "Sign-up service. Users register with an email address and a password, receive a code by \
mail, and activate the account with HTTP Basic and that code within one minute; then they log in and receive a bearer \
token. Every error is an `application/problem+json` document (RFC 9457).";
