//! Development mail server: accepts mails over SMTP, stores each one as a file, and shows them on a web page.
//!
//! The REST calls are those of MailDev, so that a script written for one works with the other. Nothing is forwarded.

mod envelope;
mod folder;
mod mail;
mod smtp;
mod web;

#[cfg(any(test, fuzzing))]
pub mod fuzzing {
    //! Entry points of the fuzz targets in `fuzz/`.

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

use self::{envelope::Envelope, folder::MailFolder, mail::Mail};

/// The oldest mails are deleted when the folder has more than this.
const MAX_MAILS: usize = 1000;

/// The stored mails. The folder is the source of truth; memory holds only their ids and which of them were read.
///
/// Clones share the same mails.
#[derive(Clone)]
pub struct Inbox(Arc<MailStore>);

struct MailStore {
    folder: MailFolder,
    /// Ids are UUIDv7, so they sort by time of arrival.
    mails: Mutex<BTreeMap<Uuid, ReadStatus>>,
    /// Notifies open pages that the list changed.
    changes: watch::Sender<()>,
}

/// Whether a client has fetched a mail by its id since this process started. Not stored on disk.
#[derive(Clone, Copy, PartialEq)]
enum ReadStatus {
    Unread,
    Read,
}

impl Inbox {
    /// Opens the folder with the mails stored so far, or creates it, readable by its owner only because mails contain
    /// codes.
    pub fn open(folder: &Path) -> Result<Inbox> {
        let (folder, ids) = MailFolder::open(folder)
            .with_context(|| format!("the inbox cannot store mails in the folder {}", folder.display()))?;
        let mails = Mutex::new(ids.into_iter().map(|id| (id, ReadStatus::Unread)).collect());
        let inbox = Inbox(Arc::new(MailStore { folder, mails, changes: watch::Sender::new(()) }));
        inbox.0.delete_oldest();
        Ok(inbox)
    }

    /// Accepts mails over SMTP until `stop` is cancelled.
    pub async fn serve_smtp(self, listener: TcpListener, stop: CancellationToken) -> Result<()> {
        smtp::serve(self, listener, stop).await
    }

    /// Serves the page and the REST calls over HTTP until `stop` is cancelled.
    pub async fn serve_http(self, listener: TcpListener, stop: CancellationToken) -> Result<()> {
        web::serve(self, listener, stop).await
    }

    /// Stores a mail. When this returns, the mail is in a file and survives the end of this process, however that
    /// happens.
    async fn store(&self, envelope: Envelope, message: Vec<u8>) -> Result<()> {
        let id = new_id();
        self.with_store(move |store| {
            store.folder.write(id, &[envelope.to_headers(id).as_bytes(), &message])?;
            store.mails().insert(id, ReadStatus::Unread);
            store.changes.send_replace(());
            store.delete_oldest();
            tracing::info!(%id, bytes = message.len(), "mail received");
            Ok(())
        })
        .await
    }

    /// All readable mails, oldest first.
    async fn list(&self) -> Result<Vec<Mail>> {
        self.with_store(|store| {
            let known: Vec<_> = store.mails().iter().map(|(id, status)| (*id, *status)).collect();
            Ok(known.into_iter().filter_map(|(id, status)| store.parse(id, status)).collect())
        })
        .await
    }

    /// One mail, or `None` if there is none with this id or its file cannot be read.
    async fn get(&self, id: Uuid) -> Result<Option<Mail>> {
        self.with_store(move |store| {
            let Some(status) = store.mails().get(&id).copied() else { return Ok(None) };
            Ok(store.parse(id, status))
        })
        .await
    }

    /// Marks a mail as read and notifies open pages if it was unread.
    fn mark_as_read(&self, id: Uuid) {
        let previous = self.0.mails().get_mut(&id).map(|status| std::mem::replace(status, ReadStatus::Read));
        if previous == Some(ReadStatus::Unread) {
            self.0.changes.send_replace(());
        }
    }

    /// The message as it was sent, without the envelope headers that this server writes above it.
    async fn source(&self, id: Uuid) -> Result<Option<Vec<u8>>> {
        self.with_store(move |store| {
            let is_known = store.mails().contains_key(&id);
            let file = if is_known { store.read(id) } else { None };
            Ok(file.map(|file| Envelope::split_from(&file).1.to_vec()))
        })
        .await
    }

    /// Deletes a mail; false if there is none with this id.
    async fn delete(&self, id: Uuid) -> Result<bool> {
        self.with_store(move |store| {
            let is_known = store.mails().contains_key(&id);
            if is_known {
                store.delete(id)?;
            }
            Ok(is_known)
        })
        .await
    }

    async fn delete_all(&self) -> Result<()> {
        self.with_store(|store| {
            let ids: Vec<_> = store.mails().keys().copied().collect();
            ids.into_iter().try_for_each(|id| store.delete(id))
        })
        .await
    }

    /// A receiver that is notified whenever a mail arrives, is read for the first time, or is deleted.
    fn subscribe(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// Runs file operations on the blocking thread pool, so that they do not block the async runtime.
    async fn with_store<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&MailStore) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = Arc::clone(&self.0);
        spawn_blocking(move || operation(&store)).await.context("the inbox panicked")?
    }
}

impl MailStore {
    fn mails(&self) -> MutexGuard<'_, BTreeMap<Uuid, ReadStatus>> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parse(&self, id: Uuid, status: ReadStatus) -> Option<Mail> {
        Some(Mail::parse(id, status, self.folder.path_of(id), &self.read(id)?))
    }

    /// Reads a file. An unreadable one is logged and skipped, so that it does not hide the other mails.
    fn read(&self, id: Uuid) -> Option<Vec<u8>> {
        let file = self.folder.read(id);
        file.inspect_err(|error| tracing::warn!(%id, %error, "cannot read the file of a mail; skipping it")).ok()
    }

    fn delete(&self, id: Uuid) -> Result<()> {
        self.folder.remove(id).with_context(|| format!("cannot delete the mail {id}"))?;
        self.mails().remove(&id);
        self.changes.send_replace(());
        Ok(())
    }

    /// Deletes the oldest mails until at most [`MAX_MAILS`] are left.
    fn delete_oldest(&self) {
        let oldest: Vec<_> = {
            let mails = self.mails();
            mails.keys().take(mails.len().saturating_sub(MAX_MAILS)).copied().collect()
        };
        for id in oldest {
            if let Err(error) = self.delete(id) {
                tracing::warn!(error = format!("{error:#}"), "cannot delete an old mail; the inbox exceeds its limit");
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the id of a mail contains its time of arrival")]
fn new_id() -> Uuid {
    Uuid::now_v7()
}

#[cfg(test)]
mod tests;
