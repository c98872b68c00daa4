//! A disk that remembers: one file in a FUSE file system, under a loop device, which writes down every write and every flush.
//!
//! It speaks just enough of the kernel's FUSE protocol (`include/uapi/linux/fuse.h`, 7.31) for a folder of three files: `disk` is the
//! disk itself; what is written to `acks` is noted in the history between the writes; `control` takes `fail-writes N` and
//! `fail-flushes N`, which make the next N of them fail, and `refuse-flushes N`, which makes all fail until N is 0. A write that
//! fails may have reached the disk in part.

use super::history::{Failing, Operation, Recorder};
use rustix::mount::MountFlags;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Serves a disk until it is unmounted. `image` is its content, `history` where its history goes.
pub(crate) fn serve(mountpoint: &Path, image: &Path, history: &Path) -> io::Result<()> {
    let device = File::options().read(true).write(true).open("/dev/fuse")?;
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,allow_other",
        device.as_raw_fd()
    );
    rustix::mount::mount(
        "redan-disk",
        mountpoint,
        "fuse",
        MountFlags::NOSUID,
        Some(CString::new(options)?.as_c_str()),
    )?;
    let image = File::options().read(true).write(true).open(image)?;
    let mut disk = Disk {
        size: image.metadata()?.len(),
        image,
        recorder: Recorder::create(history)?,
        fail_writes: 0,
        fail_flushes: 0,
        refuse_flushes: false,
        random: 0x9e37_79b9_7f4a_7c15,
    };
    println!("ready");
    let mut buffer = vec![0; WRITE_LIMIT + 8_192];
    loop {
        let length = match (&device).read(&mut buffer) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::NotFound) => continue,
            // Unmounted.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => break,
            Err(error) => return Err(error),
        };
        let request = Request(&buffer[..length]);
        let (error, body) = match disk.answer(&request) {
            Ok(None) => continue,
            Ok(Some(body)) => (0, body),
            Err(error) => (-error.raw_os_error(), Vec::new()),
        };
        let mut reply = Vec::with_capacity(16 + body.len());
        reply.extend_from_slice(&u32::try_from(16 + body.len()).unwrap().to_le_bytes());
        reply.extend_from_slice(&error.to_le_bytes());
        reply.extend_from_slice(&request.u64(8).to_le_bytes());
        reply.extend_from_slice(&body);
        match (&device).write(&reply) {
            Ok(_) => {}
            // Whoever asked was killed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    disk.recorder.finish()
}

struct Disk {
    image: File,
    size: u64,
    recorder: Recorder,
    fail_writes: u32,
    fail_flushes: u32,
    refuse_flushes: bool,
    random: u64,
}

struct Request<'a>(&'a [u8]);

impl Request<'_> {
    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    fn body(&self) -> &[u8] {
        &self.0[40..]
    }
}

type Errno = rustix::io::Errno;

impl Disk {
    fn answer(&mut self, request: &Request<'_>) -> Result<Option<Vec<u8>>, Errno> {
        let node = request.u64(16);
        let body = match request.u32(4) {
            LOOKUP => {
                let name = request.body().split(|byte| *byte == 0).next().unwrap_or_default();
                let node = match name {
                    b"disk" => DISK,
                    b"acks" => ACKS,
                    b"control" => CONTROL,
                    _ => return Err(Errno::NOENT),
                };
                // Node, generation, and validity of entry and attributes: a day, they never change.
                let mut body = words(&[node, 0, 86_400, 86_400, 0]);
                body.extend(self.attributes(node));
                body
            }
            FORGET | BATCH_FORGET | INTERRUPT => return Ok(None),
            GETATTR | SETATTR => {
                let mut body = words(&[86_400, 0]);
                body.extend(self.attributes(node));
                body
            }
            OPEN | OPENDIR => {
                let flags = if node == DISK { KEEP_CACHE } else { DIRECT_IO };
                words(&[0, flags])
            }
            READ => {
                let (offset, size) = (request.u64(48), request.u32(56));
                let mut bytes = vec![0; size as usize];
                if node != DISK {
                    return Ok(Some(Vec::new()));
                }
                let room = usize::try_from(self.size.saturating_sub(offset)).unwrap();
                bytes.truncate(room);
                self.image.read_exact_at(&mut bytes, offset).map_err(|_| Errno::IO)?;
                bytes
            }
            WRITE => {
                let (offset, size) = (request.u64(48), request.u32(56));
                let written = self.write(node, offset, &request.body()[40..][..size as usize])?;
                words(&[written])
            }
            STATFS => vec![0; 80],
            FSYNC if node == DISK => {
                if self.refuse_flushes || self.fail_flushes > 0 {
                    self.fail_flushes = self.fail_flushes.saturating_sub(1);
                    let failing = if self.refuse_flushes {
                        Failing::Lasting
                    } else {
                        Failing::Once
                    };
                    self.recorder.add(&Operation::FlushFailed(failing));
                    return Err(Errno::IO);
                }
                self.recorder.add(&Operation::Flush);
                Vec::new()
            }
            FSYNC | FLUSH | RELEASE | RELEASEDIR | READDIR | ACCESS | DESTROY => Vec::new(),
            INIT => {
                let mut body = Vec::new();
                for word in [7, 31, 128 << 10, BIG_WRITES | MAX_PAGES] {
                    body.extend_from_slice(&u32::to_le_bytes(word));
                }
                body.extend_from_slice(&[0; 4]);
                body.extend_from_slice(&u32::try_from(WRITE_LIMIT).unwrap().to_le_bytes());
                body.extend_from_slice(&1_u32.to_le_bytes());
                body.extend_from_slice(&u16::try_from(WRITE_LIMIT / 4096).unwrap().to_le_bytes());
                body.resize(64, 0);
                body
            }
            _ => return Err(Errno::NOSYS),
        };
        Ok(Some(body))
    }

    fn write(&mut self, node: u64, offset: u64, data: &[u8]) -> Result<u64, Errno> {
        match node {
            ACKS => self.recorder.add(&Operation::Ack(data)),
            CONTROL => {
                let text = String::from_utf8_lossy(data);
                let mut words = text.split_whitespace();
                let (what, count) = (words.next(), words.next().and_then(|count| count.parse().ok()));
                match (what, count) {
                    (Some("fail-writes"), Some(count)) => self.fail_writes = count,
                    (Some("fail-flushes"), Some(count)) => self.fail_flushes = count,
                    (Some("refuse-flushes"), Some(count)) => self.refuse_flushes = count > 0,
                    _ => return Err(Errno::INVAL),
                }
            }
            DISK if self.fail_writes > 0 => {
                self.fail_writes -= 1;
                self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let sectors = (self.random >> 33) % (data.len() as u64 / 512 + 1);
                let reached = &data[..usize::try_from(sectors).unwrap() * 512];
                if !reached.is_empty() {
                    self.recorder.add(&Operation::Write(offset, reached));
                    self.image.write_all_at(reached, offset).map_err(|_| Errno::IO)?;
                }
                return Err(Errno::IO);
            }
            DISK => {
                self.recorder.add(&Operation::Write(offset, data));
                self.image.write_all_at(data, offset).map_err(|_| Errno::IO)?;
            }
            _ => return Err(Errno::BADF),
        }
        Ok(data.len() as u64)
    }

    fn attributes(&self, node: u64) -> Vec<u8> {
        let (size, mode) = match node {
            ROOT => (0, 0o040_755),
            DISK => (self.size, 0o100_600),
            _ => (0, 0o100_600),
        };
        let mut bytes = words(&[node, size, size / 512, 0, 0, 0]);
        let owner_and_device: [u32; 10] = [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0];
        owner_and_device
            .iter()
            .for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        bytes
    }
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

const ROOT: u64 = 1;
const DISK: u64 = 2;
const ACKS: u64 = 3;
const CONTROL: u64 = 4;
const WRITE_LIMIT: usize = 1 << 20;
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const SETATTR: u32 = 4;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FSYNC: u32 = 20;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const READDIR: u32 = 28;
const RELEASEDIR: u32 = 29;
const ACCESS: u32 = 34;
const INTERRUPT: u32 = 36;
const DESTROY: u32 = 38;
const BATCH_FORGET: u32 = 42;
const DIRECT_IO: u64 = 1;
const KEEP_CACHE: u64 = 2;
const BIG_WRITES: u32 = 1 << 5;
const MAX_PAGES: u32 = 1 << 22;
