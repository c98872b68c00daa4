//! HTTP/2 with a client: the `h2` crate within our limits, each stream brought into the model of HTTP/1.1 and answered like any
//! other request.

use super::Peer;
use super::watch::{Flood, Watch};
use crate::body::Step;
use crate::buffer::Buffer;
use crate::clock::{Expired, Timer};
use crate::exchange::{self, After, BodyFault, Client, Gone, Reply};
use crate::stages::event::{Ended, record};
use crate::stages::headers::{self, Sink};
use crate::stages::{Denial, Findings};
use crate::tls::{Fill, TlsStream};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use redan_http1::{
    ContentCount, Field, FieldLines, FieldName, FieldValue, Fields, Framing, Limits, RequestHead, ResponseFraming,
    Version,
};
use redan_ipc::messages::traffic::Verdict;
use redan_ipc::slice::RequestLimits;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const STREAMS: u32 = 100;
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
const HEADER_LIST: u32 = 16 << 10;
/// Streams that a client reset before we answered, kept at once (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that the client made us reset (CVE-2025-8671).
const LOCAL_RESETS: usize = 64;
/// Ciphertext that waits for the client before more is taken from `h2`.
const BACKLOG: usize = 64 << 10;

/// A body that was refused is read on for this many milliseconds and bytes.
const DRAIN: u64 = 1_000;
const DRAINED: usize = 64 << 10;

/// Answers the streams of a connection until it ends.
pub(crate) async fn serve(stream: TlsStream, peer: Peer, timer: Timer, unread: Option<Buffer>) {
    let limits = peer.limits();
    let peer = Rc::new(peer);
    let flood = Rc::new(Cell::new(None));
    let stream = Rc::new(RefCell::new(stream));
    let io = Io {
        stream: Rc::clone(&stream),
        unread,
        watch: Watch::new(timer.now()),
        flood: Rc::clone(&flood),
        peer: Rc::clone(&peer),
    };
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST)
        .header_table_size(4_096)
        .max_frame_size(16_384)
        .max_send_buffer_size(64 << 10)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(LOCAL_RESETS));
    let handshake = timer
        .within(limits.head_timeout.into(), builder.handshake::<_, Bytes>(io))
        .await;
    let Ok(Ok(mut connection)) = handshake else { return };
    // Streams under way: a connection with none waits like an idle one.
    let busy = Rc::new(());
    loop {
        let next = poll_fn(|cx| {
            let accepted = connection.poll_accept(cx);
            if flood.get().is_some() {
                Poll::Ready(None)
            } else {
                accepted
            }
        });
        let waited = if Rc::strong_count(&busy) == 1 {
            timer.idle(limits.idle_timeout.into(), next).await
        } else {
            // Answers take their own time; what they wait for is bounded by themselves.
            timer.within(u64::from(limits.idle_timeout), next).await
        };
        match waited {
            Ok(Some(Ok((request, respond)))) => {
                let (parts, body) = request.into_parts();
                let exchange = Stream {
                    peer: Rc::clone(&peer),
                    timer: peer.worker.clock.timer(peer.source.number()),
                    limits: limits.clone(),
                };
                let under_way = Rc::clone(&busy);
                tokio::task::spawn_local(async move {
                    exchange.answer(parts, body, respond).await;
                    drop(under_way);
                });
            }
            Ok(Some(Err(_)) | None) => break,
            Err(Expired) if Rc::strong_count(&busy) > 1 => {}
            Err(Expired) => {
                connection.graceful_shutdown();
                let closing = poll_fn(|cx| connection.poll_closed(cx));
                let _ = timer.within(1_000, closing).await;
                break;
            }
        }
    }
    if let Some(flood) = flood.get() {
        connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        let closing = poll_fn(|cx| connection.poll_closed(cx));
        let _ = timer.within(1_000, closing).await;
        record(
            &peer,
            &Ended {
                service: peer.service().as_deref(),
                head: None,
                findings: &Findings::default(),
                denial: Some(&Denial::new(Verdict::Framing, 400, flood.to_string())),
                incident: peer.worker.incidents.next(),
                status: 400,
                received: 0,
                sent: 0,
                micros: 0,
            },
        );
    }
    drop(connection);
    // Streams under way hold what `h2` shares with them, never the connection itself.
    if let Ok(stream) = Rc::try_unwrap(stream) {
        stream.into_inner().linger(&timer).await;
    }
}

/// What a stream's answer needs besides the stream.
struct Stream {
    peer: Rc<Peer>,
    timer: Timer,
    limits: RequestLimits,
}

impl Stream {
    async fn answer(self, parts: http::request::Parts, body: RecvStream, respond: SendResponse<Bytes>) {
        let head = RequestHead::from_h2(&parts, body.is_end_stream(), &Limits::default());
        drop(parts);
        let mut client = H2 {
            timer: &self.timer,
            stall: self.limits.write_stall.into(),
            count: ContentCount::new(head.as_ref().map_or(Framing::None, RequestHead::framing)),
            body,
            ended: false,
            respond,
            head: None,
            stream: None,
            held: Bytes::new(),
        };
        let after = match head {
            Ok(head) => exchange::run(&self.peer, &self.timer, &head, &mut client).await,
            Err(refusal) => {
                let denial = Denial::new(Verdict::Framing, refusal.status().code(), refusal.to_string());
                let incident = self.peer.worker.incidents.next();
                let service = self.peer.service();
                let findings = Findings::default();
                exchange::refuse(
                    &self.peer,
                    service.as_deref(),
                    None,
                    &mut client,
                    &denial,
                    &findings,
                    incident,
                )
                .await
            }
        };
        match after {
            After::Cut => client.reset(),
            After::Close => client.drain().await,
            After::End | After::Keep => {}
        }
    }
}

/// The client's side of one exchange.
struct H2<'c> {
    timer: &'c Timer,
    stall: u64,
    body: RecvStream,
    ended: bool,
    count: ContentCount,
    respond: SendResponse<Bytes>,
    /// Kept back, so that a response without a body ends with its head.
    head: Option<Response<()>>,
    stream: Option<SendStream<Bytes>>,
    /// Kept back, so that the last piece ends the stream.
    held: Bytes,
}

impl Client for H2<'_> {
    fn version(&self) -> Version {
        Version::Http11
    }

    fn protocol(&self) -> &'static str {
        "HTTP/2.0"
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, data: &mut Vec<u8>) -> Poll<Result<Step, BodyFault>> {
        while !self.ended {
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(piece)) => {
                    // Given back at once: what waits for the upstream is bounded by the one buffer that it is copied into.
                    if self.body.flow_control().release_capacity(piece.len()).is_err() {
                        return Poll::Ready(Err(BodyFault::Gone));
                    }
                    if let Err(refusal) = self.count.add(piece.len()) {
                        return Poll::Ready(Err(BodyFault::Refused(refusal)));
                    }
                    if !piece.is_empty() {
                        data.extend_from_slice(&piece);
                        return Poll::Ready(Ok(Step::Data));
                    }
                }
                Some(Err(_)) => return Poll::Ready(Err(BodyFault::Gone)),
                None => self.ended = true,
            }
        }
        let Ok(trailers) = ready!(self.body.poll_trailers(cx)) else {
            return Poll::Ready(Err(BodyFault::Gone));
        };
        let trailers = trailers
            .map(|trailers| Fields::from_h2_trailers(&trailers, &Limits::default()))
            .transpose();
        // As in HTTP/1.1, trailers of a request are checked and end here.
        let checked = self.count.finish().and(trailers);
        Poll::Ready(checked.map(|_| Step::End).map_err(BodyFault::Refused))
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match &mut self.stream {
            Some(stream) => stream.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        reset.map(|_| ())
    }

    async fn proceed(&mut self) -> Result<(), Gone> {
        let mut interim = Response::new(());
        *interim.status_mut() = StatusCode::CONTINUE;
        self.respond.send_informational(interim).map_err(|_| Gone)
    }

    fn begin(&mut self, reply: &Reply<'_>) -> Result<(), Gone> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(reply.status.code()).map_err(|_| Gone)?;
        let fields = response.headers_mut();
        fields.reserve(16);
        headers::write(reply.plan, reply.fields, &reply.own, fields);
        if let ResponseFraming::Length(length)
        | ResponseFraming::None {
            announced: Some(length),
        } = reply.framing
        {
            fields.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        self.head = Some(response);
        Ok(())
    }

    async fn data(&mut self, piece: &[u8]) -> Result<(), Gone> {
        if piece.is_empty() {
            return Ok(());
        }
        self.flush().await?;
        self.held = Bytes::copy_from_slice(piece);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        self.send_head(false)?;
        let held = std::mem::take(&mut self.held);
        self.send(held, false).await
    }

    async fn end(&mut self, trailers: Option<&Fields>) -> Result<(), Gone> {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() && trailers.is_none() && self.head.is_some() {
            return self.send_head(true);
        }
        self.send_head(false)?;
        match trailers {
            None => self.send(held, true).await,
            Some(trailers) => {
                self.send(held, false).await?;
                let mut fields = HeaderMap::new();
                Sink::forward_if(&mut fields, trailers, |_| true);
                let stream = self.stream.as_mut().ok_or(Gone)?;
                stream.send_trailers(fields).map_err(|_| Gone)
            }
        }
    }
}

impl H2<'_> {
    fn send_head(&mut self, last: bool) -> Result<(), Gone> {
        if let Some(head) = self.head.take() {
            self.stream = Some(self.respond.send_response(head, last).map_err(|_| Gone)?);
        }
        Ok(())
    }

    /// Sends within the client's windows.
    async fn send(&mut self, mut piece: Bytes, last: bool) -> Result<(), Gone> {
        let stream = self.stream.as_mut().ok_or(Gone)?;
        if piece.is_empty() {
            return if last {
                stream.send_data(piece, true).map_err(|_| Gone)
            } else {
                Ok(())
            };
        }
        while !piece.is_empty() {
            stream.reserve_capacity(piece.len());
            let granted = if stream.capacity() > 0 {
                stream.capacity()
            } else {
                let capacity = poll_fn(|cx| stream.poll_capacity(cx));
                match self.timer.within(self.stall, capacity).await {
                    Ok(Some(Ok(granted))) => granted,
                    Ok(None | Some(Err(_))) | Err(Expired) => return Err(Gone),
                }
            };
            let part = piece.split_to(granted.min(piece.len()));
            if !part.is_empty() {
                stream.send_data(part, last && piece.is_empty()).map_err(|_| Gone)?;
            }
        }
        Ok(())
    }

    /// Reads on for a moment: a small body that nobody wanted costs less to read than to reset, and some clients take the reset for
    /// the answer.
    async fn drain(&mut self) {
        let deadline = self.timer.now().after(DRAIN);
        let (body, mut seen) = (&mut self.body, 0);
        while seen < DRAINED {
            let step = self.timer.until(deadline, body.data()).await;
            let Ok(Some(Ok(piece))) = step else { return };
            seen += piece.len();
            if body.flow_control().release_capacity(piece.len()).is_err() {
                return;
            }
        }
    }

    fn reset(&mut self) {
        match &mut self.stream {
            Some(stream) => stream.send_reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }
}

impl Sink for HeaderMap {
    fn forward_if(&mut self, fields: &Fields, mut keep: impl FnMut(&Field<'_>) -> bool) {
        for field in fields.end_to_end().filter(|field| keep(field)) {
            self.field(field.name(), field.value());
        }
    }

    fn block(&mut self, fields: &Fields, _: &FieldLines) {
        for field in fields.iter() {
            self.field(field.name(), field.value());
        }
    }

    fn field(&mut self, name: FieldName<'_>, value: FieldValue<'_>) {
        // Both are checked more strictly than `http` does.
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_str().as_bytes()),
            HeaderValue::from_bytes(value.as_bytes()),
        ) {
            self.append(name, value);
        }
    }

    fn number(&mut self, name: FieldName<'_>, value: u64) {
        if let Ok(name) = HeaderName::from_bytes(name.as_str().as_bytes()) {
            self.append(name, HeaderValue::from(value));
        }
    }
}

/// The connection as `h2` sees it.
struct Io {
    stream: Rc<RefCell<TlsStream>>,
    unread: Option<Buffer>,
    watch: Watch,
    flood: Rc<Cell<Option<Flood>>>,
    peer: Rc<Peer>,
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.flood.get().is_some() {
            // Nothing more is read; what is left to say is sent, and the connection ends.
            return Poll::Pending;
        }
        if this.unread.is_none() {
            let mut fresh = Buffer::take();
            match ready!(this.stream.borrow_mut().poll_fill(cx, &mut fresh)) {
                Ok(Fill::Data) => this.unread = Some(fresh),
                Ok(Fill::Ended) => return Poll::Ready(Ok(())),
                Err(fault) => return Poll::Ready(Err(io::Error::other(fault))),
            }
        }
        if let Some(unread) = &mut this.unread {
            let size = unread.len().min(buf.remaining());
            let part = unread.get(..size).unwrap_or_default();
            if let Err(flood) = this.watch.received(part, this.peer.worker.clock.now()) {
                this.flood.set(Some(flood));
                return Poll::Pending;
            }
            buf.put_slice(part);
            unread.consume(size);
            if unread.is_empty() {
                this.unread = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let part = buf.get(..buf.len().min(16_384)).unwrap_or_default();
        let mut stream = self.stream.borrow_mut();
        if stream.queued() > BACKLOG {
            ready!(stream.poll_flush(cx))?;
        }
        stream.queue(part).map_err(io::Error::other)?;
        drop(stream);
        self.watch.sent(part.len());
        Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.borrow_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = self.stream.borrow_mut();
        stream.queue_close();
        stream.poll_flush(cx)
    }
}
