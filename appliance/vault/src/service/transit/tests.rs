//! Keys of applications: what comes back, who may, what is left behind.

use super::Transit;
use crate::service::VaultError;
use crate::service::audit::AuditLog;
use crate::store::{StateFolder, Store};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::{any, prop_assert_eq, proptest};
use redan_hal::keys::KeyDevice;
use redan_hal::keys::software::SoftwareDevice;
use redan_ipc::messages::audit::{Actor, AuditQuery};
use redan_ipc::messages::transit::{
    KeyDescription, KeyKind, KeyRules, Plain, Sealed, Signed, TransitReply, TransitRequest,
};
use redan_types::{KeyName, RoleName, SecretBytes, Timestamp};
use std::sync::Arc;

struct Open {
    transit: Transit,
    audit: Arc<AuditLog>,
    store: Arc<Store>,
    _state: StateFolder,
}

fn open(folder: &std::path::Path) -> Open {
    let state = StateFolder::lock(folder).unwrap();
    let device: Arc<dyn KeyDevice> = Arc::new(SoftwareDevice::open(folder).unwrap());
    let store = Arc::new(Store::open(&state, &crate::store::Direct(&*device)).unwrap().0);
    let audit = Arc::new(AuditLog::open(Arc::clone(&store), device).unwrap().0);
    let (transit, notes) = Transit::open(Arc::clone(&store), Arc::clone(&audit)).unwrap();
    assert_eq!(notes, [""; 0]);
    Open {
        transit,
        audit,
        store,
        _state: state,
    }
}

fn role(name: &str) -> RoleName {
    RoleName::parse(name).unwrap()
}

fn rules(name: &str, kind: KeyKind, convergent: bool) -> KeyRules {
    KeyRules {
        name: KeyName::parse(name).unwrap(),
        kind,
        convergent,
        encrypt: vec![role("writer")],
        decrypt: vec![role("reader")],
        sign: vec![role("writer")],
        verify: vec![role("reader")],
        manage: vec![role("admin")],
        rate: 1_000_000,
        rotate_after: None,
    }
}

fn at(second: u64) -> Timestamp {
    Timestamp((1_800_000_000 + second) * 1_000_000)
}

fn secret(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

impl Open {
    fn configure(&self, table: &[KeyRules]) {
        self.transit.configure(table, at(0)).unwrap();
    }

    fn ask_as(&self, roles: &[&str], key: &str, request: TransitRequest) -> TransitReply {
        let roles: Vec<_> = roles.iter().map(|name| role(name)).collect();
        let key = KeyName::parse(key).unwrap();
        let actor = Actor::User("ann".to_owned());
        self.transit.answer(&actor, &roles, &key, request, at(1)).unwrap()
    }

    fn ask(&self, key: &str, request: TransitRequest) -> TransitReply {
        self.ask_as(&["admin", "reader", "writer"], key, request)
    }

    fn encrypt(&self, key: &str, plaintext: &str, context: &str) -> String {
        let item = Plain {
            plaintext: secret(plaintext),
            context: context.as_bytes().to_vec(),
        };
        text(self.ask(key, TransitRequest::Encrypt(vec![item])))
    }

    fn decrypt(&self, key: &str, ciphertext: &str, context: &str) -> Result<String, String> {
        match self.ask(key, TransitRequest::Decrypt(vec![sealed(ciphertext, context)])) {
            TransitReply::Plaintexts(mut items) => items
                .remove(0)
                .map(|plain| String::from_utf8(plain.expose().to_vec()).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    fn describe(&self, key: &str) -> KeyDescription {
        match self.ask(key, TransitRequest::Describe) {
            TransitReply::Key(key) => key,
            other => panic!("{other:?}"),
        }
    }

    fn actions(&self) -> Vec<String> {
        let query = AuditQuery {
            limit: 500,
            ..AuditQuery::default()
        };
        let entries = self.audit.search(&query).unwrap().entries.into_iter().rev();
        entries
            .map(|entry| {
                format!(
                    "{} {} {}",
                    entry.event.action,
                    entry.event.outcome.name(),
                    entry.event.resource
                )
            })
            .collect()
    }
}

fn sealed(ciphertext: &str, context: &str) -> Sealed {
    Sealed {
        ciphertext: ciphertext.to_owned(),
        context: context.as_bytes().to_vec(),
    }
}

fn text(reply: TransitReply) -> String {
    match reply {
        TransitReply::Texts(mut items) => items.remove(0).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_encrypted_comes_back_under_its_own_key_and_context_only() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    vault.configure(&[
        rules("orders", KeyKind::Aes256, false),
        rules("people", KeyKind::Aes256, false),
    ]);
    let ciphertext = vault.encrypt("orders", "4111 1111", "row 7");
    assert!(ciphertext.starts_with("redan:v1:"), "{ciphertext}");
    assert_eq!(vault.decrypt("orders", &ciphertext, "row 7").unwrap(), "4111 1111");
    let wrong = "it was altered, or made with another key or another context";
    assert_eq!(vault.decrypt("orders", &ciphertext, "row 8").unwrap_err(), wrong);
    assert_eq!(vault.decrypt("people", &ciphertext, "row 7").unwrap_err(), wrong);
    let mut bytes = STANDARD.decode(&ciphertext["redan:v1:".len()..]).unwrap();
    for place in [0, 24, bytes.len() - 1] {
        bytes[place] ^= 1;
        let flipped = format!("redan:v1:{}", STANDARD.encode(&bytes));
        assert_eq!(
            vault.decrypt("orders", &flipped, "row 7").unwrap_err(),
            wrong,
            "byte {place}"
        );
        bytes[place] ^= 1;
    }
    assert_ne!(
        ciphertext,
        vault.encrypt("orders", "4111 1111", "row 7"),
        "equal values do not look equal"
    );
}

#[test]
fn texts_that_are_no_ciphertexts_are_errors_of_their_item_alone() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    vault.configure(&[rules("orders", KeyKind::Aes256, false)]);
    let good = vault.encrypt("orders", "a", "");
    let short = format!("redan:v1:{}", STANDARD.encode([0; 39]));
    for bad in [
        "",
        "redan:v1:",
        "redan:v01:AAAA",
        "redan:v+1:AAAA",
        "redan:v1:%%%",
        "vault:v1:AAAA",
        "redan:v1:AA==",
        &short,
    ] {
        let items = vec![sealed(bad, ""), sealed(&good, "")];
        let TransitReply::Plaintexts(answers) = vault.ask("orders", TransitRequest::Decrypt(items)) else {
            panic!("{bad}")
        };
        assert!(answers[0].is_err(), "{bad}");
        assert_eq!(answers[1].as_ref().unwrap().expose(), b"a");
    }
    assert_eq!(
        vault.decrypt("orders", "redan:v9:AAAA", "").unwrap_err(),
        "its key version has been destroyed or never was"
    );
}

#[test]
fn a_convergent_key_makes_equal_ciphertexts_of_equal_values_and_contexts() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    vault.configure(&[rules("emails", KeyKind::Aes256, true)]);
    let first = vault.encrypt("emails", "ann@example.test", "column");
    assert_eq!(first, vault.encrypt("emails", "ann@example.test", "column"));
    assert_ne!(first, vault.encrypt("emails", "ann@example.test", "other"));
    assert_ne!(first, vault.encrypt("emails", "ben@example.test", "column"));
    assert_ne!(
        vault.encrypt("emails", "bc", "a"),
        vault.encrypt("emails", "c", "ab"),
        "the border between context and value counts"
    );
    assert_eq!(vault.decrypt("emails", &first, "column").unwrap(), "ann@example.test");
}

#[test]
fn a_rotated_key_opens_the_old_rewraps_it_and_loses_it_when_trimmed() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    vault.configure(&[rules("orders", KeyKind::Aes256, false)]);
    let old = vault.encrypt("orders", "value", "row");
    assert!(matches!(vault.ask("orders", TransitRequest::Rotate), TransitReply::Key(key) if key.versions.len() == 2));
    assert_eq!(vault.decrypt("orders", &old, "row").unwrap(), "value");
    let new = text(vault.ask("orders", TransitRequest::Rewrap(vec![sealed(&old, "row")])));
    assert!(new.starts_with("redan:v2:"), "{new}");
    assert!(matches!(
        vault.ask("orders", TransitRequest::Trim { oldest: 3 }),
        TransitReply::Refused(why) if why.contains("rotate first")
    ));
    vault.ask("orders", TransitRequest::Trim { oldest: 2 });
    assert_eq!(vault.decrypt("orders", &new, "row").unwrap(), "value");
    assert_eq!(
        vault.decrypt("orders", &old, "row").unwrap_err(),
        "its key version has been destroyed or never was"
    );
    assert_eq!(vault.describe("orders").versions[0].number, 2);
}

#[test]
fn keys_survive_a_restart_and_their_table_decides_who_uses_them() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    let table = [rules("orders", KeyKind::Aes256, false)];
    vault.configure(&table);
    let ciphertext = vault.encrypt("orders", "value", "");
    vault.store.close().unwrap();
    drop(vault);
    let vault = open(folder.path());
    let ask = || TransitRequest::Decrypt(vec![sealed(&ciphertext, "")]);
    assert!(
        matches!(vault.ask("orders", ask()), TransitReply::Forbidden),
        "not before the table is there"
    );
    vault.configure(&table);
    assert_eq!(vault.decrypt("orders", &ciphertext, "").unwrap(), "value");
    vault.configure(&[]);
    assert!(
        matches!(vault.ask("orders", ask()), TransitReply::Forbidden),
        "not after it was taken out"
    );
    vault.configure(&table);
    assert_eq!(
        vault.decrypt("orders", &ciphertext, "").unwrap(),
        "value",
        "and it was kept"
    );
}

#[test]
fn each_operation_needs_its_own_role_and_refusals_are_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    vault.configure(&[
        rules("orders", KeyKind::Aes256, false),
        rules("release", KeyKind::Ed25519, false),
    ]);
    let plain = || Plain {
        plaintext: secret("x"),
        context: Vec::new(),
    };
    let signed = || Signed {
        input: secret("x"),
        signature: String::new(),
    };
    let data_key = |reveal| TransitRequest::DataKey {
        context: Vec::new(),
        reveal,
    };
    type Make<'a> = &'a dyn Fn() -> TransitRequest;
    let table: [(&str, Make<'_>, &[&str]); 10] = [
        ("orders", &|| TransitRequest::Encrypt(vec![plain()]), &["writer"]),
        ("orders", &|| TransitRequest::Decrypt(vec![sealed("", "")]), &["reader"]),
        ("orders", &|| TransitRequest::Rewrap(vec![sealed("", "")]), &["writer"]),
        ("orders", &|| data_key(false), &["writer"]),
        ("orders", &|| data_key(true), &["reader", "writer"]),
        ("release", &|| TransitRequest::Sign(vec![secret("x")]), &["writer"]),
        ("release", &|| TransitRequest::Verify(vec![signed()]), &["reader"]),
        ("orders", &|| TransitRequest::Describe, &["admin"]),
        ("orders", &|| TransitRequest::Rotate, &["admin"]),
        ("orders", &|| TransitRequest::Trim { oldest: 1 }, &["admin"]),
    ];
    for (key, request, needed) in table {
        let everybody = ["admin", "guest", "reader", "writer"];
        for missing in needed {
            let others: Vec<_> = everybody.iter().filter(|role| *role != missing).copied().collect();
            let reply = vault.ask_as(&others, key, request());
            assert!(
                matches!(reply, TransitReply::Forbidden),
                "{:?} without {missing}: {reply:?}",
                request()
            );
        }
        let reply = vault.ask_as(needed, key, request());
        assert!(
            !matches!(reply, TransitReply::Forbidden),
            "{:?} with {needed:?}",
            request()
        );
    }
    let actions = vault.actions();
    assert!(
        actions.contains(&"transit.encrypt denied transit/orders".to_owned()),
        "{actions:?}"
    );
    assert!(
        actions.contains(&"transit.encrypt succeeded transit/orders".to_owned()),
        "{actions:?}"
    );
    assert!(
        actions.contains(&"transit.decrypt failed transit/orders".to_owned()),
        "{actions:?}"
    );
    assert!(
        actions.contains(&"transit.rotated succeeded transit/orders".to_owned()),
        "{actions:?}"
    );
}

#[test]
fn signatures_verify_here_and_with_the_public_key_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    let kinds: [(&str, KeyKind, Option<&'static dyn VerificationAlgorithm>); 3] = [
        ("edwards", KeyKind::Ed25519, Some(&ED25519)),
        ("curve", KeyKind::P256, Some(&ECDSA_P256_SHA256_ASN1)),
        ("tag", KeyKind::Hmac, None),
    ];
    vault.configure(&kinds.map(|(name, kind, _)| rules(name, kind, false)));
    for (name, _, algorithm) in kinds {
        let signature = text(vault.ask(name, TransitRequest::Sign(vec![secret("release 7")])));
        let verify = |input: &str, signature: &str| {
            let item = Signed {
                input: secret(input),
                signature: signature.to_owned(),
            };
            match vault.ask(name, TransitRequest::Verify(vec![item])) {
                TransitReply::Verified(verdicts) => verdicts[0],
                other => panic!("{other:?}"),
            }
        };
        assert!(verify("release 7", &signature), "{name}");
        assert!(!verify("release 8", &signature), "{name}");
        assert!(!verify("release 7", "redan:v1:AAAA"), "{name}");
        vault.ask(name, TransitRequest::Rotate);
        assert!(verify("release 7", &signature), "{name}: an older version's");
        if let Some(algorithm) = algorithm {
            let spki = vault.describe(name).versions[0].public.clone().unwrap();
            let raw = if name == "edwards" { &spki[12..] } else { &spki[26..] };
            let bytes = STANDARD.decode(&signature["redan:v1:".len()..]).unwrap();
            UnparsedPublicKey::new(algorithm, raw)
                .verify(b"release 7", &bytes)
                .unwrap();
        }
    }
}

#[test]
fn a_data_key_opens_again_and_is_shown_only_where_asked() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    vault.configure(&[rules("orders", KeyKind::Aes256, false)]);
    let ask = |reveal| {
        let request = TransitRequest::DataKey {
            context: b"backup".to_vec(),
            reveal,
        };
        match vault.ask("orders", request) {
            TransitReply::DataKey { sealed, key } => (sealed, key),
            other => panic!("{other:?}"),
        }
    };
    assert!(ask(false).1.is_none());
    let (ciphertext, key) = ask(true);
    let TransitReply::Plaintexts(plain) =
        vault.ask("orders", TransitRequest::Decrypt(vec![sealed(&ciphertext, "backup")]))
    else {
        panic!()
    };
    let key = key.unwrap();
    assert_eq!(
        (plain[0].as_ref().unwrap().expose(), key.expose().len()),
        (key.expose(), 32)
    );
}

#[test]
fn a_keys_kind_never_changes() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    vault.configure(&[rules("orders", KeyKind::Aes256, false)]);
    let ciphertext = vault.encrypt("orders", "value", "");
    for (kind, convergent) in [(KeyKind::Hmac, false), (KeyKind::Aes256, true)] {
        let refused = vault.transit.configure(&[rules("orders", kind, convergent)], at(0));
        assert!(matches!(refused, Err(VaultError::Refused(why)) if why.contains("of another kind")));
    }
    assert_eq!(
        vault.decrypt("orders", &ciphertext, "").unwrap(),
        "value",
        "the table is as before"
    );
}

#[test]
fn requests_are_bounded_in_items_bytes_and_pace() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    let slow = KeyRules {
        rate: 2,
        ..rules("slow", KeyKind::Hmac, false)
    };
    vault.configure(&[rules("tag", KeyKind::Hmac, false), slow]);
    let sign = |items: usize, bytes: usize| TransitRequest::Sign(vec![SecretBytes::new(vec![0; bytes]); items]);
    assert!(matches!(vault.ask("tag", sign(0, 0)), TransitReply::Refused(_)));
    assert!(matches!(vault.ask("tag", sign(1_025, 0)), TransitReply::Refused(_)));
    assert!(matches!(vault.ask("tag", sign(2, 600_000)), TransitReply::Refused(_)));
    assert!(matches!(vault.ask("tag", sign(1_024, 1_000)), TransitReply::Texts(items) if items.len() == 1_024));
    assert!(matches!(vault.ask("slow", sign(2, 1)), TransitReply::Texts(_)));
    assert!(matches!(
        vault.ask("slow", sign(1, 1)),
        TransitReply::TooMany { wait: 30_000 }
    ));
}

#[test]
fn a_key_whose_time_has_come_gets_a_new_version_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    let table = [KeyRules {
        rotate_after: Some(86_400),
        ..rules("orders", KeyKind::Aes256, false)
    }];
    vault.configure(&table);
    vault.transit.keep_house(at(86_399)).unwrap();
    assert_eq!(vault.describe("orders").versions.len(), 1);
    vault.transit.keep_house(at(86_400)).unwrap();
    vault.transit.keep_house(at(86_401)).unwrap();
    assert_eq!(vault.describe("orders").versions.len(), 2);
}

proptest! {
    #[test]
    fn anything_comes_back_as_it_was(plaintext in any::<Vec<u8>>(), context in any::<Vec<u8>>(), convergent in any::<bool>()) {
        let stored = super::ring::StoredKey {
            name: KeyName::parse("orders").unwrap(),
            kind: KeyKind::Aes256,
            convergent,
            versions: vec![super::ring::StoredVersion::make(KeyKind::Aes256, 1, at(0)).unwrap()],
        };
        let ring = super::ring::Ring::of(&stored).unwrap();
        let ciphertext = ring.encrypt(&plaintext, &context).unwrap();
        let opened = ring.decrypt(&ciphertext, &context).unwrap();
        prop_assert_eq!(opened.as_slice(), plaintext.as_slice());
    }
}
