//! HTTP/1.1 (and 1.0) with a client: one request after the other, strictly.

use super::Peer;
use crate::body::{Encoder, Step};
use crate::buffer::Buffer;
use crate::clock::{Expired, Moment, Timer};
use crate::exchange::{self, After, BodyFault, Client, Gone, Reply};
use crate::stages::headers::{self, Sink};
use crate::stages::{Denial, Findings};
use crate::tls::{Fill, TlsStream};
use redan_http1::{
    BodyDecoder, Field, FieldLines, FieldName, FieldValue, Fields, Framing, Limits, Parsed, Persistence, Piece,
    Refusal, RequestHead, ResponseFraming, ResponseWriter, Version, parse_request,
};
use redan_ipc::messages::traffic::Verdict;
use redan_ipc::slice::RequestLimits;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

/// Content that one record carries; what comes together below this leaves as one.
const RECORD: usize = 16_384;
/// A connection between requests.
pub(crate) struct Connection {
    pub(crate) stream: TlsStream,
    pub(crate) peer: Peer,
    pub(crate) timer: Timer,
    /// Content that was read and not used yet.
    pub(crate) unread: Option<Buffer>,
}

impl Connection {
    /// Answers requests until the connection ends.
    pub(crate) async fn serve(mut self) {
        loop {
            if self.unread.is_none() && !self.wait().await {
                self.stream.queue_close();
                // The client may have gone first.
                let _ = self.timer.within(1_000, self.stream.flush()).await;
                return;
            }
            // In a box of its own: an idle connection holds nothing of what a request needs.
            match Box::pin(self.request()).await {
                After::Keep => {}
                After::Cut | After::End => return,
                After::Close => return Box::pin(self.stream.linger(&self.timer)).await,
            }
        }
    }

    /// Waits for the next request's first byte; false when none came.
    async fn wait(&mut self) -> bool {
        if self.stream.queued() > 0 {
            // The session ticket. It leaves with the first response where the request is here already; a client that waits for our
            // acknowledgement before it sends (Nagle's algorithm) must not wait for the delayed one.
            tokio::task::yield_now().await;
            let stream = &mut self.stream;
            let here = poll_fn(|cx| Poll::Ready(stream.poll_readable(cx).is_ready())).await;
            if !here && !matches!(self.timer.within(1_000, self.stream.flush()).await, Ok(Ok(()))) {
                return false;
            }
        }
        let idle = u64::from(self.peer.limits().idle_timeout);
        matches!(self.timer.idle(idle, self.stream.readable()).await, Ok(Ok(())))
    }

    async fn request(&mut self) -> After {
        let limits = self.peer.limits();
        let mut unread = self.unread.take().unwrap_or_else(Buffer::take);
        if unread.is_empty() {
            let stream = &mut self.stream;
            let first = poll_fn(|cx| Poll::Ready(stream.poll_fill(cx, &mut unread))).await;
            if first.is_pending() {
                // A record of TLS's own: the connection is as idle as before.
                return After::Keep;
            }
        }
        let deadline = self.timer.now().after(limits.head_timeout.into());
        let head = match self.head(&mut unread, deadline).await {
            Ok(Some(head)) => head,
            Ok(None) => return if unread.is_empty() { After::Close } else { After::Cut },
            Err(denial) => {
                let mut client = H1::new(
                    &mut self.stream,
                    &self.timer,
                    &mut unread,
                    Framing::None,
                    Version::Http11,
                    &limits,
                );
                let incident = self.peer.worker.incidents.next();
                let service = self.peer.service();
                let findings = Findings::default();
                return exchange::refuse(
                    &self.peer,
                    service.as_deref(),
                    None,
                    &mut client,
                    &denial,
                    &findings,
                    incident,
                )
                .await;
            }
        };
        let mut client = H1::new(
            &mut self.stream,
            &self.timer,
            &mut unread,
            head.framing(),
            head.version(),
            &limits,
        );
        let after = exchange::run(&self.peer, &self.timer, &head, &mut client).await;
        if after == After::Keep && client.closes {
            return After::End;
        }
        if !unread.is_empty() {
            self.unread = Some(unread);
        }
        after
    }

    /// Reads a head; `None` when the client closed instead.
    async fn head(&mut self, unread: &mut Buffer, deadline: Moment) -> Result<Option<Box<RequestHead>>, Denial> {
        loop {
            match parse_request(unread, &Limits::default()) {
                Ok(Some(Parsed { head, consumed })) => {
                    unread.consume(consumed);
                    return Ok(Some(Box::new(head)));
                }
                Ok(None) => {}
                Err(refusal) => {
                    return Err(Denial::new(
                        Verdict::Framing,
                        refusal.status().code(),
                        refusal.to_string(),
                    ));
                }
            }
            let stream = &mut self.stream;
            match self
                .timer
                .until(deadline, poll_fn(|cx| stream.poll_fill(cx, unread)))
                .await
            {
                Ok(Ok(Fill::Data)) => {}
                Ok(Ok(Fill::Ended) | Err(_)) => return Ok(None),
                Err(Expired) if unread.is_empty() => return Ok(None),
                Err(Expired) => return Err(Denial::new(Verdict::Limit, 408, "the head came too slowly")),
            }
        }
    }
}

/// The client's side of one exchange.
struct H1<'c> {
    stream: &'c mut TlsStream,
    timer: &'c Timer,
    unread: &'c mut Buffer,
    decoder: BodyDecoder,
    encoder: Encoder,
    out: Option<Buffer>,
    version: Version,
    stall: u64,
    closes: bool,
}

impl<'c> H1<'c> {
    fn new(
        stream: &'c mut TlsStream,
        timer: &'c Timer,
        unread: &'c mut Buffer,
        framing: Framing,
        version: Version,
        limits: &RequestLimits,
    ) -> Self {
        Self {
            stream,
            timer,
            unread,
            decoder: BodyDecoder::for_request(
                framing,
                &Limits {
                    body: limits.body,
                    ..Limits::default()
                },
            ),
            encoder: Encoder::for_response(ResponseFraming::None { announced: None }),
            out: None,
            version,
            stall: limits.write_stall.into(),
            closes: false,
        }
    }
}

impl Client for H1<'_> {
    fn version(&self) -> Version {
        self.version
    }

    fn protocol(&self) -> &'static str {
        match self.version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, data: &mut Vec<u8>) -> Poll<Result<Step, BodyFault>> {
        loop {
            let progress = match self.decoder.decode(self.unread) {
                Ok(progress) => progress,
                Err(refusal) => return Poll::Ready(Err(BodyFault::Refused(refusal))),
            };
            match progress.piece {
                Piece::Data(range) => {
                    data.extend_from_slice(self.unread.get(range).unwrap_or_default());
                    self.unread.consume(progress.consumed);
                    return Poll::Ready(Ok(Step::Data));
                }
                Piece::End => {
                    self.unread.consume(progress.consumed);
                    // Trailers were checked and end here: what they might mean to an upstream was decided before they came.
                    return Poll::Ready(Ok(Step::End));
                }
                Piece::Pending => self.unread.consume(progress.consumed),
            }
            match ready!(self.stream.poll_fill(cx, self.unread)) {
                Ok(Fill::Data) => {}
                Ok(Fill::Ended) | Err(_) => return Poll::Ready(Err(BodyFault::Gone)),
            }
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // What comes meanwhile is the next request, of which only so much is kept. A client that ends its side of the connection is
        // taken to have gone, as elsewhere: few would still listen, and all others would keep an upstream busy for nobody.
        while self.unread.len() < RECORD {
            ready!(self.stream.poll_readable(cx));
            match ready!(self.stream.poll_fill(cx, self.unread)) {
                Ok(Fill::Data) => {}
                Ok(Fill::Ended) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    async fn proceed(&mut self) -> Result<(), Gone> {
        if self.version == Version::Http10 || !self.unread.is_empty() {
            return Ok(());
        }
        self.stream.queue(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| Gone)?;
        self.sent().await
    }

    fn begin(&mut self, reply: &Reply<'_>) -> Result<(), Gone> {
        let out = self.out.get_or_insert_with(Buffer::take);
        let mut writer = ResponseWriter::begin(out, reply.status);
        headers::write(reply.plan, reply.fields, &reply.own, &mut writer);
        self.closes = !reply.keep || reply.framing == ResponseFraming::UntilClose;
        let persistence = if self.closes {
            Persistence::Close
        } else {
            Persistence::KeepAlive
        };
        writer.finish(reply.framing, persistence);
        self.encoder = Encoder::for_response(reply.framing);
        Ok(())
    }

    async fn data(&mut self, piece: &[u8]) -> Result<(), Gone> {
        let out = self.out.get_or_insert_with(Buffer::take);
        self.encoder.data(piece, out).map_err(|_: Refusal| Gone)?;
        if out.len() >= RECORD {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        if let Some(out) = self.out.take()
            && !out.is_empty()
        {
            self.stream.queue(&out).map_err(|_| Gone)?;
        }
        self.sent().await
    }

    async fn end(&mut self, trailers: Option<&Fields>) -> Result<(), Gone> {
        let out = self.out.get_or_insert_with(Buffer::take);
        self.encoder.end(trailers, out).map_err(|_| Gone)?;
        if self.closes {
            // The end of the session leaves with the last record: `linger` has nothing left to say then.
            if let Some(out) = self.out.take() {
                self.stream.queue(&out).map_err(|_| Gone)?;
            }
            self.stream.queue_close();
        }
        self.flush().await
    }
}

impl H1<'_> {
    async fn sent(&mut self) -> Result<(), Gone> {
        match self.timer.within(self.stall, self.stream.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(Expired) => Err(Gone),
        }
    }
}

impl Sink for ResponseWriter<'_> {
    fn forward_if(&mut self, fields: &Fields, keep: impl FnMut(&Field<'_>) -> bool) {
        Self::forward_if(self, fields, keep);
    }

    fn block(&mut self, _: &Fields, lines: &FieldLines) {
        Self::lines(self, lines);
    }

    fn field(&mut self, name: FieldName<'_>, value: FieldValue<'_>) {
        Self::field(self, name, value);
    }

    fn number(&mut self, name: FieldName<'_>, value: u64) {
        Self::number(self, name, value);
    }
}
