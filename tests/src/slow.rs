//! Slow and idle clients: what they hold, for how long, and who still gets served meanwhile.

use crate::wire::{Alpn, End, Target, Wire};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// What a slow client does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Slow {
    /// Sends a body a byte at a time.
    Body,
    /// Connects and never begins a handshake.
    Handshake,
    /// Sends a head a field at a time (slowloris).
    Head,
    /// Completes a request and then says nothing.
    Idle,
}

/// What came of slow clients.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Connections that came to where the slowness begins.
    pub opened: usize,
    /// Connections that were refused or cut before.
    pub refused: usize,
    /// When each was cut by the peer, in order. Those that are missing were held to the end.
    pub cut: Vec<Duration>,
    /// Statuses with which the peer took leave.
    pub statuses: Vec<u16>,
    /// Ordinary requests tried meanwhile, one a second.
    pub tried: usize,
    /// How long each of those that were answered took.
    pub served: Vec<Duration>,
}

impl Verdict {
    /// Connections held to the end.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.opened.saturating_sub(self.cut.len())
    }

    /// The longest that an ordinary client waited; none when one was not served.
    #[must_use]
    pub fn slowest_service(&self) -> Option<Duration> {
        if self.served.len() < self.tried {
            None
        } else {
            self.served.iter().max().copied()
        }
    }
}

/// Keeps `count` slow connections for `lasting`, each of which moves every `interval`.
///
/// # Errors
/// The limit of descriptors cannot be raised as far as needed.
pub fn hold(target: &Target, what: Slow, count: usize, interval: Duration, lasting: Duration) -> io::Result<Verdict> {
    allow_descriptors(count + 200)?;
    let start = Instant::now();
    let mut verdict = Verdict {
        opened: 0,
        refused: 0,
        cut: Vec::new(),
        statuses: Vec::new(),
        tried: 0,
        served: Vec::new(),
    };
    let mut clients = Vec::new();
    for _ in 0..count {
        match Client::open(target, what) {
            Ok(client) => clients.push(client),
            Err(_) => verdict.refused += 1,
        }
    }
    verdict.opened = clients.len();
    let (mut next_move, mut next_try) = (Instant::now() + interval, Instant::now());
    while start.elapsed() < lasting && !clients.is_empty() {
        let moves = Instant::now() >= next_move;
        if moves {
            next_move = Instant::now() + interval;
        }
        clients.retain_mut(|client| {
            let goes_on = client.look() && (!moves || client.creep(what));
            if !goes_on {
                verdict.cut.push(client.since.elapsed());
                verdict.statuses.extend(client.status());
            }
            goes_on
        });
        if Instant::now() >= next_try {
            next_try = Instant::now() + Duration::from_secs(1);
            verdict.tried += 1;
            verdict.served.extend(target.serves());
        }
        // There is no event to wait for on all of them at once without another dependency; a tenth of a second is fine enough to
        // tell deadlines of seconds apart.
        thread::sleep(Duration::from_millis(100).min(lasting.saturating_sub(start.elapsed())));
    }
    Ok(verdict)
}

enum Line {
    Raw(TcpStream),
    Tls(Box<Wire>),
}

struct Client {
    line: Line,
    since: Instant,
    heard: Vec<u8>,
    /// Bytes of an ordinary response that are not a leave-taking.
    skip: usize,
}

impl Client {
    fn open(target: &Target, what: Slow) -> io::Result<Self> {
        let since = Instant::now();
        if what == Slow::Handshake {
            let socket = TcpStream::connect_timeout(&target.address, Duration::from_secs(5))?;
            socket.set_nonblocking(true)?;
            return Ok(Self {
                line: Line::Raw(socket),
                since,
                heard: Vec::new(),
                skip: 0,
            });
        }
        let mut wire = target.connect(Alpn::Http1)?;
        let host = &target.authority;
        let mut heard = Vec::new();
        match what {
            Slow::Head => wire.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n").as_bytes())?,
            Slow::Body => {
                wire.send(format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\n").as_bytes())?;
            }
            Slow::Idle | Slow::Handshake => {
                wire.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?;
                if wire.receive(&mut heard, Duration::from_secs(5)) != End::Open {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
            }
        }
        let skip = heard.len();
        Ok(Self {
            line: Line::Tls(Box::new(wire)),
            since: Instant::now(),
            heard,
            skip,
        })
    }

    /// Whether the connection is still open.
    fn look(&mut self) -> bool {
        match &mut self.line {
            Line::Raw(socket) => {
                !matches!(socket.peek(&mut [0]), Ok(0)) && socket.take_error().is_ok_and(|error| error.is_none())
            }
            Line::Tls(wire) => wire.poll(&mut self.heard) == End::Open,
        }
    }

    /// Moves as little as possible; whether the connection is still open.
    fn creep(&mut self, what: Slow) -> bool {
        let bytes: &[u8] = match what {
            Slow::Head => b"X: y\r\n",
            Slow::Body => b"a",
            Slow::Handshake | Slow::Idle => return true,
        };
        match &mut self.line {
            Line::Raw(_) => true,
            Line::Tls(wire) => wire.send(bytes).is_ok(),
        }
    }

    /// The status of the leave-taking.
    fn status(&self) -> Option<u16> {
        let text = self.heard.get(self.skip..)?;
        std::str::from_utf8(text.get(9..12)?).ok()?.parse().ok()
    }
}

/// What came of a client that asks for much and does not read it.
#[derive(Clone, Copy, Debug)]
pub struct Unread {
    /// Bytes of the response that there were in the end.
    pub received: usize,
    /// Bytes of the response's body that were asked for.
    pub asked: usize,
    /// How the connection stood in the end.
    pub end: End,
}

impl Unread {
    /// Whether the peer gave up on the client.
    #[must_use]
    pub const fn was_cut(&self) -> bool {
        self.received < self.asked
    }
}

/// Asks for `asked` bytes (the witness's `/bytes/N`) with a small receive buffer, reads nothing for `pause`, and then everything that
/// still comes. `asked` has to be more than the buffers of kernel and peer hold.
///
/// # Errors
/// The target cannot be connected to.
pub fn read_late(target: &Target, asked: usize, pause: Duration) -> io::Result<Unread> {
    let socket = Socket::new(Domain::for_address(target.address), Type::STREAM, None)?;
    // Before connecting, so that the window that is offered is small.
    socket.set_recv_buffer_size(4_096)?;
    socket.connect_timeout(&target.address.into(), Duration::from_secs(5))?;
    let mut wire = target.connect_over(socket.into(), Alpn::Http1)?;
    wire.send(
        format!(
            "GET /bytes/{asked} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            target.authority
        )
        .as_bytes(),
    )?;
    // Doing nothing is the attack.
    thread::sleep(pause);
    let answer = wire.read_to_end(Duration::from_secs(60), asked + 65_536);
    Ok(Unread {
        received: answer.bytes.len(),
        asked,
        end: answer.end,
    })
}

/// What idle connections cost.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Connections that were opened and answered once.
    pub opened: usize,
    /// Resident memory of the processes before, in bytes.
    pub before: u64,
    /// Resident memory of the processes with all connections idle, in bytes.
    pub with: u64,
}

impl Memory {
    /// Bytes a connection.
    #[must_use]
    pub const fn each(&self) -> u64 {
        match self.opened {
            0 => 0,
            opened => self.with.saturating_sub(self.before) / opened as u64,
        }
    }
}

/// Opens `count` connections that complete one request and then say nothing, and reads what the processes `pids` have resident
/// before and then. Run it against a target that has been used before, so that its pools are warm.
///
/// # Errors
/// A process is gone, or the limit of descriptors cannot be raised as far as needed. Fewer connections than asked for are no error.
pub fn idle_memory(target: &Target, pids: &[u32], count: usize) -> io::Result<Memory> {
    allow_descriptors(count + 200)?;
    let before = resident(pids)?;
    let clients: Vec<_> = (0..count)
        .map_while(|_| Client::open(target, Slow::Idle).ok())
        .collect();
    let with = resident(pids)?;
    Ok(Memory {
        opened: clients.len(),
        before,
        with,
    })
}

/// The resident memory of processes, in bytes (`VmRSS` of `/proc/PID/status`).
///
/// # Errors
/// A process is gone.
pub fn resident(pids: &[u32]) -> io::Result<u64> {
    let mut total = 0;
    for pid in pids {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kibibytes = status.lines().find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .trim()
                .strip_suffix("kB")?
                .trim()
                .parse::<u64>()
                .ok()
        });
        total += kibibytes.ok_or_else(|| io::Error::other(format!("process {pid} has no VmRSS")))? * 1_024;
    }
    Ok(total)
}

/// Raises the soft limit of descriptors to `needed`, where it is lower.
fn allow_descriptors(needed: usize) -> io::Result<()> {
    let needed = needed as u64;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= needed {
        return Ok(());
    }
    if hard < needed {
        return Err(io::Error::other(format!(
            "{needed} descriptors are needed, {hard} are allowed"
        )));
    }
    Ok(setrlimit(Resource::RLIMIT_NOFILE, needed, hard)?)
}
