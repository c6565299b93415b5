//! The folder on disk: one file per mail, named `<id>.eml`.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// The extension of a file that is being written, or whose writer was killed.
const UNFINISHED: &str = "part";

/// An open mail folder.
pub(super) struct MailFolder {
    path: PathBuf,
}

impl MailFolder {
    /// Opens or creates the folder, deletes unfinished files, and returns the ids of the mails in it.
    ///
    /// No mail is opened: an unreadable file is detected when it is read.
    pub(super) fn open(path: &Path) -> io::Result<(MailFolder, Vec<Uuid>)> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let folder = MailFolder { path: path.canonicalize()? };
        let mut ids = Vec::new();
        for entry in fs::read_dir(path)? {
            let file = entry?.path();
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("eml") => ids.extend(id_of(&file)),
                Some(UNFINISHED) if id_of(&file).is_some() => fs::remove_file(&file)?,
                _ => {}
            }
        }
        folder.check_writable()?;
        Ok((folder, ids))
    }

    /// Creates and removes a file, so that an unwritable folder fails at the start and not at the first mail.
    fn check_writable(&self) -> io::Result<()> {
        let probe = self.path.join(Uuid::nil().to_string()).with_extension(UNFINISHED);
        create(&probe)?;
        fs::remove_file(probe)
    }

    /// Writes a mail to a temporary file and renames it, so that `<id>.eml` is complete or absent, even if this
    /// process is killed.
    ///
    /// Nothing is synced to disk: a development mail may be lost in a power cut.
    pub(super) fn write(&self, id: Uuid, parts: &[&[u8]]) -> io::Result<()> {
        let path = self.path_of(id);
        let unfinished = path.with_extension(UNFINISHED);
        let mut file = create(&unfinished)?;
        let written =
            parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| fs::rename(&unfinished, path));
        // The usual cause is a full disk, which a left-over partial file would make worse.
        written.inspect_err(|_| drop(fs::remove_file(&unfinished)))
    }

    /// Reads the whole file of a mail.
    pub(super) fn read(&self, id: Uuid) -> io::Result<Vec<u8>> {
        fs::read(self.path_of(id))
    }

    /// Removes the file of a mail. A file that no longer exists is not an error.
    pub(super) fn remove(&self, id: Uuid) -> io::Result<()> {
        match fs::remove_file(self.path_of(id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The path of the file of a mail.
    pub(super) fn path_of(&self, id: Uuid) -> PathBuf {
        self.path.join(id.to_string()).with_extension("eml")
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// The id in a file name, if it is spelt exactly as this module spells it; other files are left alone.
fn id_of(file: &Path) -> Option<Uuid> {
    let name = file.file_stem()?.to_str()?;
    name.parse().ok().filter(|id: &Uuid| id.to_string() == name)
}
