//! Keeps the mails that this machine sends to itself, and tells whoever watches that they changed.

mod envelope;
mod folder;
mod mail;
mod smtp;
mod web;

#[cfg(any(test, fuzzing))]
pub mod fuzzing {
    //! Entry points of the fuzzers in `fuzz/`.

    pub use crate::smtp::fuzzing::session;
}

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use tokio::{net::TcpListener, sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{envelope::Envelope, folder::Folder, mail::Mail};

const MAX_MAILS: usize = 1000;

/// A mail catcher. The folder is the truth; in memory there is only which mails it has.
#[derive(Clone)]
pub struct Inbox(Arc<Shelf>);

struct Shelf {
    folder: Folder,
    /// Ids sort by the time of arrival.
    mails: Mutex<BTreeMap<Uuid, Seen>>,
    changes: watch::Sender<()>,
}

/// Whether somebody has opened a mail since this process began.
#[derive(Clone, Copy, PartialEq)]
struct Seen(bool);

impl Inbox {
    /// Opens the folder with the mails kept so far, or makes it: for nobody else's eyes, as there are codes in it.
    pub fn open(folder: &Path) -> Result<Inbox> {
        let (folder, kept) = Folder::open(folder)
            .with_context(|| format!("the folder {} cannot keep the mails of the inbox", folder.display()))?;
        let mails = Mutex::new(kept.into_iter().map(|id| (id, Seen(false))).collect());
        let inbox = Inbox(Arc::new(Shelf { folder, mails, changes: watch::Sender::new(()) }));
        inbox.0.drop_oldest();
        Ok(inbox)
    }

    /// Takes in mail by SMTP until told to stop.
    pub async fn receive(self, listener: TcpListener, stop: CancellationToken) -> Result<()> {
        smtp::receive(self, listener, stop).await
    }

    /// Serves the page and the REST calls by HTTP until told to stop.
    pub async fn show(self, listener: TcpListener, stop: CancellationToken) -> Result<()> {
        web::show(self, listener, stop).await
    }

    /// When this returns, the mail is in a file: it outlives this process, however that ends.
    async fn keep(&self, envelope: Envelope, message: Vec<u8>) -> Result<()> {
        let id = new_id();
        self.with_shelf(move |shelf| {
            shelf.folder.write(id, &[envelope.to_headers(id).as_bytes(), &message])?;
            shelf.mails().insert(id, Seen(false));
            shelf.changes.send_replace(());
            shelf.drop_oldest();
            tracing::info!(%id, bytes = message.len(), "a mail came in");
            Ok(())
        })
        .await
    }

    /// Oldest first.
    async fn mails(&self) -> Result<Vec<Mail>> {
        self.with_shelf(|shelf| {
            let known: Vec<_> = shelf.mails().iter().map(|(id, seen)| (*id, *seen)).collect();
            Ok(known.into_iter().filter_map(|(id, seen)| shelf.mail(id, seen)).collect())
        })
        .await
    }

    async fn mail(&self, id: Uuid) -> Result<Option<Mail>> {
        self.with_shelf(move |shelf| {
            let Some(seen) = shelf.mails().get(&id).copied() else { return Ok(None) };
            Ok(shelf.mail(id, seen))
        })
        .await
    }

    fn mark_as_seen(&self, id: Uuid) {
        let before = self.0.mails().get_mut(&id).map(|seen| std::mem::replace(seen, Seen(true)));
        if before == Some(Seen(false)) {
            self.0.changes.send_replace(());
        }
    }

    /// The message as it was sent.
    async fn source(&self, id: Uuid) -> Result<Option<Vec<u8>>> {
        self.with_shelf(move |shelf| {
            let known = shelf.mails().contains_key(&id);
            let file = if known { shelf.read(id) } else { None };
            Ok(file.map(|file| Envelope::split_from(&file).1.to_vec()))
        })
        .await
    }

    /// False if there is no such mail.
    async fn remove(&self, id: Uuid) -> Result<bool> {
        self.with_shelf(move |shelf| {
            let known = shelf.mails().contains_key(&id);
            if known {
                shelf.forget(id)?;
            }
            Ok(known)
        })
        .await
    }

    async fn clear(&self) -> Result<()> {
        self.with_shelf(|shelf| {
            let known: Vec<_> = shelf.mails().keys().copied().collect();
            known.into_iter().try_for_each(|id| shelf.forget(id))
        })
        .await
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// Files are read and written where waiting for them keeps nobody else waiting.
    async fn with_shelf<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shelf) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shelf = Arc::clone(&self.0);
        spawn_blocking(move || work(&shelf)).await.context("the inbox panicked")?
    }
}

impl Shelf {
    fn mails(&self) -> MutexGuard<'_, BTreeMap<Uuid, Seen>> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mail(&self, id: Uuid, seen: Seen) -> Option<Mail> {
        Some(Mail::parse(id, seen, self.folder.path_of(id), &self.read(id)?))
    }

    /// One file that cannot be read does not take the others with it.
    fn read(&self, id: Uuid) -> Option<Vec<u8>> {
        let read = self.folder.read(id);
        read.inspect_err(|error| tracing::warn!(%id, %error, "a mail cannot be read")).ok()
    }

    fn forget(&self, id: Uuid) -> Result<()> {
        self.folder.remove(id).with_context(|| format!("removing the mail {id}"))?;
        self.mails().remove(&id);
        self.changes.send_replace(());
        Ok(())
    }

    fn drop_oldest(&self) {
        let oldest: Vec<_> = {
            let mails = self.mails();
            mails.keys().take(mails.len().saturating_sub(MAX_MAILS)).copied().collect()
        };
        for id in oldest {
            if let Err(error) = self.forget(id) {
                tracing::warn!(error = format!("{error:#}"), "the inbox has one mail too many");
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a mail arrives when it arrives, and its id says when")]
fn new_id() -> Uuid {
    Uuid::now_v7()
}

#[cfg(test)]
mod tests;
