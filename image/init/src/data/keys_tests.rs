//! Against a software TPM.

use super::super::header::Header;
use super::super::recovery::RecoveryKey;
use super::{
    Image, KeysError, Tpm, add_state, generate, public, seal, selection, unseal, unwrap_for, values, wrap_for,
};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use redan_hal::keys::KeyDevice;
use redan_image_layout::slot::{Approval, Phase, leaves, reference};
use redan_types::SecretBytes;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ID: [u8; 16] = [9; 16];

struct Swtpm {
    folder: TempDir,
    child: Child,
}

impl Swtpm {
    /// `None`, and a line that says so, where the program is not installed.
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        for name in ["state", "keys"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let at = |name: &str| folder.path().join(name).display().to_string();
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--tpmstate", &format!("dir={}", at("state"))])
            .args(["--server", &format!("type=unixio,path={}", at("socket"))])
            .args(["--ctrl", &format!("type=unixio,path={}", at("control"))])
            .args(["--flags", "not-need-init,startup-clear"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            eprintln!("skipped: swtpm is not installed");
            return None;
        };
        let end = Instant::now() + Duration::from_secs(20);
        while UnixStream::connect(folder.path().join("socket")).is_err() {
            assert!(Instant::now() < end, "swtpm does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(Self { folder, child })
    }

    fn open(&self) -> Tpm {
        Tpm::simulator(&self.folder.path().join("socket"), &self.folder.path().join("keys")).unwrap()
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Who makes images.
struct Maker(EcdsaKeyPair);

impl Maker {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    /// An image of this security version for which the maker approves this value of PCR 11.
    fn image(&self, security: u32, pcr: [u8; 32]) -> Image {
        let approvals = (0..=security).map(|lower| {
            let message = values(11, pcr).unwrap().approval_message(&reference(lower));
            Approval {
                phase: Phase::Start,
                security: lower,
                pcr,
                signature: self.0.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec(),
            }
        });
        Image {
            security,
            approver: self.0.public_key().as_ref().to_vec(),
            approvals: approvals.collect(),
        }
    }
}

/// A header as it is after the first start, the volume key, the recovery key and this machine's approving key.
fn set_up(tpm: &Tpm, image: &Image) -> (Header, SecretBytes, RecoveryKey, SecretBytes) {
    let (volume, recovery) = (generate().unwrap(), RecoveryKey::generate().unwrap());
    let (sealed, approver) = seal(tpm, image, &ID, &volume).unwrap();
    let header = Header {
        id: ID,
        sequence: 0,
        sealed: Some(sealed),
        recovery: wrap_for(&recovery, &ID, &volume).unwrap(),
    };
    (header, volume, recovery, approver)
}

fn pcr(tpm: &Tpm, register: u8) -> [u8; 32] {
    let values = tpm.0.pcrs(selection(register).unwrap()).unwrap();
    *values.iter().next().unwrap().1
}

#[test]
fn what_was_sealed_opens_while_the_machine_is_the_same_and_the_recovery_key_opens_it_always() {
    let (Some(swtpm), maker) = (Swtpm::start(), Maker::new()) else {
        return;
    };
    let tpm = swtpm.open();
    let image = maker.image(1, pcr(&tpm, 11));
    let (header, volume, recovery, _) = set_up(&tpm, &image);
    assert_eq!(unseal(&tpm, &image, &header).unwrap().expose(), volume.expose());
    assert_eq!(unwrap_for(&recovery, &header).unwrap().expose(), volume.expose());
    let other = RecoveryKey::generate().unwrap();
    assert!(matches!(unwrap_for(&other, &header), Err(KeysError::Recovery)));
}

#[test]
fn nothing_opens_after_the_first_program_has_left() {
    let (Some(swtpm), maker) = (Swtpm::start(), Maker::new()) else {
        return;
    };
    let tpm = swtpm.open();
    let start = pcr(&tpm, 11);
    let image = maker.image(1, start);
    let (header, ..) = set_up(&tpm, &image);
    tpm.leave().unwrap();
    assert!(matches!(unseal(&tpm, &image, &header), Err(KeysError::Image(_))));
    assert_eq!(pcr(&tpm, 11), redan_image_layout::sha256(&[&start, &leaves()]));
}

#[test]
fn an_image_that_its_maker_did_not_approve_opens_nothing() {
    let (Some(swtpm), maker) = (Swtpm::start(), Maker::new()) else {
        return;
    };
    let tpm = swtpm.open();
    let start = pcr(&tpm, 11);
    let (header, ..) = set_up(&tpm, &maker.image(1, start));
    // Another's approval of the same state, and the maker's approval of another state.
    let stranger = Maker::new().image(1, start);
    assert!(matches!(unseal(&tpm, &stranger, &header), Err(KeysError::Image(_))));
    let elsewhere = maker.image(1, [3; 32]);
    assert!(matches!(unseal(&tpm, &elsewhere, &header), Err(KeysError::Image(_))));
    // An update: other measurements, approved.
    tpm.0.extend(11, &[4; 32]).unwrap();
    let update = maker.image(1, pcr(&tpm, 11));
    assert!(unseal(&tpm, &update, &header).is_ok());
}

#[test]
fn an_image_of_a_lower_security_version_does_not_open_what_a_higher_one_sealed() {
    let (Some(swtpm), maker) = (Swtpm::start(), Maker::new()) else {
        return;
    };
    let tpm = swtpm.open();
    let start = pcr(&tpm, 11);
    let (header, ..) = set_up(&tpm, &maker.image(3, start));
    assert!(matches!(
        unseal(&tpm, &maker.image(2, start), &header),
        Err(KeysError::Older { sealed: 3, own: 2 })
    ));
    // Even if it did not look at the number: its approvals are for other references.
    let mut liar = maker.image(2, start);
    liar.security = 3;
    for approval in &mut liar.approvals {
        approval.security = 3;
    }
    assert!(matches!(unseal(&tpm, &liar, &header), Err(KeysError::Image(_))));
    assert!(unseal(&tpm, &maker.image(4, start), &header).is_ok());
}

#[test]
fn a_changed_state_of_the_firmware_keeps_it_closed_unless_this_machine_approved_it() {
    let (Some(swtpm), maker) = (Swtpm::start(), Maker::new()) else {
        return;
    };
    let tpm = swtpm.open();
    let image = maker.image(1, pcr(&tpm, 11));
    let (mut header, volume, recovery, approver) = set_up(&tpm, &image);
    tpm.0.extend(7, &[5; 32]).unwrap();
    let error = unseal(&tpm, &image, &header).unwrap_err();
    assert!(matches!(error, KeysError::Firmware(_)), "{error}");
    assert!(error.to_string().contains("PCR 7"), "{error}");
    // The recovery key opens it, and sealed anew it opens by itself.
    let again = unwrap_for(&recovery, &header).unwrap();
    let (sealed, _) = seal(&tpm, &image, &ID, &again).unwrap();
    let renewed = Header {
        sealed: Some(sealed),
        ..header.clone()
    };
    assert_eq!(unseal(&tpm, &image, &renewed).unwrap().expose(), volume.expose());
    // Or the state was approved before it came.
    add_state(header.sealed.as_mut().unwrap(), &ID, &approver, pcr(&tpm, 7)).unwrap();
    assert!(unseal(&tpm, &image, &header).is_ok());
}

#[test]
fn another_machines_tpm_does_not_open_it_and_says_so() {
    let (Some(one), Some(other), maker) = (Swtpm::start(), Swtpm::start(), Maker::new()) else {
        return;
    };
    let tpm = one.open();
    let image = maker.image(1, pcr(&tpm, 11));
    let (header, ..) = set_up(&tpm, &image);
    let error = unseal(&other.open(), &image, &header).unwrap_err();
    assert!(matches!(error, KeysError::OtherMachine(_)), "{error}");
    assert_eq!(public(&image.approver).raw, image.approver);
}
