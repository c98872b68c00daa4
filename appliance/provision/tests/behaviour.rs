//! What the menu does, and does not, for whoever sits at the line.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

mod support;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof};
use proptest::{prop_assert, proptest};
use redan_ipc::messages::machine::DataState;
use std::sync::OnceLock;
use std::time::Duration;
use support::{DOCUMENT, RECOVERY, Script, Seat};

/// The hash of `123456`, which takes its time.
static PIN: OnceLock<String> = OnceLock::new();

fn with_pin() -> Seat {
    let mut seat = Seat::new(Script::default());
    let main = seat.set_up();
    assert!(main.contains("Choice:"), "{main}");
    seat.types("x\r");
    seat
}

#[test]
fn nothing_is_offered_before_a_pin_is_chosen() {
    let mut seat = Seat::new(Script::default());
    assert!(seat.types("\r").contains("New PIN:"));
    assert!(seat.types("\x03").contains("Press Enter"));
    let text = seat.types("\r12345\r");
    assert!(text.contains("6 to 64"), "{text}");
    let text = seat.types("123456\r123457\r");
    assert!(text.contains("differ"), "{text}");
    assert!(seat.world.script().pin.is_none());
}

#[test]
fn the_pin_is_kept_as_its_hash_and_never_shown() {
    let seat = with_pin();
    let pin = seat.world.script().pin.clone().unwrap();
    assert!(pin.starts_with("$argon2id$"), "{pin}");
    assert!(!seat.terminal.seen.contains("123456"));
}

#[test]
fn wrong_pins_are_answered_later_and_later_and_never_for_ever() {
    let mut seat = with_pin();
    let mut waits = Vec::new();
    for _ in 0..12 {
        seat.types("\r");
        assert!(seat.types("654321\r").contains("Wrong PIN."));
        let mut waited = 0;
        while !seat.types("\r").contains("PIN: ") {
            seat.waits(Duration::from_secs(1));
            waited += 1;
            assert!(waited <= 301);
        }
        seat.types("\x03");
        waits.push(waited);
    }
    assert_eq!(waits[..5], [0, 0, 2, 4, 8]);
    assert_eq!(waits[11], 300);
    seat.types("\r");
    assert!(seat.types("123456\r").contains("Choice:"));
    let script = seat.world.script();
    assert!(
        script
            .recorded
            .iter()
            .any(|entry| entry == "serial.opened false wrong PIN, 12 in a row")
    );
    assert!(
        script
            .recorded
            .iter()
            .any(|entry| entry == "serial.opened true the PIN was told")
    );
}

#[test]
fn a_pin_that_is_not_told_and_a_menu_that_is_left_close() {
    let mut seat = with_pin();
    seat.types("\r");
    for _ in 0..59 {
        seat.types("1");
        assert!(seat.waits(Duration::from_secs(1)).is_empty());
    }
    assert!(seat.waits(Duration::from_secs(1)).contains("Press Enter"));
    seat.types("\r");
    assert!(seat.types("123456\r").contains("Choice:"));
    assert!(seat.waits(Duration::from_mins(9)).is_empty());
    assert!(seat.waits(Duration::from_mins(1)).contains("Press Enter"));
    assert!(seat.types("\r").contains("PIN:"));
}

#[test]
fn the_recovery_key_is_shown_until_it_was_noted() {
    let mut seat = Seat::new(Script::default());
    seat.types("\r");
    assert!(seat.types("123456\r123456\r").contains(RECOVERY));
    assert!(seat.types("no\r").contains("Type YES"));
    seat.types("\x03\r");
    assert!(seat.types("123456\r").contains(RECOVERY));
    seat.types("yes\r");
    assert!(seat.world.script().recovery.is_none());
    seat.types("x\r\r");
    assert!(seat.types("123456\r").contains("Choice:"));
}

#[test]
fn the_first_password_is_shown_and_another_can_be_given() {
    let mut seat = with_pin();
    seat.types("\r");
    seat.types("123456\r");
    assert!(seat.types("3\r").contains("one-time-password"));
    assert!(seat.types("1\r").contains("another-password"));
}

#[test]
fn a_document_is_applied_on_probation_and_kept_or_rolled_back() {
    let mut seat = Seat::new(Script::default());
    seat.set_up();
    let document = format!("{DOCUMENT}[zones.servers]\n");
    seat.types("4\r");
    assert!(seat.types(&format!("{document}.\n")).contains("Apply it?"));
    assert!(seat.types("n\r").contains("Nothing was changed"));
    seat.types("\r4\r");
    seat.types(&format!("{document}.\n"));
    assert!(seat.types("y\r").contains("Version 2 runs"));
    assert!(seat.types("\r").contains("Version 1 runs"));
    assert_eq!(seat.world.script().confirmed, 1);
    assert_eq!(seat.world.script().pending, None);
    seat.types("\r4\r");
    seat.types(&format!("{document}.\n"));
    seat.types("y\r");
    assert!(seat.types("KEEP\r").contains("Version 3 runs and is kept."));
    assert_eq!(seat.world.script().confirmed, 3);
}

#[test]
fn a_documents_mistakes_are_told_with_their_lines() {
    let mut seat = Seat::new(Script::default());
    seat.set_up();
    seat.types("4\r");
    let text = seat.types("schema = 1\nzones = 3\n.\n");
    assert!(text.contains("redan.toml:2"), "{text}");
    assert_eq!(seat.world.script().versions.len(), 1);
}

#[test]
fn another_address_is_applied_like_any_change() {
    let mut seat = Seat::new(Script::default());
    seat.set_up();
    seat.types("2\r");
    seat.types("1\r");
    seat.types("10.0.0.5/24\r");
    let text = seat.types("10.0.0.1\r");
    assert!(text.contains("Apply it?") && text.contains("10.0.0.5/24"), "{text}");
    seat.types("y\r");
    seat.types("keep\r");
    let text = seat.types("\r");
    assert!(text.contains("https://10.0.0.5:9443/"), "{text}");
}

#[test]
fn a_factory_reset_takes_the_whole_word() {
    let mut seat = Seat::new(Script::default());
    seat.set_up();
    for word in ["y", "erase", "ERAS", "ERASE!"] {
        seat.types("0\r");
        assert!(seat.types(&format!("{word}\r")).contains("Nothing was changed"));
        seat.types("\r");
    }
    assert!(seat.world.script().done.is_empty());
    seat.types("0\r");
    seat.types("ERASE\r");
    assert_eq!(seat.world.script().done, ["factory reset"]);
}

#[test]
fn the_machine_is_restarted_or_switched_off_when_that_is_meant() {
    let mut seat = Seat::new(Script::default());
    seat.set_up();
    seat.types("8\rn\r9\r\r");
    assert!(seat.world.script().done.is_empty());
    seat.types("8\ry\r");
    assert_eq!(seat.world.script().done, ["reboot"]);
}

#[test]
fn the_support_information_is_shown_in_one_piece_and_leads_back() {
    let mut seat = Seat::new(Script::default());
    seat.set_up();
    let text = seat.types("6\r");
    for said in ["-----BEGIN", "vault", "version 0.1.0", "supervisor:", "-----END"] {
        assert!(text.contains(said), "no {said} in {text}");
    }
    assert!(text.lines().all(|line| line.len() < 80), "{text}");
    assert!(seat.types("\r").contains("Choice:"));
}

#[test]
fn the_status_says_what_becomes_of_a_new_version() {
    let mut seat = Seat::new(Script::default());
    seat.set_up();
    assert!(seat.types("1\r").contains("Update: nothing waits for a restart"));
    seat.world.script().update.next = Some("0.2.0".to_owned());
    assert!(
        seat.types("\r1\r")
            .contains("Update: version 0.2.0 is tried at the next start")
    );
    seat.world.script().update.on_probation = true;
    seat.world.script().update.next = Some("0.1.0".to_owned());
    let text = seat.types("\r1\r");
    assert!(text.contains("Update: version 0.1.0 is on probation\r\n"), "{text}");
}

#[test]
fn what_is_typed_while_a_version_is_applied_answers_nothing() {
    let mut seat = Seat::new(Script::default());
    seat.set_up();
    seat.types("4\r");
    seat.types(&format!("{DOCUMENT}[zones.servers]\n.\n"));
    // All at once, before the menu has its turn: neither KEEP nor a choice of the main menu.
    assert!(seat.types("y\rkeep\r0\rERASE\r").contains("Type KEEP"));
    assert_eq!(seat.world.script().confirmed, 1);
    assert!(seat.world.script().done.is_empty());
}

#[test]
fn without_the_vault_only_what_needs_no_secret_is_offered() {
    let mut script = Script {
        is_up: false,
        ..Script::default()
    };
    script.facts.data = DataState::Locked {
        reason: "PCR 7 differs".to_owned(),
    };
    let mut seat = Seat::new(script);
    let text = seat.types("\r");
    assert!(
        text.contains("PCR 7 differs") && !text.contains("Administrators"),
        "{text}"
    );
    for choice in ["2", "3", "4", "5", "6", "7"] {
        assert!(seat.types(&format!("{choice}\r")).contains("Choice:"));
    }
    seat.types("u\r");
    seat.types(&format!("{RECOVERY}\r"));
    assert_eq!(seat.world.script().done, [format!("unlock {RECOVERY}")]);
    seat.world.script().is_up = true;
    seat.types("\r");
    assert!(seat.types("\r").contains("New PIN:"));
}

#[test]
fn a_sealed_vault_is_opened_with_its_shares_and_no_pin() {
    let mut seat = Seat::new(Script {
        is_sealed: true,
        ..Script::default()
    });
    assert!(!seat.types("\r").contains("Administrators"));
    assert!(seat.types("r\r").contains("Share 1 of 2:"));
    assert!(seat.types("share one\r").contains("Share 2 of 2:"));
    assert!(seat.types("share two\r").contains("The vault is open."));
}

#[test]
fn the_vaults_recovery_key_is_made_when_that_is_meant() {
    let mut seat = Seat::new(Script::default());
    seat.set_up();
    seat.types("r\r");
    assert!(!seat.types("n\r").contains("V-KEY"));
    seat.types("r\r");
    assert!(seat.types("y\r").contains("V-KEY"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes over the line: the terminal gets nothing but plain signs, nothing is done to the machine, no version is applied.
    #[test]
    fn noise_on_the_line_does_no_harm(
        chunks in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            // Keys that lead somewhere, so that the noise reaches all screens.
            "[0-9ursvxq]\r".prop_map(String::into_bytes),
            Just(b"\x1b[200~".to_vec()),
        ], 0..30),
    ) {
        let mut seat = Seat::new(Script {
            pin: Some(PIN.get_or_init(|| with_pin().world.script().pin.clone().unwrap()).clone()),
            recovery: None,
            ..Script::default()
        });
        seat.types("\r");
        prop_assert!(seat.types("123456\r").contains("Choice:"));
        for chunk in &chunks {
            seat.menu.take(chunk, seat.now);
            let out = seat.menu.take_output();
            prop_assert!(out.len() < 1 << 20);
            seat.terminal.take(&out);
        }
        prop_assert!(seat.terminal.strange == 0);
        let script = seat.world.script();
        prop_assert!(!script.done.iter().any(|done| done == "factory reset"));
        prop_assert!(script.versions.len() == 1);
    }
}
