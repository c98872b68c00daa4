//! Finding entries: newest first, page by page, with a bound on what one question costs.

use super::AuditLog;
use super::entries::{StoredEntry, erased, event_of, unreadable};
use crate::service::VaultError;
use crate::store::Tree;
use redan_audit::Leaf;
use redan_ipc::messages::audit::{AuditEvent, AuditPage, AuditQuery, NumberedEvent};

impl AuditLog {
    /// A page of entries. A page may hold fewer than asked for, and `next` still say that there is more: one question reads at most
    /// a fixed number of entries.
    pub(crate) fn search(&self, query: &AuditQuery) -> Result<AuditPage, VaultError> {
        let size = self.size();
        let limit = usize::from(query.limit.clamp(1, LIMIT));
        let filter = Filter::new(query);
        let mut end = query.before.unwrap_or(size).min(size);
        let (mut entries, mut read, mut bytes) = (Vec::new(), 0, 0);
        let first = self.sealed().first();
        while end > first && entries.len() < limit && read < READ && bytes < BYTES {
            let start = end.saturating_sub(STEP).max(first);
            for record in self.store.numbered(Tree::AuditEntries, start..end, true, usize::MAX)? {
                // A damaged entry cannot be shown; verification names it.
                let Ok(record) = record else { continue };
                let Some(sequence) = record.number else { continue };
                end = sequence;
                read += 1;
                let event = self.event(sequence, &StoredEntry::parse(&record.value)?)?;
                if filter.matches(&event) {
                    bytes += record.value.len();
                    entries.push(NumberedEvent { sequence, event });
                    if entries.len() == limit || bytes >= BYTES {
                        break;
                    }
                }
            }
            if entries.len() < limit && bytes < BYTES {
                end = start;
            }
        }
        Ok(AuditPage {
            entries,
            next: (end > first).then_some(end),
            size,
        })
    }

    fn event(&self, sequence: u64, stored: &StoredEntry) -> Result<AuditEvent, VaultError> {
        let time = Leaf::parse(&stored.leaf).map_or(0, |leaf| leaf.header.time);
        let Some(key) = self.key_of(&stored.person, sequence)? else {
            return Ok(erased(time));
        };
        Ok(stored
            .open(&key)
            .map_or_else(|| unreadable(time), |(_, entry)| event_of(entry)))
    }
}

struct Filter<'a> {
    query: &'a AuditQuery,
    text: Option<String>,
}

impl<'a> Filter<'a> {
    fn new(query: &'a AuditQuery) -> Self {
        Self {
            query,
            text: query
                .text
                .as_deref()
                .filter(|text| !text.is_empty())
                .map(str::to_lowercase),
        }
    }

    fn matches(&self, event: &AuditEvent) -> bool {
        let query = self.query;
        let starts =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| found.starts_with(wanted));
        starts(&query.actor, &event.actor.to_string())
            && starts(&query.resource, &event.resource)
            && query
                .action
                .as_deref()
                .is_none_or(|wanted| is_action(&event.action, wanted))
            && query.outcome.is_none_or(|wanted| wanted == event.outcome)
            && query.from.is_none_or(|from| event.time >= from)
            && query.until.is_none_or(|until| event.time <= until)
            && self.text.as_deref().is_none_or(|text| contains(event, text))
    }
}

/// The action itself, or its beginning up to a dot.
fn is_action(action: &str, wanted: &str) -> bool {
    let rest = action.strip_prefix(wanted);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || wanted.is_empty() || wanted.ends_with('.'))
}

fn contains(event: &AuditEvent, text: &str) -> bool {
    let has = |field: &str| field.to_lowercase().contains(text);
    has(&event.actor.to_string())
        || has(&event.action)
        || has(&event.resource)
        || has(&event.message)
        || has(event.outcome.name())
        || event.before.as_deref().is_some_and(has)
        || event.after.as_deref().is_some_and(has)
        || event.agent.as_deref().is_some_and(has)
        || event.address.is_some_and(|address| has(&address.to_string()))
        || event.incident.is_some_and(|incident| has(&incident.to_string()))
        || event
            .request
            .as_ref()
            .is_some_and(|request| has(&request.path) || has(&request.method))
}

const LIMIT: u16 = 500;
const STEP: u64 = 256;
/// Some tenths of a second.
const READ: usize = 20_000;
/// A page stays below the limit of a message.
const BYTES: usize = 1 << 20;
