//! Composition: starts all parts of the service, runs them, and stops them in order (API, relay and worker; inbox;
//! database).

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use api::{OutboxDelivery, Services};
use mailbox::Inbox;
use secrecy::ExposeSecret;
use shared::telemetry::{metrics::Registry, traces::Traces};
use shared::{
    postgres::{self, Pool},
    shutdown::{self, Tasks},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use worker::WorkerHealth;

use crate::{
    arguments::Arguments,
    banner,
    data_folder::DataFolder,
    database::{self, EmbeddedDatabase},
    delivery,
    listeners::{InboxListeners, Listeners},
    settings::Settings,
};

/// Runs the service until SIGINT or SIGTERM, or until a part fails.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let mut settings = Settings::from_environment();
    let stop = shutdown::stop_on_signals()?;
    let traces = Traces::start("vestibule")?;
    shared::telemetry::log::start(settings.get("LOG_FORMAT").unwrap_or("text"), traces.as_ref())?;
    settings.check_production()?;
    // First of all: a port in use must leave no files behind.
    let listeners = Listeners::bind(&settings, arguments.port).await?;
    let data = if settings.need_data_folder() { Some(DataFolder::open(&arguments)?) } else { None };
    complete(&mut settings, &listeners, data.as_ref())?;
    let embedded = match &data {
        Some(data) if !settings.is_set("DATABASE_URL") => Some(start_database(data).await?),
        _ => None,
    };
    let banner = banner::text(&listeners, &settings, data.as_ref())?;
    if let Some(embedded) = &embedded {
        settings.set("DATABASE_URL", embedded.url());
    }

    let Listeners { api, ops, inbox } = listeners;
    // The inbox has its own token: it stops after the service, which may still deliver mails while it drains.
    let stop_inbox = CancellationToken::new();
    let stop_service = stop.clone();
    let service = async {
        let database = connect(&settings, data.as_ref().filter(|_| embedded.is_some())).await?;
        banner::print(&banner);
        serve(&settings, database, api, ops, stop_service).await
    };
    let service = async {
        let ended = service.await;
        stop_inbox.cancel();
        ended
    };
    let inbox = serve_inbox(inbox, data.as_ref(), stop_inbox.clone());
    let inbox = async {
        let ended = inbox.await;
        stop.cancel();
        ended
    };
    let (service_result, inbox_result) = tokio::join!(service, inbox);
    if let Some(traces) = traces {
        traces.end().await;
    }
    if let Some(embedded) = embedded {
        embedded.close().await?;
    }
    service_result.and(inbox_result)
}

/// Sets `PUBLIC_URL`, `SMTP_URL`, `CODE_SECRETS` and `SUBJECT_KEY` where the environment does not.
fn complete(settings: &mut Settings, listeners: &Listeners, data: Option<&DataFolder>) -> Result<()> {
    if !settings.is_set("PUBLIC_URL") {
        let scheme = if settings.is_set("TLS_CERT") { "https" } else { "http" };
        settings.set("PUBLIC_URL", format!("{scheme}://localhost:{}", listeners.api.local_addr()?.port()));
    }
    if let Some(inbox) = &listeners.inbox {
        settings.set("SMTP_URL", format!("smtp://{}", inbox.smtp.local_addr()?));
    }
    if let Some(data) = data.filter(|_| !settings.is_set("CODE_SECRETS")) {
        settings.set("CODE_SECRETS", data.code_secrets()?.expose_secret().to_owned());
        if !settings.is_set("SUBJECT_KEY") {
            settings.set("SUBJECT_KEY", data.subject_key()?.expose_secret().to_owned());
        }
    }
    Ok(())
}

async fn start_database(data: &DataFolder) -> Result<EmbeddedDatabase> {
    let folder = data.database();
    if !folder.exists() {
        banner::print(&format!("Preparing the database in {} …\n", folder.display()));
    }
    EmbeddedDatabase::start(folder).await
}

/// How long a task waits for the single connection of the embedded database: longer than for a pool of several
/// connections, shorter than the timeout of a request.
const SINGLE_CONNECTION_WAIT: Duration = Duration::from_secs(8);

/// Opens the connection pool of the process and migrates the schema if required. `embedded` is the data folder of an
/// embedded database, which accepts one connection and lets a second one wait forever.
async fn connect(settings: &Settings, embedded: Option<&DataFolder>) -> Result<Database> {
    let config = api::Config::load_from(settings.all())?;
    let concurrency = usize::from(worker::Config::load_from(settings.all())?.concurrency);
    let url = &config.database_url;
    let pool = match embedded {
        Some(_) => postgres::pool_with_wait(url, 1, SINGLE_CONNECTION_WAIT)?,
        None => postgres::pool(url, api::CONNECTIONS + concurrency + 1)?,
    };
    if let Some(data) = embedded {
        drop(pool.get().await.map_err(|error| database::startup_error(&data.database(), &error.to_string()))?);
    }
    if embedded.is_some() {
        postgres::migrate(&pool).await?;
    } else if config.migrate_on_start {
        postgres::migrate_as_owner(&config.migrate_database_url, url).await?;
    }
    let is_embedded = embedded.is_some();
    let health = if is_embedded { pool.clone() } else { postgres::pool(url, 1)? };
    Ok(Database { requests: pool, health, has_autovacuum: !is_embedded })
}

/// The connection pools of the process. The embedded database has one connection for both, and no other processes.
struct Database {
    requests: Pool,
    health: Pool,
    has_autovacuum: bool,
}

/// Runs API, relay and worker until `stop` is cancelled.
async fn serve(
    settings: &Settings,
    Database { requests: database, health: health_database, has_autovacuum }: Database,
    listener: TcpListener,
    ops: TcpListener,
    stop: CancellationToken,
) -> Result<()> {
    let api = api::Config::load_from(settings.all())?;
    let worker = worker::Config::load_from(settings.all())?;
    let mut tasks = Tasks::new(stop.clone(), api.drain);
    let metrics = Registry::default();
    let health = Arc::new(WorkerHealth::for_shared_process(&metrics));
    let others = vec![health.component(database.clone())];
    let mut in_process = None;
    let delivery: OutboxDelivery = if settings.is_set("AMQP_URL") {
        tasks.start("the consumer", worker::consume(worker, database.clone(), health, stop.clone()));
        api::broker(&api, &metrics, &mut tasks, stop.clone())?
    } else {
        let max_in_flight = usize::from(worker.concurrency);
        let in_process = in_process.insert(Arc::new(worker::in_process_delivery(worker, database.clone(), health)));
        delivery::in_process_delivery(Arc::clone(in_process), max_in_flight, api.drain)
    };
    let services = Services { database, health_database, has_autovacuum, delivery, ops, metrics, others };
    tasks.start("the API", api::run_on(services, api, listener, stop));
    let ended = tasks.run().await;
    if let Some(in_process) = in_process {
        in_process.close().await;
    }
    ended
}

/// How long the inbox may take to stop, after the service.
const INBOX_DRAIN: Duration = Duration::from_secs(5);

/// Runs the development inbox until `stop` is cancelled. If a mail server is configured (no listeners), it only waits.
async fn serve_inbox(
    listeners: Option<InboxListeners>,
    data: Option<&DataFolder>,
    stop: CancellationToken,
) -> Result<()> {
    let (Some(InboxListeners { http, smtp }), Some(data)) = (listeners, data) else {
        stop.cancelled().await;
        return Ok(());
    };
    let inbox = Inbox::open(&data.mails())?;
    let mut tasks = Tasks::new(stop.clone(), INBOX_DRAIN);
    tasks.start("the SMTP server of the inbox", inbox.clone().serve_smtp(smtp, stop.clone()));
    tasks.start("the HTTP server of the inbox", inbox.serve_http(http, stop));
    tasks.run().await
}
