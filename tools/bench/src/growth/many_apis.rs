//! G4: Postgres time per sign-up with 16 API processes ÷ with one, at the same load and with next to no hash; and what 16
//! of them cost without requests. All statements count: those of requests, relays, worker, cleanup and metrics.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;

use crate::{
    environment::{
        context::BenchContext,
        deployment::{Api, Deployment, stop_apis},
        fake_smtp::{DISK_LATENCY, FakeSmtpServer},
        pipeline::{CONNECTIONS, LONG_HASH_QUEUE},
        statements::{By, StatementMeter},
        usage,
    },
    load::{client::HttpClient, open_loop::OpenLoop, users},
    report::{
        progress::print,
        table::{Goal, Row},
    },
};

/// As often as deploy/prometheus reads the metrics of a process.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(15);

const MAIL_TIMEOUT: Duration = Duration::from_secs(120);

/// Sign-ups per second by all APIs together, and the length of each measurement in seconds.
#[derive(Clone, Copy)]
struct Load {
    rate: f64,
    seconds: f64,
    idle_seconds: f64,
}

/// Postgres time with some number of APIs: by `pg_stat_statements`, and processor time of its backends.
struct Costs {
    ms_per_sign_up: f64,
    cpu_ms_per_sign_up: f64,
    idle_ms_per_second: f64,
}

/// A deployment without APIs.
struct Service<'a> {
    context: &'a BenchContext,
    deployment: Deployment,
    mail_server: FakeSmtpServer,
    meter: StatementMeter,
}

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let (few, many, rounds) = context.full_or_quick((1, 16, 2), (2, 4, 1));
    let load = Load { rate: 60.0, seconds: 60.0, idle_seconds: 30.0 };
    let load = context.full_or_quick(load, Load { rate: 20.0, seconds: 1.0, idle_seconds: 1.0 });
    let mut deployment = Deployment::prepare(context, "apis").await?;
    let cheap_hash = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1"), ("HASH_THREADS", "1"), LONG_HASH_QUEUE];
    cheap_hash.iter().for_each(|(name, value)| deployment.set(name, value));
    let meter = StatementMeter::open(&deployment.database_url).await?;
    meter.count_planning().await?;
    let mail_server = FakeSmtpServer::start(DISK_LATENCY).await?;
    let worker = deployment.start_worker(context, &mail_server).await?;
    let service = Service { context, deployment, mail_server, meter };
    print("  warm-up, with empty tables:");
    service.measure(few, Load { seconds: load.seconds / 4.0, idle_seconds: 0.1, ..load }).await?;
    service.deployment.database.batch_execute("VACUUM (ANALYZE)").await?;
    let mut measured = Vec::new();
    for _ in 0..rounds {
        measured.push((service.measure(few, load).await?, service.measure(many, load).await?));
    }
    worker.stop().await?;

    let rounds =
        |value: fn(&Costs) -> f64| -> Vec<_> { measured.iter().map(|(few, many)| (value(many), value(few))).collect() };
    let at_most = Goal::AtMost(1.2, 1.2);
    let ms = "Postgres time per sign-up at 60/s, 16 APIs ÷ one";
    let idle = "Postgres time in a second without requests, likewise";
    Ok(vec![
        Row::ratio("G4", ms, &rounds(|costs| costs.ms_per_sign_up), "ms", at_most),
        Row::ratio(
            "G4-cpu",
            "processor time of Postgres, likewise",
            &rounds(|costs| costs.cpu_ms_per_sign_up),
            "ms",
            at_most,
        ),
        Row::ratio("G4-idle", idle, &rounds(|costs| costs.idle_ms_per_second), "ms", Goal::None),
    ])
}

impl Service<'_> {
    /// Starts this many APIs, and measures them without requests and with sign-ups.
    async fn measure(&self, count: usize, load: Load) -> Result<Costs> {
        let apis = self.deployment.start_apis(self.context, count).await?;
        // Until the processes have done what they do once.
        tokio::time::sleep(Duration::from_secs_f64(load.idle_seconds / 10.0)).await;
        self.meter.reset().await?;
        let waiting = async {
            tokio::time::sleep(Duration::from_secs_f64(load.idle_seconds)).await;
            Ok(())
        };
        while_scraping(&apis, waiting).await?;
        let idle_ms_per_second = self.meter.work().await?.ms / load.idle_seconds;
        print(&format!("  {count} APIs without requests: {idle_ms_per_second:.2} ms of statements per second"));
        self.meter.print_top(By::Milliseconds, load.idle_seconds).await?;

        self.mail_server.take();
        self.meter.reset().await?;
        let cpu_before = usage::backend_cpu_seconds(&self.deployment.name)?;
        while_scraping(&apis, self.sign_ups(&apis, load)).await?;
        let work = self.meter.work().await?;
        let cpu_seconds = usage::backend_cpu_seconds(&self.deployment.name)? - cpu_before;
        let sign_ups = self.mail_server.count() as f64;
        let (ms_per_sign_up, cpu_ms_per_sign_up) = (work.ms / sign_ups, cpu_seconds * 1000.0 / sign_ups);
        print(&format!(
            "  {count} APIs: per sign-up {ms_per_sign_up:.2} ms of statements, {cpu_ms_per_sign_up:.2} ms of processor time, {:.1} statements, {:.0} blocks",
            work.calls / sign_ups,
            work.blocks / sign_ups
        ));
        self.meter.print_top(By::Milliseconds, sign_ups).await?;
        stop_apis(apis).await?;
        Ok(Costs { ms_per_sign_up, cpu_ms_per_sign_up, idle_ms_per_second })
    }

    /// Sends the same number of sign-ups to each API, one API after the other, and waits for all mails.
    async fn sign_ups(&self, apis: &[Api], load: Load) -> Result<()> {
        let rate = load.rate / apis.len() as f64;
        let loops = apis.iter().zip(0_u32..).map(async |(api, n)| {
            let open_loop = OpenLoop { first: 0, rate, seconds: load.seconds };
            let open_loop = OpenLoop { first: self.context.allocate_users(open_loop.count()), ..open_loop };
            let client = HttpClient::new(api.address, CONNECTIONS);
            tokio::time::sleep(Duration::from_secs_f64(f64::from(n) / load.rate)).await;
            open_loop.run(&client, users::register).await
        });
        let mut accepted = 0;
        for result in try_join_all(loops).await? {
            let other = result.samples.iter().find(|sample| sample.status != 202);
            ensure!(other.is_none(), "a sign-up was not accepted: {other:?}");
            accepted += result.samples.len();
        }
        self.mail_server.wait_for(accepted, MAIL_TIMEOUT).await?;
        ensure!(self.mail_server.count() == accepted, "{accepted} sign-ups, {} mails", self.mail_server.count());
        Ok(())
    }
}

/// Reads the metrics of all APIs from time to time, until the work is done.
async fn while_scraping<T>(apis: &[Api], work: impl Future<Output = Result<T>>) -> Result<T> {
    let scrapers: Vec<_> = apis.iter().map(|api| HttpClient::new(api.ops, 1)).collect();
    let scraping = async {
        loop {
            for scraper in &scrapers {
                scraper.send(users::get("/metrics")).await;
            }
            tokio::time::sleep(SCRAPE_INTERVAL).await;
        }
    };
    tokio::select! {
        done = work => done,
        never = scraping => never,
    }
}
