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
use shared::{codes::CodeSecrets, secret_key::SecretKey};
use tempfile::TempDir;

use crate::arguments::Arguments;

/// The file with the value of `CODE_SECRETS`.
const CODE_SECRETS: &str = "secrets";

/// The file with the value of `SUBJECT_KEY`.
const SUBJECT_KEY: &str = "subject-key";

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
    pub(crate) fn code_secrets(&self) -> Result<SecretString> {
        let path = self.path.join(CODE_SECRETS);
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
            // In this order: once the code secrets exist, neither is generated again.
            self.write_secret(SUBJECT_KEY, &random_key())?;
            self.write_secret(CODE_SECRETS, &format!("first:{}", random_key()))?;
        }
        let secrets = self.read_secret(CODE_SECRETS)?;
        CodeSecrets::parse(secrets.expose_secret())
            .map_err(|error| anyhow!("{} is damaged: {error}", path.display()))?;
        Ok(secrets)
    }

    /// The value of `SUBJECT_KEY`: generated together with the code secrets, then read from the file `subject-key`. In a
    /// folder of a version that had no such file, the last code secret was this key.
    pub(crate) fn subject_key(&self) -> Result<SecretString> {
        let code_secrets = self.code_secrets()?;
        let path = self.path.join(SUBJECT_KEY);
        if let Some((_, last)) = code_secrets.expose_secret().rsplit_once(':').filter(|_| !path.exists()) {
            self.write_secret(SUBJECT_KEY, last.trim())?;
        }
        let key = self.read_secret(SUBJECT_KEY)?;
        SecretKey::parse(key.expose_secret())
            .map_err(|problem| anyhow!("{} is damaged: it {problem}", path.display()))?;
        Ok(key)
    }

    /// Reads a file with a secret, after making it private.
    fn read_secret(&self, name: &str) -> Result<SecretString> {
        let path = self.path.join(name);
        let unreadable = || format!("cannot read {}", path.display());
        fs::set_permissions(&path, Permissions::from_mode(0o600)).with_context(unreadable)?;
        Ok(fs::read_to_string(&path).with_context(unreadable)?.trim_end().into())
    }

    /// Writes a file with a secret. Synced and renamed, so that the file is complete or absent after a power cut.
    fn write_secret(&self, name: &str, secret: &str) -> Result<()> {
        let path = self.path.join(name);
        let write = || -> std::io::Result<()> {
            let unfinished = self.path.join(format!("{name}.unfinished"));
            let mut file = private_file().truncate(true).open(&unfinished)?;
            writeln!(file, "{secret}")?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().with_context(|| format!("cannot create {}", path.display()))
    }
}

/// A new secret key.
fn random_key() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
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
