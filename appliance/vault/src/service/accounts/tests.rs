//! Accounts: who gets in, who does not, and what ends when.

use super::{Accounts, Attempt, Vouched};
use crate::service::audit::AuditLog;
use crate::store::{StateFolder, Store};
use redan_hal::keys::KeyDevice;
use redan_hal::keys::software::SoftwareDevice;
use redan_ipc::messages::accounts::{AccountReply, AccountRequest, KeyRecord, UserRecord};
use redan_ipc::messages::audit::{Actor, AuditQuery};
use redan_ipc::messages::vault::LoginOutcome;
use redan_ipc::slice::VaultSlice;
use redan_types::{RecordId, RoleName, SecretString, Timestamp, UserName};
use std::sync::Arc;

mod guessing;

struct Bench {
    folder: tempfile::TempDir,
}

struct Open {
    accounts: Accounts,
    audit: Arc<AuditLog>,
    _state: StateFolder,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn open(&self) -> Open {
        let state = StateFolder::lock(self.folder.path()).unwrap();
        let device: Arc<dyn KeyDevice> = Arc::new(SoftwareDevice::open(self.folder.path()).unwrap());
        let store = Arc::new(Store::open(&state, &crate::store::Direct(&*device)).unwrap().0);
        let audit = Arc::new(AuditLog::open(Arc::clone(&store), device).unwrap().0);
        let (accounts, notes) = Accounts::open(store, Arc::clone(&audit)).unwrap();
        assert_eq!(notes, [""; 0]);
        Open {
            accounts,
            audit,
            _state: state,
        }
    }
}

impl Open {
    fn login(&self, user: &str, password: &str, now: Timestamp) -> LoginOutcome {
        self.login_from("192.0.2.1", None, user, password, now)
    }

    fn login_from(
        &self,
        address: &str,
        device: Option<&SecretString>,
        user: &str,
        password: &str,
        now: Timestamp,
    ) -> LoginOutcome {
        let attempt = Attempt {
            user: user.to_owned(),
            password: SecretString::new(password.to_owned()),
            address: address.parse().unwrap(),
            agent: None,
            device: device.cloned(),
        };
        self.accounts.login(&attempt, now).unwrap()
    }

    fn token(&self, user: &str, password: &str, now: Timestamp) -> SecretString {
        match self.login(user, password, now) {
            LoginOutcome::Session { token, .. } => token,
            other => panic!("{other:?}"),
        }
    }

    fn ask(&self, request: &AccountRequest) -> AccountReply {
        self.accounts
            .administrate(Vouched::Manager, &OPERATOR, request, at(0))
            .unwrap()
    }

    fn users(&self) -> Vec<UserRecord> {
        match self.ask(&AccountRequest::Users) {
            AccountReply::Users(users) => users,
            other => panic!("{other:?}"),
        }
    }

    fn keys(&self) -> Vec<KeyRecord> {
        match self.ask(&AccountRequest::Keys) {
            AccountReply::Keys(keys) => keys,
            other => panic!("{other:?}"),
        }
    }

    fn actions(&self) -> Vec<String> {
        let page = self
            .audit
            .search(&AuditQuery {
                limit: 500,
                ..AuditQuery::default()
            })
            .unwrap();
        page.entries
            .into_iter()
            .rev()
            .map(|entry| format!("{} {}", entry.event.action, entry.event.outcome.name()))
            .collect()
    }

    /// An administrator's first steps: the first password, and one of their own.
    fn settle(&self, now: Timestamp) -> SecretString {
        let (_, first) = self.accounts.first_administrator(now).unwrap().unwrap();
        let token = self.token("admin", first.expose(), now);
        self.accounts
            .change_password(&token, &first, &secret(OWN), now)
            .unwrap();
        token
    }
}

const OPERATOR: Actor = Actor::Operator { uid: 0 };
const OWN: &str = "correct horse battery";

fn at(second: u64) -> Timestamp {
    Timestamp((1_800_000_000 + second) * 1_000_000)
}

fn secret(text: &str) -> SecretString {
    SecretString::new(text.to_owned())
}

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn role(text: &str) -> RoleName {
    RoleName::parse(text).unwrap()
}

fn rules() -> VaultSlice {
    VaultSlice {
        tls12: Vec::new(),
        keys: Vec::new(),
        password_length: 12,
        password_history: 2,
        password_names: vec!["shop.example".to_owned()],
        password_refused: vec!["blue harbour lamp".to_owned()],
        lockout_failures: 3,
        lockout_window: 900,
        lockout_duration: 600,
        session_idle: 1_800,
        session_absolute: 43_200,
        key_days: 90,
        roles: vec![
            (role("admin"), vec![role("admin"), role("user"), role("viewer")]),
            (role("user"), vec![role("user"), role("viewer")]),
            (role("viewer"), vec![role("viewer")]),
        ],
        users: Vec::new(),
    }
}

fn made(reply: AccountReply) -> (Option<RecordId>, Option<SecretString>) {
    match reply {
        AccountReply::Done { id, secret } => (id, secret),
        other => panic!("{other:?}"),
    }
}

fn is_refused(reply: &AccountReply) -> bool {
    matches!(reply, AccountReply::Refused(_))
}

#[test]
fn the_first_password_is_told_until_it_is_changed() {
    let bench = Bench::new();
    let open = bench.open();
    let (_, first) = open.accounts.first_administrator(at(0)).unwrap().unwrap();
    drop(open);
    let open = bench.open();
    let (_, again) = open.accounts.first_administrator(at(1)).unwrap().unwrap();
    assert_eq!(first.expose(), again.expose());
    let token = open.token("admin", first.expose(), at(2));
    assert!(open.accounts.session(&token, at(3)).unwrap().must_change);
    let change = |old: &str, new: &str| open.accounts.change_password(&token, &secret(old), &secret(new), at(4));
    for bad in [
        "short",
        "aaaaaaaaaaaaaaa",
        "abcdefghijklmnop",
        "password1234",
        "the admin 2026",
        first.expose(),
    ] {
        assert!(change(first.expose(), bad).is_err(), "{bad}");
    }
    assert!(change("wrong", OWN).is_err());
    change(first.expose(), OWN).unwrap();
    assert!(!open.accounts.session(&token, at(5)).unwrap().must_change);
    drop(open);
    let open = bench.open();
    assert!(open.accounts.first_administrator(at(6)).unwrap().is_none());
    assert!(matches!(
        open.login("admin", first.expose(), at(6)),
        LoginOutcome::Wrong
    ));
    open.token("admin", OWN, at(7));
}

#[test]
fn sessions_end_by_idleness_age_and_revocation_and_survive_a_restart() {
    let bench = Bench::new();
    let open = bench.open();
    let token = open.settle(at(0));
    let session = open.accounts.session(&token, at(1_000)).unwrap();
    open.accounts.keep_house(at(1_001)).unwrap();
    drop(open);
    let open = bench.open();
    assert!(
        open.accounts.session(&token, at(2_700)).is_some(),
        "a use was stored, so the idle time counts from it"
    );
    assert!(open.accounts.session(&token, at(2_700 + 1_801)).is_none());
    assert!(open.accounts.session(&secret("x"), at(1)).is_none());
    let token = open.token("admin", OWN, at(5_000));
    let id = open.accounts.session(&token, at(5_001)).unwrap().id;
    assert_ne!(id, session.id);
    made(open.ask(&AccountRequest::RevokeSession { id }));
    assert!(open.accounts.session(&token, at(5_002)).is_none());
    let token = open.token("admin", OWN, at(6_000));
    open.accounts.logout(&token, at(6_001)).unwrap();
    open.accounts.logout(&token, at(6_001)).unwrap();
    assert!(open.accounts.session(&token, at(6_002)).is_none());
}

#[test]
fn a_password_that_is_easy_to_guess_is_refused_with_what_would_be_right() {
    let bench = Bench::new();
    let open = bench.open();
    open.settle(at(0));
    open.accounts.configure(&rules(), at(0)).unwrap();
    let create = |password: &str| {
        open.ask(&AccountRequest::CreateUser {
            name: name("ann"),
            roles: vec![role("viewer")],
            password: secret(password),
        })
    };
    for (password, why) in [
        ("password1234", "too easy to guess"),
        ("Blue Harbour Lamp 7", "nobody may have"),
        ("shop.example rules", "host"),
    ] {
        let AccountReply::Refused(reason) = create(password) else {
            panic!("{password}")
        };
        assert!(
            reason.contains(why) && reason.contains("three or more words"),
            "{reason}"
        );
    }
    assert!(!is_refused(&create("tea with lemon, hot")));
}

#[test]
fn rules_stored_by_an_earlier_version_are_read() {
    let bench = Bench::new();
    let open = bench.open();
    open.settle(at(0));
    let old = super::stored::rules_1(&rules());
    open.audit.append(&[], vec![old]).unwrap();
    drop(open);
    let open = bench.open();
    let roles = |name: &str| AccountRequest::SetRoles {
        name: super::tests::name("admin"),
        roles: vec![role("admin"), role(name)],
    };
    assert!(
        !is_refused(&open.ask(&roles("viewer"))),
        "the roles of the stored rules are known"
    );
    assert!(is_refused(&open.ask(&roles("nothing"))));
}

#[test]
fn a_key_does_what_it_may_until_it_ends() {
    let bench = Bench::new();
    let open = bench.open();
    open.settle(at(0));
    open.accounts.configure(&rules(), at(0)).unwrap();
    let create = |roles: Vec<RoleName>| AccountRequest::CreateKey {
        owner: name("admin"),
        roles,
        comment: "ci".into(),
    };
    assert!(is_refused(&open.ask(&create(vec![role("root")]))));
    let (id, key) = made(open.ask(&create(vec![role("user")])));
    let (id, key) = (id.unwrap(), key.unwrap());
    assert!(key.expose().starts_with("redan_"));
    let day = 86_400;
    let principal = open.accounts.resolve(&key, at(day)).unwrap();
    assert_eq!(
        (principal.id, principal.user.as_str(), &principal.roles[..]),
        (id, "admin", &[role("user")][..])
    );
    assert!(open.accounts.resolve(&key, at(90 * day + 1)).is_none(), "90 days");
    assert!(open.accounts.resolve(&secret("redan_x"), at(1)).is_none());
    let (_, second) = made(open.ask(&AccountRequest::RotateKey { id }));
    let second = second.unwrap();
    assert!(
        open.accounts.resolve(&key, at(day - 1)).is_some(),
        "the old secret works for a day more"
    );
    assert!(open.accounts.resolve(&key, at(day + 1)).is_none());
    assert!(open.accounts.resolve(&second, at(day + 1)).is_some());
    drop(open);
    let open = bench.open();
    assert!(open.accounts.resolve(&second, at(day + 1)).is_some());
    made(open.ask(&AccountRequest::RevokeKey { id }));
    assert!(open.accounts.resolve(&second, at(day + 1)).is_none());
    assert!(is_refused(&open.ask(&AccountRequest::RotateKey { id })));
    assert!(open.keys()[0].revoked && open.keys()[0].comment == "ci");
}

#[test]
fn a_key_never_does_more_than_its_owner() {
    let bench = Bench::new();
    let open = bench.open();
    open.settle(at(0));
    open.accounts.configure(&rules(), at(0)).unwrap();
    let password = secret("a long enough secret");
    made(open.ask(&AccountRequest::CreateUser {
        name: name("ann"),
        roles: vec![role("user")],
        password,
    }));
    let key = |roles| AccountRequest::CreateKey {
        owner: name("ann"),
        roles,
        comment: String::new(),
    };
    assert!(is_refused(&open.ask(&key(vec![role("admin")]))));
    let (_, key) = made(open.ask(&key(vec![role("user"), role("viewer")])));
    let key = key.unwrap();
    assert_eq!(open.accounts.resolve(&key, at(1)).unwrap().roles.len(), 2);
    made(open.ask(&AccountRequest::SetRoles {
        name: name("ann"),
        roles: vec![role("viewer")],
    }));
    assert_eq!(open.accounts.resolve(&key, at(1)).unwrap().roles, [role("viewer")]);
    made(open.ask(&AccountRequest::SetEnabled {
        name: name("ann"),
        enabled: false,
    }));
    assert!(open.accounts.resolve(&key, at(1)).is_none());
    assert!(
        open.keys().iter().all(|key| !key.owner_enabled && !key.revoked),
        "and is listed so"
    );
    assert!(matches!(
        open.login("ann", "a long enough secret", at(1)),
        LoginOutcome::Wrong
    ));
}

#[test]
fn only_administrators_administrate_and_a_refusal_is_recorded() {
    let bench = Bench::new();
    let open = bench.open();
    open.accounts.first_administrator(at(0)).unwrap();
    open.accounts.configure(&rules(), at(0)).unwrap();
    let ask = |vouched, actor: &Actor| {
        open.accounts
            .administrate(vouched, actor, &AccountRequest::Users, at(1))
            .unwrap()
    };
    let admin = Actor::User("admin".to_owned());
    assert!(
        is_refused(&ask(Vouched::Console, &admin)),
        "not before the first password is changed"
    );
    open.settle(at(2));
    assert!(!is_refused(&ask(Vouched::Console, &admin)));
    for actor in [
        Actor::Anonymous,
        Actor::User("ann".into()),
        Actor::Process(redan_types::Process::Console),
        OPERATOR,
    ] {
        assert!(is_refused(&ask(Vouched::Console, &actor)), "{actor}");
    }
    assert!(!is_refused(&ask(Vouched::Manager, &OPERATOR)));
    assert!(open.actions().contains(&"user.list denied".to_owned()));
}

#[test]
fn nobody_can_lock_everybody_out() {
    let bench = Bench::new();
    let open = bench.open();
    open.settle(at(0));
    open.accounts.configure(&rules(), at(0)).unwrap();
    assert!(is_refused(&open.ask(&AccountRequest::SetEnabled {
        name: name("admin"),
        enabled: false
    })));
    assert!(is_refused(&open.ask(&AccountRequest::SetRoles {
        name: name("admin"),
        roles: vec![role("viewer")]
    })));
    assert!(is_refused(
        &open.ask(&AccountRequest::ResetPassword { name: name("nobody") })
    ));
    let (_, password) = made(open.ask(&AccountRequest::ResetPassword { name: name("admin") }));
    assert!(matches!(open.login("admin", OWN, at(1)), LoginOutcome::Wrong));
    open.token("admin", password.unwrap().expose(), at(2));
}

#[test]
fn declared_users_appear_and_wait_for_a_password() {
    let bench = Bench::new();
    let open = bench.open();
    open.settle(at(0));
    let declared = VaultSlice {
        users: vec![(name("ann"), vec![role("viewer")])],
        ..rules()
    };
    open.accounts.configure(&declared, at(0)).unwrap();
    open.accounts.configure(&declared, at(1)).unwrap();
    assert_eq!(open.users().len(), 2);
    assert!(matches!(open.login("ann", "", at(1)), LoginOutcome::Wrong));
    let (_, password) = made(open.ask(&AccountRequest::ResetPassword { name: name("ann") }));
    open.token("ann", password.unwrap().expose(), at(2));
    assert_eq!(
        open.actions()
            .iter()
            .filter(|action| *action == "user.created succeeded")
            .count(),
        2
    );
    drop(open);
    assert_eq!(bench.open().users().len(), 2);
}
