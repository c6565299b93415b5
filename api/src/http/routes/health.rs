//! `GET /health`: the state of the service and its dependencies, for monitoring.

use std::sync::Arc;

use futures_util::future::try_join;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, payload::Json};
use shared::telemetry::health::with_check_timeout;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    app::App,
    store::{codes, resets},
};

/// The mail check fails when a code has waited longer than this for a mail server to accept it.
const LATE_SECONDS: f64 = 30.0;

/// The health operation. Concurrent requests share one database query.
pub(crate) struct Health {
    app: Arc<App>,
    last_probe: Mutex<Option<Probe>>,
}

/// The result of one database query.
struct Probe {
    started_at: Instant,
    /// Whether mails are late; `None` if the database did not respond in time.
    is_mail_late: Option<bool>,
}

#[derive(Object)]
#[oai(rename = "Report")]
struct HealthBody {
    status: HealthState,
    checks: HealthChecks,
}

#[derive(Object)]
#[oai(rename = "Checks")]
struct HealthChecks {
    postgres: HealthState,
    /// Without the broker, registrations are accepted and their mails wait.
    broker: HealthState,
    /// `failing` when a code, for a registration or a reset, has waited for a mail server for more than 30 seconds.
    mail: HealthState,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[oai(rename = "State", rename_all = "lowercase")]
enum HealthState {
    Ok,
    Failing,
}

#[derive(ApiResponse)]
enum HealthResponse {
    /// All checks pass.
    #[oai(status = 200)]
    Healthy(Json<HealthBody>),
    /// At least one check fails.
    #[oai(status = 503)]
    Unhealthy(Json<HealthBody>),
}

#[OpenApi]
impl Health {
    /// Check the health of the service
    #[oai(path = "/health", method = "get", operation_id = "health")]
    async fn health(&self) -> HealthResponse {
        let is_mail_late = self.is_mail_late().await;
        let checks = HealthChecks {
            postgres: state(is_mail_late.is_some()),
            broker: state((self.app.delivery.is_up)()),
            mail: state(is_mail_late == Some(false)),
        };
        let is_healthy = [checks.postgres, checks.broker, checks.mail].iter().all(|check| *check == HealthState::Ok);
        let body = Json(HealthBody { status: state(is_healthy), checks });
        if is_healthy { HealthResponse::Healthy(body) } else { HealthResponse::Unhealthy(body) }
    }
}

impl Health {
    /// Creates the operation. No probe has run yet.
    pub(crate) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app), last_probe: Mutex::default() }
    }

    /// Whether mails are late. `None` if the database does not respond in time.
    ///
    /// One probe serves all requests that arrived before it started. So no result is older than its request, and any
    /// number of concurrent requests use one connection.
    async fn is_mail_late(&self) -> Option<bool> {
        let requested_at = Instant::now();
        let mut last_probe = self.last_probe.lock().await;
        if let Some(probe) = last_probe.as_ref().filter(|probe| probe.started_at >= requested_at) {
            return probe.is_mail_late;
        }
        let started_at = Instant::now();
        let is_mail_late = with_check_timeout(self.probe()).await.flatten();
        *last_probe = Some(Probe { started_at, is_mail_late });
        is_mail_late
    }

    async fn probe(&self) -> Option<bool> {
        let connection = self.app.store.connection().await.ok()?;
        let late = try_join(codes::any_late(&connection, LATE_SECONDS), resets::any_late(&connection, LATE_SECONDS));
        late.await.ok().map(|(code, reset)| code || reset)
    }
}

fn state(ok: bool) -> HealthState {
    if ok { HealthState::Ok } else { HealthState::Failing }
}
