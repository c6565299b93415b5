//! Request middleware: request id, body limit, timeouts, errors as problem documents, access log and metrics.

use std::{io, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, TryStreamExt};
use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    error::{ReadBodyError, ResponseError},
    http::{HeaderValue, StatusCode, header},
};
use shared::telemetry::traces::sampling::SamplingRatio;
use uuid::Uuid;

use crate::{
    app::App,
    domain::network::TrustedProxies,
    error::Error,
    http::{
        metric_labels,
        middleware::access_log::AccessLogEntry,
        problem::{Problem, ProblemKind, from_poem},
        request_context::{RequestContext, untrusted_proxy},
        route_table::RouteTable,
    },
    metrics::ResponseLabels,
};

const MAX_BODY_BYTES: usize = 16 * 1024;

/// How much of a body that is too large is still read, and discarded.
const MAX_DISCARDED_BYTES: usize = 1024 * 1024;

/// Maximum time to receive a body. Enough for 16 KiB, unless the client delays it on purpose.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time to produce a response. When it is exceeded, a dependency does not respond.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

const REQUEST_ID: &str = "x-request-id";

/// The middleware around all routes. Clones share its state.
#[derive(Clone)]
pub(crate) struct RequestMiddleware {
    app: Arc<App>,
    routes: Arc<RouteTable>,
    access_log_ratio: SamplingRatio,
}

impl RequestMiddleware {
    /// Creates the middleware for these routes. Of the successful requests it logs this fraction.
    pub(crate) fn new(app: Arc<App>, routes: RouteTable, access_log_ratio: SamplingRatio) -> Self {
        Self { app, routes: Arc::new(routes), access_log_ratio }
    }

    /// Handles a request with the inner endpoint. Every error and every panic becomes a problem document.
    pub(crate) async fn handle<E: Endpoint>(&self, inner: Arc<E>, request: Request) -> Response {
        let context = RequestContext::new(&request, &self.app.trusted_proxies, &self.app.public_url);
        self.note_untrusted_proxy(&request);
        let id = context.id;
        let path = request.uri().path().to_owned();
        let method = metric_labels::method(request.method());
        let route = self.routes.route(&path);
        let access_log = AccessLogEntry::begin(&request, id, route, &self.app.metrics);

        let outcome = access_log.instrument(call(inner, request, context)).await;
        let problem = outcome.as_ref().err().map(Problem::labels);
        let mut response = outcome.unwrap_or_else(|problem| self.problem_response(problem, &path, id));
        if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }

        let pattern = route.unwrap_or("-");
        let operation = metric_labels::operation(method, pattern);
        let status = metric_labels::status(response.status());
        let took = access_log.completed(response.status(), self.access_log_ratio);
        self.app.metrics.record_response(ResponseLabels { method, pattern, operation, status, problem, took });
        response
    }

    /// Logs the first `X-Forwarded-For` that is ignored: most likely the operator has not named the proxy.
    fn note_untrusted_proxy(&self, request: &Request) {
        if self.app.untrusted_proxy.get().is_none()
            && let Some(peer) = untrusted_proxy(request, &self.app.trusted_proxies)
            && self.app.untrusted_proxy.set(peer).is_ok()
        {
            tracing::warn!("{}", TrustedProxies::hint(peer));
        }
    }

    fn problem_response(&self, mut problem: Problem, path: &str, id: Uuid) -> Response {
        if problem.status() == StatusCode::NOT_FOUND && self.routes.route(path).is_none() {
            problem.detail = self.routes.unknown_path_detail().into();
        }
        if problem.status() == StatusCode::METHOD_NOT_ALLOWED {
            let allowed = self.routes.allowed_methods(path).unwrap_or_default();
            problem.headers.extend(HeaderValue::from_str(allowed).ok().map(|allowed| (header::ALLOW, allowed)));
        }
        problem.into_response(&self.app.public_url, id)
    }
}

async fn call<E: Endpoint>(inner: Arc<E>, mut request: Request, context: RequestContext) -> Result<Response, Problem> {
    request.set_data(context);
    limit_body(&mut request).await?;
    match tokio::time::timeout(RESPONSE_TIMEOUT, AssertUnwindSafe(inner.call(request)).catch_unwind()).await {
        Ok(Ok(Ok(response))) => Ok(response.into_response()),
        Ok(Ok(Err(error))) if error.is_from_response() => Ok(error.into_response()),
        Ok(Ok(Err(error))) => Err(from_poem::problem(error)),
        // The panic hook has logged it.
        Ok(Err(_panic)) => Err(Problem::internal()),
        Err(_elapsed) => Err(Error::Unavailable(anyhow::anyhow!("no response within {RESPONSE_TIMEOUT:?}")).into()),
    }
}

/// Replaces the body of the request by its bytes, whether it is chunked or not, or rejects it.
async fn limit_body(request: &mut Request) -> Result<(), Problem> {
    let is_encoded = request.headers().get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
    if is_encoded {
        let detail = "Compressed bodies are not accepted. Send the body without Content-Encoding.";
        return Err(Problem::new(ProblemKind::UnsupportedMediaType, detail));
    }
    let reading = tokio::time::timeout(BODY_TIMEOUT, read_body(request.take_body().into_bytes_stream())).await;
    let body = match reading {
        Ok(read) => read.map_err(|error| from_poem::body_problem(&error))?,
        Err(_elapsed) => {
            let detail = format!("The body did not arrive within {} seconds. Send it again.", BODY_TIMEOUT.as_secs());
            return Err(Problem::new(ProblemKind::MalformedRequest, detail));
        }
    };
    if body.is_empty() {
        // An empty body is no body, whatever its content type: poem would otherwise reject requests whose optional body
        // is missing.
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    request.set_body(body);
    Ok(())
}

/// Reads the body up to its limit. More of a body that is too large is read and discarded: a client that is still
/// sending when the server closes the connection sees a connection error instead of the response.
async fn read_body(body: impl Stream<Item = io::Result<Bytes>>) -> Result<Vec<u8>, ReadBodyError> {
    let mut body = pin!(body);
    let mut kept = Vec::new();
    let mut bytes_read = 0;
    while let Some(chunk) = body.try_next().await? {
        bytes_read += chunk.len();
        if bytes_read <= MAX_BODY_BYTES {
            kept.extend_from_slice(&chunk);
        } else if bytes_read > MAX_DISCARDED_BYTES {
            break;
        }
    }
    if bytes_read <= MAX_BODY_BYTES { Ok(kept) } else { Err(ReadBodyError::PayloadTooLarge) }
}
