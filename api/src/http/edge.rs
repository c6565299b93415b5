//! What every request passes on its way in and out: its id, the limit on its body, errors as problems, one log line.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    error::ReadBodyError,
    http::{HeaderValue, StatusCode, header},
};
use tokio::io::{AsyncRead, AsyncReadExt};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    caller::Caller,
    framework,
    problem::{Kind, Problem},
    routes::Routes,
};
use crate::{App, refusal::Refusal};

const MAX_BODY_BYTES: usize = 16 * 1024;

/// How much of a body that is too large is still taken off the wire, and thrown away.
const MOST_BYTES_HEARD: usize = 1024 * 1024;

/// A body of 16 KiB takes no longer, unless somebody wants it to.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Whatever a request waits for: after this, a part of the service is away.
const TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_ID: &str = "x-request-id";

#[derive(Clone)]
pub(super) struct Edge {
    app: Arc<App>,
    routes: Arc<Routes>,
}

impl Edge {
    pub(super) fn new(app: Arc<App>, routes: Routes) -> Self {
        Self { app, routes: Arc::new(routes) }
    }

    pub(super) async fn pass<E: Endpoint>(&self, inner: Arc<E>, request: Request) -> Response {
        let (caller, begun) = (Caller::of(&request, &self.app.trusted_proxies), now());
        let id = caller.id;
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let pattern = self.routes.pattern(&path).unwrap_or("-");
        let span = tracing::info_span!("request", %id, %method, path = pattern);
        let outcome = Self::answer(inner, request, caller).instrument(span.clone()).await;
        let mut response = outcome.unwrap_or_else(|problem| self.refuse(problem, &path, id));
        if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        span.in_scope(|| {
            let (status, ms) = (response.status().as_u16(), now().duration_since(begun).as_secs_f64() * 1000.0);
            tracing::info!(status, ms = (ms * 10.0).round() / 10.0, "answered");
        });
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
            Ok(Err(_)) => Err(Problem::new(Kind::Internal, "It is in our log under this request_id.")),
            Err(_) => Err(Refusal::Unavailable(anyhow::anyhow!("no answer within {TIMEOUT:?}")).into()),
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
        return Err(Problem::new(Kind::UnsupportedMediaType, "Send the body without Content-Encoding."));
    }
    let reading = tokio::time::timeout(BODY_TIMEOUT, read_body(request.take_body().into_async_read())).await;
    let body = match reading {
        Ok(read) => read.map_err(|error| framework::body(&error))?,
        Err(_) => return Err(Problem::new(Kind::MalformedRequest, "The body did not arrive in time.")),
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
async fn read_body(mut body: impl AsyncRead + Unpin) -> Result<Vec<u8>, ReadBodyError> {
    let (mut kept, mut chunk, mut read) = (Vec::new(), vec![0; 4096], 0);
    loop {
        match body.read(&mut chunk).await? {
            0 if read <= MAX_BODY_BYTES => return Ok(kept),
            0 => return Err(ReadBodyError::PayloadTooLarge),
            more => {
                read += more;
                if read <= MAX_BODY_BYTES {
                    kept.extend_from_slice(&chunk[..more]);
                } else if read > MOST_BYTES_HEARD {
                    return Err(ReadBodyError::PayloadTooLarge);
                }
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "for the log line only")]
fn now() -> Instant {
    Instant::now()
}
