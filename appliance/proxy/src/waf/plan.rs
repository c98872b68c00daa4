//! A service's rules, compiled. This runs on the thread that answers the manager, never on one that serves requests.

use super::room::{self, Room};
use redan_ipc::rules::{RuleArchive, assemble};
use redan_ipc::slice::WafPolicy;
use redan_types::{ServiceName, Timestamp};
use redan_waf::engine::{Collections, Kept, KeptChange, MemoryCollections, RuleSet};
use redan_waf::seclang::{Compiler, Keeper, RuleFiles};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Persistent collections (`IP`, `SESSION`, …) of all services together. Where more come, those that end first go.
const COLLECTIONS: usize = 20_000;
/// Bytes of memory for them.
const COLLECTED: usize = 64 << 20;

/// A service's web application firewall.
#[derive(Debug)]
pub(crate) struct WafPlan {
    pub(crate) rules: Arc<RuleSet>,
    pub(crate) collections: Arc<dyn Collections>,
    pub(crate) blocking: bool,
    /// Whether bodies of responses are inspected: upstreams are then asked not to compress.
    pub(crate) response_bodies: bool,
    pub(crate) paranoia: u8,
    pub(crate) inbound_threshold: u32,
    pub(crate) outbound_threshold: u32,
}

/// What outlives a configuration: rules that are in use somewhere, persistent collections, the room for bodies.
#[derive(Debug)]
pub(crate) struct Library {
    compiled: Mutex<HashMap<[u8; 32], Weak<RuleSet>>>,
    collections: Arc<MemoryCollections>,
    /// Memory for bodies that wait for a verdict, of all threads.
    pub(crate) room: Arc<Room>,
}

/// One configuration being compiled: services share the operators of their rules.
#[derive(Debug)]
pub(crate) struct Loading<'l> {
    library: &'l Library,
    compiler: Compiler,
}

impl Library {
    pub(crate) fn new() -> Self {
        Self {
            compiled: Mutex::default(),
            collections: Arc::new(MemoryCollections::new(COLLECTIONS, COLLECTED)),
            room: Arc::new(Room::new(room::ALL)),
        }
    }

    /// Begins with a configuration.
    pub(crate) fn loading(&self) -> Loading<'_> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.retain(|_, rules| rules.strong_count() > 0);
        Loading {
            library: self,
            compiler: Compiler::new(),
        }
    }
}

impl Loading<'_> {
    /// A service's plan; otherwise why its rules cannot be used, with file and line.
    pub(crate) fn plan(
        &mut self,
        service: &ServiceName,
        policy: &WafPolicy,
        sets: &[RuleArchive],
    ) -> Result<WafPlan, String> {
        Ok(WafPlan {
            rules: self.rules(policy, sets)?,
            collections: Arc::new(Own {
                service: service.as_str().as_bytes().to_vec(),
                all: Arc::clone(&self.library.collections),
            }),
            blocking: policy.blocking,
            response_bodies: policy.response_bodies,
            paranoia: policy.paranoia,
            inbound_threshold: policy.inbound_threshold,
            outbound_threshold: policy.outbound_threshold,
        })
    }

    fn rules(&mut self, policy: &WafPolicy, sets: &[RuleArchive]) -> Result<Arc<RuleSet>, String> {
        let files = assemble(&policy.sources, sets).map_err(|error| error.to_string())?;
        let mut hash = Sha256::new();
        for (name, content, is_rules) in &files {
            hash.update(name.len().to_le_bytes());
            hash.update(name);
            hash.update(content.len().to_le_bytes());
            hash.update(content);
            hash.update([u8::from(*is_rules)]);
        }
        let hash = hash.finalize().into();
        let mut known = self.library.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rules) = known.get(&hash).and_then(Weak::upgrade) {
            return Ok(rules);
        }
        let mut all = RuleFiles::new();
        let mut order = Vec::new();
        for (name, content, is_rules) in files {
            if is_rules {
                order.push(name.clone());
            }
            all.insert(name, content);
        }
        let order: Vec<&str> = order.iter().map(String::as_str).collect();
        let compiled = self.compiler.compile(&all, &order);
        let rules = Arc::new(compiled.map_err(|error| error.to_string())?);
        known.insert(hash, Arc::downgrade(&rules));
        Ok(rules)
    }
}

/// A service's own persistent collections: what one counts is nothing to another.
#[derive(Debug)]
struct Own {
    service: Vec<u8>,
    all: Arc<MemoryCollections>,
}

impl Own {
    fn key(&self, key: &[u8]) -> Vec<u8> {
        [self.service.as_slice(), b"/", key].concat()
    }
}

impl Collections for Own {
    fn load(&self, keeper: Keeper, key: &[u8], now: Timestamp) -> Vec<Kept> {
        self.all.load(keeper, &self.key(key), now)
    }

    fn store(&self, keeper: Keeper, key: &[u8], changes: &[(Vec<u8>, KeptChange)], timeout: i64, now: Timestamp) {
        self.all.store(keeper, &self.key(key), changes, timeout, now);
    }
}
