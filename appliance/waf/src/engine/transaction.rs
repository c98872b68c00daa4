//! One HTTP transaction: its state, how it begins and ends.

use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc};

use redan_types::Timestamp;

use super::{
    Bag, Collections, Event, Exceeded, Fields, Intervention, NoCollections, RuleSet, Score, TextId, Texts, Variable,
    Word,
    batch::{Candidate, Summary},
    cost::Watch,
    select::{Item, ListCache, Versions},
};
use crate::{
    body::xml::Document,
    operator::{Captures, Recent},
    seclang::{AuditMode, EngineMode, Keeper, Sanitise, Slots},
};

/// Who talks to whom.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The client's address.
    pub client: IpAddr,
    /// The client's port.
    pub client_port: u16,
    /// The address the client connected to.
    pub server: IpAddr,
    /// The port the client connected to.
    pub server_port: u16,
}

/// One HTTP transaction on its way through a rule set.
///
/// Feed it in this order, asking for a verdict where one is given: [`Self::connection`], [`Self::request_line`],
/// [`Self::request_header`]s, [`Self::request_headers_end`], [`Self::request_body`] pieces, [`Self::request_body_end`],
/// [`Self::response_line`], [`Self::response_header`]s, [`Self::response_headers_end`], [`Self::response_body`] pieces,
/// [`Self::response_body_end`], [`Self::log`]. After a verdict only `log` makes sense. [`Self::reset`] makes it ready for the next
/// transaction and keeps its memory.
pub struct Transaction {
    pub(super) rules: Arc<RuleSet>,
    pub(super) kept_in: Arc<dyn Collections>,
    pub(super) now: Timestamp,
    pub(super) mode: EngineMode,
    pub(super) texts: Texts,
    pub(super) fields: Fields,
    pub(super) xml: Document,
    /// `TX` variables with a slot, by slot.
    pub(super) tx: Vec<Option<Word>>,
    /// `TX` variables whose names were made at run time, by name in lower case.
    pub(super) tx_named: Vec<(TextId, Word)>,
    pub(super) kept: Vec<LoadedCollection>,
    pub(super) expiring: Vec<Item>,

    pub(super) versions: Versions,
    pub(super) lists: Vec<ListCache>,
    pub(super) list_items: Vec<Item>,
    pub(super) batches: Vec<Summary>,
    pub(super) strands: Vec<Summary>,
    pub(super) candidates: Vec<Candidate>,
    /// For each text the number of the last collecting that saw it.
    pub(super) seen: Vec<u32>,
    pub(super) collecting: u32,

    pub(super) captures: Captures,
    /// Kept from one transaction to the next.
    pub(super) recent: Recent,
    pub(super) matched: Option<Item>,
    pub(super) matches: Vec<Item>,
    pub(super) removed_rules: Vec<bool>,
    pub(super) removals: Vec<usize>,
    pub(super) allow: Allowed,
    pub(super) phase: u8,
    pub(super) current: usize,

    pub(super) request_body: BodyState,
    pub(super) response_body: BodyState,
    pub(super) force_request_body: bool,
    pub(super) xml_args: crate::seclang::XmlArgs,
    pub(super) audit_mode: AuditMode,
    pub(super) audit_parts: String,
    pub(super) sanitise: Vec<Sanitise>,

    pub(super) all_matches: bool,
    pub(super) events: Vec<Event>,
    pub(super) events_left: usize,
    /// How many matches more than are reported.
    pub(super) events_cut: usize,
    pub(super) intervention: Option<Intervention>,
    pub(super) exceeded: Option<Exceeded>,
    pub(super) audit_wanted: bool,
    pub(super) scratch: Vec<u8>,
    /// What the rule that runs has added to the scores since its last report.
    pub(super) score: Score,
    pub(super) watch: Option<Box<Watch>>,
}

/// What `allow` lets through.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Allowed {
    #[default]
    Nothing,
    Request,
    Everything,
}

/// How far a body is.
#[derive(Clone, Debug, Default)]
pub(super) struct BodyState {
    /// Whether it is held and inspected.
    pub(super) access: bool,
    pub(super) limit: usize,
    /// Where it starts among the texts.
    pub(super) start: Option<usize>,
    pub(super) length: usize,
    pub(super) truncated: bool,
    pub(super) done: bool,
}

impl BodyState {
    /// Takes as much of a piece as there is room for.
    pub(super) fn take(&mut self, texts: &mut Texts, piece: &[u8]) {
        self.start.get_or_insert_with(|| texts.end());
        let room = self.limit.saturating_sub(self.length);
        let taken = piece.get(..room).unwrap_or(piece);
        self.length += taken.len();
        texts.append(taken);
        self.truncated = piece.len() > room;
    }
}

/// A persistent collection in use by this transaction.
#[derive(Debug)]
pub(super) struct LoadedCollection {
    pub(super) keeper: Keeper,
    pub(super) key: Vec<u8>,
    pub(super) variables: Vec<(TextId, Word)>,
    pub(super) changes: Vec<(Vec<u8>, super::KeptChange)>,
}

/// How many matches of one transaction are reported; further ones count only in scores.
pub(super) const MOST_EVENTS: usize = 256;

impl Transaction {
    /// A transaction that has seen nothing yet.
    #[must_use]
    pub fn new(rules: Arc<RuleSet>) -> Self {
        let mut transaction = Self {
            kept_in: Arc::new(NoCollections),
            now: Timestamp(0),
            mode: rules.settings.engine,
            texts: Texts::new(rules.steps.len()),
            fields: Fields::new(),
            xml: Document::default(),
            tx: Vec::new(),
            tx_named: Vec::new(),
            kept: Vec::new(),
            expiring: Vec::new(),
            versions: Versions::FIRST,
            lists: Vec::new(),
            list_items: Vec::new(),
            batches: Vec::new(),
            strands: Vec::new(),
            candidates: Vec::new(),
            seen: Vec::new(),
            collecting: 0,
            captures: Captures::default(),
            recent: Recent::default(),
            matched: None,
            matches: Vec::new(),
            removed_rules: Vec::new(),
            removals: Vec::new(),
            allow: Allowed::Nothing,
            phase: 0,
            current: 0,
            request_body: BodyState::default(),
            response_body: BodyState::default(),
            force_request_body: false,
            xml_args: rules.settings.xml_args,
            audit_mode: rules.settings.audit,
            audit_parts: String::new(),
            sanitise: Vec::new(),
            all_matches: false,
            events: Vec::new(),
            events_left: MOST_EVENTS,
            events_cut: 0,
            intervention: None,
            exceeded: None,
            audit_wanted: false,
            scratch: Vec::new(),
            score: Score::default(),
            watch: None,
            rules,
        };
        transaction.clear();
        transaction
    }

    /// Makes the transaction ready for the next one, of this rule set. Memory is kept, nothing else.
    pub fn reset(&mut self, rules: Arc<RuleSet>) {
        self.rules = rules;
        self.clear();
    }

    /// Where persistent collections are. Without this they are always new.
    pub fn keep_in(&mut self, collections: Arc<dyn Collections>) {
        self.kept_in = collections;
    }

    /// Runs the rules in another mode than the rule set says.
    pub fn set_mode(&mut self, mode: EngineMode) {
        self.mode = mode;
    }

    /// Also reports matches of rules that are not for the log.
    pub fn report_all_matches(&mut self) {
        self.all_matches = true;
    }

    /// The rule set that it runs through.
    #[must_use]
    pub fn rules(&self) -> Arc<RuleSet> {
        Arc::clone(&self.rules)
    }

    /// What matched so far.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The verdict, if there is one.
    #[must_use]
    pub fn intervention(&self) -> Option<&Intervention> {
        self.intervention.as_ref()
    }

    /// The body that was longer than its limit, where that is a reason to refuse: also if nothing is refused because of the mode.
    #[must_use]
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded
    }

    /// The arguments that the request's body holds, with their names; bytes that are no UTF-8 are replaced.
    pub fn body_arguments(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.fields.bag(Bag::ArgsPost).iter().map(|pair| {
            let value = match pair.value {
                Word::Number(number) => Cow::Owned(number.to_string()),
                Word::Text(text) => String::from_utf8_lossy(self.texts.get(text)),
            };
            (String::from_utf8_lossy(self.texts.get(pair.key)), value)
        })
    }

    /// Bytes of memory that what the transaction has been fed takes, estimated from above: what vectors hold in reserve is counted.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.texts.memory() + self.fields.memory() + self.xml.memory()
    }

    /// The value of a `TX` variable as text, for instance the anomaly score.
    #[must_use]
    pub fn tx(&self, name: &str) -> Option<String> {
        let lowered = name.to_ascii_lowercase();
        let word = match self.rules.slots.find(lowered.as_bytes()) {
            Some(slot) => self.tx.get(slot).copied().flatten(),
            None => self
                .tx_named
                .iter()
                .find(|(key, _)| self.texts.get(*key) == lowered.as_bytes())
                .map(|(_, word)| *word),
        }?;
        Some(match word {
            Word::Number(number) => number.to_string(),
            Word::Text(text) => String::from_utf8_lossy(self.texts.get(text)).into_owned(),
        })
    }

    /// The path of the request as rules see it (`REQUEST_FILENAME`): decoded, without a query; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn path(&self) -> String {
        match self.fields.single(Variable::RequestFilename) {
            Some(Word::Text(text)) => String::from_utf8_lossy(self.texts.get(text)).into_owned(),
            _ => String::new(),
        }
    }

    /// How many matches there were beyond those in [`Self::events`].
    #[must_use]
    pub fn events_cut(&self) -> usize {
        self.events_cut
    }

    fn clear(&mut self) {
        let rules = &self.rules;
        let settings = &rules.settings;
        self.mode = settings.engine;
        self.texts.clear(rules.steps.len());
        self.fields.clear();
        self.xml.clear();
        self.tx.clear();
        self.tx.resize(rules.slots.count().max(Slots::CAPTURES), None);
        self.tx_named.clear();
        self.kept.clear();
        self.expiring.clear();
        self.versions = Versions::FIRST;
        self.lists.clear();
        self.lists.resize(rules.lists.len(), ListCache::default());
        self.list_items.clear();
        self.batches.clear();
        self.batches.resize(rules.batches.len(), Summary::NOTHING);
        self.strands.clear();
        self.strands.resize(rules.strands.len(), Summary::NOTHING);
        self.candidates.clear();
        self.seen.clear();
        self.collecting = 0;
        self.captures.clear();
        self.captures.set_step_limit(settings.pattern_steps);
        self.matched = None;
        self.matches.clear();
        self.removed_rules.clear();
        self.removed_rules.resize(rules.rules.len(), false);
        self.removals.clear();
        self.allow = Allowed::Nothing;
        self.phase = 0;
        self.request_body = BodyState {
            access: settings.request_body_access,
            limit: settings.request_body_limit,
            ..BodyState::default()
        };
        self.response_body = BodyState {
            access: settings.response_body_access,
            limit: settings.response_body_limit,
            ..BodyState::default()
        };
        self.force_request_body = false;
        self.xml_args = settings.xml_args;
        self.audit_mode = settings.audit;
        self.audit_parts.clear();
        self.audit_parts.push_str(&settings.audit_parts);
        self.sanitise.clear();
        self.all_matches = false;
        self.events.clear();
        self.events_left = MOST_EVENTS;
        self.events_cut = 0;
        self.intervention = None;
        self.exceeded = None;
        self.audit_wanted = false;
        self.watch = None;
        for variable in ZERO_AT_FIRST {
            self.fields.set(*variable, Word::Number(0));
        }
        self.fields.set(Variable::HighestSeverity, Word::Number(255));
    }
}

/// Flags and counts that are 0 until something happens.
const ZERO_AT_FIRST: &[Variable] = &[
    Variable::ArgsCombinedSize,
    Variable::FilesCombinedSize,
    Variable::InboundDataError,
    Variable::MscPcreError,
    Variable::MscPcreLimitsExceeded,
    Variable::OutboundDataError,
    Variable::ReqbodyError,
    Variable::ReqbodyProcessorError,
    Variable::UrlencodedError,
];

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("phase", &self.phase)
            .field("events", &self.events.len())
            .finish_non_exhaustive()
    }
}
