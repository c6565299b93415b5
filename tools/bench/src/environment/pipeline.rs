//! The whole service in motion: an API, the broker, a worker, and a mail server at the end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use hyper::Request;

use crate::{
    environment::{
        deployment::{Api, Scene},
        fake_smtp::Sink,
        process::Process,
        services::Ground,
    },
    load::{
        client::Door,
        closed_loop::{Counted, Loop},
        users,
    },
};

/// Enough for every overload: who is refused is refused at once, and leaves her connection to the next.
pub(crate) const CONNECTIONS: usize = 512;

/// As many clients for each hash thread keep it busy, and none of them waits for as long as 250 ms.
const CLIENTS_OF_A_THREAD: usize = 8;

/// Nobody is refused who waits for less, which at the peak nobody does; a slow machine is no overload.
pub(crate) const PATIENT: (&str, &str) = ("HASH_QUEUE_MS", "60000");

/// A block of numbers that no closed loop comes to the end of.
const MANY: u64 = 1_000_000;

pub(crate) struct Chain {
    pub(crate) scene: Scene,
    pub(crate) api: Api,
    worker: Process,
    pub(crate) sink: Sink,
    pub(crate) door: Arc<Door>,
    threads: usize,
}

impl Chain {
    pub(crate) async fn start(ground: &Ground, of: &str, threads: usize, settings: &[(&str, &str)]) -> Result<Self> {
        let mut scene = Scene::prepare(ground, of).await?;
        scene.set("HASH_THREADS", threads);
        settings.iter().for_each(|(name, value)| scene.set(name, value));
        let sink = Sink::start(crate::environment::fake_smtp::LIKE_A_DISK).await?;
        let (worker, api) = (scene.worker(ground, &sink).await?, scene.api(ground).await?);
        let door = Door::new(api.address, CONNECTIONS);
        Ok(Self { scene, api, worker, sink, door, threads })
    }

    pub(crate) fn clients(&self) -> usize {
        CLIENTS_OF_A_THREAD * self.threads
    }

    /// As many registrations as there can be.
    pub(crate) async fn peak(&self, ground: &Ground) -> Result<Counted> {
        let (warm_up, seconds) = (ground.warm_up(), ground.seconds());
        Loop { clients: self.clients(), warm_up, seconds }.run(&self.door, newcomers(ground)).await
    }

    /// Waits until every mail is out, and forgets them.
    pub(crate) async fn comes_to_rest(&self) -> Result<()> {
        self.scene.comes_to_rest().await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.sink.take();
        Ok(())
    }

    pub(crate) async fn end(self) -> Result<()> {
        self.api.process.stop().await?;
        self.worker.stop().await
    }
}

/// Each one that is asked for is another person.
pub(crate) fn newcomers(ground: &Ground) -> impl Fn() -> Option<Request<String>> + Send + Sync + 'static {
    let next = AtomicU64::new(ground.people(MANY));
    move || Some(users::register(next.fetch_add(1, Ordering::Relaxed)))
}
