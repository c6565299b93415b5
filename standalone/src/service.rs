//! Puts the parts together, runs them, and takes them apart in the right order.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use api::{OutboxDelivery, Services};
use mailbox::Inbox;
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
    data::Data,
    database::{self, Embedded},
    delivery,
    ports::{InboxPorts, Ports},
    settings::Settings,
};

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let mut settings = Settings::from_environment();
    let stop = shutdown::stop_on_signals()?;
    let traces = Traces::start("vestibule", stop.clone())?;
    shared::telemetry::log::start(settings.get("LOG_FORMAT").unwrap_or("text"), traces.as_ref())?;
    settings.check_production()?;
    // Before anything is touched: a busy port must leave no traces.
    let ports = Ports::take(&settings, arguments.port).await?;
    let data = if settings.lack_any() { Some(Data::open(&arguments)?) } else { None };
    settings.complete(&ports, data.as_ref())?;
    let embedded = match &data {
        Some(data) if !settings.has("DATABASE_URL") => Some(start_database(data).await?),
        _ => None,
    };
    let told = banner::text(&ports, &settings, data.as_ref())?;
    if let Some(embedded) = &embedded {
        settings.set("DATABASE_URL", embedded.url());
    }

    let Ports { api, ops, inbox } = ports;
    // Below everything else is the mail server: it goes last, when nothing is in hand any more.
    let (end, above) = (CancellationToken::new(), stop.clone());
    let service = async {
        let database = connect(&settings, data.as_ref().filter(|_| embedded.is_some())).await?;
        banner::say(&told);
        serve(&settings, database, api, ops, above).await
    };
    let service = async {
        let ended = service.await;
        end.cancel();
        ended
    };
    let mails = show_mails(inbox, data.as_ref(), end.clone());
    let mails = async {
        let ended = mails.await;
        stop.cancel();
        ended
    };
    let (served, shown) = tokio::join!(service, mails);
    if let Some(traces) = traces {
        traces.end().await;
    }
    if let Some(embedded) = embedded {
        embedded.close().await?;
    }
    served.and(shown)
}

async fn start_database(data: &Data) -> Result<Embedded> {
    let folder = data.database();
    if !folder.exists() {
        banner::say(&format!("Preparing the database in {} …\n", folder.display()));
    }
    Embedded::start(folder).await
}

/// Everybody stands in line for the one connection: longer than elsewhere, and not as long as a request may take.
const FOR_THE_ONE: Duration = Duration::from_secs(8);

/// The connections of the whole process. The embedded database takes one, and makes a second wait for ever.
async fn connect(settings: &Settings, embedded: Option<&Data>) -> Result<Pool> {
    let config = api::Config::load_from(settings.all())?;
    let concurrency = usize::from(worker::Config::load_from(settings.all())?.concurrency);
    let url = &config.database_url;
    let pool = match embedded {
        Some(_) => postgres::pool_with_wait(url, 1, FOR_THE_ONE)?,
        None => postgres::pool(url, api::CONNECTIONS + concurrency + 1)?,
    };
    if let Some(data) = embedded {
        drop(pool.get().await.map_err(|error| database::damaged(&data.database(), &error.to_string()))?);
    }
    if config.migrate_on_start || embedded.is_some() {
        postgres::migrate(&pool).await?;
    }
    Ok(pool)
}

/// API, relay and worker, until `stop`.
async fn serve(
    settings: &Settings,
    database: Pool,
    listener: TcpListener,
    ops: TcpListener,
    stop: CancellationToken,
) -> Result<()> {
    let (api, worker) = (api::Config::load_from(settings.all())?, worker::Config::load_from(settings.all())?);
    let (mut parts, metrics) = (Tasks::new(stop.clone()), Registry::default());
    let health = Arc::new(WorkerHealth::for_shared_process(&metrics));
    let others = vec![health.component(database.clone())];
    let mut in_process = None;
    let delivery: OutboxDelivery = if settings.has("AMQP_URL") {
        parts.start("the consumer", worker::consume(worker, database.clone(), health, stop.clone()));
        api::broker(&api, &metrics, &mut parts, stop.clone())?
    } else {
        let max_in_flight = usize::from(worker.concurrency);
        let in_process = in_process.insert(Arc::new(worker::in_process_delivery(worker, database.clone(), health)));
        delivery::direct(Arc::clone(in_process), max_in_flight)
    };
    let services = Services { database, delivery, ops, metrics, others };
    parts.start("the API", api::run_on(services, api, listener, stop));
    let ended = parts.run().await;
    if let Some(in_process) = in_process {
        in_process.close().await;
    }
    ended
}

/// Takes mails and shows them, where no mail server is given.
async fn show_mails(ports: Option<InboxPorts>, data: Option<&Data>, end: CancellationToken) -> Result<()> {
    let (Some(InboxPorts { page, smtp }), Some(data)) = (ports, data) else {
        end.cancelled().await;
        return Ok(());
    };
    let inbox = Inbox::open(&data.mails())?;
    let mut parts = Tasks::new(end.clone());
    parts.start("the inbox", inbox.clone().receive(smtp, end.clone()));
    parts.start("the inbox's page", inbox.show(page, end));
    parts.run().await
}
