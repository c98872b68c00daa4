//! The transaction in a world that may stop answering at any step, as a killed process does.

use super::{Candidate, Denial, Transactions};
use crate::state;
use crate::world::{Participant, PlanError, Unavailable, World};
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use redan_ipc::messages::audit::{Actor, AuditEvent};
use redan_ipc::messages::vault::{CommitState, Version, VersionInfo};
use redan_types::{Generation, Timestamp};
use std::collections::HashMap;
use std::time::Duration;

const EXCEPTION: &str = ", exception";

/// What outlives the manager: the vault's records, the services, the clocks.
#[derive(Clone, Debug, Default)]
struct Earth {
    state: CommitState,
    versions: Vec<String>,
    prepared: HashMap<Participant, Generation>,
    runs: HashMap<Participant, Generation>,
    /// How often the vault has renewed the certificates; part of each plan.
    renewals: u32,
    /// The plan that each was given last.
    given: HashMap<Participant, String>,
    /// Second at which an exception of every plan ends.
    ending: Option<u64>,
    refuses: Option<Participant>,
    refuses_commit: Option<Participant>,
    seconds: u64,
    audited: Vec<AuditEvent>,
    /// Operations until the manager is dead; `None`: it lives.
    left: Option<u32>,
    /// Whether the operation at which it dies has its effect.
    effective: bool,
}

impl Earth {
    /// Counts an operation: whether it has its effect, and whether the caller lives to see it.
    fn step(&mut self) -> (bool, bool) {
        match &mut self.left {
            None => (true, true),
            Some(0) => (false, false),
            Some(left) => {
                *left -= 1;
                if *left == 0 {
                    (self.effective, false)
                } else {
                    (true, true)
                }
            }
        }
    }

    fn operation<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Result<T, Unavailable> {
        let (effect, alive) = self.step();
        let done = effect.then(|| work(self));
        done.filter(|_| alive).ok_or_else(|| Unavailable("dead".into()))
    }
}

impl World for Earth {
    type Plan = String;

    fn now(&self) -> Timestamp {
        Timestamp(self.seconds * 1_000_000)
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn plan(&mut self, document: &str) -> Result<String, PlanError> {
        let document = document.to_owned();
        self.operation(|earth| {
            if document == "bad" {
                Err(PlanError::Mistaken(Vec::new()))
            } else {
                let lasts = earth.ending.is_some_and(|end| earth.seconds < end);
                let exception = if lasts { EXCEPTION } else { "" };
                Ok(format!("{document}, certificate {}{exception}", earth.renewals))
            }
        })?
    }

    fn differ(&self, old: &String, new: &String) -> bool {
        old != new
    }

    fn ended(&self, plan: &String) -> Vec<String> {
        let ended = plan.contains(EXCEPTION) && self.ending.is_some_and(|end| end <= self.seconds);
        ended.then(|| "an exception".to_owned()).into_iter().collect()
    }

    fn load(&mut self) -> Result<CommitState, Unavailable> {
        self.operation(|earth| earth.state.clone())
    }

    fn save(&mut self, state: &CommitState) -> Result<(), Unavailable> {
        self.operation(|earth| earth.state = state.clone())
    }

    fn newest(&mut self) -> Result<Generation, Unavailable> {
        self.operation(|earth| Generation(u64::try_from(earth.versions.len()).unwrap()))
    }

    fn version(&mut self, generation: Generation) -> Result<Option<Version>, Unavailable> {
        self.operation(|earth| {
            let at = usize::try_from(generation.0.checked_sub(1)?).unwrap();
            let document = earth.versions.get(at)?.clone();
            let info = VersionInfo {
                generation,
                author: Actor::Anonymous,
                comment: String::new(),
                time: Timestamp(0),
                hash: String::new(),
            };
            Some(Version { info, document })
        })
    }

    fn put(&mut self, document: &str, _: &Actor, _: &str) -> Result<Generation, Unavailable> {
        self.operation(|earth| {
            earth.versions.push(document.to_owned());
            Generation(u64::try_from(earth.versions.len()).unwrap())
        })
    }

    fn prepare(&mut self, who: Participant, generation: Generation, _: &String) -> Result<(), Vec<String>> {
        if self.refuses == Some(who) {
            return Err(vec!["no".into()]);
        }
        let done = self.operation(|earth| earth.prepared.insert(who, generation));
        done.map(|_| ()).map_err(|error| vec![error.to_string()])
    }

    fn commit(&mut self, who: Participant, generation: Generation, plan: &String) -> Result<(), Vec<String>> {
        // A participant that refuses at the last moment takes what it ran before again.
        if self.refuses_commit == Some(who) && self.runs.get(&who) < Some(&generation) {
            return Err(vec!["no more".into()]);
        }
        let done = self.operation(|earth| {
            let prepared = earth.prepared.remove(&who) == Some(generation);
            if prepared {
                earth.runs.insert(who, generation);
                earth.given.insert(who, plan.clone());
            }
            prepared
        });
        match done {
            Ok(true) => Ok(()),
            Ok(false) => Err(vec!["not prepared".into()]),
            Err(error) => Err(vec![error.to_string()]),
        }
    }

    fn abort(&mut self, who: Participant, generation: Generation) {
        let _ = self.operation(|earth| {
            if earth.prepared.get(&who) == Some(&generation) {
                earth.prepared.remove(&who);
            }
        });
    }

    fn current(&mut self, who: Participant) -> Result<Option<Generation>, Unavailable> {
        self.operation(|earth| earth.runs.get(&who).copied())
    }

    fn audit(&mut self, event: AuditEvent) {
        let _ = self.operation(|earth| earth.audited.push(event));
    }
}

fn operator() -> Actor {
    Actor::Operator { uid: 0 }
}

fn candidate(document: &str) -> Candidate {
    Candidate {
        document: document.to_owned(),
        within: Duration::from_mins(1),
        comment: "why".into(),
        actor: operator(),
        base: None,
    }
}

fn started() -> Transactions<Earth> {
    let mut manager = Transactions::new(Earth::default(), Some("first".into()));
    manager.tick().unwrap();
    manager
}

/// The manager dies and starts again.
fn restarted(mut manager: Transactions<Earth>) -> Transactions<Earth> {
    let mut earth = manager.world().clone();
    earth.left = None;
    Transactions::new(earth, Some("first".into()))
}

fn all_run(manager: &mut Transactions<Earth>, generation: u64) -> bool {
    let earth = manager.world();
    Participant::ORDER
        .iter()
        .all(|who| earth.runs.get(who) == Some(&Generation(generation)))
}

fn actions(manager: &mut Transactions<Earth>) -> Vec<String> {
    manager
        .world()
        .audited
        .iter()
        .map(|event| event.action.clone())
        .collect()
}

#[test]
fn the_initial_document_becomes_version_1_everywhere() {
    let mut manager = started();
    assert!(all_run(&mut manager, 1));
    assert_eq!(
        manager.world().state,
        CommitState {
            confirmed: Generation(1),
            pending: None
        }
    );
    assert_eq!(actions(&mut manager), ["configuration.first"]);
    assert!(manager.trouble().is_empty(), "{:?}", manager.trouble());
}

#[test]
fn renewed_certificates_reach_those_who_use_them_without_a_commit() {
    let mut manager = started();
    manager.world().renewals = 1;
    manager.world().seconds += 3_600;
    manager.tick().unwrap();
    for who in Participant::CERTIFIED {
        assert_eq!(manager.world().given[&who], "first, certificate 1", "{who:?}");
    }
    assert_eq!(manager.world().given[&Participant::Network], "first, certificate 0");
    assert!(all_run(&mut manager, 1));
    assert_eq!(manager.world().versions.len(), 1, "nothing was committed");
}

#[test]
fn a_renewal_that_fails_is_told_and_tried_again_soon() {
    let mut manager = started();
    manager.world().renewals = 1;
    manager.world().seconds += 3_600;
    manager.world().refuses = Some(Participant::Proxy);
    manager.tick().unwrap();
    assert_eq!(
        manager.trouble(),
        ["certificates or rules cannot be renewed: proxy: no"]
    );
    manager.world().refuses = None;
    manager.tick().unwrap();
    assert_eq!(manager.trouble().len(), 1, "it stays told until it is mended");
    manager.world().seconds += 60;
    manager.tick().unwrap();
    assert_eq!(manager.world().given[&Participant::Proxy], "first, certificate 1");
    assert!(manager.trouble().is_empty(), "{:?}", manager.trouble());
}

#[test]
fn a_restarted_manager_gives_the_certificates_out_once_more() {
    let mut manager = restarted(started());
    manager.world().renewals = 1;
    manager.world().given.clear();
    manager.world().seconds += 60;
    manager.tick().unwrap();
    assert_eq!(manager.world().given.len(), Participant::CERTIFIED.len());
    manager.world().given.clear();
    manager.world().seconds += 24 * 3_600;
    manager.tick().unwrap();
    assert!(
        manager.world().given.is_empty(),
        "what has not changed is not given out again"
    );
}

#[test]
fn an_initial_document_with_mistakes_is_an_error_and_stores_nothing() {
    let mut manager = Transactions::new(Earth::default(), Some("bad".into()));
    assert!(matches!(manager.tick(), Err(Denial::Mistaken(_))));
    assert!(manager.world().versions.is_empty());
}

#[test]
fn a_committed_version_runs_and_stays_once_confirmed() {
    let mut manager = started();
    let state = manager.commit(&candidate("second")).unwrap();
    assert_eq!(state::running(&state), Generation(2));
    assert!(all_run(&mut manager, 2));
    manager.confirm(Generation(2), &operator()).unwrap();
    manager.world().seconds += 1_000;
    manager.tick().unwrap();
    assert!(all_run(&mut manager, 2));
    assert_eq!(
        actions(&mut manager),
        [
            "configuration.first",
            "configuration.committed",
            "configuration.confirmed"
        ]
    );
    let committed = &manager.world().audited[1];
    assert_eq!(
        (committed.before.as_deref(), committed.after.as_deref()),
        (Some("1"), Some("2"))
    );
    assert_eq!(committed.actor, operator());
}

#[test]
fn an_unconfirmed_version_is_rolled_back_when_its_time_is_over() {
    let mut manager = started();
    manager.commit(&candidate("second")).unwrap();
    manager.world().seconds += 59;
    manager.tick().unwrap();
    assert!(all_run(&mut manager, 2));
    manager.world().seconds += 1;
    assert!(
        manager.confirm(Generation(2), &operator()).is_err(),
        "too late to confirm, even before the timer was looked at"
    );
    manager.tick().unwrap();
    assert!(all_run(&mut manager, 1));
    assert_eq!(actions(&mut manager).last().unwrap(), "configuration.rolled-back");
}

#[test]
fn the_timer_survives_the_manager() {
    let mut manager = started();
    manager.commit(&candidate("second")).unwrap();
    let mut manager = restarted(manager);
    manager.world().seconds += 30;
    manager.tick().unwrap();
    assert!(all_run(&mut manager, 2), "still on probation");
    let mut manager = restarted(manager);
    manager.world().seconds += 30;
    manager.tick().unwrap();
    assert!(all_run(&mut manager, 1));
}

#[test]
fn one_refusal_stops_everybody_and_names_who_and_why() {
    for who in Participant::ORDER {
        let mut manager = started();
        manager.world().refuses = Some(who);
        let Err(Denial::Refused(reasons)) = manager.commit(&candidate("second")) else {
            panic!("{who:?} was passed over")
        };
        assert_eq!(reasons, [format!("{}: no", who.name())]);
        assert!(all_run(&mut manager, 1));
        assert!(manager.world().prepared.is_empty(), "{:?}", manager.world().prepared);
        assert!(manager.world().state.pending.is_none());
        assert_eq!(actions(&mut manager).last().unwrap(), "configuration.refused");
    }
}

#[test]
fn one_that_fails_at_the_last_moment_takes_all_back() {
    for who in Participant::ORDER {
        let mut manager = started();
        manager.world().refuses_commit = Some(who);
        assert!(matches!(manager.commit(&candidate("second")), Err(Denial::Refused(_))));
        assert!(all_run(&mut manager, 1), "{who:?}");
        assert_eq!(
            manager.world().state,
            CommitState {
                confirmed: Generation(1),
                pending: None
            }
        );
    }
}

#[test]
fn a_second_commit_waits_its_turn_and_mistakes_change_nothing() {
    let mut manager = started();
    assert!(matches!(manager.commit(&candidate("bad")), Err(Denial::Mistaken(_))));
    manager.commit(&candidate("second")).unwrap();
    assert!(matches!(manager.commit(&candidate("third")), Err(Denial::Refused(_))));
    assert_eq!(manager.world().versions.len(), 2);
    manager.roll_back(Generation(2), &operator()).unwrap();
    assert!(all_run(&mut manager, 1));
    let seen = Candidate {
        base: Some(Generation(2)),
        ..candidate("third")
    };
    assert!(
        matches!(manager.commit(&seen), Err(Denial::Refused(_))),
        "written against a version that does not run"
    );
    assert_eq!(
        state::running(&manager.commit(&candidate("third")).unwrap()),
        Generation(3),
        "numbers are never used again"
    );
}

#[test]
fn a_document_that_runs_already_makes_no_version_and_no_probation() {
    let mut manager = started();
    let same = manager.commit(&candidate("first")).unwrap();
    assert_eq!((same.confirmed, same.pending), (Generation(1), None));
    assert_eq!(manager.world().versions.len(), 1);
    assert_eq!(actions(&mut manager), ["configuration.first"]);
    manager.commit(&candidate("second")).unwrap();
    assert!(
        matches!(manager.commit(&candidate("second")), Err(Denial::Refused(_))),
        "what waits is confirmed or taken back, not committed again"
    );
    manager.roll_back(Generation(2), &operator()).unwrap();
    assert!(
        manager.commit(&candidate("second")).unwrap().pending.is_some(),
        "what ran once is a change again"
    );
}

#[test]
fn a_restarted_service_gets_the_current_version_again() {
    let mut manager = started();
    manager.commit(&candidate("second")).unwrap();
    manager.world().runs.remove(&Participant::Proxy);
    manager.tick().unwrap();
    assert!(all_run(&mut manager, 2));
}

#[test]
fn nothing_listens_before_the_packet_filter_is_up() {
    let earth = Earth {
        refuses: Some(Participant::Network),
        ..Earth::default()
    };
    let mut manager = Transactions::new(earth, Some("first".into()));
    manager.tick().unwrap();
    assert_eq!(manager.world().runs.get(&Participant::Listeners), None);
    assert!(
        manager.trouble().contains(&"network: no".to_owned()),
        "{:?}",
        manager.trouble()
    );
    manager.world().refuses = None;
    manager.tick().unwrap();
    assert!(all_run(&mut manager, 1));
    assert!(manager.trouble().is_empty());
}

#[derive(Clone, Debug)]
enum Act {
    Commit,
    Confirm,
    RollBack,
    Tick,
    Wait(u64),
    Lose(Participant),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => Just(Act::Commit),
        2 => Just(Act::Confirm),
        1 => Just(Act::RollBack),
        3 => Just(Act::Tick),
        2 => (1_u64..50).prop_map(Act::Wait),
        1 => proptest::sample::select(Participant::ORDER.to_vec()).prop_map(Act::Lose),
    ];
    proptest::collection::vec(act, 1..12)
}

fn perform(manager: &mut Transactions<Earth>, act: &Act) {
    let waiting = Generation(u64::try_from(manager.world().versions.len()).unwrap());
    match act {
        // Never twice the same.
        Act::Commit => drop(manager.commit(&candidate(&format!("after {waiting}")))),
        Act::Confirm => drop(manager.confirm(waiting, &operator())),
        Act::RollBack => drop(manager.roll_back(waiting, &operator())),
        Act::Tick => drop(manager.tick()),
        Act::Wait(seconds) => manager.world().seconds += seconds,
        Act::Lose(who) => drop(manager.world().runs.remove(who)),
    }
}

proptest! {
    #[test]
    fn a_crash_at_any_point_leaves_the_confirmed_version_or_one_with_its_timer(
        acts in acts(), last in prop_oneof![Just(Act::Commit), Just(Act::Confirm), Just(Act::RollBack), Just(Act::Tick)],
        dies_after in 1_u32..40, effective in any::<bool>(),
    ) {
        let mut manager = started();
        for act in &acts {
            perform(&mut manager, act);
        }
        let before = manager.world().state.clone();
        manager.world().left = Some(dies_after);
        manager.world().effective = effective;
        perform(&mut manager, &last);

        let mut manager = restarted(manager);
        let found = manager.world().state.clone();
        // Only a confirmation changes what is confirmed, and only to what was waiting.
        let kept = found.confirmed == before.confirmed;
        let confirmed = before.pending.as_ref().is_some_and(|pending| pending.generation == found.confirmed);
        prop_assert!(kept || (confirmed && matches!(last, Act::Confirm)), "{:?} → {:?}", before, found);

        manager.tick().unwrap();
        manager.tick().unwrap();
        let state = manager.world().state.clone();
        prop_assert!(all_run(&mut manager, state::running(&state).0), "{:?} {:?}", state, manager.world().runs);
        if let Some(pending) = &state.pending {
            prop_assert!(pending.deadline > manager.world().now());
        }
        prop_assert!(manager.trouble().is_empty(), "{:?}", manager.trouble());

        manager.world().seconds += 60;
        manager.tick().unwrap();
        let state = manager.world().state.clone();
        prop_assert_eq!(&state, &CommitState { confirmed: found.confirmed, pending: None });
        prop_assert!(all_run(&mut manager, found.confirmed.0));
    }

    #[test]
    fn a_vault_that_fails_once_never_leaves_what_was_refused_running(
        fails_at in 1_u32..40, effective in any::<bool>(),
    ) {
        let mut manager = started();
        manager.world().left = Some(fails_at);
        manager.world().effective = effective;
        let outcome = manager.commit(&candidate("second"));
        // The manager lives on, the others answer again.
        manager.world().left = None;
        manager.tick().unwrap();
        manager.tick().unwrap();
        let runs = if outcome.is_ok() { 2 } else { 1 };
        prop_assert!(all_run(&mut manager, runs), "{:?}: {:?}", outcome, manager.world().runs);
    }
}

#[test]
fn an_exception_that_ends_is_taken_back_without_a_commit_and_said_once() {
    let earth = Earth {
        ending: Some(100),
        ..Earth::default()
    };
    let mut manager = Transactions::new(earth, Some("first".into()));
    manager.tick().unwrap();
    assert_eq!(
        manager.world().given[&Participant::Proxy],
        "first, certificate 0, exception"
    );
    manager.world().seconds = 100;
    for _ in 0..3 {
        manager.tick().unwrap();
    }
    assert_eq!(manager.world().given[&Participant::Proxy], "first, certificate 0");
    let said = actions(&mut manager);
    assert_eq!(said.iter().filter(|action| *action == "waf.exception-ended").count(), 1);
    assert_eq!(manager.world().versions.len(), 1, "nothing was committed");
}
