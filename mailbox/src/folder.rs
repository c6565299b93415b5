//! The folder on disk: one file for each mail, named by the mail's id.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// A file that is still being written, or that was when its writer was killed.
const UNFINISHED: &str = "part";

pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder, and the ids of the mails in it. Nothing is opened but the folder itself: a file that
    /// cannot be read is found out when somebody wants to read it.
    pub(super) fn open(path: &Path) -> io::Result<(Folder, Vec<Uuid>)> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let folder = Folder { path: path.canonicalize()? };
        let mut ids = Vec::new();
        for entry in fs::read_dir(path)? {
            let file = entry?.path();
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("eml") => ids.extend(id_of(&file)),
                Some(UNFINISHED) if id_of(&file).is_some() => fs::remove_file(&file)?,
                _ => {}
            }
        }
        folder.try_writing()?;
        Ok((folder, ids))
    }

    /// A folder that takes no files is better found out at the start than at the first mail.
    fn try_writing(&self) -> io::Result<()> {
        let probe = self.path.join(Uuid::nil().to_string()).with_extension(UNFINISHED);
        create(&probe)?;
        fs::remove_file(probe)
    }

    /// Under its name there is the whole mail or nothing, even if this process is killed meanwhile.
    /// Nothing is synced to the disk: a mail of development may be lost when the machine loses power.
    pub(super) fn write(&self, id: Uuid, parts: &[&[u8]]) -> io::Result<()> {
        let path = self.path_of(id);
        let unfinished = path.with_extension(UNFINISHED);
        let mut file = create(&unfinished)?;
        let written =
            parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| fs::rename(&unfinished, path));
        // Whatever went wrong, most likely a full disk, half a mail only makes it worse.
        written.inspect_err(|_| drop(fs::remove_file(&unfinished)))
    }

    pub(super) fn read(&self, id: Uuid) -> io::Result<Vec<u8>> {
        fs::read(self.path_of(id))
    }

    /// A file that somebody else has removed is removed.
    pub(super) fn remove(&self, id: Uuid) -> io::Result<()> {
        match fs::remove_file(self.path_of(id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn path_of(&self, id: Uuid) -> PathBuf {
        self.path.join(id.to_string()).with_extension("eml")
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Only what we write ourselves is ours: `<uuid>.eml`, in the very letters in which we write it.
fn id_of(file: &Path) -> Option<Uuid> {
    let name = file.file_stem()?.to_str()?;
    name.parse().ok().filter(|id: &Uuid| id.to_string() == name)
}
