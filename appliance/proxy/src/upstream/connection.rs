//! One connection to a server, for one exchange at a time.

use crate::buffer::Buffer;
use crate::clock::{Expired, Timer};
use crate::upstream::Upstream;
use redan_http1::{BodyDecoder, Limits, Method, Parsed, Persistence, Piece, Refusal, ResponseHead, parse_response};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Interim responses (100, 103) that are put up with before a final one.
const INTERIM: usize = 8;

/// What went wrong with a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamFault {
    /// No connection.
    #[error("the upstream cannot be reached: {0}")]
    Connect(#[source] io::Error),
    /// No connection in time.
    #[error("the upstream did not accept the connection in time")]
    ConnectTimeout,
    /// The connection broke before the response.
    #[error("the upstream closed the connection before it answered")]
    Closed,
    /// The connection broke.
    #[error("the connection to the upstream failed: {0}")]
    Socket(#[source] io::Error),
    /// No response in time.
    #[error("the upstream did not answer in time")]
    Timeout,
    /// A response that cannot be trusted.
    #[error("the upstream's response was refused: {0}")]
    Refused(Refusal),
    /// Every server of the route rests after failures.
    #[error("no upstream of the route is healthy")]
    AllDown,
}

impl UpstreamFault {
    /// The status for the client.
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::AllDown => 503,
            Self::ConnectTimeout | Self::Timeout => 504,
            Self::Closed | Self::Connect(_) | Self::Refused(_) | Self::Socket(_) => 502,
        }
    }
}

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Connection {
    tcp: TcpStream,
    server: Arc<Upstream>,
    reused: bool,
    /// Whether the server was sent anything of the exchange, and whether it said anything.
    sent: bool,
    heard: bool,
    /// Whether it was sent only a part of something.
    cut: bool,
    interim: usize,
    buffer: Option<Buffer>,
    used: usize,
}

impl Connection {
    pub(crate) const fn new(tcp: TcpStream, server: Arc<Upstream>, reused: bool) -> Self {
        Self {
            tcp,
            server,
            reused,
            sent: false,
            heard: false,
            cut: false,
            interim: 0,
            buffer: None,
            used: 0,
        }
    }

    /// Connects.
    pub(crate) async fn open(server: &Arc<Upstream>, timer: &Timer, millis: u64) -> Result<Self, UpstreamFault> {
        let tcp = timer
            .within(millis, TcpStream::connect(server.address))
            .await
            .map_err(|Expired| UpstreamFault::ConnectTimeout)?
            .map_err(UpstreamFault::Connect)?;
        tcp.set_nodelay(true).map_err(UpstreamFault::Connect)?;
        Ok(Self::new(tcp, Arc::clone(server), false))
    }

    /// Whether it carried an exchange before: the server may have closed it just now.
    pub(crate) const fn is_reused(&self) -> bool {
        self.reused
    }

    pub(crate) fn into_parts(self) -> (TcpStream, Arc<Upstream>) {
        (self.tcp, self.server)
    }

    /// Whether the request may be sent again elsewhere after this connection broke: nothing of it was sent, or nothing was said to it and
    /// it is `repeatable`. Anything said, an interim response or half a head, means that the server has begun to act on it.
    pub(crate) const fn spared(&self, repeatable: bool) -> bool {
        !self.sent || (repeatable && !self.heard)
    }

    /// Sends all of `bytes`. A server that answers instead of reading on is heard: then this gives its final response.
    pub(crate) async fn send(
        &mut self,
        bytes: &[u8],
        method: Method,
    ) -> Result<Option<Box<ResponseHead>>, UpstreamFault> {
        let mut rest = bytes;
        let mut broken = None;
        poll_fn(|cx| {
            if broken.is_none() {
                match self.poll_send(cx, &mut rest) {
                    Poll::Ready(Ok(())) => return Poll::Ready(Ok(None)),
                    // What it said before it closed may still be there to be read.
                    Poll::Ready(Err(error)) => broken = Some(error),
                    Poll::Pending => {}
                }
            }
            match (ready!(self.poll_head(cx, method)), broken.take()) {
                (Ok(head), _) => {
                    self.cut = true;
                    Poll::Ready(Ok(Some(head)))
                }
                (Err(UpstreamFault::Closed | UpstreamFault::Socket(_)), Some(error)) => {
                    Poll::Ready(Err(UpstreamFault::Socket(error)))
                }
                (Err(fault), _) => Poll::Ready(Err(fault)),
            }
        })
        .await
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, rest: &mut &[u8]) -> Poll<io::Result<()>> {
        while !rest.is_empty() {
            match self.tcp.try_write(rest) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(size) => {
                    self.sent = true;
                    *rest = rest.get(size..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.tcp.poll_write_ready(cx))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads the final response's head. Interim responses are passed over: none was asked for, since `Expect` is not sent on. May be
    /// called while the request is still being sent.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        method: Method,
    ) -> Poll<Result<Box<ResponseHead>, UpstreamFault>> {
        loop {
            let unread = self.unread();
            let parsed = if unread.is_empty() {
                None
            } else {
                parse_response(unread, method, None, &Limits::default()).map_err(UpstreamFault::Refused)?
            };
            match parsed {
                Some(Parsed { head, consumed }) => {
                    self.used += consumed;
                    if !head.status().is_interim() {
                        // In a box of its own: it is handed up through half a dozen calls.
                        return Poll::Ready(Ok(Box::new(head)));
                    }
                    self.interim += 1;
                    if self.interim > INTERIM {
                        return Poll::Ready(Err(UpstreamFault::Refused(Refusal::Ambiguous)));
                    }
                }
                None => match ready!(self.poll_fill(cx)) {
                    Ok(0) => return Poll::Ready(Err(UpstreamFault::Closed)),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                        return Poll::Ready(Err(UpstreamFault::Closed));
                    }
                    Err(error) => return Poll::Ready(Err(UpstreamFault::Socket(error))),
                },
            }
        }
    }

    /// The bytes that came and were not used yet.
    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer
            .as_ref()
            .and_then(|buffer| buffer.get(self.used..))
            .unwrap_or_default()
    }

    /// Says that bytes of [`Connection::unread`] are done with.
    pub(crate) const fn consume(&mut self, bytes: usize) {
        self.used += bytes;
    }

    /// Reads more; 0 at the end of the connection.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let buffer = self.buffer.get_or_insert_with(Buffer::take);
        buffer.consume(self.used);
        self.used = 0;
        let size = ready!(pin!(self.tcp.read_buf(&mut **buffer)).poll(cx))?;
        self.heard |= size > 0;
        Poll::Ready(Ok(size))
    }

    /// Whether another exchange may follow: the request was sent as a whole, the response's end was certain, both sides keep the
    /// connection, and nothing came after it.
    pub(crate) fn is_reusable(&self, head: &ResponseHead, decoder: &BodyDecoder) -> bool {
        !self.cut && head.persistence() == Persistence::KeepAlive && decoder.is_done() && self.unread().is_empty()
    }
}

/// What one step of reading a response's body gave.
#[derive(Debug)]
pub(crate) enum Step {
    /// Content: this many bytes of [`Connection::unread`], from there to there.
    Data(std::ops::Range<usize>),
    /// The body is over; the decoder has its trailers.
    End,
    /// More must be read.
    Pending,
}

impl Connection {
    /// Decodes one piece of the body. After [`Step::Data`] has been used, `consumed` is to be given to [`Connection::consume`].
    pub(crate) fn decode(&self, decoder: &mut BodyDecoder) -> Result<(Step, usize), Refusal> {
        let progress = decoder.decode(self.unread())?;
        let step = match progress.piece {
            Piece::Data(range) => Step::Data(range),
            Piece::End => Step::End,
            Piece::Pending => Step::Pending,
        };
        Ok((step, progress.consumed))
    }
}
