//! The store's trees and the names of records in them.

use std::fmt;

/// A tree: a family of records under one pair of keys. The number is on disk and never changes its meaning.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Tree {
    /// Single values of the vault itself: the certification authority, the audit log's signer, the pending configuration.
    State = 1,
    /// Private keys of leaf certificates, by key identifier.
    LeafKeys = 2,
    /// Certificates, by what they are for.
    Certificates = 3,
    /// Users, by name.
    Users = 4,
    /// Sessions, by the hash of their token.
    Sessions = 5,
    /// API keys, by identifier.
    ApiKeys = 6,
    /// Configuration versions, by number.
    Configurations = 7,
    /// The audit log's entries, by number.
    AuditEntries = 8,
    /// The audit log's checkpoints, by the number of entries they cover.
    AuditCheckpoints = 9,
    /// The keys under which personal fields of audit entries are encrypted, by person.
    PersonKeys = 10,
    /// Keys that applications use, by name.
    TransitKeys = 11,
}

impl Tree {
    /// Every tree.
    pub const ALL: [Self; 11] = [
        Self::State,
        Self::LeafKeys,
        Self::Certificates,
        Self::Users,
        Self::Sessions,
        Self::ApiKeys,
        Self::Configurations,
        Self::AuditEntries,
        Self::AuditCheckpoints,
        Self::PersonKeys,
        Self::TransitKeys,
    ];

    pub(crate) const fn id(self) -> u8 {
        self as u8
    }

    pub(crate) fn parse(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|tree| tree.id() == id)
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::State => "state",
            Self::LeafKeys => "leaf-keys",
            Self::Certificates => "certificates",
            Self::Users => "users",
            Self::Sessions => "sessions",
            Self::ApiKeys => "api-keys",
            Self::Configurations => "configurations",
            Self::AuditEntries => "audit-entries",
            Self::AuditCheckpoints => "audit-checkpoints",
            Self::PersonKeys => "person-keys",
            Self::TransitKeys => "transit-keys",
        })
    }
}

/// What a record is called by those who use the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Name<'a> {
    /// A name that may say something about a person or a secret: only its keyed hash appears outside the record.
    Secret(&'a [u8]),
    /// A number, which says nothing and keeps its order.
    Number(u64),
}

/// Where a record lies: the tree's number, then the keyed hash of its name or the number itself in big-endian.
///
/// This is all that the journal, the index and error messages know of a name.
#[derive(Clone, Eq, Ord, PartialEq, PartialOrd)]
pub struct RecordKey(Vec<u8>);

impl RecordKey {
    /// The longest: the tree's number and an HMAC-SHA-256.
    pub(crate) const LIMIT: usize = 33;

    pub(crate) fn new(tree: Tree, name: &[u8]) -> Self {
        Self([&[tree.id()], name].concat())
    }

    /// From bytes read back; `None` where the tree is unknown or the length impossible.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Tree::parse(*bytes.first()?)?;
        (bytes.len() > 1 && bytes.len() <= Self::LIMIT).then(|| Self(bytes.to_vec()))
    }

    /// Bytes of the whole key.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The whole key.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The number, where that is the name.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        self.0.get(1..)?.try_into().ok().map(u64::from_be_bytes)
    }

    /// The tree it lies in; `None` only for a key of a newer version's tree.
    #[must_use]
    pub fn tree(&self) -> Option<Tree> {
        self.0.first().copied().and_then(Tree::parse)
    }
}

impl std::borrow::Borrow<[u8]> for RecordKey {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().skip(1).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{self}", self.tree())
    }
}
