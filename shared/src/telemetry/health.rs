//! Health checks and metrics of a process, as its ops server (`OPS_ADDR`) reports them.

use std::{future::ready, pin::Pin, sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::telemetry::metrics::{Family, Gauge, Registry, names};

/// The result of one health check, such as of Postgres or the broker.
#[derive(Clone, Debug)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// Whether a failure makes the process not ready. Other failures are only reported.
    pub required: bool,
}

/// The results of all checks of a component.
pub type Checks = Vec<Check>;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type AsyncFn<T> = Box<dyn Fn() -> BoxFuture<T> + Send + Sync>;

/// The timeout of a check, so that a health request is answered even if a server is unresponsive.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The minimum interval between two collections of gauges, however often metrics are scraped.
const COLLECT_INTERVAL: Duration = Duration::from_secs(5);

/// The minimum interval between two runs of the checks: each run takes a connection that a request could use.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A component of a process (the API or the worker) with its checks and gauges.
pub struct Component {
    name: &'static str,
    run_checks: AsyncFn<Checks>,
    /// The last results, and when they were determined.
    last_checks: Mutex<Option<(Instant, Checks)>>,
    collect_gauges: AsyncFn<()>,
    /// What the operator should change, although the process works.
    hints: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

impl Component {
    /// A component. `collect_gauges` sets the gauges that are read on demand, such as queue lengths and the use of a
    /// pool.
    pub fn new<C, G>(
        name: &'static str,
        checks: impl Fn() -> C + Send + Sync + 'static,
        collect_gauges: impl Fn() -> G + Send + Sync + 'static,
    ) -> Self
    where
        C: Future<Output = Checks> + Send + 'static,
        G: Future<Output = ()> + Send + 'static,
    {
        Self {
            name,
            run_checks: Box::new(move || boxed(checks())),
            last_checks: Mutex::default(),
            collect_gauges: Box::new(move || boxed(collect_gauges())),
            hints: Box::new(|| None),
        }
    }

    /// Adds a hint for the operator to the readiness response, as long as `hints` returns one.
    #[must_use]
    pub fn with_hints(self, hints: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self { hints: Box::new(hints), ..self }
    }

    /// The results of the checks, at most `CHECK_INTERVAL` old. Concurrent callers wait for the one that runs the
    /// checks.
    async fn checks(&self) -> Checks {
        let mut last_checks = self.last_checks.lock().await;
        if let Some((_, checks)) = last_checks.as_ref().filter(|(at, _)| at.elapsed() < CHECK_INTERVAL) {
            return checks.clone();
        }
        let checks = (self.run_checks)().await;
        *last_checks = Some((Instant::now(), checks.clone()));
        checks
    }
}

/// The version of this build: `VESTIBULE_VERSION` at build time, or else the package version, which does not change
/// between two releases.
const VERSION: &str = match option_env!("VESTIBULE_VERSION") {
    Some(version) if !version.is_empty() => version,
    _ => env!("CARGO_PKG_VERSION"),
};

/// Reports the readiness and the metrics of a process.
pub struct HealthReporter {
    registry: Registry,
    components: Vec<Component>,
    check_ok: Arc<Family<2, Gauge>>,
    /// When the gauges were last collected.
    last_collected: Mutex<Option<Instant>>,
    /// Cancelled while the process drains.
    stop: CancellationToken,
}

impl HealthReporter {
    /// A reporter of these components. The first component decides whether the process is ready; failures of the others
    /// are only reported.
    pub fn new(registry: Registry, components: Vec<Component>) -> Self {
        let build_info = registry.family(names::BUILD_INFO);
        components.iter().for_each(|component| build_info.set([component.name, VERSION], 1));
        Self::with_components(registry, components)
    }

    /// A reporter of a process that is still migrating: never ready. It does not report `vestibule_build_info`, because
    /// a migrating process must not silence the alert that no process is running.
    pub(crate) fn migrating(process: &'static str) -> Self {
        let not_ready = || ready(vec![Check { name: "migrations", ok: false, required: true }]);
        Self::with_components(Registry::default(), vec![Component::new(process, not_ready, || ready(()))])
    }

    fn with_components(registry: Registry, components: Vec<Component>) -> Self {
        let check_ok = registry.family(names::CHECK_OK);
        Self { registry, components, check_ok, last_collected: Mutex::default(), stop: CancellationToken::new() }
    }

    /// Reports that the process drains, and is not ready, once `stop` is cancelled. Its metrics stay as they are.
    pub(crate) fn draining_after(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Whether the process is ready, and the JSON body of the readiness response.
    pub(crate) async fn readiness(&self) -> (bool, Value) {
        if self.stop.is_cancelled() {
            return (false, json!({ "status": "draining" }));
        }
        let mut ready = true;
        let mut statuses = Map::new();
        for (index, component) in self.components.iter().enumerate() {
            for Check { name, ok, required } in component.checks().await {
                ready &= ok || !required || index > 0;
                // A check of several components is ok only if it is ok in all of them.
                if statuses.get(name) != Some(&status(false)) {
                    statuses.insert(name.to_owned(), status(ok));
                }
            }
        }
        let hints: Vec<_> = self.components.iter().filter_map(|component| (component.hints)()).collect();
        let mut body = json!({ "status": status(ready), "checks": statuses });
        if !hints.is_empty() {
            body["hints"] = hints.into();
        }
        (ready, body)
    }

    /// All metrics in the text format of Prometheus.
    pub(crate) async fn metrics(&self) -> String {
        let update_checks = async {
            for component in &self.components {
                let checks = component.checks().await;
                checks.iter().for_each(|check| self.check_ok.set([component.name, check.name], check.ok));
            }
        };
        // The gauges are polled first, so that they do not count the connections that the checks use.
        tokio::join!(self.collect_gauges(), update_checks);
        self.registry.text()
    }

    /// Collects the gauges of all components, unless that happened less than `COLLECT_INTERVAL` ago.
    async fn collect_gauges(&self) {
        let mut last_collected = self.last_collected.lock().await;
        if last_collected.is_none_or(|at| at.elapsed() >= COLLECT_INTERVAL) {
            for component in &self.components {
                (component.collect_gauges)().await;
            }
            *last_collected = Some(Instant::now());
        }
    }
}

/// The result of a check, or `None` if it does not complete within the check timeout (2 s).
pub async fn with_check_timeout<T>(check: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(CHECK_TIMEOUT, check).await.ok()
}

fn boxed<T>(future: impl Future<Output = T> + Send + 'static) -> BoxFuture<T> {
    Box::pin(future)
}

fn status(ok: bool) -> Value {
    if ok { "ok".into() } else { "failing".into() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn checks_run_at_most_once_a_second() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&runs);
        let checks = move || {
            let ok = counter.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                tokio::time::sleep(CHECK_TIMEOUT).await;
                vec![Check { name: "postgres", ok, required: true }]
            }
        };
        let reporter = HealthReporter::new(Registry::default(), vec![Component::new("component", checks, || async {})]);
        let (first, second, _) = tokio::join!(reporter.readiness(), reporter.readiness(), reporter.metrics());
        assert!(first.0 && second.0);
        tokio::time::advance(CHECK_INTERVAL - Duration::from_millis(1)).await;
        assert!(reporter.readiness().await.0);
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!reporter.readiness().await.0);
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }
}
