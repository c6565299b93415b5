//! One line in the log for each request, and one span: what was asked for, how it was answered, how long it took.
//! Counts those that nobody waits for to the end.

use std::time::{Duration, Instant};

use poem::{Request, http::StatusCode};
use shared::telemetry::traces::spans;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::{http::metric_labels, metrics::Metrics};

/// The number of `metric_labels::CLIENT_GONE`.
const CLIENT_GONE: u16 = 499;

pub(crate) struct Access<'a> {
    metrics: &'a Metrics,
    method: &'static str,
    pattern: &'static str,
    log: Span,
    traced: Span,
    begun: Instant,
    over: bool,
}

impl<'a> Access<'a> {
    /// The path is never the one that was asked for: there are tokens in some.
    pub(crate) fn begin(request: &Request, id: Uuid, pattern: Option<&'static str>, metrics: &'a Metrics) -> Self {
        let (method, scheme) = (request.method(), request.scheme().as_str());
        let traced = spans::request(id.as_u128(), method.as_str(), pattern, scheme);
        let pattern = pattern.unwrap_or("-");
        let log = tracing::info_span!(parent: &traced, "request", %id, %method, path = pattern);
        Self { metrics, method: metric_labels::method(method), pattern, log, traced, begun: now(), over: false }
    }

    /// Whatever is done meanwhile is part of both; one may be on without the other.
    pub(crate) async fn around<T>(&self, work: impl Future<Output = T>) -> T {
        work.instrument(self.log.clone()).instrument(self.traced.clone()).await
    }

    pub(crate) fn answered(mut self, status: StatusCode) -> Duration {
        self.over = true;
        self.traced.record("http.response.status_code", u64::from(status.as_u16()));
        if status.is_server_error() {
            self.traced.record("failed", true);
        }
        self.note(status.as_u16(), "answered")
    }

    fn note(&self, status: u16, what: &str) -> Duration {
        let took = now().duration_since(self.begun);
        let ms = took.as_secs_f64() * 1000.0;
        self.log.in_scope(|| tracing::info!(status, ms = (ms * 10.0).round() / 10.0, "{what}"));
        took
    }
}

impl Drop for Access<'_> {
    /// Nobody waits for the answer any more, or this process is about to end.
    fn drop(&mut self) {
        if !self.over {
            self.traced.record("failed", true);
            self.metrics.record_client_gone(self.method, self.pattern, metric_labels::CLIENT_GONE);
            self.note(CLIENT_GONE, "given up");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "for the log line and the metrics only")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_here_only_when_it_is_given_up() {
        let all = shared::telemetry::metrics::Registry::default();
        let (metrics, request) = (Metrics::new(&all), Request::default());
        let begin = || Access::begin(&request, Uuid::nil(), Some("/health"), &metrics);
        begin().answered(StatusCode::OK);
        assert!(!all.text().contains("vestibule_http_requests_total{"));
        drop(begin());
        let counted = r#"vestibule_http_requests_total{method="GET",path="/health",status="499"} 1"#;
        assert!(all.text().contains(counted), "{}", all.text());
    }
}
