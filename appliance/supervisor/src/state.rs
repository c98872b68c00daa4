//! What stands in the state folder, and files that are passed to services.

use rustix::fs::{FlockOperation, MemfdFlags, OFlags, SealFlags, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// The largest initial configuration, in bytes.
const DOCUMENT: usize = 4 << 20;
const SOCKET: &str = "operator.sock";

/// What went wrong with a file of the appliance's.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", path.display())]
pub struct StateError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl StateError {
    pub(crate) fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { what, path, source }
    }
}

/// The folder `run`, held by a lock while the supervisor lives. Dropping it removes the socket.
#[derive(Debug)]
pub(crate) struct Run {
    folder: File,
    socket: PathBuf,
}

impl Run {
    /// Makes the folder, locks it, and listens for operators in it.
    pub(crate) fn claim(folder: &Path) -> Result<(Self, OwnedFd), StateError> {
        let path = make_folder(folder)?;
        let folder = open_folder(&path)?;
        flock(&folder, FlockOperation::NonBlockingLockExclusive).map_err(|errno| {
            let source = match errno {
                Errno::WOULDBLOCK => io::Error::other("another supervisor runs on this state"),
                other => other.into(),
            };
            StateError {
                what: "lock",
                path: path.clone(),
                source,
            }
        })?;
        let run = Self {
            folder,
            socket: path.join(SOCKET),
        };
        let socket = run.listen().map_err(StateError::at("listen on", &run.socket))?;
        Ok((run, socket))
    }

    fn listen(&self) -> io::Result<OwnedFd> {
        match fs::remove_file(&self.socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Not non-blocking, since the manager waits on it; the supervisor itself never accepts.
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        // A socket's name has 108 bytes at most; through the open folder it is short wherever the state is.
        let name = format!("/proc/self/fd/{}/{SOCKET}", self.folder.as_raw_fd());
        bind(&socket, &SocketAddrUnix::new(name)?)?;
        // Nobody can connect before `listen`, and nobody but the owner reaches it: the folder is 0700.
        fs::set_permissions(&self.socket, Permissions::from_mode(0o600))?;
        listen(&socket, 16)?;
        Ok(socket)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // The next start removes it where this fails.
        let _ = fs::remove_file(&self.socket);
    }
}

/// The vault's folder `STATE/store`, owned by its user where it has one.
pub(crate) fn store(state: &Path, owner: Option<u32>) -> Result<File, StateError> {
    let path = make_folder(&state.join("store"))?;
    if let Some(owner) = owner {
        hand_over(&path, owner).map_err(StateError::at("change the owner of", &path))?;
    }
    open_folder(&path)
}

/// The initial configuration as a sealed memory file, so that the manager needs no path and gets what was checked.
pub(crate) fn document(path: &Path) -> Result<OwnedFd, StateError> {
    let bytes = passed(path, DOCUMENT)?;
    memory_file("configuration", &bytes).map_err(StateError::at("pass on", path))
}

/// The content of a file of at most `limit` bytes.
pub(crate) fn passed(path: &Path, limit: usize) -> Result<Vec<u8>, StateError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(io::Error::other(format!("larger than {limit} bytes")));
        }
        Ok(bytes)
    };
    read().map_err(StateError::at("read", path))
}

/// The built-in configuration, in the same form.
pub(crate) fn built_in(text: &str) -> Result<OwnedFd, StateError> {
    memory_file("configuration", text.as_bytes())
        .map_err(StateError::at("keep", Path::new("the built-in configuration")))
}

/// Bytes as a memory file that nobody can change.
pub(crate) fn memory_file(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

/// Takes over an inherited descriptor (a pipe or a file) for writing. Writes to it do not wait.
pub(crate) fn inherited(number: i32) -> Result<File, StateError> {
    let take = || -> io::Result<File> {
        // Asking the kernel for a descriptor of this very process is the safe way from a number to an owned descriptor.
        let this = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty())?;
        let taken = rustix::process::pidfd_getfd(&this, number, rustix::process::PidfdGetfdFlags::empty())?;
        rustix::io::ioctl_fionbio(&taken, true)?;
        // The inherited number is closed, so that the other end of a pipe sees the end when this file is closed.
        nix::unistd::close(number)?;
        Ok(File::from(taken))
    };
    take().map_err(StateError::at(
        "take over the descriptor",
        Path::new(&number.to_string()),
    ))
}

fn make_folder(path: &Path) -> Result<PathBuf, StateError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(StateError::at("create", path))?;
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(StateError::at("restrict", path))?;
    path.canonicalize().map_err(StateError::at("find", path))
}

fn open_folder(path: &Path) -> Result<File, StateError> {
    let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits().cast_signed();
    File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(StateError::at("open", path))
}

/// Gives a new, empty folder to a user. One with content is never given away: root would change the owner of whatever somebody
/// else may have linked into it.
fn hand_over(path: &Path, owner: u32) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?.uid();
    if found == owner {
        return Ok(());
    }
    if fs::read_dir(path)?.next().is_some() {
        return Err(io::Error::other(format!(
            "it has content and belongs to user {found}, not to the vault's user {owner}: it was made in another mode"
        )));
    }
    chown(path, Some(owner), Some(owner))
}

/// Where the operators' socket of this state is.
#[cfg(test)]
fn socket_of(state: &Path) -> PathBuf {
    state.join("run").join(SOCKET)
}

#[cfg(test)]
mod tests {
    use super::{Run, document, socket_of, store};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_state_is_used_by_one_supervisor_and_the_socket_goes_with_it() {
        // A path longer than a socket's name may be.
        let state = tempfile::tempdir().unwrap();
        let state = state.path().join("x".repeat(120));
        let (run, _socket) = Run::claim(&state.join("run")).unwrap();
        let mode = std::fs::metadata(socket_of(&state)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = Run::claim(&state.join("run")).unwrap_err();
        assert!(
            std::error::Error::source(&error)
                .unwrap()
                .to_string()
                .contains("another supervisor")
        );
        drop(run);
        assert!(!socket_of(&state).exists());
        Run::claim(&state.join("run")).unwrap();
    }

    #[test]
    fn the_store_is_its_owners_alone() {
        let state = tempfile::tempdir().unwrap();
        let folder = store(state.path(), None).unwrap();
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_store_with_content_of_another_user_is_not_given_away() {
        let state = tempfile::tempdir().unwrap();
        std::fs::create_dir(state.path().join("store")).unwrap();
        std::fs::write(state.path().join("store/x"), "").unwrap();
        let error = store(state.path(), Some(64_101)).unwrap_err();
        assert!(
            std::error::Error::source(&error)
                .unwrap()
                .to_string()
                .contains("made in another mode")
        );
    }

    #[test]
    fn a_document_cannot_be_changed_after_it_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("redan.toml");
        std::fs::write(&path, "schema = 1\n").unwrap();
        let file = std::fs::File::from(document(&path).unwrap());
        assert!(std::io::Write::write(&mut &file, b"x").is_err());
        assert!(
            document(&folder.path().join("missing"))
                .unwrap_err()
                .to_string()
                .contains("missing")
        );
    }
}
