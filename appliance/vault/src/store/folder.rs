//! The store's folder: its lock, and files that are replaced whole.

use super::error::StoreError;
use super::keyring::Keyring;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The store's own folder within the state folder.
pub(super) const STORE: &str = "store";

/// The state folder, held by this process alone until dropped. Everything in it (key device, store) is opened under this lock.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    writable: bool,
    _lock: File,
}

impl StateFolder {
    /// Makes the folder where it is missing, and locks it.
    ///
    /// # Errors
    /// Another process holds it, or it cannot be made or opened.
    pub fn lock(path: &Path) -> Result<Self, StoreError> {
        create(path)?;
        let lock_path = path.join("lock");
        let mut options = OpenOptions::new();
        let opened = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path);
        let (lock, writable) = match opened {
            Ok(lock) => (lock, true),
            // An existing store on a file system mounted read-only can still be read.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied
                ) =>
            {
                (
                    File::open(&lock_path).map_err(StoreError::file("open", &lock_path))?,
                    false,
                )
            }
            Err(error) => return Err(StoreError::file("open", &lock_path)(error)),
        };
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                writable,
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: lock_path }),
            Err(TryLockError::Error(error)) => Err(StoreError::file("lock", &lock_path)(error)),
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a store was made in it before: then its key device must be there too.
    #[must_use]
    pub fn holds_store(&self) -> bool {
        Keyring::path(&self.path.join(STORE)).exists()
    }

    /// Whether files can be made in it.
    #[must_use]
    pub const fn writable(&self) -> bool {
        self.writable
    }
}

/// Makes a folder with mode 0700 where there is none, durably.
pub(crate) fn create(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(StoreError::file("create", path))?;
    sync(parent(path))
}

/// Makes the names in a folder durable.
pub(crate) fn sync(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(StoreError::file("sync", folder))
}

/// The folder that a path lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Opens a new file for writing; one left over under that name is emptied.
pub(crate) fn create_file(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(StoreError::file("create", path))
}

/// Replaces a small file so that after a crash either the old or the new content is there, whole.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let fresh = with_suffix(path, ".new");
    let mut file = create_file(&fresh)?;
    file.write_all(content).map_err(StoreError::file("write", &fresh))?;
    file.sync_all().map_err(StoreError::file("sync", &fresh))?;
    std::fs::rename(&fresh, path).map_err(StoreError::file("replace", path))?;
    sync(parent(path))
}

/// Removes a file; one that is not there is no error.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::file("remove", path)(error)),
    }
}

/// Reads a file of at most `limit` bytes; `None` where there is none.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    use std::io::Read;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::file("open", path)(error)),
    };
    let mut bytes = Vec::new();
    let count = file
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(StoreError::file("read", path))?;
    if u64::try_from(count).is_ok_and(|count| count <= limit) {
        Ok(Some(bytes))
    } else {
        Err(StoreError::damaged(path, bytes.len(), "it is longer than it can be"))
    }
}

/// Bytes of all files in a folder and below. What cannot be read counts as nothing.
pub(crate) fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => size(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
