//! One request and its response: through the stages, to an upstream and back. The same for HTTP/1.1 and HTTP/2 clients.

use crate::body::{Pipe, Step};
use crate::buffer::Buffer;
use crate::clock::{Expired, Timer};
use crate::connection::Peer;
use crate::forwarding::write_request;
use crate::incident::hexadecimal;
use crate::rate::Standing;
use crate::snapshot::{Published, RoutePlan};
use crate::stages::event::{Ended, record};
use crate::stages::headers::{HeaderPlan, Own};
use crate::stages::waf::{self, End, Guard};
use crate::stages::{Admitted, Denial, Findings, admit, mask};
use crate::upload::Upload;
use crate::upstream::{Connection, UpstreamFault, UpstreamStep};
use redan_http1::{
    BodyDecoder, Fields, Limits, Method, Persistence, Refusal, RequestHead, ResponseFraming, ResponseHead, Status,
    Version,
};
use redan_ipc::messages::traffic::Verdict;
use redan_types::IncidentId;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

/// A client that asked for something, over either protocol.
pub(crate) trait Client {
    /// The version to which responses are framed.
    fn version(&self) -> Version;
    /// The protocol as rules name it.
    fn protocol(&self) -> &'static str;
    /// Appends more of the request's body to `data`. May be dropped and called again.
    fn poll_body(&mut self, cx: &mut Context<'_>, data: &mut Vec<u8>) -> Poll<Result<Step, BodyFault>>;
    /// Notices that the client is no longer there to be answered: it reset the stream or ended the connection. To be asked once all of
    /// the body has been read.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// Says that the body is wanted.
    async fn proceed(&mut self) -> Result<(), Gone>;
    /// Begins the response.
    fn begin(&mut self, reply: &Reply<'_>) -> Result<(), Gone>;
    /// Takes content of the response; sends it when enough has come together.
    async fn data(&mut self, piece: &[u8]) -> Result<(), Gone>;
    /// Sends what has come together.
    async fn flush(&mut self) -> Result<(), Gone>;
    /// Ends the response and sends all of it.
    async fn end(&mut self, trailers: Option<&Fields>) -> Result<(), Gone>;
}

/// The client has gone or does not read: nothing can be told to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Gone;

/// Why no more of a request's body comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BodyFault {
    /// The client went away.
    Gone,
    /// The body breaks a rule.
    Refused(Refusal),
}

/// The head of a response.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) status: Status,
    pub(crate) plan: Option<&'a HeaderPlan>,
    pub(crate) fields: Option<&'a Fields>,
    pub(crate) own: Own<'a>,
    pub(crate) framing: ResponseFraming,
    /// Whether the connection may carry another request afterwards, as far as this response goes.
    pub(crate) keep: bool,
}

/// What becomes of the connection after a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum After {
    /// Answered, but bytes of the request may still come: the connection must end.
    Close,
    /// The client has gone, or got half a response: nothing more can be said.
    Cut,
    /// Answered, everything read; the connection ends.
    End,
    /// Answered; the connection may go on.
    Keep,
}

/// Why a request was not answered by an upstream.
#[derive(Debug)]
pub(crate) enum Failure {
    /// After the response had begun, or to a client that has gone.
    Cut(Option<Denial>),
    /// Before the response began: the client gets a page.
    Denied(Denial),
}

impl From<Denial> for Failure {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<waf::Refusal> for Failure {
    fn from(refusal: waf::Refusal) -> Self {
        match refusal {
            waf::Refusal::Answer(denial) => Self::Denied(denial),
            waf::Refusal::Drop(denial) => Self::Cut(Some(denial)),
        }
    }
}

impl From<Gone> for Failure {
    fn from(Gone: Gone) -> Self {
        Self::Cut(None)
    }
}

/// One request being answered.
pub(crate) struct Exchange<'e> {
    peer: &'e Peer,
    pub(crate) timer: &'e Timer,
    pub(crate) service: &'e Published,
    pub(crate) head: &'e RequestHead,
    id: [u8; 16],
    incident: IncidentId,
    pub(crate) received: u64,
    sent: u64,
    /// Whether all of the request's body has been read.
    pub(crate) read: bool,
}

/// Answers a request.
pub(crate) async fn run<C: Client>(peer: &Peer, timer: &Timer, head: &RequestHead, client: &mut C) -> After {
    let start = Instant::now();
    let incident = peer.worker.incidents.next();
    let mut findings = Findings::default();
    let Some(service) = peer.service() else {
        let denial = Denial::new(Verdict::Route, 421, "the service is no longer published here");
        return refuse(peer, None, Some(head), client, &denial, &findings, incident).await;
    };
    let mut exchange = Exchange {
        peer,
        timer,
        service: &service,
        head,
        id: hexadecimal(incident),
        incident,
        received: 0,
        sent: 0,
        read: !head.awaits_end(),
    };
    let (mut guard, mut route) = (None, None);
    let outcome = match admit(peer, &service, head, &mut findings).await {
        Ok(admitted) => {
            guard = Guard::begin(peer, &service, &exchange.id);
            route = Some(&admitted.route.name);
            exchange.forward(&admitted, client, &mut guard).await
        }
        Err(denial) => Err(Failure::Denied(denial)),
    };
    let persistent = head.persistence() == Persistence::KeepAlive && exchange.read;
    let answered = match (exchange.read, persistent) {
        (false, _) => After::Close,
        (true, false) => After::End,
        (true, true) => After::Keep,
    };
    let (status, denial, after) = match outcome {
        Ok(status) => (status, None, answered),
        Err(Failure::Cut(denial)) => (499, denial, After::Cut),
        Err(Failure::Denied(denial)) => {
            let reply = Refused {
                service: Some(&service),
                head: Some(head),
                status: denial.status,
                standing: findings.standing,
                retry_after: denial.retry_after,
                location: denial.location.as_deref(),
                incident,
                keep: persistent,
            };
            let after = match reply.send(client).await {
                Ok(()) => answered,
                Err(Gone) => After::Cut,
            };
            (denial.status, Some(denial), after)
        }
    };
    let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    record(
        peer,
        &Ended {
            service: Some(&service),
            head: Some(head),
            findings: &findings,
            denial: denial.as_ref(),
            incident,
            status,
            received: exchange.received,
            sent: exchange.sent,
            micros,
        },
    );
    if let Some(guard) = guard {
        let end = End {
            service: &service,
            route,
            head,
            incident,
            status,
        };
        guard.finish(peer, &end);
    }
    after
}

/// Answers a request that no service takes or that could not even be read; the connection ends.
pub(crate) async fn refuse<C: Client>(
    peer: &Peer,
    service: Option<&Published>,
    head: Option<&RequestHead>,
    client: &mut C,
    denial: &Denial,
    findings: &Findings,
    incident: IncidentId,
) -> After {
    let reply = Refused {
        service,
        head,
        status: denial.status,
        standing: None,
        retry_after: denial.retry_after,
        location: None,
        incident,
        keep: false,
    };
    let sent = reply.send(client).await;
    record(
        peer,
        &Ended {
            service,
            head,
            findings,
            denial: Some(denial),
            incident,
            status: denial.status,
            received: 0,
            sent: 0,
            micros: 0,
        },
    );
    if sent.is_ok() { After::Close } else { After::Cut }
}

/// A page in place of a response.
struct Refused<'a> {
    service: Option<&'a Published>,
    head: Option<&'a RequestHead>,
    status: u16,
    standing: Option<Standing>,
    retry_after: Option<u64>,
    location: Option<&'a str>,
    incident: IncidentId,
    keep: bool,
}

impl Refused<'_> {
    async fn send<C: Client>(&self, client: &mut C) -> Result<(), Gone> {
        let asked = self.head.map(RequestHead::fields);
        let page = mask::page(self.service, self.status, asked, self.incident);
        let length = u64::try_from(page.body.len()).map_err(|_| Gone)?;
        let is_head = self.head.is_some_and(|head| head.method() == Method::Head);
        let id = hexadecimal(self.incident);
        client.begin(&Reply {
            status: Status::new(self.status).ok_or(Gone)?,
            plan: self.service.map(|service| &service.headers),
            fields: None,
            own: Own {
                id: &id,
                standing: self.standing,
                retry_after: self.retry_after,
                authenticate: self.status == 401,
                content_type: Some(page.content_type),
                location: self.location,
            },
            framing: if is_head {
                ResponseFraming::None {
                    announced: Some(length),
                }
            } else {
                ResponseFraming::Length(length)
            },
            keep: self.keep,
        })?;
        if !is_head {
            client.data(page.body.as_bytes()).await?;
        }
        client.end(None).await
    }
}

impl Exchange<'_> {
    /// Sends the request to an upstream and its response to the client; gives the status.
    async fn forward<C: Client>(
        &mut self,
        admitted: &Admitted<'_>,
        client: &mut C,
        guard: &mut Option<Guard<'_>>,
    ) -> Result<u16, Failure> {
        let mut request = Buffer::take();
        write_request(self.peer, self.service, self.head, admitted, &self.id, &mut request)?;
        let mut upload = Upload::new(self);
        if !self.read && !self.head.framing().has_body() {
            // A length of 0 with the stream still open: the head alone is a whole request, so it must not leave before the client has
            // said that nothing follows.
            let step = self
                .timer
                .until(
                    upload.deadline(),
                    poll_fn(|cx| client.poll_body(cx, &mut upload.content)),
                )
                .await;
            let step =
                step.map_err(|Expired| Denial::new(Verdict::Limit, 408, "the end of an empty body did not come"))?;
            upload.take(self, step, &mut request)?;
        }
        let mut invited = false;
        if let Some(guard) = guard {
            guard.request_head(self.head, client.protocol())?;
            if !self.read && guard.wants_request_body() {
                if self.head.expects_continue() {
                    client.proceed().await?;
                    invited = true;
                }
                upload.hold(self, client, guard, &mut request).await?;
            }
            guard.request_end()?;
        }
        if !self.read {
            if self.head.expects_continue() && !invited {
                client.proceed().await?;
            }
            // What has come already leaves together with the head.
            upload.gather(self, client, &mut request)?;
        }
        let (connection, response) = self.ask(admitted.route, client, &request, &mut upload).await?;
        drop(request);
        drop(upload);
        self.answer(admitted, client, connection, &response, guard.as_mut())
            .await
    }

    /// Sends the request, to another server or once more where that is safe, until one answers.
    async fn ask<C: Client>(
        &mut self,
        route: &RoutePlan,
        client: &mut C,
        request: &[u8],
        upload: &mut Upload,
    ) -> Result<(Connection, Box<ResponseHead>), Failure> {
        let plan = &route.upstreams;
        let pool = &self.peer.worker.pool;
        pool.earn();
        let repeatable = self.head.method().is_idempotent() && !self.head.framing().has_body();
        let mut retries = plan.retries;
        let mut fresh = false;
        let mut last = UpstreamFault::AllDown;
        loop {
            let now = self.timer.now();
            let Some(server) = pool.choose(plan, now) else {
                return Err(unanswered(&last).into());
            };
            let kept = if fresh {
                None
            } else {
                pool.take(server, repeatable, now)
            };
            let connection = match kept {
                Some(connection) => Ok(connection),
                None => Connection::open(server, self.timer, plan.connect_timeout).await,
            };
            let (fault, spared, reused) = match connection {
                // Nothing was sent: the request may go anywhere.
                Err(fault) => (fault, true, false),
                Ok(mut connection) => {
                    match self
                        .once(plan.response_timeout, &mut connection, client, request, upload)
                        .await
                    {
                        Ok(response) => {
                            server.succeeded();
                            return Ok((connection, response));
                        }
                        Err(Either::Failure(failure)) => return Err(failure),
                        Err(Either::Fault(fault)) => (fault, connection.spared(repeatable), connection.is_reused()),
                    }
                }
            };
            let broke = matches!(fault, UpstreamFault::Closed | UpstreamFault::Socket(_));
            // A kept connection that the server closed meanwhile says nothing about the server: once more, on a fresh one.
            if broke && reused && spared {
                fresh = true;
                continue;
            }
            if matches!(fault, UpstreamFault::Connect(_) | UpstreamFault::ConnectTimeout) {
                // Only what no request can bring about counts against the server: a client whose requests make it hang up or
                // answer badly must not take it away from the others.
                server.failed(now);
            }
            let again = spared && (broke || matches!(fault, UpstreamFault::Connect(_) | UpstreamFault::ConnectTimeout));
            if !again || retries == 0 || !pool.pay() {
                return Err(unanswered(&fault).into());
            }
            retries -= 1;
            last = fault;
        }
    }

    /// Sends the request over one connection and waits for the head of its response.
    async fn once<C: Client>(
        &mut self,
        patience: u64,
        connection: &mut Connection,
        client: &mut C,
        request: &[u8],
        upload: &mut Upload,
    ) -> Result<Box<ResponseHead>, Either> {
        let method = self.head.method();
        let late = |Expired| UpstreamFault::Timeout;
        let sending = connection.send(request, method);
        if let Some(early) = self.timer.within(patience, sending).await.map_err(late)?? {
            return Ok(early);
        }
        while !self.read {
            let deadline = upload.deadline();
            let content = &mut upload.content;
            let next = poll_fn(|cx| {
                // A response before the end of the body: nothing more of the body is wanted. An interim one changes nothing.
                if let Poll::Ready(early) = connection.poll_head(cx, method) {
                    return Poll::Ready(Err(early));
                }
                client.poll_body(cx, content).map(Ok)
            });
            let step = match self.timer.until(deadline, next).await {
                Err(Expired) => {
                    return Err(Denial::new(Verdict::Limit, 408, "the body came too slowly").into());
                }
                Ok(Err(early)) => return Ok(early?),
                Ok(Ok(step)) => step,
            };
            let mut out = Buffer::take();
            if step != Ok(Step::Data) {
                upload.take(self, step, &mut out)?;
            }
            upload.gather(self, client, &mut out)?;
            let before = self.timer.now();
            let sending = connection.send(&out, method);
            if let Some(early) = self.timer.within(patience, sending).await.map_err(late)?? {
                return Ok(early);
            }
            upload.paused(before, self.timer.now());
        }
        let answer = poll_fn(|cx| {
            if let Poll::Ready(head) = connection.poll_head(cx, method) {
                return Poll::Ready(Ok(head));
            }
            // Nobody waits for the answer any more: the upstream connection ends with the exchange, which tells the server so.
            client.poll_gone(cx).map(|()| Err(Gone))
        });
        match self.timer.within(patience, answer).await.map_err(late)? {
            Ok(head) => Ok(head?),
            Err(Gone) => Err(Failure::from(Gone).into()),
        }
    }

    /// Sends the response on.
    async fn answer<C: Client>(
        &mut self,
        admitted: &Admitted<'_>,
        client: &mut C,
        mut connection: Connection,
        response: &ResponseHead,
        guard: Option<&mut Guard<'_>>,
    ) -> Result<u16, Failure> {
        let status = response.status();
        let keep = self.head.persistence() == Persistence::KeepAlive && self.read;
        if self.service.mask_errors && status.code() >= 500 {
            let page = Refused {
                service: Some(self.service),
                head: Some(self.head),
                status: status.code(),
                standing: admitted.standing,
                retry_after: None,
                location: None,
                incident: self.incident,
                keep,
            };
            page.send(client).await?;
            return Ok(status.code());
        }
        let patience = admitted.route.upstreams.response_timeout;
        let mut decoder = BodyDecoder::for_response(response.framing(), &Limits::default());
        let mut held = None;
        if let Some(guard) = guard {
            guard.response_head(response)?;
            if guard.wants_response_body(response)? {
                held = Some(
                    self.hold(patience, client, &mut connection, &mut decoder, guard)
                        .await
                        .map_err(before_begin)?,
                );
            }
            guard.response_end()?;
        }
        let mut pipe = Pipe::default();
        client.begin(&Reply {
            status,
            plan: Some(&self.service.headers),
            fields: Some(response.fields()),
            own: Own {
                id: &self.id,
                standing: admitted.standing,
                retry_after: None,
                authenticate: false,
                content_type: None,
                location: None,
            },
            framing: pipe.framing(response.framing().towards(client.version())),
            keep,
        })?;
        let mut over = None;
        if let Some(held) = held {
            self.pass(&held.content, client, &mut pipe).await?;
            over = held.over;
        }
        let trailers = match over {
            Some(trailers) => self.close(trailers, client, &mut pipe).await?,
            None => {
                self.relay(patience, client, &mut connection, &mut decoder, &mut pipe)
                    .await?
            }
        };
        // The upstream's part is over whatever the client does with its copy. A body on a request that rarely has one may have been
        // overlooked there and be taken for the next request, and one that wrongly follows the answer to HEAD for the next response.
        let certain = !self.head.body_is_unusual() && self.head.method() != Method::Head;
        if certain && self.read && connection.is_reusable(response, &decoder) {
            self.peer.worker.pool.put(connection, self.timer.now());
        }
        client.end(trailers.as_ref()).await?;
        Ok(status.code())
    }

    /// Reads the content for inspection, up to its end or to where no more is inspected.
    async fn hold<C: Client>(
        &mut self,
        patience: u64,
        client: &mut C,
        connection: &mut Connection,
        decoder: &mut BodyDecoder,
        guard: &mut Guard<'_>,
    ) -> Result<HeldBody, Failure> {
        let mut content = Buffer::take();
        while guard.wants_more() {
            let (step, consumed) = connection.decode(decoder).map_err(broken)?;
            match step {
                UpstreamStep::Data(range) => {
                    let piece = connection.unread().get(range).unwrap_or_default();
                    guard.response_body(piece)?;
                    content.extend_from_slice(piece);
                    connection.consume(consumed);
                }
                UpstreamStep::End => {
                    connection.consume(consumed);
                    let over = Some(decoder.take_trailers());
                    return Ok(HeldBody { content, over });
                }
                UpstreamStep::Pending => {
                    connection.consume(consumed);
                    self.fill(patience, client, connection, decoder, false).await?;
                }
            }
        }
        Ok(HeldBody { content, over: None })
    }

    /// Sends the content on as it comes; gives the trailers.
    async fn relay<C: Client>(
        &mut self,
        patience: u64,
        client: &mut C,
        connection: &mut Connection,
        decoder: &mut BodyDecoder,
        pipe: &mut Pipe,
    ) -> Result<Option<Fields>, Failure> {
        loop {
            let (step, consumed) = connection.decode(decoder).map_err(broken)?;
            match step {
                UpstreamStep::Data(range) => {
                    let piece = connection.unread().get(range).unwrap_or_default();
                    self.pass(piece, client, pipe).await?;
                    connection.consume(consumed);
                }
                UpstreamStep::End => {
                    connection.consume(consumed);
                    return self.close(decoder.take_trailers(), client, pipe).await;
                }
                UpstreamStep::Pending => {
                    connection.consume(consumed);
                    self.fill(patience, client, connection, decoder, true).await?;
                }
            }
        }
    }

    /// Sends a piece of content on.
    async fn pass<C: Client>(&mut self, piece: &[u8], client: &mut C, pipe: &mut Pipe) -> Result<(), Failure> {
        self.sent += u64::try_from(piece.len()).unwrap_or(0);
        if pipe.is_empty() {
            client.data(piece).await?;
        } else {
            let mut changed = Buffer::take();
            pipe.data(piece, &mut changed);
            client.data(&changed).await?;
        }
        Ok(())
    }

    /// Sends what the stages had kept back; gives the trailers that go on.
    async fn close<C: Client>(
        &self,
        trailers: Option<Fields>,
        client: &mut C,
        pipe: &mut Pipe,
    ) -> Result<Option<Fields>, Failure> {
        if !pipe.is_empty() {
            let mut rest = Buffer::take();
            pipe.end(&mut rest);
            client.data(&rest).await?;
        }
        let trailers = pipe.trailers(trailers);
        Ok(trailers.and_then(|trailers| self.service.headers.trailers(trailers)))
    }

    /// Waits for more of the response. With `flush`, what the client could have already is sent before.
    async fn fill<C: Client>(
        &self,
        patience: u64,
        client: &mut C,
        connection: &mut Connection,
        decoder: &mut BodyDecoder,
        flush: bool,
    ) -> Result<(), Failure> {
        // Only what would wait is sent alone: head and body leave together where both have come.
        let ready = poll_fn(|cx| Poll::Ready(connection.poll_fill(cx))).await;
        let filled = match ready {
            Poll::Ready(filled) => Ok(filled),
            Poll::Pending => {
                if flush {
                    client.flush().await?;
                }
                let next = poll_fn(|cx| {
                    if let Poll::Ready(filled) = connection.poll_fill(cx) {
                        return Poll::Ready(Ok(filled));
                    }
                    client.poll_gone(cx).map(|()| Err(Gone))
                });
                match self.timer.within(patience, next).await {
                    Ok(Ok(filled)) => Ok(filled),
                    Ok(Err(Gone)) => return Err(Gone.into()),
                    Err(Expired) => Err(Expired),
                }
            }
        };
        match filled {
            Ok(Ok(0)) => decoder.finish().map_err(broken),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Failure::Cut(Some(unanswered(&UpstreamFault::Socket(error))))),
            Err(Expired) => Err(Failure::Cut(Some(unanswered(&UpstreamFault::Timeout)))),
        }
    }
}

/// Content of a response that was held back.
struct HeldBody {
    content: Buffer,
    /// The trailers, where the content is over.
    over: Option<Option<Fields>>,
}

/// A response that breaks the framing in its middle.
fn broken(refusal: Refusal) -> Failure {
    Failure::Cut(Some(unanswered(&UpstreamFault::Refused(refusal))))
}

/// What fails before the response has begun can still be told to the client, if there is one.
fn before_begin(failure: Failure) -> Failure {
    match failure {
        Failure::Cut(Some(denial)) if denial.verdict == Verdict::Upstream => Failure::Denied(denial),
        other => other,
    }
}

/// A fault of an upstream as a refusal.
fn unanswered(fault: &UpstreamFault) -> Denial {
    Denial {
        retry_after: matches!(fault, UpstreamFault::AllDown).then_some(1),
        ..Denial::new(Verdict::Upstream, fault.status(), fault.to_string())
    }
}

enum Either {
    Failure(Failure),
    Fault(UpstreamFault),
}

impl From<UpstreamFault> for Either {
    fn from(fault: UpstreamFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Failure> for Either {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Denial> for Either {
    fn from(denial: Denial) -> Self {
        Self::Failure(denial.into())
    }
}
