//! The command `api outbox reemit`: writes lost messages to the outbox again, after a queue was lost. A message counts
//! as lost when no worker has finished it and the outbox does not hold it.

use anyhow::Result;
use shared::messages::MailKind;

use crate::store::{
    Store, outbox,
    unacknowledged::{self, Cursor, Page, Unfinished},
};

/// How many messages were written, by kind.
#[derive(Default)]
pub(crate) struct Reemitted {
    /// Codes of registrations and of password resets.
    pub(crate) codes: u64,
    pub(crate) welcomes: u64,
    /// Warnings that a password was changed or an account deleted, and unlock links.
    pub(crate) warnings: u64,
}

impl Reemitted {
    fn count_of(&mut self, kind: MailKind) -> &mut u64 {
        match kind {
            MailKind::SendCode | MailKind::ResetCode => &mut self.codes,
            MailKind::Activated => &mut self.welcomes,
            MailKind::PasswordChanged | MailKind::AccountDeleted | MailKind::Unlock => &mut self.warnings,
        }
    }
}

/// Writes all lost messages. Idempotent: it can be interrupted at any point and run again, and leaves messages that are
/// in the outbox unchanged.
pub(crate) async fn run(store: &Store) -> Result<Reemitted> {
    let connection = store.connection().await?;
    let now = unacknowledged::now(&connection).await?;
    let mut reemitted = Reemitted::default();
    for &kind in MailKind::ALL {
        let mut unfinished = Unfinished::of(kind, Cursor::oldest_of_use(kind, now));
        while let Some(Page { published, missing, .. }) = unfinished.next_page(&connection).await? {
            let messages = [published, missing].concat();
            *reemitted.count_of(kind) += outbox::insert_if_absent(&connection, &messages).await?;
        }
    }
    Ok(reemitted)
}
