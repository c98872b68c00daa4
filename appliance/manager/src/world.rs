//! What a transaction needs of the world: the vault's records, the services that take part, two clocks.

use redan_ipc::messages::audit::{Actor, AuditEvent};
use redan_ipc::messages::manager::Mistake;
use redan_ipc::messages::vault::{CommitState, Version};
use redan_types::{Generation, Timestamp};
use std::time::Duration;

/// Who takes part in a transaction.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Participant {
    /// Rules for identities; it cannot refuse before the commit, so it comes first there.
    Vault,
    /// The packet filter: up before anything listens.
    Network,
    /// Published services.
    Proxy,
    /// The console.
    Console,
    /// The supervisor's listening sockets: last, so that who accepts on them knows what for.
    Listeners,
}

impl Participant {
    /// The order of prepare and commit.
    pub const ORDER: [Self; 5] = [Self::Vault, Self::Network, Self::Proxy, Self::Console, Self::Listeners];

    /// Those who present certificates.
    pub const CERTIFIED: [Self; 2] = [Self::Proxy, Self::Console];

    /// The name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Listeners => "listeners",
            Self::Network => "network",
            Self::Proxy => "proxy",
            Self::Vault => "vault",
        }
    }
}

/// A peer could not be asked, or gave no answer: whether it did what was asked is unknown. In words, with the peer's name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Why no plan is made of a document.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PlanError {
    /// The document has mistakes.
    #[error("the document has mistakes")]
    Mistaken(Vec<Mistake>),
    /// Somebody whose help is needed refuses.
    #[error("{}", .0.join("; "))]
    Refused(Vec<String>),
    /// Somebody whose help is needed does not answer; later it may work.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The world of a transaction. Every method that fails may or may not have had its effect; the transaction is written so that it
/// does not matter which.
pub trait World {
    /// What is made of a document: each participant's part.
    type Plan;

    /// The wall clock: deadlines outlive the process.
    fn now(&self) -> Timestamp;

    /// Time since some fixed point; never goes back.
    fn elapsed(&self) -> Duration;

    /// Checks a document and makes each participant's part of it.
    ///
    /// # Errors
    /// [`PlanError`].
    fn plan(&mut self, document: &str) -> Result<Self::Plan, PlanError>;

    /// Whether two plans of one document differ in what changes with time: certificates, rule files, exceptions that end.
    fn differ(&self, old: &Self::Plan, new: &Self::Plan) -> bool;

    /// What of a plan has ended since it was made, in words.
    fn ended(&self, plan: &Self::Plan) -> Vec<String>;

    /// The state of commits.
    ///
    /// # Errors
    /// [`Unavailable`].
    fn load(&mut self) -> Result<CommitState, Unavailable>;

    /// Replaces the state of commits, durably.
    ///
    /// # Errors
    /// [`Unavailable`]: it may have been replaced all the same.
    fn save(&mut self, state: &CommitState) -> Result<(), Unavailable>;

    /// The newest stored version; 0 before the first.
    ///
    /// # Errors
    /// [`Unavailable`].
    fn newest(&mut self) -> Result<Generation, Unavailable>;

    /// A stored version.
    ///
    /// # Errors
    /// [`Unavailable`].
    fn version(&mut self, generation: Generation) -> Result<Option<Version>, Unavailable>;

    /// Stores a version.
    ///
    /// # Errors
    /// [`Unavailable`]: it may have been stored all the same.
    fn put(&mut self, document: &str, author: &Actor, comment: &str) -> Result<Generation, Unavailable>;

    /// Lets a participant check its part and get ready, without switching.
    ///
    /// # Errors
    /// Its reasons, in words.
    fn prepare(&mut self, who: Participant, generation: Generation, plan: &Self::Plan) -> Result<(), Vec<String>>;

    /// Lets a participant switch to what it prepared.
    ///
    /// # Errors
    /// Its reasons, in words.
    fn commit(&mut self, who: Participant, generation: Generation, plan: &Self::Plan) -> Result<(), Vec<String>>;

    /// Lets a participant forget what it prepared. One that cannot be reached has nothing to forget.
    fn abort(&mut self, who: Participant, generation: Generation);

    /// What a participant runs.
    ///
    /// # Errors
    /// [`Unavailable`], soon: this is asked several times a second.
    fn current(&mut self, who: Participant) -> Result<Option<Generation>, Unavailable>;

    /// Records an event; one that cannot be recorded now is kept and recorded as soon as possible.
    fn audit(&mut self, event: AuditEvent);
}
