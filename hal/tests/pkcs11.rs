//! The PKCS#11 driver: a worker with a real module that dies, falls silent or is another's, and a worker that lies.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod support;

use redan_hal::keys::pkcs11::{Patience, Pkcs11Device, Spawn, Wire};
use redan_hal::keys::{Algorithm, KeyDevice, KeyError, Operation, PublicKey};
use redan_ipc::messages::VaultPkcs11;
use redan_ipc::messages::pkcs11::{
    ObjectReference, Pkcs11Refusal, Pkcs11Reply, Pkcs11Request, Token, TokenKey, TokenPublic,
};
use redan_ipc::{Channel, serve};
use redan_types::{SecretBytes, SecretString};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::softhsm::{LABEL, PATIENCE, PIN, SoftHsm};

/// The driver's way to a worker, shared with the test, which wants to know the worker's process.
#[derive(Clone, Debug)]
struct Shared(Arc<Spawn>);

impl Wire for Shared {
    fn connect(&self) -> io::Result<Channel> {
        self.0.connect()
    }
}

impl Shared {
    fn signal(&self, signal: Signal) {
        let process = i32::try_from(self.0.process().unwrap()).unwrap();
        kill_process(Pid::from_raw(process).unwrap(), signal).unwrap();
    }
}

fn pin() -> SecretString {
    SecretString::new(PIN.to_owned())
}

fn shared(hsm: &SoftHsm, patience: Patience) -> (Pkcs11Device, Shared) {
    let wire = Shared(Arc::new(hsm.spawn()));
    let device = Pkcs11Device::open(Box::new(wire.clone()), LABEL, pin(), patience).unwrap();
    (device, wire)
}

#[test]
fn a_killed_worker_is_told_and_replaced_and_nothing_is_lost() {
    let Some(hsm) = SoftHsm::start() else { return };
    let (device, wire) = shared(&hsm, PATIENCE);
    let key = device.generate(Algorithm::EcdsaP256).unwrap();
    let sealed = device.seal(b"", &SecretBytes::new(vec![7; 32])).unwrap();
    let first = wire.0.process();
    wire.signal(Signal::KILL);
    let outcome = device.sign(key, b"message");
    assert!(matches!(outcome, Err(KeyError::Gone { .. })), "{outcome:?}");
    let signature = device.sign(key, b"message").unwrap();
    assert_ne!(wire.0.process(), first);
    let public = device.public_key(key).unwrap();
    public
        .verify(Algorithm::EcdsaP256.scheme().unwrap(), b"message", &signature)
        .unwrap();
    assert_eq!(device.unseal(b"", &sealed).unwrap().expose(), [7; 32]);
    assert_eq!(device.keys().unwrap(), [key]);
}

#[test]
fn a_silent_worker_is_waited_for_no_longer_than_asked() {
    let Some(hsm) = SoftHsm::start() else { return };
    let patience = Patience {
        answer: Duration::from_millis(300),
        ..PATIENCE
    };
    let (device, wire) = shared(&hsm, patience);
    wire.signal(Signal::STOP);
    let start = Instant::now();
    let outcome = device.random(&mut [0; 8]);
    assert!(matches!(outcome, Err(KeyError::Silent { .. })), "{outcome:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
    wire.signal(Signal::CONT);
    let start = Instant::now();
    while device.random(&mut [0; 8]).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not recover");
    }
}

#[test]
fn keys_and_identity_are_the_token_s_and_not_the_driver_s() {
    let Some(hsm) = SoftHsm::start() else { return };
    let device = hsm.open();
    let identity = *device.identity();
    let mut keys = Algorithm::ALL
        .into_iter()
        .filter(|algorithm| !matches!(algorithm, Algorithm::Rsa3072 | Algorithm::Rsa4096))
        .map(|algorithm| device.generate(algorithm).unwrap())
        .collect::<Vec<_>>();
    keys.sort_unstable();
    drop(device);
    let device = hsm.open();
    assert_eq!((*device.identity(), device.keys().unwrap()), (identity, keys));
    assert!(device.identity().to_string().starts_with("PKCS#11 module "));
    let other = SoftHsm::start().unwrap().open();
    assert_ne!(*other.identity(), identity);
    let sealed = device.seal(b"", &SecretBytes::new(vec![1; 32])).unwrap();
    assert!(
        matches!(other.unseal(b"", &sealed), Err(KeyError::OtherDevice { sealed_by, .. }) if sealed_by == identity)
    );
}

#[test]
fn more_keys_than_a_page_are_all_listed() {
    let Some(hsm) = SoftHsm::start() else { return };
    let device = hsm.open();
    let mut made: Vec<_> = (0..70).map(|_| device.generate(Algorithm::Aes256).unwrap()).collect();
    made.sort_unstable();
    assert_eq!(device.keys().unwrap(), made);
}

#[test]
fn a_wrong_pin_and_a_wrong_token_are_told_apart() {
    let Some(hsm) = SoftHsm::start() else { return };
    let open = |label: &str, pin: &str| {
        let pin = SecretString::new(pin.to_owned());
        Pkcs11Device::open(Box::new(hsm.spawn()), label, pin, PATIENCE)
    };
    assert!(matches!(open(LABEL, "000000"), Err(KeyError::Pin { .. })));
    assert!(matches!(open("another", PIN), Err(KeyError::Gone { .. })));
    open(LABEL, PIN).unwrap();
}

#[test]
fn the_worker_cannot_reach_what_is_not_its_module_s() {
    let Some(hsm) = SoftHsm::start() else { return };
    use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
    let enforced = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create);
    if enforced.is_err() {
        eprintln!("skipped: this kernel enforces no Landlock rules");
        return;
    }
    // The same worker without the right to the token's folder: the module finds no token there.
    let outcome = Pkcs11Device::open(Box::new(hsm.spawn_without_tokens()), LABEL, pin(), PATIENCE);
    assert!(
        matches!(outcome, Err(KeyError::Gone { .. } | KeyError::Refused { .. })),
        "{outcome:?}"
    );
}

/// Whether these bytes lie in the memory that the process can write to; `None` where it may not be looked at.
fn holds(process: u32, bytes: &[u8]) -> Option<bool> {
    let memory = File::open(format!("/proc/{process}/mem")).ok()?;
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).ok()?;
    let mut seen = 0;
    for line in maps.lines() {
        let mut parts = line.split(' ');
        let (range, rights) = (parts.next()?, parts.next()?);
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        let mut region = vec![0; usize::try_from(to - from).ok()?];
        // Some regions are the kernel's and cannot be read.
        if memory.read_exact_at(&mut region, from).is_ok() {
            seen += region.len();
            if region.windows(bytes.len()).any(|window| window == bytes) {
                return Some(true);
            }
        }
    }
    assert!(seen > 100_000, "{seen} bytes of memory were looked at");
    Some(false)
}

#[test]
fn the_worker_keeps_no_pin_once_it_has_logged_in() {
    let Some(hsm) = SoftHsm::start() else { return };
    let (device, wire) = shared(&hsm, PATIENCE);
    device.random(&mut [0; 32]).unwrap();
    let process = wire.0.process().unwrap();
    let Some(found) = holds(process, PIN.as_bytes()) else {
        eprintln!("skipped: only root may look at the worker's memory");
        return;
    };
    assert!(!found, "the PIN is in the worker's memory");
    // The search finds what is there: the token's label is.
    assert_eq!(holds(process, LABEL.as_bytes()), Some(true));
}

/// A worker that answers as it is told to: what a broken or captured module's process could do.
struct Liar(fn(Pkcs11Request) -> Pkcs11Reply);

impl std::fmt::Debug for Liar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Liar")
    }
}

impl Wire for Liar {
    fn connect(&self) -> io::Result<Channel> {
        let (ours, theirs) = Channel::pair().map_err(io::Error::other)?;
        let answer = self.0;
        std::thread::spawn(move || {
            serve::<VaultPkcs11>(theirs, move |request, responder| responder.reply(&answer(request)));
        });
        Ok(ours)
    }
}

fn token() -> Pkcs11Reply {
    Pkcs11Reply::Token(Token {
        maker: ["maker", "model", "1"].map(str::to_owned),
        seal: ObjectReference([1; 16]),
        operations: Operation::all(),
    })
}

fn key(point: Vec<u8>) -> TokenKey {
    TokenKey {
        reference: ObjectReference([2; 16]),
        algorithm: Algorithm::EcdsaP256,
        public: TokenPublic::Point(point),
    }
}

fn lying(answer: fn(Pkcs11Request) -> Pkcs11Reply) -> Result<Pkcs11Device, KeyError> {
    Pkcs11Device::open(Box::new(Liar(answer)), "liar", pin(), PATIENCE)
}

#[test]
fn a_worker_that_lies_is_not_believed() {
    // A list of keys without an end.
    let outcome = lying(|request| match request {
        Pkcs11Request::Login { .. } => token(),
        _ => Pkcs11Reply::Keys(vec![key(vec![4; 65])]),
    });
    assert!(matches!(outcome, Err(KeyError::Protocol { .. })), "{outcome:?}");

    let device = lying(|request| match request {
        Pkcs11Request::Login { .. } => token(),
        Pkcs11Request::Keys { after: None } => Pkcs11Reply::Keys(vec![
            key(vec![4; 65]),
            TokenKey {
                reference: ObjectReference([3; 16]),
                // Not a point at all: the key is passed over.
                ..key(vec![4; 3])
            },
        ]),
        Pkcs11Request::Keys { .. } => Pkcs11Reply::Keys(Vec::new()),
        Pkcs11Request::Generate { .. } => Pkcs11Reply::Key(key(vec![4; 65])),
        Pkcs11Request::Sign { .. } => Pkcs11Reply::Bytes(vec![0; 63]),
        Pkcs11Request::Agree { .. } => Pkcs11Reply::Secret(SecretBytes::new(vec![0; 31])),
        Pkcs11Request::Random { .. } => Pkcs11Reply::Secret(SecretBytes::new(vec![0; 3])),
        Pkcs11Request::Verify { .. } => Pkcs11Reply::Bytes(Vec::new()),
        _ => Pkcs11Reply::Refused(Pkcs11Refusal::Token("no".to_owned())),
    })
    .unwrap();
    let keys = device.keys().unwrap();
    assert_eq!(keys.len(), 1);
    let broken =
        |outcome: Result<(), KeyError>| assert!(matches!(outcome, Err(KeyError::Protocol { .. })), "{outcome:?}");
    broken(device.random(&mut [0; 8]));
    // Another algorithm than was asked for.
    broken(device.generate(Algorithm::Aes256).map(drop));
    broken(device.sign(keys[0], b"message").map(drop));
    broken(device.verify(
        keys[0],
        Algorithm::EcdsaP256.scheme().unwrap(),
        b"",
        &[0x30, 6, 2, 1, 1, 2, 1, 1],
    ));
    let peer = aws_lc_rs::agreement::PrivateKey::generate(&aws_lc_rs::agreement::ECDH_P256).unwrap();
    let peer = PublicKey {
        algorithm: Algorithm::EcdsaP256,
        raw: peer.compute_public_key().unwrap().as_ref().to_vec(),
    };
    broken(device.agree(keys[0], &peer).map(drop));
    // It offers what no token has; the driver does not pass that on.
    for operation in [Operation::Count, Operation::SealToPcrs, Operation::Quote] {
        assert!(!device.capabilities().offers(operation));
    }
    assert!(matches!(device.counter(), Err(KeyError::Unsupported { .. })));
    assert!(matches!(
        device.seal(b"", &SecretBytes::new(vec![1])),
        Err(KeyError::Refused { .. })
    ));
}

#[test]
fn a_worker_that_becomes_another_token_is_refused() {
    use std::sync::atomic::{AtomicU8, Ordering};
    static LOGINS: AtomicU8 = AtomicU8::new(0);
    let device = lying(|request| match request {
        Pkcs11Request::Login { .. } => Pkcs11Reply::Token(Token {
            maker: ["maker", "model", "1"].map(str::to_owned),
            seal: ObjectReference([LOGINS.fetch_add(1, Ordering::Relaxed); 16]),
            operations: Operation::all(),
        }),
        Pkcs11Request::Keys { .. } => Pkcs11Reply::Keys(Vec::new()),
        _ => Pkcs11Reply::Refused(Pkcs11Refusal::TokenGone("CKR_DEVICE_REMOVED".to_owned())),
    })
    .unwrap();
    assert!(matches!(device.random(&mut [0; 8]), Err(KeyError::Gone { .. })));
    let outcome = device.random(&mut [0; 8]);
    assert!(matches!(outcome, Err(KeyError::OtherDevice { .. })), "{outcome:?}");
}
