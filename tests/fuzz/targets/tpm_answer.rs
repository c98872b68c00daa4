//! A TPM's answers: taken apart without a panic, and what was taken is within what came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redan_hal::keys::tpm2::{Answer, parse_answer};
use redan_hal::keys::{Algorithm, Attestation, PcrSelection, PcrValues, PublicKey, sealed_by};

fuzz_target!(|data: &[u8]| {
    for with_handle in [false, true] {
        for authorizations in 0..3 {
            if let Some(Answer::Done(done)) = parse_answer(data, with_handle, authorizations) {
                assert_eq!(done.handle.is_some(), with_handle);
                assert_eq!(done.acknowledgements.len(), authorizations);
                assert!(done.parameters.len() <= data.len());
            }
        }
    }
    let _ = sealed_by(data);
    // Nobody can have signed what the fuzzer made.
    let signer = PublicKey { algorithm: Algorithm::EcdsaP256, raw: data.get(..65).unwrap_or_default().to_vec() };
    let attestation = Attestation {
        statement: data.to_vec(),
        signature: data.get(65..).unwrap_or_default().to_vec(),
        signer: signer.raw.clone(),
    };
    assert!(attestation.counter(&signer, &[0; 32]).is_err());
    let values = PcrValues::new(PcrSelection::default(), Vec::new()).expect("no value for no register");
    assert!(attestation.quote(&signer, &[], &values).is_err());
});
