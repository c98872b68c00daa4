//! The vault as its peers see it: over real wires.

use super::signer::Wire;
use super::{FirstPassword, Vault};
use crate::store::StateFolder;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use redan_hal::keys::KeyDevice;
use redan_hal::keys::software::SoftwareDevice;
use redan_ipc::messages::audit::{Actor, AuditEvent, AuditQuery, Outcome};
use redan_ipc::messages::sign::{SignReply, SignRequest};
use redan_ipc::messages::traffic::TrafficSample;
use redan_ipc::messages::vault::{
    Certificate, CertificateOwner, CommitState, ConsoleVaultReply, ConsoleVaultRequest, LoginOutcome,
    ManagerVaultReply, ManagerVaultRequest, Pending, ProxyVaultReply, ProxyVaultRequest, VaultRefusal,
};
use redan_ipc::messages::{ConsoleVault, ManagerVault, ProxyVault};
use redan_ipc::{Channel, Client};
use redan_types::{Generation, HostName, ServiceName, Timestamp};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

struct Open {
    vault: Arc<Vault>,
    first: Option<FirstPassword>,
    proxy: Client<ProxyVault>,
    console: Client<ConsoleVault>,
    manager: Client<ManagerVault>,
    _state: StateFolder,
}

/// Days that the clock of a test stands ahead; tests run in processes of their own.
static DAYS: AtomicU64 = AtomicU64::new(0);

fn clock() -> Timestamp {
    Timestamp(1_800_000_000_000_000).after(Duration::from_hours(24 * DAYS.load(Ordering::Relaxed)))
}

fn open(folder: &tempfile::TempDir) -> Open {
    let state = StateFolder::lock(folder.path()).unwrap();
    let device: Arc<dyn KeyDevice> = Arc::new(SoftwareDevice::open(folder.path()).unwrap());
    let (vault, first) = Vault::open(&state, device, clock).unwrap();
    let channels = [(); 3].map(|()| Channel::pair().unwrap());
    let [(proxy, proxy_end), (console, console_end), (manager, manager_end)] = channels;
    let answering = Arc::clone(&vault);
    std::thread::spawn(move || {
        redan_ipc::serve::<ProxyVault>(proxy_end, |request, to| answering.answer_proxy(request, to))
    });
    let answering = Arc::clone(&vault);
    std::thread::spawn(move || {
        let export = Arc::new(Mutex::new(None));
        redan_ipc::serve::<ConsoleVault>(console_end, |request, to| {
            answering.answer_console(&export, request, to);
        })
    });
    let answering = Arc::clone(&vault);
    std::thread::spawn(move || {
        let export = Arc::new(Mutex::new(None));
        redan_ipc::serve::<ManagerVault>(manager_end, |request, to| {
            answering.answer_manager(&export, request, to);
        })
    });
    Open {
        vault,
        first,
        proxy: Client::new(proxy),
        console: Client::new(console),
        manager: Client::new(manager),
        _state: state,
    }
}

impl Open {
    fn proxy(&self, request: &ProxyVaultRequest) -> ProxyVaultReply {
        self.proxy.call(request, PATIENCE).unwrap()
    }

    fn console(&self, request: &ConsoleVaultRequest) -> ConsoleVaultReply {
        self.console.call(request, PATIENCE).unwrap()
    }

    fn manager(&self, request: &ManagerVaultRequest) -> ManagerVaultReply {
        self.manager.call(request, PATIENCE).unwrap()
    }

    fn certificate(&self, owner: &CertificateOwner, names: &[&str]) -> Certificate {
        let names = names.iter().map(|name| HostName::parse(name).unwrap()).collect();
        match self.manager(&ManagerVaultRequest::EnsureCertificate {
            owner: owner.clone(),
            names,
        }) {
            ManagerVaultReply::Certificate(certificate) => certificate,
            other => panic!("{other:?}"),
        }
    }

    fn signs(&self, wire: Wire, certificate: &Certificate) -> bool {
        let input = [&[b' '; 64][..], b"TLS 1.3, server CertificateVerify\0", &[7; 32]].concat();
        let request = SignRequest {
            key: certificate.key,
            scheme: 0x0403,
            input,
        };
        matches!(self.vault.signers().answer(wire, &request), SignReply::Signature(_))
    }

    fn actions(&self) -> Vec<String> {
        let query = AuditQuery {
            limit: 500,
            ..AuditQuery::default()
        };
        match self.console(&ConsoleVaultRequest::AuditSearch(query)) {
            ConsoleVaultReply::AuditPage(page) => {
                page.entries.into_iter().rev().map(|entry| entry.event.action).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

fn shop() -> CertificateOwner {
    CertificateOwner::Service(ServiceName::parse("shop").unwrap())
}

#[test]
fn a_certificate_is_made_once_kept_and_renewed_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let before = open(&folder);
    let first = before.certificate(&shop(), &["shop.example", "127.0.0.1"]);
    assert_eq!(before.certificate(&shop(), &["shop.example", "127.0.0.1"]), first);
    assert!(before.signs(Wire::Services, &first) && !before.signs(Wire::Console, &first));
    let console = before.certificate(&CertificateOwner::Console, &["localhost"]);
    assert!(before.signs(Wire::Console, &console) && !before.signs(Wire::Services, &console));

    let (_, leaf) = X509Certificate::from_der(&first.chain[0]).unwrap();
    let (_, authority) = X509Certificate::from_der(&first.chain[1]).unwrap();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &authority.public_key().subject_public_key.data);
    for certificate in [&leaf, &authority] {
        key.verify(certificate.tbs_certificate.as_ref(), &certificate.signature_value.data)
            .unwrap();
    }
    assert!(authority.is_ca() && !leaf.is_ca());
    assert_eq!(authority.subject(), leaf.issuer());
    let days = (leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp()) / 86_400;
    assert_eq!(days, 90);
    let names = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert_eq!(
        *names,
        [
            GeneralName::DNSName("shop.example"),
            GeneralName::IPAddress(&[127, 0, 0, 1])
        ]
    );

    before.vault.close();
    drop(before);
    let after = open(&folder);
    assert!(after.signs(Wire::Services, &first), "the key is ready after a restart");
    assert_eq!(after.certificate(&shop(), &["shop.example", "127.0.0.1"]), first);
    let other = after.certificate(&shop(), &["shop.example"]);
    assert_ne!(other.key, first.key, "other names, another certificate");
    DAYS.store(90 - 31, Ordering::Relaxed);
    assert_eq!(after.certificate(&shop(), &["shop.example"]), other);
    DAYS.store(90 - 29, Ordering::Relaxed);
    let renewed = after.certificate(&shop(), &["shop.example"]);
    assert!(
        renewed.until > other.until && after.signs(Wire::Services, &other),
        "the old one serves until the next start"
    );
    assert_eq!(
        after
            .actions()
            .iter()
            .filter(|action| *action == "certificate.issued")
            .count(),
        4
    );
    let none = ManagerVaultRequest::EnsureCertificate {
        owner: shop(),
        names: Vec::new(),
    };
    assert!(matches!(
        after.manager(&none),
        ManagerVaultReply::Refused(VaultRefusal::Refused(_))
    ));
}

#[test]
fn versions_and_the_pending_commit_survive_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let before = open(&folder);
    let actor = Actor::Operator { uid: 0 };
    let put = |document: &str| ManagerVaultRequest::PutVersion {
        document: document.to_owned(),
        author: actor.clone(),
        comment: "why".to_owned(),
        time: clock(),
    };
    let long = "# a comment\n".repeat(100_000);
    for (document, number) in [("one", 1), (&*long, 2)] {
        assert!(
            matches!(before.manager(&put(document)), ManagerVaultReply::Stored(generation) if generation.0 == number)
        );
    }
    assert!(matches!(
        before.manager(&put(&"x".repeat((3 << 20) + 1))),
        ManagerVaultReply::Refused(_)
    ));
    let state = CommitState {
        confirmed: Generation(1),
        pending: Some(Pending {
            generation: Generation(2),
            deadline: clock(),
            actor,
        }),
    };
    assert!(matches!(
        before.manager(&ManagerVaultRequest::SetCommitState(state.clone())),
        ManagerVaultReply::Done
    ));
    drop(before);
    let after = open(&folder);
    assert!(
        matches!(after.manager(&ManagerVaultRequest::CommitState), ManagerVaultReply::CommitState(found) if found == state)
    );
    let ManagerVaultReply::Version(Some(version)) = after.manager(&ManagerVaultRequest::Version(Generation(2))) else {
        panic!("no version 2");
    };
    assert!(version.document == long && version.info.hash.len() == 64);
    let ManagerVaultReply::Versions(list) = after.manager(&ManagerVaultRequest::Versions { before: None }) else {
        panic!("no list");
    };
    assert_eq!(list.iter().map(|info| info.generation.0).collect::<Vec<_>>(), [2, 1]);
    assert!(matches!(
        after.manager(&ManagerVaultRequest::Version(Generation(3))),
        ManagerVaultReply::Version(None)
    ));
}

#[test]
fn a_login_an_audit_entry_and_a_second_of_traffic_over_the_wires() {
    let folder = tempfile::tempdir().unwrap();
    let open = open(&folder);
    let (user, password) = open.first.clone().unwrap();
    let login = |password| ConsoleVaultRequest::Login {
        user: user.to_string(),
        password,
        address: "127.0.0.1".parse().unwrap(),
        agent: None,
        device: None,
    };
    let wrong = redan_types::SecretString::new("x".to_owned());
    assert!(matches!(
        open.console(&login(wrong)),
        ConsoleVaultReply::Login(LoginOutcome::Wrong)
    ));
    let ConsoleVaultReply::Login(LoginOutcome::Session { token, .. }) = open.console(&login(password)) else {
        panic!("no session");
    };
    assert!(matches!(
        open.console(&ConsoleVaultRequest::Session { token }),
        ConsoleVaultReply::Session(Some(_))
    ));

    let event = AuditEvent {
        time: clock(),
        actor: Actor::Anonymous,
        action: "request.refused".to_owned(),
        resource: "service/shop".to_owned(),
        outcome: Outcome::Denied,
        before: None,
        after: None,
        address: None,
        agent: None,
        request: None,
        incident: None,
        message: String::new(),
    };
    let events = vec![event; 3];
    assert!(matches!(
        open.proxy(&ProxyVaultRequest::Audit { events }),
        ProxyVaultReply::Recorded
    ));
    assert_eq!(
        open.actions(),
        [
            "user.created",
            "vault.started",
            "user.login",
            "user.login",
            "request.refused",
            "request.refused",
            "request.refused"
        ]
    );
    let ConsoleVaultReply::AuditVerified(report) = open.console(&ConsoleVaultRequest::AuditVerify) else {
        panic!("no report");
    };
    assert_eq!((report.size, report.mistakes), (7, vec![]));

    DAYS.store(1, Ordering::Relaxed);
    let sample = TrafficSample {
        time: Timestamp(clock().0 - 2_000_000),
        requests: 5,
        ..TrafficSample::default()
    };
    assert!(matches!(
        open.proxy(&ProxyVaultRequest::Traffic(Box::new(sample))),
        ProxyVaultReply::Noted
    ));
    let ConsoleVaultReply::Traffic(seconds) = open.console(&ConsoleVaultRequest::Traffic { after: Timestamp(0) })
    else {
        panic!("no traffic");
    };
    assert_eq!(seconds.iter().map(|second| second.requests).collect::<Vec<_>>(), [5]);
    let ConsoleVaultReply::Health(health) = open.console(&ConsoleVaultRequest::Health) else {
        panic!("no health")
    };
    assert!(health.evaluation_only && health.unwritable.is_none() && health.audit_size == 7);
}

#[test]
fn an_orderly_end_leaves_a_signed_log_and_a_usable_index() {
    let folder = tempfile::tempdir().unwrap();
    let before = open(&folder);
    before.vault.close();
    let late = ProxyVaultRequest::Audit {
        events: vec![before.vault.event("late", Outcome::Succeeded)],
    };
    assert!(matches!(
        before.proxy(&late),
        ProxyVaultReply::Refused(VaultRefusal::Unwritable(_))
    ));
    drop(before);
    let after = open(&folder);
    let ConsoleVaultReply::Health(health) = after.console(&ConsoleVaultRequest::Health) else {
        panic!("no health")
    };
    assert_eq!(health.notes, [""; 0]);
    assert!(health.checkpoint.is_some());
    assert_eq!(
        after.actions(),
        ["user.created", "vault.started", "vault.stopped", "vault.started"]
    );
}

#[test]
fn a_clock_that_goes_back_is_named_and_nothing_else_breaks() {
    let folder = tempfile::tempdir().unwrap();
    DAYS.store(10, Ordering::Relaxed);
    let before = open(&folder);
    before.vault.keep_house();
    before.vault.close();
    drop(before);
    DAYS.store(3, Ordering::Relaxed);
    let after = open(&folder);
    let notes = after.vault.notes();
    assert!(
        notes.iter().any(|note| note.contains("the clock went back")),
        "{notes:?}"
    );
    after.vault.keep_house();
    let report = after.vault.verify_log().unwrap();
    assert_eq!(report.mistakes, [""; 0]);
    after.vault.close();
    drop(after);
    // Once the clock is right again it is not said any more.
    DAYS.store(11, Ordering::Relaxed);
    let right = open(&folder);
    let notes = right.vault.notes();
    assert!(!notes.iter().any(|note| note.contains("clock")), "{notes:?}");
}

#[test]
fn the_keys_are_rotated_while_serving_and_the_log_says_who_asked() {
    let folder = tempfile::tempdir().unwrap();
    let open = open(&folder);
    let actor = Actor::Operator { uid: 0 };
    let rotated = open.manager(&ManagerVaultRequest::RotateKeys { actor: actor.clone() });
    assert!(matches!(rotated, ManagerVaultReply::Done), "{rotated:?}");
    // Entries go on while records are encrypted anew.
    for _ in 0..50 {
        open.vault
            .record(&[open.vault.event("measured", Outcome::Succeeded)])
            .unwrap();
    }
    let again = open.manager(&ManagerVaultRequest::RotateKeys { actor });
    assert!(
        matches!(&again, ManagerVaultReply::Done)
            || matches!(&again, ManagerVaultReply::Refused(VaultRefusal::Refused(why)) if why.contains("already")),
        "{again:?}"
    );
    let query = AuditQuery {
        action: Some("vault.keys-rotated".to_owned()),
        limit: 9,
        ..AuditQuery::default()
    };
    let page = open.vault.search_log(&query).unwrap();
    assert!(
        page.entries
            .iter()
            .any(|entry| entry.event.actor == Actor::Operator { uid: 0 }),
        "{page:?}"
    );
    assert_eq!(open.vault.verify_log().unwrap().mistakes, [""; 0]);
}
