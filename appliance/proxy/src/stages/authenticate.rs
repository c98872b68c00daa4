//! Stage: whose API key the request carries.

use super::{Denial, rate_limit};
use crate::clock::Moment;
use crate::connection::Peer;
use crate::rate::Subject;
use crate::snapshot::{Published, RoutePlan};
use redan_http1::{Field, RequestHead};
use redan_identity::api_key::{ApiKey, KeyHash, PREFIX};
use redan_ipc::messages::accounts::Principal;
use redan_ipc::messages::traffic::Verdict;
use redan_ipc::messages::vault::{ProxyVaultReply, ProxyVaultRequest};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// How long the vault may take to say whose key it is.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer is believed, in milliseconds: so long a revoked key may go on.
const BELIEVED: u64 = 2_000;
/// Answers that a thread remembers, at most.
const REMEMBERED: usize = 4_096;

/// Somebody with a valid key.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) principal: Principal,
    pub(crate) subject: Subject,
}

/// A thread's memory of the vault's answers.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    answers: RefCell<HashMap<KeyHash, Answer>>,
}

#[derive(Clone, Debug)]
struct Answer {
    identity: Option<Rc<Identity>>,
    until: Moment,
}

/// Finds out who asks: nobody (`None`) when no key came, otherwise whose key it is. A key that came and is not valid is an error even
/// where none was needed, so that an expired key is noticed.
pub(crate) async fn identify(
    peer: &Peer,
    service: &Published,
    route: &RoutePlan,
    head: &RequestHead,
) -> Result<Option<Rc<Identity>>, Denial> {
    let mut presented = head
        .fields()
        .iter()
        .filter_map(|field| credential(&service.key_header, &field));
    let Some(key) = presented.next() else {
        return Ok(None);
    };
    if presented.next().is_some() {
        return Err(Denial::new(Verdict::Authentication, 400, "more than one API key"));
    }
    let parsed = std::str::from_utf8(key).ok().and_then(|text| ApiKey::parse(text).ok());
    let resolved = match parsed {
        None => None,
        Some(key) => resolve(peer, &key).await?,
    };
    match resolved {
        Some(identity) => Ok(Some(identity)),
        None => {
            // Guessing counts against the address.
            rate_limit::count(peer, route, None).map_err(|refused| refused.denial)?;
            Err(Denial::new(Verdict::Authentication, 401, "the API key is not valid"))
        }
    }
}

/// The API key in a field, where the field carries one. Such a field never goes to an upstream.
pub(crate) fn credential<'f>(key_header: &str, field: &Field<'f>) -> Option<&'f [u8]> {
    if field.is(key_header) && key_header != "authorization" {
        return Some(field.value().as_bytes());
    }
    if !field.is("authorization") {
        return None;
    }
    let value = field.value().as_bytes();
    let (scheme, rest) = value.split_at_checked(7)?;
    let key = rest.trim_ascii_start();
    // Another application's own tokens are not ours to judge.
    (scheme.eq_ignore_ascii_case(b"bearer ") && key.starts_with(PREFIX.as_bytes())).then_some(key)
}

async fn resolve(peer: &Peer, key: &ApiKey) -> Result<Option<Rc<Identity>>, Denial> {
    let worker = &peer.worker;
    let hash = key.hash();
    let now = worker.clock.now();
    let known = worker
        .keys
        .answers
        .borrow()
        .get(&hash)
        .filter(|answer| answer.until > now)
        .cloned();
    if let Some(answer) = known {
        return Ok(answer.identity);
    }
    let request = ProxyVaultRequest::ResolveKey {
        key: key.secret().clone(),
    };
    let identity = match worker.vault.call(&request, PATIENCE).await {
        Ok(ProxyVaultReply::Principal(principal)) => principal.map(|principal| {
            Rc::new(Identity {
                subject: Subject::User(principal.user.clone()),
                principal,
            })
        }),
        Ok(ProxyVaultReply::Refused(refusal)) => return Err(unavailable(&refusal)),
        Ok(ProxyVaultReply::Noted | ProxyVaultReply::Recorded) => {
            return Err(unavailable(&"the vault gave another answer"));
        }
        Err(error) => return Err(unavailable(&error)),
    };
    let mut answers = worker.keys.answers.borrow_mut();
    if answers.len() >= REMEMBERED {
        answers.retain(|_, answer| answer.until > now);
        if answers.len() >= REMEMBERED {
            answers.clear();
        }
    }
    answers.insert(
        hash,
        Answer {
            identity: identity.clone(),
            until: now.after(BELIEVED),
        },
    );
    Ok(identity)
}

fn unavailable(why: &dyn std::fmt::Display) -> Denial {
    Denial {
        retry_after: Some(1),
        ..Denial::new(
            Verdict::Authentication,
            503,
            format!("API keys cannot be checked: {why}"),
        )
    }
}
