//! The records of one client connection, on rustls' interface without buffers: the buffers are the thread's, and a connection holds
//! none while it is idle.

use super::Choice;
use crate::buffer::{Buffer, SIZE};
use crate::clock::Timer;
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsFault {
    /// The socket failed, or the peer reset it.
    #[error("the connection failed: {0}")]
    Socket(#[from] io::Error),
    /// The peer broke the protocol, or no certificate or signature could be had.
    #[error("{0}")]
    Protocol(#[from] rustls::Error),
    /// The peer went away in the middle of the handshake.
    #[error("the client went away during the handshake")]
    Abandoned,
    /// The client asked for a name that is not published here.
    #[error("the client asked for a name that is not published here")]
    UnknownName,
    /// Records without content, again and again.
    #[error("too many records without content")]
    EmptyRecords,
    /// A message that fits no buffer.
    #[error("a handshake message is too long")]
    TooLong,
}

/// What reading brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fill {
    /// Content was appended.
    Data,
    /// The peer sends no more.
    Ended,
}

/// Records without content in a row that are put up with: a few are how some clients blur traffic.
const EMPTY_RECORDS: u32 = 32;

/// How long a connection that ends is read on: milliseconds, and bytes. A client that is still sending reads our answer only when it
/// has sent, and a close before would reset the connection and take the answer away.
const LINGER: u64 = 5_000;
const LINGERED: usize = 8 << 20;

/// The most that a record adds to its content: header, tag, and a content type (TLS 1.3) or a nonce (TLS 1.2).
const RECORD_OVERHEAD: usize = 29;

/// A fatal `unrecognized_name` alert in the clear (RFC 6066 section 3): rustls would say `access_denied`.
const UNRECOGNISED_NAME: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

/// A client connection with TLS.
pub(crate) struct TlsStream {
    tcp: TcpStream,
    tls: UnbufferedServerConnection,
    incoming: Option<Buffer>,
    outgoing: Option<Buffer>,
    sent: usize,
    empty_records: u32,
    established: bool,
    ended: bool,
    closing: bool,
    service: Option<usize>,
}

impl TlsStream {
    /// A connection before its handshake.
    pub(crate) fn new(tcp: TcpStream, config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            tcp,
            tls: UnbufferedServerConnection::new(config)?,
            incoming: None,
            outgoing: None,
            sent: 0,
            empty_records: 0,
            established: false,
            ended: false,
            closing: false,
            service: None,
        })
    }

    /// Takes the handshake one flight further; true once it is complete. The session ticket then still waits to be sent.
    pub(crate) async fn handshake_step(&mut self, plain: &mut Vec<u8>) -> Result<bool, TlsFault> {
        let outcome = poll_fn(|cx| self.poll_read_records(cx, plain)).await;
        if let Err(fault) = outcome {
            self.say_why(&fault);
            return Err(fault);
        }
        if self.established {
            if self.is_tls12() {
                // The client says nothing before it has seen the server's Finished (RFC 5246 section 7.3).
                self.flush().await?;
            }
            return Ok(true);
        }
        if self.ended {
            return Err(TlsFault::Abandoned);
        }
        self.flush().await?;
        Ok(false)
    }

    /// Index of the service that the client asked for, once its `ClientHello` was read.
    pub(crate) const fn service(&self) -> Option<usize> {
        self.service
    }

    /// Whether the connection speaks TLS 1.2.
    pub(crate) fn is_tls12(&self) -> bool {
        self.tls.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_2)
    }

    /// Whether the client chose HTTP/2.
    pub(crate) fn is_h2(&self) -> bool {
        self.tls.alpn_protocol() == Some(b"h2")
    }

    /// Whether the session was resumed.
    pub(crate) fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// Waits until there is something to read, holding no buffer.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        self.tcp.readable().await
    }

    /// Whether there is something to read now.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.tcp.poll_read_ready(cx).map(|_| ())
    }

    /// Reads until content came, and appends it to `plain`. Safe to drop at any time.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, plain: &mut Vec<u8>) -> Poll<Result<Fill, TlsFault>> {
        let before = plain.len();
        loop {
            if self.ended {
                return Poll::Ready(Ok(Fill::Ended));
            }
            if let Err(fault) = ready!(self.poll_read_records(cx, plain)) {
                self.say_why(&fault);
                self.ended = true;
                return Poll::Ready(Err(fault));
            }
            if plain.len() > before {
                return Poll::Ready(Ok(Fill::Data));
            }
        }
    }

    /// Encrypts `plain` behind what already waits to be sent.
    pub(crate) fn queue(&mut self, plain: &[u8]) -> Result<(), TlsFault> {
        let room = plain.len() + RECORD_OVERHEAD * (plain.len() / 16_384 + 1);
        let UnbufferedStatus { state, .. } = self.tls.process_tls_records(unread(&mut self.incoming));
        match state? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let out = self.outgoing.get_or_insert_with(Buffer::take);
                append(out, room, |space| match traffic.encrypt(plain, space) {
                    Ok(size) => Ok(Ok(size)),
                    Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                        Ok(Err(required_size))
                    }
                    Err(EncryptError::EncryptExhausted) => Err(rustls::Error::EncryptError),
                })?;
                Ok(())
            }
            _ => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
        }
    }

    /// Bytes that wait to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.outgoing
            .as_ref()
            .map_or(0, |out| out.len().saturating_sub(self.sent))
    }

    /// Sends what waits.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(out) = &self.outgoing {
            match out.get(self.sent..) {
                None | Some([]) => {
                    self.outgoing = None;
                    self.sent = 0;
                }
                Some(rest) => match self.tcp.try_write(rest) {
                    Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Ok(size) => self.sent += size,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.tcp.poll_write_ready(cx))?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Poll::Ready(Err(error)),
                },
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what waits.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Adds the end of the TLS session to what waits, so that the client can tell a whole response from a cut one.
    pub(crate) fn queue_close(&mut self) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        let UnbufferedStatus { state, .. } = self.tls.process_tls_records(unread(&mut self.incoming));
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            let out = self.outgoing.get_or_insert_with(Buffer::take);
            // Without the alert the connection just ends; there is nothing else to be done about a failure here.
            let _ = append(out, 64, |space| match traffic.queue_close_notify(space) {
                Ok(size) => Ok(Ok(size)),
                Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => Ok(Err(required_size)),
                Err(EncryptError::EncryptExhausted) => Err(rustls::Error::EncryptError),
            });
        }
    }

    /// Ends the connection so that the client gets all that was sent: closing with unread bytes would reset it.
    pub(crate) async fn linger(&mut self, timer: &Timer) {
        self.queue_close();
        if !matches!(timer.within(LINGER, self.flush()).await, Ok(Ok(()))) {
            return;
        }
        // A socket that is closed already needs no shutting down.
        let _ = socket2::SockRef::from(&self.tcp).shutdown(std::net::Shutdown::Write);
        (self.incoming, self.outgoing) = (None, None);
        let deadline = timer.now().after(LINGER);
        let mut read = 0;
        while read < LINGERED && matches!(timer.until(deadline, self.tcp.readable()).await, Ok(Ok(()))) {
            let mut waste = Buffer::take();
            match self.tcp.try_read_buf(&mut *waste) {
                Ok(0) => return,
                Ok(size) => read += size,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(_) => return,
            }
        }
    }

    /// One read from the socket, and everything in it processed.
    fn poll_read_records(&mut self, cx: &mut Context<'_>, plain: &mut Vec<u8>) -> Poll<Result<(), TlsFault>> {
        let incoming = self.incoming.get_or_insert_with(Buffer::take);
        if incoming.len() >= SIZE {
            return Poll::Ready(Err(TlsFault::TooLong));
        }
        // Unlike `try_read_buf`, this remembers after a read that did not fill the buffer that there is nothing more: one system
        // call less for each request.
        let size = match pin!(self.tcp.read_buf(&mut **incoming)).poll(cx) {
            Poll::Ready(size) => size?,
            Poll::Pending => {
                if incoming.is_empty() {
                    self.incoming = None;
                }
                return Poll::Pending;
            }
        };
        if size == 0 {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.process(plain))
    }

    fn process(&mut self, plain: &mut Vec<u8>) -> Result<(), TlsFault> {
        if !self.established {
            // Whatever another connection of this thread left there.
            Choice::take();
        }
        let outcome = self.process_records(plain);
        if self.incoming.as_ref().is_some_and(|incoming| incoming.is_empty()) {
            self.incoming = None;
        }
        if !self.established || self.service.is_none() {
            match Choice::take() {
                Some(Choice::Service(index)) => self.service = Some(index),
                Some(Choice::Unknown) => return Err(TlsFault::UnknownName),
                None => {}
            }
        }
        outcome
    }

    fn process_records(&mut self, plain: &mut Vec<u8>) -> Result<(), TlsFault> {
        loop {
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(unread(&mut self.incoming));
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    // What was read up to the error goes all the same: rustls counts from there when it is asked for its alert.
                    if let Some(incoming) = &mut self.incoming {
                        incoming.consume(discard);
                    }
                    return Err(error.into());
                }
            };
            let goes_on = match state {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        if record.payload.is_empty() {
                            self.empty_records += 1;
                            if self.empty_records > EMPTY_RECORDS {
                                return Err(TlsFault::EmptyRecords);
                            }
                        } else {
                            self.empty_records = 0;
                            plain.extend_from_slice(record.payload);
                        }
                    }
                    true
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    let out = self.outgoing.get_or_insert_with(Buffer::take);
                    append(out, 1_024, |space| match data.encode(space) {
                        Ok(size) => Ok(Ok(size)),
                        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
                            Ok(Err(required_size))
                        }
                        Err(EncodeError::AlreadyEncoded) => Err(rustls::Error::EncryptError),
                    })?;
                    true
                }
                ConnectionState::TransmitTlsData(data) => {
                    // It waits in the outgoing buffer, in order, and is sent before anything that is encrypted later.
                    data.done();
                    true
                }
                ConnectionState::WriteTraffic(_) => {
                    self.established = true;
                    false
                }
                ConnectionState::BlockedHandshake => false,
                // Also `ReadEarlyData`, which is never offered.
                _ => {
                    self.ended = true;
                    false
                }
            };
            if let Some(incoming) = &mut self.incoming {
                incoming.consume(discard);
            }
            if !goes_on {
                return Ok(());
            }
        }
    }

    /// Tells the client what was wrong, if the socket takes it at once.
    fn say_why(&mut self, fault: &TlsFault) {
        match fault {
            TlsFault::UnknownName => {
                let _ = self.tcp.try_write(&UNRECOGNISED_NAME);
            }
            TlsFault::Protocol(_) => {
                // rustls has queued the alert that belongs to its error.
                loop {
                    let UnbufferedStatus { discard, state } = self.tls.process_tls_records(unread(&mut self.incoming));
                    let Ok(ConnectionState::EncodeTlsData(mut data)) = state else {
                        break;
                    };
                    let mut space = [0; 256];
                    let Ok(size) = data.encode(&mut space) else { break };
                    let Some(alert) = space.get(..size) else { break };
                    let _ = self.tcp.try_write(alert);
                    if let Some(incoming) = &mut self.incoming {
                        incoming.consume(discard);
                    }
                }
            }
            TlsFault::Abandoned | TlsFault::EmptyRecords | TlsFault::Socket(_) | TlsFault::TooLong => {}
        }
    }
}

/// What was read and not yet taken by rustls. It must be given at **every** call: rustls keeps places within it, of a handshake
/// message that has come in part, and ends the process where they point outside of what it is given.
fn unread(incoming: &mut Option<Buffer>) -> &mut [u8] {
    match incoming {
        Some(incoming) => incoming,
        None => &mut [],
    }
}

/// Appends what `write` puts into the space that it is given. It answers with the size written, or with the size that it needs.
fn append(
    out: &mut Vec<u8>,
    guess: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<Result<usize, usize>, rustls::Error>,
) -> Result<(), rustls::Error> {
    let start = out.len();
    let mut room = guess;
    for _ in 0..2 {
        out.resize(start + room, 0);
        match write(out.get_mut(start..).unwrap_or_default()) {
            Ok(Ok(size)) => {
                out.truncate(start + size);
                return Ok(());
            }
            Ok(Err(needed)) => room = needed,
            Err(error) => {
                out.truncate(start);
                return Err(error);
            }
        }
    }
    out.truncate(start);
    Err(rustls::Error::EncryptError)
}
