//! The TPM driver against a real software TPM: what a probe on the bus sees, and what happens when the device misbehaves.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod support;

use redan_hal::keys::tpm2::transport::{Connect, LONGEST, Packets, Transport};
use redan_hal::keys::tpm2::{Address, Handed, Patience, Tpm2Device};
use redan_hal::keys::{
    Algorithm, Binding, DeviceIdentity, KeyDevice, KeyError, Operation, PcrSelection, SealPolicy, Unlock,
};
use redan_types::{SecretBytes, SecretString};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use support::swtpm::{PATIENCE, Swtpm};
use support::wiretap::Tapped;

fn tapped(tpm: &Swtpm) -> (Tpm2Device, Tapped<Address>) {
    let tap = Tapped::new(tpm.address());
    let device = Tpm2Device::open(Arc::new(tap.clone()), &tpm.keys(), PATIENCE).unwrap();
    (device, tap)
}

/// Makes an answer a refusal.
fn refuse(answer: &mut Vec<u8>, code: u32) {
    *answer = [&[0x80, 0x01, 0, 0, 0, 10][..], &code.to_be_bytes()].concat();
}

/// Pieces of a secret that would give it away.
fn pieces(secret: &[u8]) -> impl Iterator<Item = &[u8]> {
    secret.chunks_exact(8)
}

#[test]
fn a_probe_on_the_bus_sees_no_secret() {
    let Some(tpm) = Swtpm::start() else { return };
    let (device, tap) = tapped(&tpm);
    let never = |what: &str, secret: &[u8]| {
        assert!(tap.bytes() > 100, "{what}: the probe is not connected");
        for piece in pieces(secret) {
            assert!(!tap.saw(piece), "{what} is to be seen on the bus");
        }
    };

    let mut random = [0; 64];
    device.random(&mut random).unwrap();
    never("a random number", &random);

    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).unwrap();
    let pin = SecretString::new("a PIN of some length".to_owned());
    let selection = PcrSelection::new(&[16]).unwrap();
    for policy in [
        SealPolicy::default(),
        SealPolicy {
            pin: Some(pin.clone()),
            ..SealPolicy::default()
        },
        SealPolicy {
            binding: Binding::Pcrs(selection),
            ..SealPolicy::default()
        },
    ] {
        let sealed = device
            .seal_to(b"context", &SecretBytes::new(secret.to_vec()), &policy)
            .unwrap();
        let unlock = Unlock {
            pin: Some(&pin),
            ..Unlock::default()
        };
        assert_eq!(
            device.unseal_with(b"context", &sealed, &unlock).unwrap().expose(),
            secret
        );
        never("a sealed secret", &secret);
        never("the PIN", pin.expose().as_bytes());
    }

    let key = device.generate(Algorithm::Aes256).unwrap();
    let wrapped = device.wrap_key(key, b"", &SecretBytes::new(secret.to_vec())).unwrap();
    device.unwrap_key(key, b"", &wrapped).unwrap();
    never("a wrapped key", &secret);

    device
        .import(Algorithm::Aes256, &SecretBytes::new(secret.to_vec()))
        .unwrap();
    never("an imported key", &secret);

    let one = device.generate(Algorithm::EcdsaP256).unwrap();
    let two = device.generate(Algorithm::EcdsaP256).unwrap();
    let agreed = device.agree(one, &device.public_key(two).unwrap()).unwrap();
    never("an agreed secret", agreed.expose());

    let rsa = device.generate(Algorithm::Rsa2048).unwrap();
    let hash = redan_hal::keys::OaepHash::Sha256;
    let ciphertext = device
        .public_key(rsa)
        .unwrap()
        .encrypt(hash, &SecretBytes::new(secret.to_vec()))
        .unwrap();
    assert_eq!(device.decrypt(rsa, hash, &ciphertext).unwrap().expose(), secret);
    never("a decrypted secret", &secret);
}

#[test]
fn an_answer_altered_on_the_bus_is_refused() {
    let Some(tpm) = Swtpm::start() else { return };
    let (device, tap) = tapped(&tpm);
    let key = device.generate(Algorithm::EcdsaP256).unwrap();
    let sealed = device.seal(b"", &SecretBytes::new(vec![1; 32])).unwrap();
    device.increment().unwrap();
    type Question<'a> = Box<dyn Fn() -> Result<(), KeyError> + 'a>;
    let questions: [(u32, Question<'_>); 5] = [
        (0x17b, Box::new(|| device.random(&mut [0; 32]))),
        (0x15e, Box::new(|| device.unseal(b"", &sealed).map(drop))),
        (0x15d, Box::new(|| device.sign(key, b"message").map(drop))),
        (0x14e, Box::new(|| device.counter().map(drop))),
        (
            0x17e,
            Box::new(|| device.pcrs(PcrSelection::new(&[0]).unwrap()).map(drop)),
        ),
    ];
    for (code, question) in questions {
        tap.change(move |command, answer| {
            if command[6..10] == code.to_be_bytes() && answer.len() > 20 {
                answer[18] ^= 1;
            }
        });
        let outcome = question();
        assert!(
            matches!(outcome, Err(KeyError::Tampered { .. } | KeyError::Protocol { .. })),
            "{code:#x}: {outcome:?}"
        );
        tap.change_nothing();
        question().unwrap();
    }
}

#[test]
fn a_device_that_says_it_is_busy_is_asked_again_and_given_up_in_time() {
    let Some(tpm) = Swtpm::start() else { return };
    let (device, tap) = tapped(&tpm);
    for code in [0x922_u32, 0x908, 0x90a] {
        let mut left = 3;
        tap.change(move |_, answer| {
            if left > 0 {
                left -= 1;
                refuse(answer, code);
            }
        });
        tap.forget();
        // Each command was done in truth, so the session's nonces have moved on: what counts is that it is asked again.
        let _ = device.random(&mut [0; 8]);
        assert!(
            tap.commands().iter().filter(|command| **command == 0x17b).count() >= 4,
            "{code:#x}"
        );
        tap.change_nothing();
        // A session out of step is not believed again: it is begun anew with the next request.
        let _ = device.random(&mut [0; 8]);
        device.random(&mut [0; 8]).unwrap();
    }
    tap.change(move |_, answer| refuse(answer, 0x922));
    let start = Instant::now();
    let outcome = device.random(&mut [0; 8]);
    assert!(matches!(outcome, Err(KeyError::Busy { .. })), "{outcome:?}");
    assert!(start.elapsed() >= PATIENCE.busy && start.elapsed() < PATIENCE.busy + Duration::from_secs(5));
    tap.change_nothing();
    device.random(&mut [0; 8]).unwrap();
}

#[test]
fn a_device_that_is_reset_while_nobody_asks_is_set_up_again_unnoticed() {
    let Some(mut tpm) = Swtpm::start() else { return };
    let device = tpm.open();
    let key = device.generate(Algorithm::EcdsaP256).unwrap();
    let sealed = device.seal(b"", &SecretBytes::new(vec![1; 32])).unwrap();
    let count = device.increment().unwrap();
    tpm.power_off();
    tpm.power_on();
    // The connection is gone, and what was under way on it cannot be known; the next one stands.
    assert!(matches!(device.sign(key, b"message"), Err(KeyError::Gone { .. })));
    let signature = device.sign(key, b"message").unwrap();
    device
        .verify(key, Algorithm::EcdsaP256.scheme().unwrap(), b"message", &signature)
        .unwrap();
    assert_eq!(device.unseal(b"", &sealed).unwrap().expose(), [1; 32]);
    assert_eq!(
        (device.counter().unwrap(), device.increment().unwrap()),
        (count, count + 1)
    );
}

#[test]
fn a_device_that_dies_in_mid_command_is_told_at_once_and_recovers() {
    let Some(mut tpm) = Swtpm::start() else { return };
    let device = Arc::new(tpm.open());
    let key = device.generate(Algorithm::EcdsaP256).unwrap();
    let count = device.increment().unwrap();
    // Frozen, it takes the command; killed, it never answers.
    tpm.freeze();
    let (tell, told) = channel();
    let asking = Arc::clone(&device);
    std::thread::spawn(move || tell.send(asking.generate(Algorithm::Rsa2048)));
    assert!(
        told.recv_timeout(Duration::from_millis(300)).is_err(),
        "it answered though it is frozen"
    );
    tpm.power_off();
    let outcome = told
        .recv_timeout(Duration::from_secs(5))
        .expect("no answer though the device is dead");
    assert!(matches!(outcome, Err(KeyError::Gone { .. })), "{outcome:?}");
    let outcome = device.sign(key, b"message");
    assert!(matches!(outcome, Err(KeyError::Gone { .. })), "{outcome:?}");
    tpm.power_on();
    device.sign(key, b"message").unwrap();
    assert_eq!(device.counter().unwrap(), count);
    device.generate(Algorithm::Rsa2048).unwrap();
}

#[test]
fn a_device_that_falls_silent_is_waited_for_no_longer_than_asked() {
    let Some(tpm) = Swtpm::start() else { return };
    let patience = Patience {
        answer: Duration::from_millis(300),
        ..PATIENCE
    };
    let device = Tpm2Device::open(Arc::new(tpm.address()), &tpm.keys(), patience).unwrap();
    tpm.freeze();
    let start = Instant::now();
    let outcome = device.random(&mut [0; 8]);
    assert!(matches!(outcome, Err(KeyError::Silent { .. })), "{outcome:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
    tpm.thaw();
    let start = Instant::now();
    // It first answers what nobody waits for any more, on a connection that is closed.
    while device.random(&mut [0; 8]).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not recover");
    }
}

#[test]
fn a_reset_beneath_an_open_connection_is_noticed_and_the_command_asked_again() {
    let Some(tpm) = Swtpm::start() else { return };
    let (device, tap) = tapped(&tpm);
    let key = device.generate(Algorithm::EcdsaP256).unwrap();
    device.sign(key, b"message").unwrap();
    // As after a reset behind the kernel's back: the device knows no handle of ours, once.
    let mut once = true;
    tap.change(move |command, answer| {
        if std::mem::take(&mut once) && command[6..10] == 0x15d_u32.to_be_bytes() {
            refuse(answer, 0x910);
        }
    });
    device.sign(key, b"message").unwrap();
    tap.change(|command, answer| {
        if command[6..10] == 0x15d_u32.to_be_bytes() {
            refuse(answer, 0x918);
        }
    });
    let outcome = device.sign(key, b"message");
    assert!(matches!(outcome, Err(KeyError::Reset { .. })), "{outcome:?}");
    tap.change_nothing();
    device.sign(key, b"message").unwrap();
}

#[test]
fn too_many_wrong_pins_lock_the_device_for_pins_and_for_nothing_else() {
    let Some(tpm) = Swtpm::start() else { return };
    let device = tpm.open();
    let (right, wrong) = (
        SecretString::new("2718".to_owned()),
        SecretString::new("0000".to_owned()),
    );
    let policy = SealPolicy {
        pin: Some(right.clone()),
        ..SealPolicy::default()
    };
    let guarded = device.seal_to(b"", &SecretBytes::new(vec![1; 32]), &policy).unwrap();
    let plain = device.seal(b"", &SecretBytes::new(vec![2; 32])).unwrap();
    let with = |pin| {
        let unlock = Unlock {
            pin: Some(pin),
            ..Unlock::default()
        };
        device.unseal_with(b"", &guarded, &unlock)
    };
    let mut left = u32::MAX;
    let locked = (0..64).find_map(|_| match with(&wrong) {
        Err(KeyError::Pin { attempts: Some(now) }) => {
            assert!(now < left, "{now} attempts after {left}");
            left = now;
            None
        }
        Err(locked @ KeyError::LockedOut { .. }) => Some(locked),
        other => panic!("{other:?}"),
    });
    let locked = locked.expect("it never locked");
    assert!(
        matches!(&locked, KeyError::LockedOut { recovery: Some(time), .. } if *time > Duration::ZERO),
        "{locked:?}"
    );
    assert!(
        matches!(with(&right), Err(KeyError::LockedOut { .. })),
        "the right PIN opens a locked device"
    );
    assert_eq!(device.unseal(b"", &plain).unwrap().expose(), [2; 32]);
    let key = device.generate(Algorithm::EcdsaP256).unwrap();
    device.sign(key, b"message").unwrap();
}

#[test]
fn a_folder_of_another_device_is_refused_by_name() {
    let (Some(one), Some(two)) = (Swtpm::start(), Swtpm::start()) else {
        return;
    };
    let sealed = one.open().seal(b"", &SecretBytes::new(vec![1; 32])).unwrap();
    let (here, there): (DeviceIdentity, DeviceIdentity) = (*one.open().identity(), *two.open().identity());
    assert_ne!(here, there);
    let outcome = Tpm2Device::open(Arc::new(two.address()), &one.keys(), PATIENCE);
    assert!(
        matches!(outcome, Err(KeyError::OtherDevice { sealed_by, present }) if (sealed_by, present) == (here, there)),
        "{outcome:?}"
    );
    assert!(matches!(
        two.open().unseal(b"", &sealed),
        Err(KeyError::OtherDevice { sealed_by, .. }) if sealed_by == here
    ));
}

#[test]
fn keys_and_identity_survive_the_driver_and_a_destroyed_key_does_not() {
    let Some(tpm) = Swtpm::start() else { return };
    let device = tpm.open();
    let (identity, attestation) = (*device.identity(), device.attestation_key().unwrap());
    let keys: Vec<_> = [Algorithm::EcdsaP256, Algorithm::EcdsaP384, Algorithm::Aes256]
        .map(|algorithm| device.generate(algorithm).unwrap())
        .to_vec();
    device.destroy(keys[1]).unwrap();
    drop(device);
    let device = tpm.open();
    assert_eq!(
        (*device.identity(), device.attestation_key().unwrap()),
        (identity, attestation)
    );
    let mut left = vec![keys[0], keys[2]];
    left.sort_unstable();
    assert_eq!(device.keys().unwrap(), left);
    device.sign(keys[0], b"message").unwrap();
    drop(device);
    let path = tpm.keys().join(format!("{}.tpm2-key", keys[0]));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(
        Tpm2Device::open(Arc::new(tpm.address()), &tpm.keys(), PATIENCE),
        Err(KeyError::Corrupt { .. })
    ));
}

#[test]
fn more_keys_than_the_device_has_room_for_are_used_in_turn() {
    let Some(tpm) = Swtpm::start() else { return };
    let (device, tap) = tapped(&tpm);
    let keys: Vec<_> = (0..5).map(|_| device.generate(Algorithm::EcdsaP256).unwrap()).collect();
    let storage = device.generate(Algorithm::Aes256).unwrap();
    for round in 0..3 {
        for key in &keys {
            device.sign(*key, b"message").unwrap();
            let wrapped = device
                .wrap_key(storage, b"", &SecretBytes::new(vec![round; 16]))
                .unwrap();
            device.unwrap_key(storage, b"", &wrapped).unwrap();
            device.certify_counter(&[round; 32]).unwrap();
        }
    }
    // The same key again costs one command.
    device.sign(keys[0], b"message").unwrap();
    tap.forget();
    device.sign(keys[0], b"message").unwrap();
    assert_eq!(tap.commands(), [0x15d]);
}

#[test]
fn a_counter_that_was_removed_is_missed_and_one_made_again_is_ahead() {
    let Some(tpm) = Swtpm::start() else { return };
    let device = tpm.open();
    assert_eq!(device.counter().unwrap(), 0);
    let value = device.increment().unwrap();
    drop(device);
    // Somebody with the owner's authorization removes it.
    undefine(&tpm);
    let device = tpm.open();
    for outcome in [device.counter(), device.increment()] {
        assert!(matches!(outcome, Err(KeyError::CounterLost { .. })), "{outcome:?}");
    }
    drop(device);
    // Even one that is made anew, by a driver that knows of none, does not begin again.
    std::fs::remove_file(tpm.keys().join("tpm2.device")).unwrap();
    assert!(tpm.open().increment().unwrap() > value);
}

/// `TPM2_NV_UndefineSpace` with an empty password.
fn undefine(tpm: &Swtpm) {
    let mut command = vec![0x80, 0x02, 0, 0, 0, 0, 0, 0, 0x01, 0x22];
    command.extend_from_slice(&0x4000_0001_u32.to_be_bytes());
    command.extend_from_slice(&0x0180_5244_u32.to_be_bytes());
    command.extend_from_slice(&9_u32.to_be_bytes());
    command.extend_from_slice(&[0x40, 0, 0, 0x09, 0, 0, 0x01, 0, 0]);
    let length = u32::try_from(command.len()).unwrap();
    command[2..6].copy_from_slice(&length.to_be_bytes());
    let mut answer = vec![0; 4096];
    let mut transport = tpm.address().connect().unwrap();
    transport
        .exchange(&command, &mut answer, Duration::from_secs(10))
        .unwrap();
    assert_eq!(answer[6..10], [0; 4]);
}

/// A stand-in for `/dev/tpmrm0`: a packet socket takes a command in one write and gives the answer in one read, as the device file
/// does.
#[derive(Debug)]
struct StandIn(Address);

impl StandIn {
    fn file(&self) -> std::io::Result<OwnedFd> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let (mut packets, mut simulator) = (File::from(theirs), self.0.connect()?);
        std::thread::spawn(move || {
            let (mut command, mut answer) = (vec![0; LONGEST], vec![0; LONGEST]);
            while let Ok(length @ 1..) = packets.read(&mut command) {
                let Ok(length) = simulator.exchange(&command[..length], &mut answer, Duration::from_secs(60)) else {
                    return;
                };
                if packets.write_all(&answer[..length]).is_err() {
                    return;
                }
            }
        });
        Ok(ours)
    }
}

impl Connect for StandIn {
    fn connect(&self) -> std::io::Result<Box<dyn Transport>> {
        Ok(Box::new(Packets(File::from(self.file()?))))
    }

    fn name(&self) -> String {
        "a stand-in for the TPM's device file".to_owned()
    }
}

#[test]
fn the_driver_works_over_a_device_file_as_over_a_socket() {
    let Some(mut tpm) = Swtpm::start() else { return };
    let device = Tpm2Device::open(Arc::new(StandIn(tpm.address())), &tpm.keys(), PATIENCE).unwrap();
    let key = device.generate(Algorithm::EcdsaP256).unwrap();
    device.sign(key, b"message").unwrap();
    let sealed = device.seal(b"", &SecretBytes::new(vec![1; 128])).unwrap();
    assert_eq!(device.unseal(b"", &sealed).unwrap().expose(), [1; 128]);
    tpm.power_off();
    assert!(matches!(device.sign(key, b"message"), Err(KeyError::Gone { .. })));
    tpm.power_on();
    device.sign(key, b"message").unwrap();
}

#[test]
fn a_descriptor_that_was_handed_over_recovers_from_silence_without_being_opened_again() {
    let Some(tpm) = Swtpm::start() else { return };
    let patience = Patience {
        answer: Duration::from_millis(300),
        ..PATIENCE
    };
    let handed = Handed::new(StandIn(tpm.address()).file().unwrap(), "a descriptor").unwrap();
    let device = Tpm2Device::open(Arc::new(handed), &tpm.keys(), patience).unwrap();
    let key = device.generate(Algorithm::EcdsaP256).unwrap();
    tpm.freeze();
    let outcome = device.sign(key, b"message");
    assert!(matches!(outcome, Err(KeyError::Silent { .. })), "{outcome:?}");
    tpm.thaw();
    let start = Instant::now();
    while device.sign(key, b"message").is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not recover");
    }
    for _ in 0..5 {
        device.sign(key, b"message").unwrap();
    }
}

#[test]
fn what_the_device_lacks_is_refused_without_asking_it() {
    let Some(tpm) = Swtpm::start() else { return };
    let (device, tap) = tapped(&tpm);
    tap.forget();
    let outcome = device.generate(Algorithm::Ed25519);
    assert!(matches!(
        outcome,
        Err(KeyError::Unsupported {
            operation: Operation::Generate(Algorithm::Ed25519),
            ..
        })
    ));
    assert_eq!(tap.bytes(), 0);
}

#[test]
fn a_seal_whose_note_of_its_policy_was_altered_stays_closed() {
    let Some(tpm) = Swtpm::start() else { return };
    let device = tpm.open();
    let policy = SealPolicy {
        binding: Binding::Pcrs(PcrSelection::new(&[16]).unwrap()),
        ..SealPolicy::default()
    };
    let sealed = device.seal_to(b"", &SecretBytes::new(vec![1; 32]), &policy).unwrap();
    device.extend(16, &[1; 32]).unwrap();
    assert!(matches!(device.unseal(b"", &sealed), Err(KeyError::OtherState(_))));
    // The kind of bond follows version and identity: a version byte, the kind of device, 16 bytes. Bound to PCRs is 1, to the device 0;
    // the register's value follows the selection.
    assert_eq!(sealed[18], 1);
    let now = device.pcrs(PcrSelection::new(&[16]).unwrap()).unwrap();
    let zeros = sealed.windows(32).position(|window| window == [0; 32]).unwrap();
    let mut forged = sealed.clone();
    forged[zeros..zeros + 32].copy_from_slice(now.iter().next().unwrap().1);
    // The note now says that nothing changed. The device knows better.
    let outcome = device.unseal(b"", &forged);
    assert!(matches!(outcome, Err(KeyError::Unsealable)), "{outcome:?}");
    let mut forged = sealed.clone();
    forged.drain(18..zeros + 32);
    forged.insert(18, 0);
    let outcome = device.unseal(b"", &forged);
    assert!(matches!(outcome, Err(KeyError::Unsealable)), "{outcome:?}");
}
