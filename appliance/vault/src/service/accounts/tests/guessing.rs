//! Guessing passwords: what it costs whoever guesses, and that it costs nobody else.

use super::{Bench, OWN, Open, at, name, role, rules, secret};
use redan_ipc::messages::accounts::AccountRequest;
use redan_ipc::messages::vault::LoginOutcome;
use redan_types::{SecretString, Timestamp};

const ATTACKER: &str = "203.0.113.66";

fn seconds(outcome: &LoginOutcome) -> u32 {
    match outcome {
        LoginOutcome::Locked { seconds } => *seconds,
        LoginOutcome::Wrong => 0,
        LoginOutcome::Session { .. } => panic!("a session"),
    }
}

fn device(outcome: LoginOutcome) -> SecretString {
    match outcome {
        LoginOutcome::Session { device, .. } => device,
        other => panic!("{other:?}"),
    }
}

/// Guesses until the address must wait at least `enough` seconds; the time is then the end of it all.
fn guess_from(open: &Open, address: &str, user: &str, enough: u32, mut now: Timestamp) -> Timestamp {
    for _ in 0..40 {
        let wait = seconds(&open.login_from(address, None, user, "x", now));
        if wait >= enough {
            return now;
        }
        now = now.after(std::time::Duration::from_secs(wait.into()));
    }
    panic!("never");
}

/// An appliance whose account `admin` strangers have closed to strangers.
fn besieged(bench: &Bench) -> (Open, Timestamp) {
    let open = bench.open();
    open.settle(at(0));
    open.accounts.configure(&rules(), at(0)).unwrap();
    let mut closed = 0;
    for network in 0..15 {
        let address = format!("198.51.100.{network}");
        for _ in 0..2 {
            closed = seconds(&open.login_from(&address, None, "admin", "x", at(10)));
        }
    }
    assert!(
        closed > 500,
        "thirty guesses from fifteen addresses close the account: {closed}"
    );
    (open, at(11))
}

#[test]
fn a_guesser_waits_longer_and_longer_and_locks_nobody_else_out() {
    let bench = Bench::new();
    let open = bench.open();
    open.settle(at(0));
    open.accounts.configure(&rules(), at(0)).unwrap();
    let waits: Vec<_> = (0..4)
        .map(|step| seconds(&open.login_from(ATTACKER, None, "admin", "x", at(10 + 20 * step))))
        .collect();
    assert_eq!(waits, [0, 0, 2, 3], "one second and two, rounded up");
    let now = guess_from(&open, ATTACKER, "admin", 600, at(100));
    assert!(
        seconds(&open.login_from(ATTACKER, None, "admin", OWN, now)) >= 600,
        "even the right password is not looked at"
    );
    for stranger in ["192.0.2.77", "2001:db8::7"] {
        assert!(
            matches!(
                open.login_from(stranger, None, "admin", OWN, now),
                LoginOutcome::Session { .. }
            ),
            "{stranger}"
        );
    }
}

#[test]
fn one_ipv6_network_of_64_bits_is_one_guesser() {
    let bench = Bench::new();
    let open = bench.open();
    open.settle(at(0));
    open.accounts.configure(&rules(), at(0)).unwrap();
    for host in 1..4 {
        open.login_from(&format!("2001:db8:0:1::{host}"), None, "admin", "x", at(10));
    }
    let blocked = open.login_from("2001:db8:0:1:ffff::1", None, "admin", OWN, at(10));
    assert_eq!(seconds(&blocked), 2);
    assert!(matches!(
        open.login_from("2001:db8:0:2::1", None, "admin", OWN, at(10)),
        LoginOutcome::Session { .. }
    ));
}

#[test]
fn a_browser_that_signed_in_before_is_not_slowed_by_a_guesser_at_its_address() {
    let bench = Bench::new();
    let open = bench.open();
    open.settle(at(0));
    open.accounts.configure(&rules(), at(0)).unwrap();
    let mine = device(open.login("admin", OWN, at(1)));
    let now = guess_from(&open, "192.0.2.1", "admin", 600, at(10));
    assert!(seconds(&open.login("admin", OWN, now)) >= 600);
    let next = device(open.login_from("192.0.2.1", Some(&mine), "admin", OWN, now));
    // The device's own mistakes count for it, and what it was before it signed in again is nothing any more.
    assert!(seconds(&open.login_from("192.0.2.1", Some(&mine), "admin", OWN, now)) >= 600);
    let waits: Vec<_> = (0..4)
        .map(|_| seconds(&open.login_from("192.0.2.1", Some(&next), "admin", "x", now)))
        .collect();
    assert_eq!(waits, [0, 0, 2, 2]);
    assert!(
        seconds(&open.login_from("192.0.2.1", Some(&next), "ann", "x", now)) >= 2,
        "and it is a device of its user only"
    );
}

#[test]
fn a_closed_account_stays_open_to_places_that_its_user_came_from() {
    let bench = Bench::new();
    let (open, now) = besieged(&bench);
    assert!(
        seconds(&open.login_from("192.0.2.99", None, "admin", OWN, now)) > 500,
        "not to strangers"
    );
    assert!(open.users()[0].locked_until.is_some());
    drop(open);
    let open = bench.open();
    assert!(
        seconds(&open.login_from("192.0.2.99", None, "admin", OWN, now)) > 500,
        "after a restart, too"
    );
    let mine = device(open.login("admin", OWN, now));
    assert!(matches!(
        open.login_from("192.0.2.98", Some(&mine), "admin", OWN, now),
        LoginOutcome::Session { .. }
    ));
    assert!(
        seconds(&open.login_from("192.0.2.97", None, "admin", OWN, now)) > 500,
        "signing in does not open it to the guessers"
    );
    assert!(
        matches!(
            open.login_from(
                "192.0.2.96",
                None,
                "admin",
                OWN,
                now.after(std::time::Duration::from_secs(600))
            ),
            LoginOutcome::Session { .. }
        ),
        "it ends by itself"
    );
}

#[test]
fn an_open_session_goes_on_while_its_account_is_closed() {
    let bench = Bench::new();
    let open = bench.open();
    let token = open.settle(at(0));
    drop(open);
    let (open, now) = {
        let open = bench.open();
        open.accounts.configure(&rules(), at(0)).unwrap();
        for network in 0..30 {
            open.login_from(&format!("198.51.100.{network}"), None, "admin", "x", at(10));
        }
        (open, at(11))
    };
    assert!(open.users()[0].locked_until.is_some());
    assert!(open.accounts.session(&token, now).is_some());
    let change = |old: &str| {
        open.accounts
            .change_password(&token, &secret(old), &secret("tea with lemon, hot"), now)
    };
    // A session guesses no faster than a stranger.
    for _ in 0..3 {
        assert!(change("x").is_err());
    }
    let refused = change(OWN).unwrap_err().to_string();
    assert!(refused.contains("wait"), "{refused}");
    open.accounts
        .change_password(
            &token,
            &secret(OWN),
            &secret("tea with lemon, hot"),
            now.after(std::time::Duration::from_secs(2)),
        )
        .unwrap();
}

#[test]
fn a_name_that_nobody_has_is_treated_like_one_that_somebody_has() {
    let bench = Bench::new();
    let open = bench.open();
    open.settle(at(0));
    open.accounts.configure(&rules(), at(0)).unwrap();
    let answers = |user: &str, network: u8| -> Vec<u32> {
        (0..40)
            .map(|host| {
                let address = format!("10.{network}.{}.1", host / 2);
                seconds(&open.login_from(&address, None, user, "x", at(10)))
            })
            .collect()
    };
    assert_eq!(answers("admin", 1), answers("nobody", 2));
}

#[test]
fn a_reset_password_opens_the_account_and_forgets_its_places() {
    let bench = Bench::new();
    let (open, now) = besieged(&bench);
    let mine = device(open.login("admin", OWN, now));
    let (_, password) = super::made(open.ask(&AccountRequest::ResetPassword { name: name("admin") }));
    let password = password.unwrap();
    for network in 0..15 {
        for _ in 0..2 {
            open.login_from(&format!("198.51.101.{network}"), None, "admin", "x", now);
        }
    }
    assert!(
        seconds(&open.login_from("192.0.2.1", Some(&mine), "admin", password.expose(), now)) > 500,
        "closed again, and the place of before is none"
    );
}

#[test]
fn guesses_are_recorded_and_knocking_on_fills_no_log() {
    let bench = Bench::new();
    let open = bench.open();
    open.settle(at(0));
    open.accounts.configure(&rules(), at(0)).unwrap();
    for _ in 0..500 {
        open.login_from(ATTACKER, None, "admin", "x", at(10));
    }
    let denied = |open: &Open| {
        let is_denied = |action: &&String| *action == "user.login denied";
        open.actions().iter().filter(is_denied).count()
    };
    assert_eq!(
        denied(&open),
        4,
        "three wrong ones and the first of 497 that were not looked at"
    );
    open.login_from(ATTACKER, None, "admin", "x", at(12));
    let page = open
        .audit
        .search(&redan_ipc::messages::audit::AuditQuery::default())
        .unwrap();
    let told = page
        .entries
        .iter()
        .any(|entry| entry.event.message.contains("496 more attempts"));
    assert!(told, "and their number is told");
}

#[test]
fn many_names_from_one_address_are_one_guesser() {
    let bench = Bench::new();
    let open = bench.open();
    open.settle(at(0));
    open.accounts.configure(&rules(), at(0)).unwrap();
    super::made(open.ask(&AccountRequest::CreateUser {
        name: name("ann"),
        roles: vec![role("viewer")],
        password: secret("tea with lemon, hot"),
    }));
    for number in 0..12 {
        open.login_from(ATTACKER, None, &format!("user{number}"), "x", at(10));
    }
    let sprayed = open.login_from(ATTACKER, None, "ann", "tea with lemon, hot", at(10));
    assert_eq!(seconds(&sprayed), 2);
}
