//! What is told about a process when somebody asks: whether it is ready, and its metrics.

use std::{future::ready, pin::Pin, sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use tokio::{sync::Mutex, time::Instant};

use crate::telemetry::metrics::{Family, Registry, names};

/// One of the things that a process works with.
#[derive(Clone, Debug)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// Whether it can do nothing without: if not, it is ready all the same.
    pub needed: bool,
}

pub type Checks = Vec<Check>;

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Ask<T> = Box<dyn Fn() -> Later<T> + Send + Sync>;

/// Whoever asks is answered in time, also when a server is not: `None` then.
const PATIENCE: Duration = Duration::from_secs(2);

/// However many ask, nobody looks more often.
const LOOKED_EVERY: Duration = Duration::from_secs(5);

/// Nor are checks made more often: each takes a connection that a request could have.
const CHECKED_EVERY: Duration = Duration::from_secs(1);

/// A part of a process, and how it is asked.
pub struct Component {
    name: &'static str,
    checks: Ask<Checks>,
    checked: Mutex<Option<(Instant, Checks)>>,
    look: Ask<()>,
}

impl Component {
    /// `look` sets the gauges that nobody counts: what waits on a server, what is taken of a pool.
    pub fn new<C, L>(
        name: &'static str,
        checks: impl Fn() -> C + Send + Sync + 'static,
        look: impl Fn() -> L + Send + Sync + 'static,
    ) -> Self
    where
        C: Future<Output = Checks> + Send + 'static,
        L: Future<Output = ()> + Send + 'static,
    {
        let (checks, look) = (Box::new(move || later(checks())), Box::new(move || later(look())));
        Self { name, checks, checked: Mutex::default(), look }
    }

    /// Of all who ask at once one finds out, and the others wait for it.
    async fn checks(&self) -> Checks {
        let mut checked = self.checked.lock().await;
        if let Some((_, checks)) = checked.as_ref().filter(|(at, _)| at.elapsed() < CHECKED_EVERY) {
            return checks.clone();
        }
        let checks = (self.checks)().await;
        *checked = Some((Instant::now(), checks.clone()));
        checks
    }
}

/// What is running: as whoever built it named it, else the number that all builds between two releases have.
const VERSION: &str = match option_env!("VESTIBULE_VERSION") {
    Some(named) if !named.is_empty() => named,
    _ => env!("CARGO_PKG_VERSION"),
};

/// The parts of a process, and all that they count.
pub struct HealthReporter {
    registry: Registry,
    parts: Vec<Component>,
    check_ok: Arc<Family<2>>,
    looked: Mutex<Option<Instant>>,
}

impl HealthReporter {
    /// The first part speaks for the process: what the others lack is told, and keeps nobody from being ready.
    pub fn new(registry: Registry, parts: Vec<Component>) -> Self {
        let build = registry.family(names::BUILD_INFO);
        parts.iter().for_each(|part| build.set([part.name, VERSION], 1));
        Self::of(registry, parts)
    }

    /// Of a process that only migrates so far. It is not counted as one that is there: while there are no others, the
    /// alarm that nothing is there must be heard.
    pub(crate) fn of_one_that_migrates(process: &'static str) -> Self {
        let not_yet = || ready(vec![Check { name: "migrations", ok: false, needed: true }]);
        Self::of(Registry::default(), vec![Component::new(process, not_yet, || ready(()))])
    }

    fn of(registry: Registry, parts: Vec<Component>) -> Self {
        let check_ok = registry.family(names::CHECK_OK);
        Self { registry, parts, check_ok, looked: Mutex::default() }
    }

    pub(crate) async fn readiness(&self) -> (bool, Value) {
        let (mut ready, mut told) = (true, Map::new());
        for (n, part) in self.parts.iter().enumerate() {
            for Check { name, ok, needed } in part.checks().await {
                ready &= ok || !needed || n > 0;
                // What two parts need is well when it is for both.
                if told.get(name) != Some(&word(false)) {
                    told.insert(name.to_owned(), word(ok));
                }
            }
        }
        (ready, json!({ "status": word(ready), "checks": told }))
    }

    pub(crate) async fn metrics(&self) -> String {
        let checks = async {
            for part in &self.parts {
                let checks = part.checks().await;
                checks.iter().for_each(|check| self.check_ok.set([part.name, check.name], check.ok));
            }
        };
        // Looking comes first: what a check takes of a pool is not to be seen there.
        tokio::join!(self.look(), checks);
        self.registry.text()
    }

    async fn look(&self) {
        let mut looked = self.looked.lock().await;
        if looked.is_none_or(|at| at.elapsed() >= LOOKED_EVERY) {
            for part in &self.parts {
                (part.look)().await;
            }
            *looked = Some(Instant::now());
        }
    }
}

/// What a server says, if it does in time.
pub async fn soon<T>(asking: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(PATIENCE, asking).await.ok()
}

fn later<T>(asking: impl Future<Output = T> + Send + 'static) -> Later<T> {
    Box::pin(asking)
}

fn word(ok: bool) -> Value {
    if ok { "ok".into() } else { "failing".into() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn checks_are_made_once_a_second_however_many_ask() {
        let made = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        let checks = move || {
            let ok = counted.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                tokio::time::sleep(PATIENCE).await;
                vec![Check { name: "postgres", ok, needed: true }]
            }
        };
        let reporter = HealthReporter::new(Registry::default(), vec![Component::new("part", checks, || async {})]);
        let (first, second, _) = tokio::join!(reporter.readiness(), reporter.readiness(), reporter.metrics());
        assert!(first.0 && second.0);
        tokio::time::advance(CHECKED_EVERY - Duration::from_millis(1)).await;
        assert!(reporter.readiness().await.0);
        assert_eq!(made.load(Ordering::Relaxed), 1);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!reporter.readiness().await.0);
        assert_eq!(made.load(Ordering::Relaxed), 2);
    }
}
