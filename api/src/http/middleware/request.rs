//! What every request passes on its way in and out: its id, the limit on its body, errors as problems, one log line.

use std::{io, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, TryStreamExt};
use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    error::ReadBodyError,
    http::{HeaderValue, StatusCode, header},
};
use uuid::Uuid;

use crate::{
    app::App,
    error::Error,
    http::{
        caller::Caller,
        metric_labels,
        middleware::access_log::Access,
        problem::{Problem, ProblemKind, framework},
        route_table::Routes,
    },
    metrics::ResponseLabels,
};

const MAX_BODY_BYTES: usize = 16 * 1024;

/// How much of a body that is too large is still taken off the wire, and thrown away.
const MOST_BYTES_HEARD: usize = 1024 * 1024;

/// A body of 16 KiB takes no longer, unless somebody wants it to.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Whatever a request waits for: after this, a part of the service is away.
const TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_ID: &str = "x-request-id";

#[derive(Clone)]
pub(crate) struct RequestMiddleware {
    app: Arc<App>,
    routes: Arc<Routes>,
}

impl RequestMiddleware {
    pub(crate) fn new(app: Arc<App>, routes: Routes) -> Self {
        Self { app, routes: Arc::new(routes) }
    }

    pub(crate) async fn pass<E: Endpoint>(&self, inner: Arc<E>, request: Request) -> Response {
        let caller = Caller::of(&request, &self.app.trusted_proxies);
        let (id, path, method) = (caller.id, request.uri().path().to_owned(), metric_labels::method(request.method()));
        let pattern = self.routes.pattern(&path);
        let access = Access::begin(&request, id, pattern, &self.app.metrics);
        let outcome = access.around(Self::answer(inner, request, caller)).await;
        let problem = outcome.as_ref().err().map(Problem::counted);
        let mut response = outcome.unwrap_or_else(|problem| self.refuse(problem, &path, id));
        if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        let (pattern, status) = (pattern.unwrap_or("-"), metric_labels::status(response.status()));
        let took = access.answered(response.status());
        self.app.metrics.record_response(ResponseLabels { method, pattern, status, problem, took });
        response
    }

    async fn answer<E: Endpoint>(inner: Arc<E>, mut request: Request, caller: Caller) -> Result<Response, Problem> {
        request.set_data(caller);
        limit_body(&mut request).await?;
        match tokio::time::timeout(TIMEOUT, AssertUnwindSafe(inner.call(request)).catch_unwind()).await {
            Ok(Ok(Ok(response))) => Ok(response.into_response()),
            Ok(Ok(Err(error))) if error.is_from_response() => Ok(error.into_response()),
            Ok(Ok(Err(error))) => Err(framework::problem(error)),
            // The panic hook has logged it.
            Ok(Err(_)) => Err(Problem::new(ProblemKind::Internal, "It is in our log under this request_id.")),
            Err(_) => Err(Error::Unavailable(anyhow::anyhow!("no answer within {TIMEOUT:?}")).into()),
        }
    }

    fn refuse(&self, mut problem: Problem, path: &str, id: Uuid) -> Response {
        if problem_status(&problem) == StatusCode::METHOD_NOT_ALLOWED {
            let allowed = self.routes.allowed(path).unwrap_or_default();
            problem.headers.extend(HeaderValue::from_str(allowed).ok().map(|allowed| (header::ALLOW, allowed)));
        }
        problem.respond(&self.app.public_url, id)
    }
}

fn problem_status(problem: &Problem) -> StatusCode {
    poem::error::ResponseError::status(problem)
}

/// Chunked or not, a body is read to its end here or not at all.
async fn limit_body(request: &mut Request) -> Result<(), Problem> {
    let encoded = request.headers().get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
    if encoded {
        return Err(Problem::new(ProblemKind::UnsupportedMediaType, "Send the body without Content-Encoding."));
    }
    let reading = tokio::time::timeout(BODY_TIMEOUT, read_body(request.take_body().into_bytes_stream())).await;
    let body = match reading {
        Ok(read) => read.map_err(|error| framework::body(&error))?,
        Err(_) => return Err(Problem::new(ProblemKind::MalformedRequest, "The body did not arrive in time.")),
    };
    if body.is_empty() && !request.headers().contains_key(header::CONTENT_TYPE) {
        // Nothing needs no type: where a body is optional, it may simply be missing.
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    request.set_body(body);
    Ok(())
}

/// Of a body that is too large some more is taken off the wire: who is still sending does not hear the
/// answer, but a connection that breaks.
async fn read_body(body: impl Stream<Item = io::Result<Bytes>>) -> Result<Vec<u8>, ReadBodyError> {
    let (mut body, mut kept, mut read) = (pin!(body), Vec::new(), 0);
    while let Some(chunk) = body.try_next().await? {
        read += chunk.len();
        if read <= MAX_BODY_BYTES {
            kept.extend_from_slice(&chunk);
        } else if read > MOST_BYTES_HEARD {
            break;
        }
    }
    if read <= MAX_BODY_BYTES { Ok(kept) } else { Err(ReadBodyError::PayloadTooLarge) }
}
