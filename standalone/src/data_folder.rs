//! The data folder: everything that must survive a restart (secrets, database, mails).

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

/// An open data folder. It stays locked until this process ends, so that no second one uses it.
pub(crate) struct DataFolder {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
    /// Deletes the folder when dropped.
    ephemeral: Option<TempDir>,
}

impl DataFolder {
    /// Creates the folder if it does not exist, and locks it.
    pub(crate) fn open(arguments: &Arguments) -> Result<Self> {
        let ephemeral = arguments.ephemeral.then(temporary_folder).transpose()?;
        let path = ephemeral.as_ref().map_or(arguments.data.as_path(), TempDir::path);
        let unusable = || format!("cannot use the data folder {}; choose another one with --data DIR", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(unusable)?;
        // Absolute, so that messages name the complete path.
        let path = path.canonicalize().with_context(unusable)?;
        let lock = private_file().truncate(false).open(path.join("lock")).with_context(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock, ephemeral }),
            Err(TryLockError::WouldBlock) => bail!(
                "another vestibule process uses the data folder {}; stop it, or choose another folder with --data DIR",
                path.display()
            ),
            Err(TryLockError::Error(error)) => Err(error).with_context(unusable),
        }
    }

    /// The absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the folder is deleted at the end.
    pub(crate) fn is_ephemeral(&self) -> bool {
        self.ephemeral.is_some()
    }

    /// The folder of the embedded database.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("postgres")
    }

    /// The folder of the development inbox.
    pub(crate) fn mails(&self) -> PathBuf {
        self.path.join("mails")
    }

    /// The value of `CODE_SECRETS`: generated at the first start, then read from the file `secrets`.
    pub(crate) fn secrets(&self) -> Result<SecretString> {
        let path = self.path.join("secrets");
        if !path.exists() {
            // Without its secrets the data in the database is useless, so new ones must not be generated silently.
            if self.database().exists() {
                bail!(
                    "{} is missing, but the database in this folder needs the secrets it was created with; restore the \
                     file, or move {} away to start from scratch",
                    path.display(),
                    self.path.display()
                );
            }
            self.generate_secrets(&path).with_context(|| format!("cannot create {}", path.display()))?;
        }
        let unreadable = || format!("cannot read {}", path.display());
        fs::set_permissions(&path, Permissions::from_mode(0o600)).with_context(unreadable)?;
        let secrets = SecretString::from(fs::read_to_string(&path).with_context(unreadable)?.trim_end().to_owned());
        CodeSecrets::parse(secrets.expose_secret())
            .map_err(|error| anyhow!("{} is damaged: {error}", path.display()))?;
        Ok(secrets)
    }

    fn generate_secrets(&self, path: &Path) -> Result<()> {
        // Synced and renamed, so that the file is complete or absent after a power cut.
        let unfinished = self.path.join("secrets.unfinished");
        let mut file = private_file().truncate(true).open(&unfinished)?;
        writeln!(file, "first:{}", STANDARD.encode(rand::random::<[u8; 32]>()))?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        Ok(File::open(&self.path)?.sync_all()?)
    }
}

/// A temporary folder that only its owner can access. It is deleted when dropped.
pub(crate) fn temporary_folder() -> Result<TempDir> {
    let private = Permissions::from_mode(0o700);
    tempfile::Builder::new()
        .prefix("vestibule-")
        .permissions(private)
        .tempdir()
        .context("cannot create a temporary folder")
}

/// Options to write a file that only its owner can access.
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}
