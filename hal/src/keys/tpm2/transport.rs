//! How commands reach a TPM: the kernel's resource manager, or a simulator's socket.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest command or answer, in bytes; what TPMs for PCs and the kernel take.
pub const LONGEST: usize = 4_096;
const HEADER: usize = 10;

/// Carries one command after the other to a TPM.
pub trait Transport: Send {
    /// Sends `command` whole and writes the answer to `answer`, which holds [`LONGEST`] bytes; returns the answer's length.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when there is no whole answer after `limit`; the connection is of no use then, since a late answer
    /// would be taken for the next one's.
    fn exchange(&mut self, command: &[u8], answer: &mut [u8], limit: Duration) -> io::Result<usize>;
}

/// Makes connections to one TPM: the first, and another after each that broke.
pub trait Connect: fmt::Debug + Send + Sync {
    /// Connects.
    ///
    /// # Errors
    /// The device is not there, busy, or not to be opened.
    fn connect(&self) -> io::Result<Box<dyn Transport>>;

    /// What people call this TPM.
    fn name(&self) -> String;
}

/// Where a TPM is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Address {
    /// The kernel's resource manager, `/dev/tpmrm0`.
    Device(PathBuf),
    /// A simulator's Unix socket.
    Socket(PathBuf),
    /// A simulator's TCP port.
    Tcp(SocketAddr),
}

impl Address {
    /// Reads `/dev/…`, `unix:PATH` or `tcp:ADDRESS:PORT`; `None` where it is anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            (!path.is_empty()).then(|| Self::Socket(path.into()))
        } else if let Some(address) = text.strip_prefix("tcp:") {
            address.parse().ok().map(Self::Tcp)
        } else {
            text.starts_with("/dev/").then(|| Self::Device(text.into()))
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => path.display().fmt(f),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

impl Connect for Address {
    fn connect(&self) -> io::Result<Box<dyn Transport>> {
        Ok(match self {
            Self::Device(path) => {
                // Without blocking, the write hands the command over and a poll tells of the answer; with it, the write itself would
                // wait for the TPM without any bound.
                let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
                let file = rustix::fs::open(path, flags, Mode::empty())?;
                Box::new(Packets(File::from(file)))
            }
            Self::Socket(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Box::new(Stream(stream))
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, CONNECTING)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Box::new(Stream(stream))
            }
        })
    }

    fn name(&self) -> String {
        format!("the TPM at {self}")
    }
}

/// A device file that somebody else opened: the vault can name no path in its sandbox, so the supervisor hands it the descriptor.
#[derive(Clone, Debug)]
pub struct Handed {
    file: Arc<File>,
    name: String,
}

impl Handed {
    /// Takes over the descriptor of a device file, which is called `name` in messages.
    ///
    /// # Errors
    /// It cannot be kept from blocking.
    pub fn new(file: OwnedFd, name: &str) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&file, true)?;
        Ok(Self {
            file: Arc::new(File::from(file)),
            name: name.to_owned(),
        })
    }
}

impl Connect for Handed {
    fn connect(&self) -> io::Result<Box<dyn Transport>> {
        // There is no second opening, so a late answer to a command that was given up may still come here. While the device works on
        // that command it takes no other one, and says so.
        let mut late = [0; LONGEST];
        loop {
            match (&*self.file).read(&mut late) {
                // The device file's way of saying that there is nothing.
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if waits(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Box::new(Packets(Arc::clone(&self.file))))
    }

    fn name(&self) -> String {
        format!("the TPM at {}", self.name)
    }
}

/// `/dev/tpmrm0`: one write is a command, one read an answer.
#[derive(Debug)]
pub struct Packets<F>(pub F);

impl<F: AsFd + Read + Write + Send> Transport for Packets<F> {
    fn exchange(&mut self, command: &[u8], answer: &mut [u8], limit: Duration) -> io::Result<usize> {
        let until = Until::after(limit);
        // A part of a command is none; the kernel takes it whole or not at all.
        if self.0.write(command)? != command.len() {
            return Err(ErrorKind::WriteZero.into());
        }
        loop {
            until.wait(&self.0, PollFlags::IN)?;
            match self.0.read(answer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if waits(&error) => {}
                outcome => return outcome,
            }
        }
    }
}

/// A simulator's socket: commands and answers are delimited by the lengths in their headers.
#[derive(Debug)]
pub struct Stream<S>(pub S);

impl<S: AsFd + Read + Write + Send> Transport for Stream<S> {
    fn exchange(&mut self, command: &[u8], answer: &mut [u8], limit: Duration) -> io::Result<usize> {
        let until = Until::after(limit);
        let mut rest = command;
        while !rest.is_empty() {
            until.wait(&self.0, PollFlags::OUT)?;
            match self.0.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if waits(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let mut length = HEADER;
        let mut read = 0;
        while read < length {
            until.wait(&self.0, PollFlags::IN)?;
            let space = answer.get_mut(read..length).ok_or(ErrorKind::InvalidData)?;
            match self.0.read(space) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(more) => read += more,
                Err(error) if waits(&error) => {}
                Err(error) => return Err(error),
            }
            if read == HEADER && length == HEADER {
                let size = answer.get(2..6).and_then(|size| size.first_chunk());
                let size = size.map_or(0, |size| u32::from_be_bytes(*size));
                length = usize::try_from(size).unwrap_or(usize::MAX);
                if !(HEADER..=LONGEST).contains(&length) {
                    return Err(ErrorKind::InvalidData.into());
                }
            }
        }
        Ok(length)
    }
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// When waiting ends.
struct Until(Option<Instant>);

impl Until {
    fn after(limit: Duration) -> Self {
        Self(Instant::now().checked_add(limit))
    }

    fn wait(&self, fd: &impl AsFd, flags: PollFlags) -> io::Result<()> {
        loop {
            let left = self.0.map(|until| until.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(fd, flags)], timeout.as_ref()) {
                Ok(0) => return Err(ErrorKind::TimedOut.into()),
                // An error or a hang-up is told by the read or write that follows.
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

const CONNECTING: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::{Address, HEADER, LONGEST, Packets, Stream, Transport};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::fs::File;
    use std::io::{ErrorKind, Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    const SOON: Duration = Duration::from_secs(10);

    fn framed(length: u32) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        bytes[2..6].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    #[test]
    fn an_address_reads_what_it_prints() {
        for text in ["/dev/tpmrm0", "unix:/run/tpm", "tcp:127.0.0.1:2321"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "unix:", "tcp:localhost", "/etc/passwd", "tpm"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_answer_in_pieces_is_put_together() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let peer = std::thread::spawn(move || {
            let mut command = [0; 12];
            theirs.read_exact(&mut command).unwrap();
            for piece in framed(50).chunks(7) {
                theirs.write_all(piece).unwrap();
            }
            theirs
        });
        let mut answer = vec![0; LONGEST];
        assert_eq!(Stream(ours).exchange(&[1; 12], &mut answer, SOON).unwrap(), 50);
        peer.join().unwrap();
    }

    #[test]
    fn a_length_that_no_tpm_sends_is_refused() {
        for length in [0, 9, 4_097, u32::MAX] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let mut header = [0; HEADER];
            header[2..6].copy_from_slice(&length.to_be_bytes());
            theirs.write_all(&header).unwrap();
            let error = Stream(ours)
                .exchange(&[1; 12], &mut vec![0; LONGEST], SOON)
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        }
    }

    #[test]
    fn silence_and_the_end_are_told_apart_and_waited_for_no_longer_than_asked() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut stream = Stream(ours);
        let start = Instant::now();
        let error = stream
            .exchange(&[1; 12], &mut vec![0; LONGEST], Duration::from_millis(50))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() < SOON);
        drop(theirs);
        assert!(stream.exchange(&[1; 12], &mut vec![0; LONGEST], SOON).is_err());
    }

    /// A packet socket keeps messages apart as the device file does.
    #[test]
    fn the_device_file_takes_a_command_in_one_write_and_gives_the_answer_in_one_read() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::NONBLOCK, None).unwrap();
        let (mut device, mut theirs) = (Packets(File::from(ours)), File::from(theirs));
        let peer = std::thread::spawn(move || {
            let mut command = vec![0; LONGEST];
            loop {
                match theirs.read(&mut command) {
                    Ok(length) => {
                        assert_eq!(length, 300);
                        break;
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
                std::thread::yield_now();
            }
            theirs.write_all(&framed(4_096)).unwrap();
            theirs
        });
        let mut answer = vec![0; LONGEST];
        assert_eq!(device.exchange(&[1; 300], &mut answer, SOON).unwrap(), 4_096);
        let _theirs = peer.join().unwrap();
        let error = device
            .exchange(&[1; 300], &mut answer, Duration::from_millis(50))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
