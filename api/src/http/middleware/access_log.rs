//! Access log: one log line and one span for each request, with its route, status and duration. Of the successful requests
//! only those are logged that `ACCESS_LOG_SUCCESS_PERCENT` selects.
//!
//! Also counts requests that are aborted before their response.

use std::time::{Duration, Instant};

use poem::{Request, http::StatusCode};
use shared::telemetry::traces::{sampling::SamplingRatio, spans};
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::{http::metric_labels, metrics::Metrics};

/// The status that is logged for an aborted request. The same as the label `metric_labels::CLIENT_GONE`.
const CLIENT_GONE: u16 = 499;

/// The log line of one request. Dropping it without `completed` logs the request as aborted.
#[must_use = "dropping the entry logs the request as aborted"]
pub(crate) struct AccessLogEntry<'a> {
    metrics: &'a Metrics,
    id: Uuid,
    method: &'static str,
    route: &'static str,
    log_span: Span,
    trace_span: Span,
    started_at: Instant,
    is_completed: bool,
}

impl<'a> AccessLogEntry<'a> {
    /// Begins the entry. It names the route and never the requested path, because some paths contain tokens.
    pub(crate) fn begin(request: &Request, id: Uuid, route: Option<&'static str>, metrics: &'a Metrics) -> Self {
        let method = request.method();
        let trace_span = spans::request(id.as_u128(), method.as_str(), route, request.scheme().as_str());
        let route = route.unwrap_or("-");
        let log_span = tracing::info_span!(parent: &trace_span, "request", %id, %method, path = route);
        Self {
            metrics,
            id,
            method: metric_labels::method(method),
            route,
            log_span,
            trace_span,
            started_at: now(),
            is_completed: false,
        }
    }

    /// Runs `work` inside both spans. Log and traces may be enabled independently of each other.
    pub(crate) async fn instrument<T>(&self, work: impl Future<Output = T>) -> T {
        work.instrument(self.log_span.clone()).instrument(self.trace_span.clone()).await
    }

    /// Logs the response, unless it is a success that `ratio` omits, and returns how long the request took.
    pub(crate) fn completed(mut self, status: StatusCode, ratio: SamplingRatio) -> Duration {
        self.is_completed = true;
        self.trace_span.record("http.response.status_code", u64::from(status.as_u16()));
        if status.is_server_error() {
            self.trace_span.record("failed", true);
        }
        let duration = self.elapsed();
        let ms = rounded_ms(duration);
        if is_logged(status, self.id, ratio) {
            self.log_span.in_scope(|| tracing::info!(status = status.as_u16(), ms, "request completed"));
        }
        duration
    }

    fn elapsed(&self) -> Duration {
        now().duration_since(self.started_at)
    }
}

impl Drop for AccessLogEntry<'_> {
    /// Not completed: the client has disconnected, or this process is about to exit.
    fn drop(&mut self) {
        if !self.is_completed {
            self.trace_span.record("failed", true);
            self.metrics.record_client_gone(self.method, self.route, metric_labels::CLIENT_GONE);
            let ms = rounded_ms(self.elapsed());
            self.log_span.in_scope(|| tracing::info!(status = CLIENT_GONE, ms, "request aborted"));
        }
    }
}

/// Whether a request is logged: always if it was rejected or failed, else if its id is among the sampled ones. Ids that a
/// trace exporter with the same ratio records are logged.
fn is_logged(status: StatusCode, id: Uuid, ratio: SamplingRatio) -> bool {
    status.as_u16() >= 400 || ratio.includes(id.as_u128())
}

/// Milliseconds with one decimal.
fn rounded_ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0 * 10.0).round() / 10.0
}

#[expect(clippy::disallowed_methods, reason = "for the log line and the metrics only")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_successes_are_sampled() {
        let id = Uuid::from_u128;
        for status in [100, 200, 202, 204, 302, 304, 399] {
            let status = StatusCode::from_u16(status).unwrap();
            assert!(is_logged(status, id(u128::MAX), SamplingRatio::ALL), "{status}");
            assert!(!is_logged(status, id(0), SamplingRatio::NONE), "{status}");
        }
        for status in [400, 401, 404, 429, 499, 500, 503, 599] {
            let status = StatusCode::from_u16(status).unwrap();
            assert!(is_logged(status, id(u128::MAX), SamplingRatio::NONE), "{status}");
        }
    }

    #[test]
    fn quarter_is_decided_by_the_last_seven_bytes() {
        let quarter = SamplingRatio::from_fraction(0.25);
        let is_logged = |id| is_logged(StatusCode::OK, Uuid::from_u128(id), quarter);
        let first_omitted = 1 << 54;
        assert!(is_logged(0) && is_logged(first_omitted - 1));
        assert!(!is_logged(first_omitted) && !is_logged(u128::MAX));
        // The version and the variant of the UUID are in the other bytes.
        assert!(is_logged((u128::MAX << 56) | (first_omitted - 1)));
    }

    #[test]
    fn only_aborted_requests_are_counted_here() {
        let registry = shared::telemetry::metrics::Registry::default();
        let metrics = Metrics::new(&registry);
        let request = Request::default();
        let begin = || AccessLogEntry::begin(&request, Uuid::nil(), Some("/health"), &metrics);
        begin().completed(StatusCode::OK, SamplingRatio::ALL);
        assert!(!registry.text().contains("vestibule_http_requests_total{"));
        drop(begin());
        let expected = r#"vestibule_http_requests_total{method="GET",path="/health",status="499"} 1"#;
        assert!(registry.text().contains(expected), "{}", registry.text());
    }
}
