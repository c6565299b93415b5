//! What the API tells when somebody asks how it is.

use std::sync::Arc;

use shared::postgres::{self, PoolUsage};
use shared::telemetry::{
    health::{Check, Checks, Component, soon},
    metrics::{Family, Number, Registry, names},
};

use crate::{
    app::App,
    error::Error,
    store::{outbox_stats, schema},
};

/// What is looked at only when somebody asks.
struct Gauges {
    broker_up: Arc<Number>,
    pool: Arc<Family<1>>,
    pool_waiting: Arc<Number>,
    outbox: Arc<Family<1>>,
    oldest: Arc<Family<1>>,
}

pub(crate) fn part(app: &Arc<App>, registry: &Registry) -> Component {
    let gauges = Arc::new(Gauges {
        broker_up: registry.family(names::BROKER_UP).of(["api"]),
        pool: registry.family(names::POOL_CONNECTIONS),
        pool_waiting: registry.one(names::POOL_WAITING),
        outbox: registry.family(names::OUTBOX_MESSAGES),
        oldest: registry.family(names::OUTBOX_OLDEST),
    });
    let (asked, looked) = (Arc::clone(app), Arc::clone(app));
    let checks = move || {
        let app = Arc::clone(&asked);
        async move { app.checks().await }
    };
    let look = move || {
        let (app, gauges) = (Arc::clone(&looked), Arc::clone(&gauges));
        async move { gauges.look(&app).await }
    };
    Component::new("api", checks, look)
}

impl App {
    async fn checks(&self) -> Checks {
        let version = soon(self.version()).await.and_then(Result::ok);
        let needed = |name, ok| Check { name, ok, needed: true };
        vec![
            needed("postgres", version.is_some()),
            // A newer one works: it must, while it is rolled out.
            needed("migrations", version.is_some_and(|version| version >= postgres::newest_version())),
            needed("hash_pool", self.hashes.is_well()),
            // What is told to the world waits in the outbox meanwhile: nobody is to be sent away for it.
            Check { name: "broker", ok: (self.delivery.is_up)(), needed: false },
        ]
    }

    async fn version(&self) -> Result<i32, Error> {
        Ok(schema::version(&self.store.connection().await?).await?)
    }
}

impl Gauges {
    async fn look(&self, app: &App) {
        self.broker_up.set((app.delivery.is_up)());
        app.hashes.see();
        let PoolUsage { in_use, idle, waiting } = app.store.usage();
        self.pool.set(["in_use"], in_use);
        self.pool.set(["idle"], idle);
        self.pool_waiting.set(waiting);
        let asking = async { Ok::<_, Error>(outbox_stats::waiting(&app.store.connection().await?).await?) };
        let Some(Ok((mails, events))) = soon(asking).await else {
            self.outbox.forget();
            self.oldest.forget();
            return;
        };
        for (what, (messages, oldest_seconds)) in [("mail", mails), ("event", events)] {
            self.outbox.set([what], messages);
            self.oldest.set([what], oldest_seconds);
        }
    }
}
