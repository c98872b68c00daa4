//! Stage: the web application firewall. A request's head and body, then the response's, go through the service's rules; what they
//! refuse is refused before the other side has seen any of it.
//!
//! A body is held in memory until it has been judged, up to the service's limit; what comes after that is refused or passes, as
//! configured. The memory of a transaction stays with its thread.

use super::Denial;
use crate::connection::Peer;
use crate::snapshot::Published;
use crate::waf::WafPlan;
use crate::waf::found::{Subject, record};
use crate::waf::room::Held;
use redan_http1::{RequestHead, ResponseFraming, ResponseHead};
use redan_ipc::messages::traffic::Verdict;
use redan_ipc::messages::waf::WafLimit;
use redan_types::{IncidentId, RouteName, Timestamp};
use redan_waf::engine::{Connection, Intervention, Stop, Transaction};
use redan_waf::seclang::EngineMode;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::SystemTime;

/// Transactions that a thread keeps for later.
const KEPT: usize = 32;
/// One that has held more than this is not kept.
const LARGEST_KEPT: usize = 256 << 10;

thread_local! {
    #[expect(clippy::vec_box, reason = "a transaction is large, and moves between here and the futures of requests")]
    static FREE: RefCell<Vec<Box<Transaction>>> = const { RefCell::new(Vec::new()) };
}

/// A request, and its response, under inspection.
pub(crate) struct Guard<'g> {
    plan: &'g WafPlan,
    transaction: Box<Transaction>,
    /// The memory that its bodies take.
    held: Held,
    /// Bytes of bodies that wait, besides what the engine keeps.
    waiting: usize,
    /// A limit that was met, other than the engine's own.
    limit: Option<WafLimit>,
    heard_response: bool,
    /// Whether something was refused here.
    refused: bool,
}

/// What is refused, and how.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The client gets a page, or is sent elsewhere.
    Answer(Denial),
    /// The client gets nothing.
    Drop(Denial),
}

impl<'g> Guard<'g> {
    /// Begins with a request, where its service has rules.
    pub(crate) fn begin(peer: &Peer, service: &'g Published, incident: &[u8; 16]) -> Option<Self> {
        let plan = service.waf.as_ref()?;
        let kept = FREE.with_borrow_mut(Vec::pop);
        let mut transaction = match kept {
            Some(mut transaction) => {
                transaction.reset(Arc::clone(&plan.rules));
                transaction
            }
            None => Box::new(Transaction::new(Arc::clone(&plan.rules))),
        };
        transaction.keep_in(Arc::clone(&plan.collections));
        transaction.set_mode(if plan.blocking {
            EngineMode::On
        } else {
            EngineMode::Detection
        });
        let listener = peer.listener();
        let connection = Connection {
            client: peer.address,
            client_port: peer.port,
            server: listener.ip().to_canonical(),
            server_port: listener.port(),
        };
        let id = std::str::from_utf8(incident).unwrap_or_default();
        transaction.connection(&connection, id, now());
        Some(Self {
            plan,
            transaction,
            held: Held::nothing(&peer.worker.shared.waf.room, peer.source, &service.name),
            waiting: 0,
            limit: None,
            heard_response: false,
            refused: false,
        })
    }

    /// Judges the head of the request.
    pub(crate) fn request_head(&mut self, head: &RequestHead, protocol: &str) -> Result<(), Refusal> {
        let target = match head.query() {
            Some(query) => format!("{}?{query}", head.path()),
            None => head.path().to_owned(),
        };
        let transaction = &mut self.transaction;
        transaction.request_line(
            head.method().as_str().as_bytes(),
            target.as_bytes(),
            protocol.as_bytes(),
        );
        // HTTP/2 says the host elsewhere; rules look for it here.
        if head.fields().get("host").is_none() {
            transaction.request_header(b"Host", head.authority().to_string().as_bytes());
        }
        for field in head.fields().iter() {
            transaction.request_header(field.name().as_bytes(), field.value().as_bytes());
        }
        let verdict = transaction.request_headers_end();
        self.judged(verdict)
    }

    /// Whether the body of the request is to be held.
    pub(crate) fn wants_request_body(&self) -> bool {
        !self.is_full() && self.transaction.wants_request_body()
    }

    /// A piece of the request's body.
    pub(crate) fn request_body(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        let verdict = self.transaction.request_body(piece);
        self.judged(verdict)?;
        self.hold(piece.len())
    }

    /// Judges the whole request.
    pub(crate) fn request_end(&mut self) -> Result<(), Refusal> {
        let verdict = self.transaction.request_body_end();
        // What the engine made of the body stays until the response is there.
        if self.waiting > 0 {
            self.held.settle(self.memory());
        }
        self.judged(verdict)
    }

    /// Judges the head of the response.
    pub(crate) fn response_head(&mut self, response: &ResponseHead) -> Result<(), Refusal> {
        self.heard_response = true;
        let transaction = &mut self.transaction;
        transaction.response_line(response.status().code(), b"HTTP/1.1");
        for field in response.fields().iter() {
            transaction.response_header(field.name().as_bytes(), field.value().as_bytes());
        }
        let verdict = transaction.response_headers_end();
        self.judged(verdict)
    }

    /// Whether the body of the response is to be held. One that is compressed, although the upstream was asked not to, cannot be
    /// judged.
    pub(crate) fn wants_response_body(&mut self, response: &ResponseHead) -> Result<bool, Refusal> {
        if matches!(response.framing(), ResponseFraming::None { .. }) || !self.transaction.wants_response_body() {
            return Ok(false);
        }
        let plain = response
            .fields()
            .get("content-encoding")
            .is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
        if plain {
            return Ok(true);
        }
        self.limit.get_or_insert(WafLimit::Compressed);
        if !self.plan.blocking {
            return Ok(false);
        }
        self.refused = true;
        Err(Refusal::Answer(Denial::new(
            Verdict::Waf,
            502,
            WafLimit::Compressed.says(),
        )))
    }

    /// Whether more of the response's body is to be held.
    pub(crate) fn wants_more(&self) -> bool {
        !self.is_full() && self.transaction.wants_response_body()
    }

    /// A piece of the response's body.
    pub(crate) fn response_body(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        let verdict = self.transaction.response_body(piece);
        self.judged(verdict)?;
        self.hold(piece.len())
    }

    /// Judges the whole response.
    pub(crate) fn response_end(&mut self) -> Result<(), Refusal> {
        let verdict = self.transaction.response_body_end();
        self.judged(verdict)
    }

    /// Ends the transaction and hands over what was found.
    pub(crate) fn finish(mut self, peer: &Peer, end: &End<'_>) {
        if !self.heard_response {
            self.transaction.response_line(end.status, b"HTTP/1.1");
        }
        self.transaction.log();
        let subject = Subject {
            plan: self.plan,
            service: &end.service.name,
            route: end.route,
            head: end.head,
            key_header: &end.service.key_header,
            incident: end.incident,
            client: peer.address,
            status: end.status,
            blocked: self.refused,
            limit: self.limit,
            time: now(),
        };
        if let Some(record) = record(&subject, &self.transaction) {
            peer.worker.found.add(record);
        }
        let Self { transaction, held, .. } = self;
        if held.bytes() <= LARGEST_KEPT {
            // At the end of the thread the list may be gone already.
            let _ = FREE.try_with(|free| {
                let mut free = free.borrow_mut();
                if free.len() < KEPT {
                    free.push(transaction);
                }
            });
        }
    }

    /// Whether there was no room for a body: no more of it is inspected.
    fn is_full(&self) -> bool {
        self.limit == Some(WafLimit::Room)
    }

    /// The memory that bodies take: what waits may lie in buffers of twice its size.
    fn memory(&self) -> usize {
        self.waiting.saturating_mul(2).saturating_add(self.transaction.memory())
    }

    /// Counts a piece that waits. Where there is no room for it, it is refused; where nothing is refused, the rest of the body passes.
    fn hold(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.waiting = self.waiting.saturating_add(bytes);
        if self.is_full() || self.held.have(self.memory()) {
            return Ok(());
        }
        self.limit = Some(WafLimit::Room);
        if !self.plan.blocking {
            return Ok(());
        }
        self.refused = true;
        Err(Refusal::Answer(Denial {
            retry_after: Some(1),
            ..Denial::new(Verdict::Limit, 503, WafLimit::Room.says())
        }))
    }

    fn judged(&mut self, verdict: Option<Intervention>) -> Result<(), Refusal> {
        let Some(verdict) = verdict else { return Ok(()) };
        // The engine stops nothing where it only detects.
        self.refused = true;
        let message = self
            .transaction
            .events()
            .iter()
            .rev()
            .find(|event| event.rule.id == verdict.rule)
            .map(|event| event.message.as_str())
            .filter(|message| !message.is_empty());
        let detail = match (verdict.rule, message) {
            (0, _) => "the body is longer than what is inspected".to_owned(),
            (rule, None) => format!("rule {rule} refuses it"),
            (rule, Some(message)) => format!("rule {rule} refuses it: {message}"),
        };
        let detail: String = detail.chars().take(300).collect();
        let status = match verdict.status {
            status @ 400..=599 => status,
            _ => 403,
        };
        Err(match verdict.stop {
            Stop::Deny | Stop::Proxy(_) => Refusal::Answer(Denial::new(Verdict::Waf, status, detail)),
            Stop::Drop => Refusal::Drop(Denial::new(Verdict::Waf, status, detail)),
            Stop::Redirect(location) => {
                let status = match verdict.status {
                    status @ (301 | 302 | 303 | 307 | 308) => status,
                    _ => 302,
                };
                Refusal::Answer(Denial {
                    location: Some(location),
                    ..Denial::new(Verdict::Waf, status, detail)
                })
            }
        })
    }
}

/// A request at its end.
#[derive(Debug)]
pub(crate) struct End<'a> {
    pub(crate) service: &'a Published,
    pub(crate) route: Option<&'a RouteName>,
    pub(crate) head: &'a RequestHead,
    pub(crate) incident: IncidentId,
    pub(crate) status: u16,
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}
