//! A worker's answers to the PKCS#11 driver: whatever they say, the driver neither panics nor goes on without end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redan_hal::keys::pkcs11::{Patience, Pkcs11Device, Wire};
use redan_hal::keys::{Algorithm, KeyDevice, OaepHash};
use redan_ipc::messages::VaultPkcs11;
use redan_ipc::messages::pkcs11::{ObjectReference, Pkcs11Reply, Pkcs11Request, Token};
use redan_ipc::{Channel, serve};
use redan_types::{Operation, SecretBytes, SecretString};
use std::io;
use std::time::Duration;

#[derive(Debug)]
struct Fuzzed(Vec<u8>);

impl Wire for Fuzzed {
    fn connect(&self) -> io::Result<Channel> {
        let (ours, theirs) = Channel::pair().map_err(io::Error::other)?;
        let mut answers = self.0.clone();
        std::thread::spawn(move || {
            serve::<VaultPkcs11>(theirs, move |request, responder| {
                if let Pkcs11Request::Login { .. } = request {
                    let maker = ["", "", ""].map(str::to_owned);
                    let token = Token { maker, seal: ObjectReference([0; 16]), operations: Operation::all() };
                    return responder.reply(&Pkcs11Reply::Token(token));
                }
                // Each answer is the next part of the input that parses; without one there is none.
                match postcard::take_from_bytes::<Pkcs11Reply>(&answers) {
                    Ok((reply, rest)) => {
                        let rest = rest.to_vec();
                        responder.reply(&reply);
                        answers = rest;
                    }
                    Err(_) => drop(responder),
                }
            });
        });
        Ok(ours)
    }
}

fuzz_target!(|data: &[u8]| {
    let patience = Patience { answer: Duration::from_millis(500), making: Duration::from_millis(500) };
    let Ok(device) = Pkcs11Device::open(Box::new(Fuzzed(data.to_vec())), "", SecretString::new(String::new()), patience) else {
        return;
    };
    let _ = device.random(&mut [0; 9]);
    let _ = device.generate(Algorithm::EcdsaP256);
    let _ = device.generate(Algorithm::Rsa2048);
    for key in device.keys().unwrap_or_default() {
        let _ = device.sign(key, b"");
        let _ = device.decrypt(key, OaepHash::Sha1, &[0; 256]);
        let _ = device.wrap_key(key, b"", &SecretBytes::new(vec![0; 32]));
        let _ = device.destroy(key);
    }
});
