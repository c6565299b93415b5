//! `GET /health`: one look that tells what is wrong.

use std::sync::Arc;

use futures_util::future::try_join;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, payload::Json};
use shared::telemetry::health::soon;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    app::App,
    store::{codes, resets},
};

/// A code that has waited this long for a mail server says that something is wrong with the mail.
const LATE_SECONDS: f64 = 30.0;

pub(crate) struct Health {
    app: Arc<App>,
    looked: Mutex<Option<Look>>,
}

/// What the database said to one who asked.
struct Look {
    began: Instant,
    late: Option<bool>,
}

#[derive(Object)]
struct Report {
    status: State,
    checks: Checks,
}

#[derive(Object)]
struct Checks {
    postgres: State,
    /// Registrations are taken without it, and their mails wait.
    broker: State,
    /// Failing when a code, for a registration or a reset, has waited for a mail server for more than 30 seconds.
    mail: State,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[oai(rename_all = "lowercase")]
enum State {
    Ok,
    Failing,
}

#[derive(ApiResponse)]
enum Answer {
    /// All is well.
    #[oai(status = 200)]
    Well(Json<Report>),
    /// Something is wrong.
    #[oai(status = 503)]
    Unwell(Json<Report>),
}

#[OpenApi]
impl Health {
    /// See what is wrong
    #[oai(path = "/health", method = "get", operation_id = "health")]
    async fn health(&self) -> Answer {
        let late = self.is_any_late().await;
        let checks = Checks {
            postgres: state(late.is_some()),
            broker: state((self.app.delivery.is_up)()),
            mail: state(late == Some(false)),
        };
        let well = [checks.postgres, checks.broker, checks.mail].iter().all(|check| *check == State::Ok);
        let report = Json(Report { status: state(well), checks });
        if well { Answer::Well(report) } else { Answer::Unwell(report) }
    }
}

impl Health {
    pub(crate) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app), looked: Mutex::default() }
    }

    /// One looks for all who came before he began: nobody is told what is older than his question, and however many ask,
    /// they take one connection. `None` when the database does not tell, or not in time.
    async fn is_any_late(&self) -> Option<bool> {
        let asked = Instant::now();
        let mut looked = self.looked.lock().await;
        if let Some(look) = looked.as_ref().filter(|look| look.began >= asked) {
            return look.late;
        }
        let began = Instant::now();
        let late = soon(self.look()).await.flatten();
        *looked = Some(Look { began, late });
        late
    }

    async fn look(&self) -> Option<bool> {
        let connection = self.app.store.connection().await.ok()?;
        let late = try_join(codes::any_late(&connection, LATE_SECONDS), resets::any_late(&connection, LATE_SECONDS));
        late.await.ok().map(|(code, reset)| code || reset)
    }
}

fn state(ok: bool) -> State {
    if ok { State::Ok } else { State::Failing }
}
