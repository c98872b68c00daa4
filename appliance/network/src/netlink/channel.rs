//! A netlink socket: nf_tables batches that apply whole or not at all, single requests, and dumps.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols};
use nix::sys::{
    socket::{setsockopt, sockopt},
    time::TimeVal,
};

use super::wire::{Attributes, Body, Message, Messages, WireError};

/// Bytes that the send buffer must hold at least: a transaction is one datagram. 64 MiB is some 500,000 set elements.
const SEND_BUFFER: usize = 64 << 20;
/// Replies waiting: one error for each message of a transaction that the kernel refuses, and dumps.
const RECEIVE_BUFFER: usize = 8 << 20;
/// The kernel fills a dump's datagrams up to 32 KiB, and acknowledgements are small.
const DATAGRAM: usize = 64 << 10;
/// A dump that is longer is refused: the largest of ours (a full blocklist) has some 10 MiB.
const DUMP_LIMIT: usize = 64 << 20;
/// How often a dump is started again after the kernel says that the ruleset changed under it.
const DUMP_ATTEMPTS: usize = 8;
/// The kernel answers inside the call that sends; this only bounds a kernel that does not.
const REPLY_SECONDS: i64 = 5;
/// Refused messages that are reported one by one; the rest is counted.
const REFUSALS: usize = 16;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_MIN_TYPE: u16 = 0x10;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NFNL_MSG_BATCH_BEGIN: u16 = NLMSG_MIN_TYPE;
const NFNL_MSG_BATCH_END: u16 = NLMSG_MIN_TYPE + 1;
const NFNL_BATCH_GENID: u16 = 1;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
/// What every nf_tables message begins with: IPv4 and IPv6 in one table (`NFPROTO_INET`).
pub(crate) const NF_TABLES_HEADER: [u8; 4] = nfgenmsg(1, 0);
/// What the kernel answers where the generation is another (not in the C library's table, since system calls never return it).
const ERESTART: i32 = 85;

/// Why the kernel could not be asked, or what it refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The socket failed.
    #[error("netlink: cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A message could not be written or read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The kernel refused the transaction; nothing was changed.
    #[error("the kernel refused {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Refusal>),
    /// Somebody else changed the kernel's ruleset in between; nothing was changed.
    #[error("the kernel's ruleset was changed by somebody else at the same moment")]
    Changed,
    /// A dump is longer than any that this process makes.
    #[error("the kernel's reply is longer than {DUMP_LIMIT} bytes")]
    DumpTooLong,
    /// The ruleset changed during each attempt to read it.
    #[error("the kernel's ruleset changed {DUMP_ATTEMPTS} times while it was read")]
    DumpUnstable,
    /// The transaction was neither acknowledged nor refused.
    #[error("the kernel did not answer")]
    Unacknowledged,
}

/// One message of a transaction that the kernel refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{subject}: {}{}", errno_words(*.errno), .detail.as_ref().map(|d| format!(" ({d})")).unwrap_or_default())]
pub struct Refusal {
    /// What the message described, for instance `policy web`.
    pub subject: String,
    /// The kernel's error number.
    pub errno: i32,
    /// The kernel's explanation, where it gave one.
    pub detail: Option<String>,
}

/// Whether a batch is to take effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BatchMode {
    /// All of it, atomically.
    Apply,
    /// The kernel checks every message as if it were applied, and then forgets them (the batch has no end).
    Check,
}

/// nf_tables messages that belong together, each with what it describes.
#[derive(Debug)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where the last message begins.
    last: usize,
    subjects: Vec<String>,
    error: Option<WireError>,
}

impl Batch {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            last: 0,
            subjects: Vec::new(),
            error: None,
        }
    }

    /// Adds a message of the nf_tables subsystem. The batch's sequence numbers count from 1, so that a reply names its message.
    pub(crate) fn push(&mut self, kind: u8, flags: u16, subject: &str, fill: impl FnOnce(&mut Body)) {
        let mut body = Body::default();
        body.header(&NF_TABLES_HEADER);
        fill(&mut body);
        self.last = self.bytes.len();
        let result = self
            .next_sequence()
            .and_then(|sequence| body.finish(&mut self.bytes, nf_tables(kind), flags | NLM_F_REQUEST, sequence));
        self.subjects.push(subject.to_owned());
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }

    pub(crate) const fn messages(&self) -> usize {
        self.subjects.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn next_sequence(&self) -> Result<u32, WireError> {
        let count = self.subjects.len() + 1;
        u32::try_from(count).map_err(|_| WireError::TooLong(count))
    }

    fn subject(&self, sequence: u32) -> Option<&str> {
        let index = usize::try_from(sequence).ok()?.checked_sub(1)?;
        self.subjects.get(index).map(String::as_str)
    }
}

/// The socket.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: Socket,
    sequence: u32,
}

impl Channel {
    /// Opens a socket to the kernel's packet filter. Needs `CAP_NET_ADMIN` over the network namespace for anything that follows.
    pub(crate) fn netfilter() -> Result<Self, ChannelError> {
        Self::open(protocols::NETLINK_NETFILTER)
    }

    /// Opens a socket to the kernel's links, addresses and routes. Changing them needs `CAP_NET_ADMIN`.
    pub(crate) fn route() -> Result<Self, ChannelError> {
        Self::open(protocols::NETLINK_ROUTE)
    }

    fn open(protocol: isize) -> Result<Self, ChannelError> {
        let io = |action| move |source| ChannelError::Io { action, source };
        let mut socket = Socket::new(protocol).map_err(io("open a socket"))?;
        socket.bind(&SocketAddr::new(0, 0)).map_err(io("bind a socket"))?;
        socket.set_cap_ack(true).map_err(io("ask for short acknowledgements"))?;
        socket.set_ext_ack(true).map_err(io("ask for explanations"))?;
        // The forced sizes need the capability in the initial user namespace on older kernels; there the system's limit has to do, and a
        // transaction that does not fit is refused with EMSGSIZE.
        if setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
            setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER).map_err(|errno| ChannelError::Io {
                action: "set the send buffer",
                source: errno.into(),
            })?;
        }
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER).map_err(|errno| ChannelError::Io {
                action: "set the receive buffer",
                source: errno.into(),
            })?;
        }
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(REPLY_SECONDS, 0)).map_err(|errno| {
            ChannelError::Io {
                action: "set the reply's time limit",
                source: errno.into(),
            }
        })?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a batch as one transaction. With `generation`, the kernel refuses it ([`ChannelError::Changed`]) unless its ruleset still has
    /// that generation.
    pub(crate) fn transact(
        &mut self,
        batch: &Batch,
        mode: BatchMode,
        generation: Option<u32>,
    ) -> Result<(), ChannelError> {
        if let Some(error) = batch.error {
            return Err(error.into());
        }
        self.drain()?;
        let end = batch.next_sequence()?;
        if batch.subjects.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(batch.bytes.len() + 128);
        let mut begin = Body::default();
        begin.header(&nfgenmsg(0, NFNL_SUBSYS_NFTABLES));
        if let Some(generation) = generation {
            begin.be32(NFNL_BATCH_GENID, generation);
        }
        begin.finish(&mut bytes, NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, 0)?;
        let begin_length = bytes.len();
        bytes.extend_from_slice(&batch.bytes);
        // Only the last message asks for an acknowledgement: it says that the kernel came to the end, and one for each message could
        // overflow the receive buffer. The flags are the third field of its header.
        let flags = begin_length.saturating_add(batch.last).saturating_add(6);
        if let Some([low, high]) = bytes.get_mut(flags..flags.saturating_add(2)) {
            let asked = u16::from_ne_bytes([*low, *high]) | NLM_F_ACK;
            [*low, *high] = asked.to_ne_bytes();
        }
        if mode == BatchMode::Apply {
            let mut finish = Body::default();
            finish.header(&nfgenmsg(0, NFNL_SUBSYS_NFTABLES));
            finish.finish(&mut bytes, NFNL_MSG_BATCH_END, NLM_F_REQUEST, end)?;
        }
        self.send(&bytes)?;
        self.outcome(batch, end.saturating_sub(1))
    }

    /// All messages that answer a request for a list, each given to `each`.
    pub(crate) fn dump(
        &mut self,
        kind: u16,
        fill: impl Fn(&mut Body),
        mut each: impl FnMut(Message<'_>) -> Result<(), WireError>,
        mut restart: impl FnMut(),
    ) -> Result<(), ChannelError> {
        for _ in 0..DUMP_ATTEMPTS {
            restart();
            if self.dump_once(kind, &fill, &mut each)? {
                return Ok(());
            }
        }
        Err(ChannelError::DumpUnstable)
    }

    /// `Ok(false)` where the list changed while it was read.
    fn dump_once(
        &mut self,
        kind: u16,
        fill: &impl Fn(&mut Body),
        each: &mut impl FnMut(Message<'_>) -> Result<(), WireError>,
    ) -> Result<bool, ChannelError> {
        self.drain()?;
        let sequence = self.request(kind, NLM_F_DUMP, fill)?;
        let (mut total, mut whole) = (0, true);
        loop {
            let datagram = self.receive(true)?.ok_or(ChannelError::Unacknowledged)?;
            total += datagram.len();
            if total > DUMP_LIMIT {
                return Err(ChannelError::DumpTooLong);
            }
            for message in Messages(&datagram) {
                let message = message?;
                if message.sequence != sequence {
                    continue;
                }
                whole &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.kind {
                    NLMSG_DONE => return Ok(whole),
                    NLMSG_ERROR => {
                        let (errno, detail) = error_of(&message)?;
                        match errno {
                            0 => {}
                            libc::EINTR | libc::EAGAIN => return Ok(false),
                            // Listing what is in a table that does not exist yields nothing.
                            libc::ENOENT => return Ok(true),
                            _ => {
                                let subject = "to say what is there".to_owned();
                                return Err(ChannelError::Refused(vec![Refusal { subject, errno, detail }]));
                            }
                        }
                    }
                    _ => each(message)?,
                }
            }
        }
    }

    /// One message in answer to a request.
    pub(crate) fn query<T>(
        &mut self,
        kind: u16,
        fill: impl Fn(&mut Body),
        read: impl Fn(Message<'_>) -> Result<T, WireError>,
    ) -> Result<T, ChannelError> {
        self.drain()?;
        let sequence = self.request(kind, 0, &fill)?;
        let datagram = self.receive(true)?.ok_or(ChannelError::Unacknowledged)?;
        for message in Messages(&datagram) {
            let message = message?;
            if message.sequence != sequence {
                continue;
            }
            if message.kind != NLMSG_ERROR {
                return Ok(read(message)?);
            }
            let (errno, detail) = error_of(&message)?;
            return Err(ChannelError::Refused(vec![Refusal {
                subject: "to say what is there".into(),
                errno,
                detail,
            }]));
        }
        Err(ChannelError::Unacknowledged)
    }

    /// One change, acknowledged or refused.
    pub(crate) fn change(
        &mut self,
        kind: u16,
        flags: u16,
        subject: &str,
        fill: impl Fn(&mut Body),
    ) -> Result<(), ChannelError> {
        self.drain()?;
        let sequence = self.request(kind, flags | NLM_F_ACK, &fill)?;
        let datagram = self.receive(true)?.ok_or(ChannelError::Unacknowledged)?;
        for message in Messages(&datagram) {
            let message = message?;
            if message.sequence == sequence && message.kind == NLMSG_ERROR {
                return match error_of(&message)? {
                    (0, _) => Ok(()),
                    (errno, detail) => Err(ChannelError::Refused(vec![Refusal {
                        subject: subject.to_owned(),
                        errno,
                        detail,
                    }])),
                };
            }
        }
        Err(ChannelError::Unacknowledged)
    }

    fn request(&mut self, kind: u16, flags: u16, fill: &impl Fn(&mut Body)) -> Result<u32, ChannelError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut body = Body::default();
        fill(&mut body);
        let mut bytes = Vec::new();
        body.finish(&mut bytes, kind, flags | NLM_F_REQUEST, self.sequence)?;
        self.send(&bytes)?;
        Ok(self.sequence)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), ChannelError> {
        loop {
            match self.socket.send(bytes, 0) {
                Ok(sent) if sent == bytes.len() => return Ok(()),
                Ok(_) => {
                    let source = io::Error::from(io::ErrorKind::WriteZero);
                    return Err(ChannelError::Io {
                        action: "send a whole transaction",
                        source,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(ChannelError::Io {
                        action: "send to the kernel",
                        source,
                    });
                }
            }
        }
    }

    /// Replies to a batch are all queued when the sending call returns, so that nothing is waited for here.
    fn outcome(&self, batch: &Batch, last: u32) -> Result<(), ChannelError> {
        let (mut refusals, mut unnamed, mut acknowledged) = (Vec::new(), 0_usize, false);
        while let Some(datagram) = self.receive(false)? {
            for message in Messages(&datagram) {
                let message = message?;
                if message.kind != NLMSG_ERROR {
                    continue;
                }
                let (errno, detail) = error_of(&message)?;
                match (errno, message.sequence) {
                    (0, sequence) => acknowledged |= sequence == last,
                    (ERESTART, 0) => return Err(ChannelError::Changed),
                    (_, sequence) if refusals.len() < REFUSALS => {
                        let subject = batch
                            .subject(sequence)
                            .unwrap_or("the transaction as a whole")
                            .to_owned();
                        refusals.push(Refusal { subject, errno, detail });
                    }
                    _ => unnamed += 1,
                }
            }
        }
        if let Some(refusal) = refusals.last_mut().filter(|_| unnamed > 0) {
            let before = refusal
                .detail
                .take()
                .map(|detail| format!("{detail}; "))
                .unwrap_or_default();
            refusal.detail = Some(format!("{before}and {unnamed} more"));
        }
        match (refusals.is_empty(), acknowledged) {
            (false, _) => Err(ChannelError::Refused(refusals)),
            (true, true) => Ok(()),
            (true, false) => Err(ChannelError::Unacknowledged),
        }
    }

    /// Late replies to something earlier must not answer what is asked next.
    fn drain(&self) -> Result<(), ChannelError> {
        while self.receive(false)?.is_some() {}
        Ok(())
    }

    /// One datagram of the kernel's; `None` where none is queued and `wait` is off.
    fn receive(&self, wait: bool) -> Result<Option<Vec<u8>>, ChannelError> {
        let flags = libc::MSG_TRUNC | if wait { 0 } else { libc::MSG_DONTWAIT };
        loop {
            let mut bytes = Vec::with_capacity(DATAGRAM);
            match self.socket.recv_from(&mut bytes, flags) {
                Ok((length, _)) if length > bytes.len() => {
                    return Err(WireError::Length {
                        length,
                        available: bytes.len(),
                    }
                    .into());
                }
                // Another process may send to a netlink socket's address; only the kernel's is 0.
                Ok((_, sender)) if sender.port_number() != 0 => {}
                Ok(_) => return Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !wait => return Ok(None),
                Err(source) => {
                    return Err(ChannelError::Io {
                        action: "receive from the kernel",
                        source,
                    });
                }
            }
        }
    }
}

/// The errno (positive, 0 for an acknowledgement) and the explanation of a `NLMSG_ERROR` (struct nlmsgerr, then attributes).
fn error_of(message: &Message<'_>) -> Result<(i32, Option<String>), WireError> {
    let (code, rest) = message
        .payload
        .split_first_chunk::<4>()
        .ok_or(WireError::Value("an error number"))?;
    let errno = i32::from_ne_bytes(*code).checked_neg().filter(|errno| *errno >= 0);
    let errno = errno.ok_or(WireError::Value("an error number"))?;
    if message.flags & NLM_F_ACK_TLVS == 0 {
        return Ok((errno, None));
    }
    // The header of the refused message follows; its payload too, unless the reply is capped.
    let (length, _) = rest
        .split_first_chunk::<4>()
        .ok_or(WireError::Value("the refused message"))?;
    let length = usize::try_from(u32::from_ne_bytes(*length)).unwrap_or(usize::MAX);
    let skip = if message.flags & NLM_F_CAPPED == 0 { length } else { 16 };
    let attributes = Attributes(rest.get(skip.saturating_add(3) & !3..).unwrap_or_default());
    Ok((
        errno,
        attributes
            .text(NLMSGERR_ATTR_MSG, "an explanation")
            .ok()
            .map(str::to_owned),
    ))
}

/// struct nfgenmsg: family, version 0, resource in network order.
const fn nfgenmsg(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

/// The type of a message of the nf_tables subsystem.
pub(crate) const fn nf_tables(kind: u8) -> u16 {
    NFNL_SUBSYS_NFTABLES << 8 | kind as u16
}

/// An errno in words that help here.
fn errno_words(errno: i32) -> String {
    let words = match errno {
        libc::EPERM | libc::EACCES => "not permitted (CAP_NET_ADMIN over this network namespace is needed)",
        libc::ENOENT => "the kernel does not know the expression, the set or the chain that it names",
        libc::EEXIST => "it exists already with other properties, or an element overlaps another",
        libc::EBUSY => "it is still in use",
        libc::EOPNOTSUPP => "this kernel does not support it",
        libc::ENOMEM => "the kernel is out of memory",
        libc::EMLINK => "chains refer to each other too deeply",
        libc::ELOOP => "chains refer to each other in a loop",
        libc::ENFILE | libc::ENOSPC => "a limit of the kernel is reached",
        libc::EINVAL => "the kernel finds it invalid",
        libc::ERANGE => "a value is out of range",
        _ => return io::Error::from_raw_os_error(errno).to_string(),
    };
    format!("{words} [{}]", io::Error::from_raw_os_error(errno))
}

#[cfg(test)]
mod tests {
    use super::{Message, Refusal, error_of};
    use proptest::prelude::{any, prop, proptest};

    #[test]
    fn a_refusal_says_what_and_why() {
        let refusal = Refusal {
            subject: "policy web".into(),
            errno: libc::EBUSY,
            detail: Some("chain busy".into()),
        };
        let text = refusal.to_string();
        assert!(
            text.starts_with("policy web: it is still in use") && text.ends_with("(chain busy)"),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn no_error_message_of_the_kernel_can_panic(payload in prop::collection::vec(any::<u8>(), 0..120), flags: u16) {
            drop(error_of(&Message { kind: 2, flags, sequence: 1, payload: &payload }));
        }
    }
}
