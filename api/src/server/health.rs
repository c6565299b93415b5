//! Health checks of the API, and the gauges that are read when the metrics are scraped.

use std::sync::Arc;

use shared::postgres::{self, PoolUsage};
use shared::telemetry::{
    health::{Check, Checks, Component, with_check_timeout},
    metrics::{Family, Gauge, Registry, gauge_value, names},
};

use crate::{
    app::App,
    domain::network::TrustedProxies,
    error::Error,
    store::{
        cleanup::table_stats,
        outbox::{parked, stats},
        schema, unacknowledged,
    },
};

/// The gauges that are set only when the metrics are scraped.
struct Gauges {
    broker_up: Gauge,
    pool_connections: Arc<Family<1, Gauge>>,
    pool_waiting: Gauge,
    outbox_messages: Arc<Family<1, Gauge>>,
    outbox_oldest: Arc<Family<1, Gauge>>,
    outbox_parked: Arc<Family<0, Gauge>>,
    codes_late: Arc<Family<0, Gauge>>,
    postgres_rows: Arc<Family<2, Gauge>>,
    postgres_age: Arc<Family<1, Gauge>>,
}

/// The API as a component of the health report.
pub(crate) fn component(app: &Arc<App>, registry: &Registry) -> Component {
    let gauges = Arc::new(Gauges {
        broker_up: registry.family(names::BROKER_UP).of(["api"]),
        pool_connections: registry.family(names::POOL_CONNECTIONS),
        pool_waiting: registry.one(names::POOL_WAITING),
        outbox_messages: registry.family(names::OUTBOX_MESSAGES),
        outbox_oldest: registry.family(names::OUTBOX_OLDEST),
        outbox_parked: registry.family(names::OUTBOX_PARKED),
        codes_late: registry.family(names::CODES_LATE),
        postgres_rows: registry.family(names::POSTGRES_ROWS),
        postgres_age: registry.family(names::POSTGRES_AGE),
    });
    let checked_app = Arc::clone(app);
    let checks = move || {
        let app = Arc::clone(&checked_app);
        async move { app.checks().await }
    };
    let measured_app = Arc::clone(app);
    let update_gauges = move || {
        let (app, gauges) = (Arc::clone(&measured_app), Arc::clone(&gauges));
        async move { gauges.update(&app).await }
    };
    let hinting_app = Arc::clone(app);
    let hints = move || hinting_app.untrusted_proxy.get().copied().map(TrustedProxies::hint);
    Component::new("api", checks, update_gauges).with_hints(hints)
}

impl App {
    async fn checks(&self) -> Checks {
        let version = with_check_timeout(self.schema_version()).await.and_then(Result::ok);
        let required = |name, ok| Check { name, ok, required: true };
        let optional = |name, ok| Check { name, ok, required: false };
        vec![
            required("postgres", version.is_some()),
            // A newer schema is fine: the previous version of the API must work with it during a rollout.
            required("migrations", version.is_some_and(|version| version >= postgres::newest_version())),
            required("hash_pool", self.hash_pool.is_healthy()),
            // Not required: messages wait in the outbox while the broker is down, and requests are still served.
            optional("broker", (self.delivery.is_up)()),
            // Not required: a slow database would make all APIs unready at once, and the rest of their requests fail, too.
            optional("pool", self.store.usage().waiting == 0),
        ]
    }

    async fn schema_version(&self) -> Result<i32, Error> {
        let connection = self.health_database.get().await.map_err(|error| Error::Unavailable(error.into()))?;
        Ok(schema::version(&connection).await?)
    }
}

impl Gauges {
    async fn update(&self, app: &App) {
        self.broker_up.set((app.delivery.is_up)().into());
        app.hash_pool.update_metrics();
        let PoolUsage { in_use, idle, waiting } = app.store.usage();
        self.pool_connections.set(["in_use"], in_use);
        self.pool_connections.set(["idle"], idle);
        self.pool_waiting.set(gauge_value(waiting));
        self.update_outbox(app).await;
        self.update_tables(app).await;
    }

    async fn update_outbox(&self, app: &App) {
        let query = async {
            let connection = app.store.connection().await?;
            let waiting = stats::waiting(&connection, app.outbox_positions.current()).await?;
            let parked = parked::count(&connection).await?;
            Ok::<_, Error>((waiting, parked, unacknowledged::count_late_codes(&connection).await?))
        };
        let Some(Ok(((codes, notices, events), parked, late))) = with_check_timeout(query).await else {
            // No value is better than an outdated one.
            self.outbox_messages.forget();
            self.outbox_oldest.forget();
            self.outbox_parked.forget();
            self.codes_late.forget();
            return;
        };
        self.outbox_parked.set([], parked);
        self.codes_late.set([], late);
        for (kind, (messages, oldest_seconds)) in [("mail", codes), ("notice", notices), ("event", events)] {
            self.outbox_messages.set([kind], messages);
            self.outbox_oldest.set([kind], oldest_seconds);
        }
    }

    async fn update_tables(&self, app: &App) {
        let query = async { Ok::<_, Error>(table_stats::read(&app.store.connection().await?).await?) };
        let Some(Ok(stats)) = with_check_timeout(query).await else {
            self.postgres_rows.forget();
            self.postgres_age.forget();
            return;
        };
        for (table, live, dead) in stats.rows {
            self.postgres_rows.set([table, "live"], live);
            self.postgres_rows.set([table, "dead"], dead);
        }
        self.postgres_age.set(["oldest_snapshot"], stats.oldest_snapshot);
        self.postgres_age.set(["oldest_unfrozen"], stats.oldest_unfrozen);
    }
}
