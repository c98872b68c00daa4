//! An upstream that writes down what it is sent, byte for byte, and answers every request that it sees there.
//!
//! It reads as naively as the most careless application would: a head ends at the first empty line, a length is the first
//! `Content-Length`, chunks are followed without a check. What a proxy lets through to it can therefore be taken for a request.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A request that reached the upstream.
#[derive(Clone)]
pub struct Seen {
    /// Which of the upstream's connections it came on, counted from 0.
    pub connection: usize,
    /// The request line.
    pub line: String,
    /// The head, with its empty line.
    pub head: Vec<u8>,
    /// The content, chunks joined; what came of it.
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub complete: bool,
}

impl Seen {
    /// The values of the fields called `name` in any letter case.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.head);
        let fields = text.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        fields
            .filter(|(field, _)| field.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
            .collect()
    }
}

impl fmt::Debug for Seen {
    /// The bytes as text, for the messages of tests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("connection", &self.connection)
            .field("head", &String::from_utf8_lossy(&self.head))
            .field("body", &String::from_utf8_lossy(&self.body))
            .field("complete", &self.complete)
            .finish()
    }
}

/// The upstream. It stops when dropped.
#[derive(Debug)]
pub struct Witness {
    address: SocketAddr,
    record: Arc<Mutex<Record>>,
    stop: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Record {
    connections: usize,
    requests: usize,
    seen: Vec<(usize, Seen)>,
}

impl Record {
    /// Writes down a request; the number finds it again.
    fn add(&mut self, seen: Seen) -> usize {
        self.requests += 1;
        self.seen.push((self.requests, seen));
        self.requests
    }

    fn update(&mut self, number: usize, seen: &Seen) {
        if let Some((_, entry)) = self.seen.iter_mut().find(|(entry, _)| *entry == number) {
            entry.clone_from(seen);
        }
    }
}

impl Witness {
    /// An upstream on a free port of the loopback interface.
    ///
    /// # Errors
    /// No port is free.
    pub fn start() -> io::Result<Self> {
        Self::on(TcpListener::bind("127.0.0.1:0")?)
    }

    /// An upstream on a listener of the caller's, in whatever network namespace that was made.
    ///
    /// # Errors
    /// The listener has no address, or no thread can be started.
    pub fn on(listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let record = Arc::new(Mutex::new(Record::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&record), Arc::clone(&stop));
        thread::Builder::new().name("witness".into()).spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&shared);
                // A connection that gets no thread is dropped, which the proxy sees as an upstream that closes.
                let _ = thread::Builder::new().spawn(move || serve(socket, &shared));
            }
        })?;
        Ok(Self { address, record, stop })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen since the last call. A request is there as soon as its head is; it is not complete while its body comes.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut lock(&self.record).seen)
            .into_iter()
            .map(|(_, seen)| seen)
            .collect()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts; if nobody listens any more, there is nothing to wake.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut socket: TcpStream, record: &Mutex<Record>) {
    let connection = {
        let mut record = lock(record);
        record.connections += 1;
        record.connections - 1
    };
    if socket.set_read_timeout(Some(Duration::from_secs(30))).is_err() || socket.set_nodelay(true).is_err() {
        return;
    }
    let mut buffer = Buffer {
        socket: &mut socket,
        bytes: Vec::new(),
    };
    while let Some(head) = buffer.until(b"\r\n\r\n") {
        let line = String::from_utf8_lossy(head.split(|b| *b == b'\r').next().unwrap_or_default()).into_owned();
        let mut seen = Seen {
            connection,
            line,
            head,
            body: Vec::new(),
            complete: false,
        };
        let number = lock(record).add(seen.clone());
        seen.complete = buffer.body(&mut seen);
        lock(record).update(number, &seen);
        if !seen.complete || buffer.socket.write_all(&answer(&seen)).is_err() {
            return;
        }
    }
    // Bytes that never became a head are evidence too.
    if !buffer.bytes.is_empty() {
        let line = String::from_utf8_lossy(&buffer.bytes).into_owned();
        lock(record).add(Seen {
            connection,
            line,
            head: buffer.bytes,
            body: Vec::new(),
            complete: false,
        });
    }
}

/// `/bytes/N` asks for N bytes, everything else for its own path.
fn answer(seen: &Seen) -> Vec<u8> {
    let path = seen.line.split(' ').nth(1).unwrap_or_default();
    let length = path
        .strip_prefix("/bytes/")
        .and_then(|digits| digits.parse::<usize>().ok());
    let body = length.map_or_else(|| path.as_bytes().to_vec(), |length| vec![b'x'; length.min(64 << 20)]);
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    if !seen.line.starts_with("HEAD ") {
        answer.extend_from_slice(&body);
    }
    answer
}

struct Buffer<'a> {
    socket: &'a mut TcpStream,
    bytes: Vec<u8>,
}

impl Buffer<'_> {
    /// Takes what stands before and including `mark`.
    fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.bytes.windows(mark.len()).position(|window| window == mark) {
                return Some(self.bytes.drain(..at + mark.len()).collect());
            }
            self.fill()?;
        }
    }

    /// Takes up to `length` bytes into `body`; says whether they all came.
    fn take(&mut self, length: usize, body: &mut Vec<u8>) -> bool {
        let mut left = length;
        loop {
            let taken = left.min(self.bytes.len());
            body.extend(self.bytes.drain(..taken));
            left -= taken;
            if left == 0 {
                return true;
            }
            if self.fill().is_none() {
                return false;
            }
        }
    }

    fn body(&mut self, seen: &mut Seen) -> bool {
        let chunked = seen
            .values("transfer-encoding")
            .iter()
            .any(|value| value.to_ascii_lowercase().contains("chunked"));
        if !chunked {
            let length = seen
                .values("content-length")
                .first()
                .and_then(|value| value.parse().ok())
                .unwrap_or(0);
            return self.take(length, &mut seen.body);
        }
        loop {
            let Some(line) = self.until(b"\r\n") else { return false };
            let digits = String::from_utf8_lossy(&line).trim().to_owned();
            let Ok(size) = usize::from_str_radix(&digits, 16) else {
                return false;
            };
            if size == 0 {
                // Trailers, up to the empty line.
                loop {
                    match self.until(b"\r\n") {
                        Some(line) if line == b"\r\n" => return true,
                        Some(_) => {}
                        None => return false,
                    }
                }
            }
            if !self.take(size, &mut seen.body) || self.until(b"\r\n").is_none() {
                return false;
            }
        }
    }

    fn fill(&mut self) -> Option<()> {
        let mut part = [0_u8; 16_384];
        let length = self.socket.read(&mut part).ok().filter(|length| *length > 0)?;
        self.bytes.extend_from_slice(part.get(..length)?);
        Some(())
    }
}
