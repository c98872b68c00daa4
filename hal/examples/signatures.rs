//! Signatures a second by key device: `signatures [SECONDS]`, for `tests/bench/signatures`.
//!
//! One caller that waits for each signature, on a message of 130 bytes (a CertificateVerify input has that length). The TPM and the HSM
//! are the software ones of the tests: what is measured is the driver and its way to the device, not a piece of hardware. Prints
//! `signatures DEVICE ALGORITHM NUMBER` a second.
#![allow(clippy::unwrap_used, reason = "a measuring program stops at the first mistake")]

#[path = "../tests/support/mod.rs"]
mod support;

use redan_hal::keys::KeyDevice;
use redan_hal::keys::software::SoftwareDevice;
use std::time::{Duration, Instant};
use support::softhsm::SoftHsm;
use support::swtpm::Swtpm;

const MESSAGE: [u8; 130] = [0x20; 130];

fn main() {
    let seconds = std::env::args().nth(1).map_or(2.0, |text| text.parse().unwrap());
    let time = Duration::from_secs_f64(seconds);
    let folder = tempfile::tempdir().unwrap();
    measure("software", &SoftwareDevice::open(folder.path()).unwrap(), time);
    if let Some(tpm) = Swtpm::start() {
        measure("tpm2", &tpm.open(), time);
    }
    if let Some(hsm) = SoftHsm::start() {
        measure("pkcs11", &hsm.open(), time);
    }
}

fn measure(name: &str, device: &dyn KeyDevice, time: Duration) {
    for algorithm in device.capabilities().algorithms() {
        if algorithm.scheme().is_none() {
            continue;
        }
        let key = device.generate(algorithm).unwrap();
        device.sign(key, &MESSAGE).unwrap();
        let start = Instant::now();
        let mut made = 0_u32;
        while start.elapsed() < time {
            device.sign(key, &MESSAGE).unwrap();
            made += 1;
        }
        let rate = f64::from(made) / start.elapsed().as_secs_f64();
        println!("signatures {name} {algorithm} {rate:.0}");
        device.destroy(key).unwrap();
    }
}
