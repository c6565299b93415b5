//! The folder with everything that a restart must find again.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use shared::codes::CodeSecrets;
use tempfile::TempDir;

use crate::arguments::Arguments;

pub(crate) struct Data {
    folder: PathBuf,
    /// Locked as long as this process lives.
    _lock: File,
    /// Removes the folder when dropped.
    ephemeral: Option<TempDir>,
}

impl Data {
    pub(crate) fn open(arguments: &Arguments) -> Result<Self> {
        let ephemeral = arguments.ephemeral.then(temporary_folder).transpose()?;
        let folder = ephemeral.as_ref().map_or(arguments.data.as_path(), TempDir::path);
        let unusable = || format!("the data folder {} cannot be used; --data DIR names another", folder.display());
        DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(unusable)?;
        // Absolute, so that messages tell where it is.
        let folder = folder.canonicalize().with_context(unusable)?;
        let lock = private().truncate(false).open(folder.join("lock")).with_context(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder, _lock: lock, ephemeral }),
            Err(TryLockError::WouldBlock) => bail!(
                "another vestibule works with {}: stop that one, or give this one a folder of its own (--data DIR)",
                folder.display()
            ),
            Err(TryLockError::Error(error)) => Err(error).with_context(unusable),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn is_ephemeral(&self) -> bool {
        self.ephemeral.is_some()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    pub(crate) fn mails(&self) -> PathBuf {
        self.folder.join("mails")
    }

    /// The secrets that were made when this folder was.
    pub(crate) fn secrets(&self) -> Result<SecretString> {
        let path = self.folder.join("secrets");
        if !path.exists() {
            if self.database().exists() {
                bail!(
                    "{} is missing, and the database beside it needs the secrets it was made with: put them back, \
                     or move {} away to start anew",
                    path.display(),
                    self.folder.display()
                );
            }
            self.make_secrets(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        }
        let unreadable = || format!("{} cannot be read", path.display());
        fs::set_permissions(&path, Permissions::from_mode(0o600)).with_context(unreadable)?;
        let secrets = SecretString::from(fs::read_to_string(&path).with_context(unreadable)?.trim_end().to_owned());
        CodeSecrets::parse(secrets.expose_secret()).map_err(|why| anyhow!("{} is damaged: {why}", path.display()))?;
        Ok(secrets)
    }

    fn make_secrets(&self, path: &Path) -> Result<()> {
        // Whole or not at all, whenever the power goes.
        let unfinished = self.folder.join("secrets.unfinished");
        let mut file = private().truncate(true).open(&unfinished)?;
        writeln!(file, "first:{}", STANDARD.encode(rand::random::<[u8; 32]>()))?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        Ok(File::open(&self.folder)?.sync_all()?)
    }
}

/// For our eyes only, and removed when dropped.
pub(crate) fn temporary_folder() -> Result<TempDir> {
    let private = Permissions::from_mode(0o700);
    tempfile::Builder::new()
        .prefix("vestibule-")
        .permissions(private)
        .tempdir()
        .context("no temporary folder can be made")
}

/// How a file is opened that is nobody else's business.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}
