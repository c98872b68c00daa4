//! One exercise for each operation. Each checks what the device did against the cryptographic library, never against the device.

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::digest::{SHA256, digest};
use redan_hal::keys::software::SoftwareKey;
use redan_hal::keys::{
    Algorithm, Binding, KeyDevice, KeyError, OaepHash, Operation, PcrApproval, PcrSelection, PcrValues, PublicKey,
    Scheme, SealPolicy, Unlock, sealed_by,
};
use redan_types::{KeyId, SecretBytes, SecretString};

/// Does the operation and checks it; the error is the device's own first one.
pub(crate) fn exercise(device: &dyn KeyDevice, operation: Operation) -> Result<(), KeyError> {
    match operation {
        Operation::Random => random(device),
        Operation::Generate(algorithm) => generate(device, algorithm),
        Operation::Import(algorithm) => import(device, algorithm),
        Operation::List => list(device),
        Operation::Destroy => destroy(device),
        Operation::Sign(scheme) => sign(device, scheme),
        Operation::Verify(scheme) => verify(device, scheme),
        Operation::Agree(algorithm) => agree(device, algorithm),
        Operation::Decrypt(hash) => decrypt(device, hash),
        Operation::EncryptData => encrypt_data(device),
        Operation::WrapKey => wrap_key(device),
        Operation::Seal => seal(device),
        Operation::SealToPin => seal_to_pin(device),
        Operation::SealToPcrs => seal_to_pcrs(device),
        Operation::SealToApproval => seal_to_approval(device),
        Operation::Count => count(device),
        Operation::CertifyCounter => certify_counter(device),
        Operation::Extend => extend(device),
        Operation::Quote => quote(device),
        other => panic!("no exercise for: {other}"),
    }
}

fn random(device: &dyn KeyDevice) -> Result<(), KeyError> {
    let (mut one, mut two) = ([0; 100], [0; 100]);
    device.random(&mut one)?;
    device.random(&mut two)?;
    assert_ne!(one, two);
    // A hundred random bytes have about 83 different values; a buffer half filled has far fewer.
    for bytes in [one, two] {
        let mut values = bytes.to_vec();
        values.sort_unstable();
        values.dedup();
        assert!(values.len() > 55, "{} different values", values.len());
    }
    device.random(&mut [])?;
    Ok(())
}

fn generate(device: &dyn KeyDevice, algorithm: Algorithm) -> Result<(), KeyError> {
    let mut keys = vec![device.generate(algorithm)?];
    // A long RSA key takes seconds; two short ones show as well that each is another.
    if !matches!(algorithm, Algorithm::Rsa3072 | Algorithm::Rsa4096) {
        keys.push(device.generate(algorithm)?);
        assert_ne!(keys[0], keys[1]);
    }
    for key in keys {
        assert_eq!(device.algorithm(key)?, algorithm);
        match algorithm {
            Algorithm::Aes256 => assert!(matches!(device.public_key(key), Err(KeyError::Unfit { .. }))),
            _ => {
                let public = device.public_key(key)?;
                assert_eq!((public.id(), public.algorithm), (key, algorithm));
            }
        }
        device.destroy(key)?;
    }
    Ok(())
}

fn import(device: &dyn KeyDevice, algorithm: Algorithm) -> Result<(), KeyError> {
    let made = SoftwareKey::generate(algorithm)?;
    let key = device.import(algorithm, &made)?;
    assert_eq!(device.import(algorithm, &made)?, key, "the same key is the same key");
    assert_eq!(device.keys()?.iter().filter(|listed| **listed == key).count(), 1);
    if algorithm == Algorithm::Aes256 {
        if device.capabilities().offers(Operation::EncryptData) {
            let sealed = device.encrypt_data(key, b"", b"data")?;
            assert_eq!(device.decrypt_data(key, b"", &sealed)?.expose(), b"data");
        } else {
            let wrapped = device.wrap_key(key, b"", &SecretBytes::new(vec![1; 32]))?;
            assert_eq!(device.unwrap_key(key, b"", &wrapped)?.expose(), [1; 32]);
        }
    } else {
        let software = SoftwareKey::parse(algorithm, &made)?;
        assert_eq!(
            (software.public(), software.public().id()),
            (&device.public_key(key)?, key)
        );
        let signature = device.sign(key, b"message")?;
        software
            .public()
            .verify(algorithm.scheme().unwrap(), b"message", &signature)?;
    }
    assert!(matches!(
        device.import(algorithm, &SecretBytes::new(vec![1; 31])),
        Err(KeyError::Malformed(found)) if found == algorithm
    ));
    device.destroy(key)
}

fn list(device: &dyn KeyDevice) -> Result<(), KeyError> {
    let before = device.keys()?;
    let key = device.generate(Algorithm::EcdsaP256)?;
    let after = device.keys()?;
    assert!(after.is_sorted() && after.contains(&key) && !before.contains(&key) && after.len() == before.len() + 1);
    device.destroy(key)?;
    assert_eq!(device.keys()?, before);
    Ok(())
}

fn destroy(device: &dyn KeyDevice) -> Result<(), KeyError> {
    let key = device.generate(Algorithm::EcdsaP256)?;
    device.sign(key, b"once")?;
    device.destroy(key)?;
    let gone = |outcome: Result<(), KeyError>| matches!(outcome, Err(KeyError::NoSuchKey(found)) if found == key);
    assert!(gone(device.sign(key, b"again").map(drop)));
    assert!(gone(device.public_key(key).map(drop)));
    assert!(gone(device.destroy(key)));
    assert!(matches!(device.destroy(KeyId([0; 16])), Err(KeyError::NoSuchKey(_))));
    Ok(())
}

fn sign(device: &dyn KeyDevice, scheme: Scheme) -> Result<(), KeyError> {
    for key in keys_for(device, scheme)? {
        let public = device.public_key(key)?;
        for message in [&b""[..], b"message", &[7; 5_000]] {
            let signature = device.sign_with(key, scheme, message)?;
            public.verify(scheme, message, &signature)?;
            assert!(public.verify(scheme, b"another", &signature).is_err());
        }
        for other in Scheme::ALL.into_iter().filter(|other| !other.fits(public.algorithm)) {
            assert!(matches!(
                device.sign_with(key, other, b"message"),
                Err(KeyError::Unfit { .. })
            ));
        }
        device.destroy(key)?;
    }
    Ok(())
}

fn verify(device: &dyn KeyDevice, scheme: Scheme) -> Result<(), KeyError> {
    for key in keys_for(device, scheme)? {
        let signature = device.sign_with(key, scheme, b"message")?;
        device.verify(key, scheme, b"message", &signature)?;
        let mut altered = signature.clone();
        *altered.last_mut().unwrap() ^= 1;
        for (message, signature) in [
            (&b"another"[..], &signature[..]),
            (b"message", &altered),
            (b"message", &signature[..signature.len() - 1]),
            (b"message", &[]),
        ] {
            let outcome = device.verify(key, scheme, message, signature);
            assert!(matches!(outcome, Err(KeyError::Signature)), "{outcome:?}");
        }
        device.destroy(key)?;
    }
    Ok(())
}

/// A key of each algorithm that the scheme is for and that the device makes.
fn keys_for(device: &dyn KeyDevice, scheme: Scheme) -> Result<Vec<KeyId>, KeyError> {
    let fitting: Vec<Algorithm> = Algorithm::ALL
        .into_iter()
        .filter(|algorithm| scheme.fits(*algorithm))
        .collect();
    let offered: Vec<Algorithm> = device
        .capabilities()
        .algorithms()
        .filter(|one| fitting.contains(one))
        .collect();
    // Where the device makes none of them, it says so itself. One size of RSA is enough here.
    let chosen = offered.first().unwrap_or(&fitting[0]);
    Ok(vec![device.generate(*chosen)?])
}

fn agree(device: &dyn KeyDevice, algorithm: Algorithm) -> Result<(), KeyError> {
    let key = device.generate(algorithm)?;
    let public = device.public_key(key)?;
    let curve = if algorithm == Algorithm::EcdsaP256 {
        &ECDH_P256
    } else {
        &ECDH_P384
    };
    let theirs = PrivateKey::generate(curve).unwrap();
    let peer = PublicKey {
        algorithm,
        raw: theirs.compute_public_key().unwrap().as_ref().to_vec(),
    };
    let ours = device.agree(key, &peer)?;
    let common = UnparsedPublicKey::new(curve, &public.raw);
    agreement::agree(&theirs, common, (), |common| {
        assert_eq!(common, ours.expose());
        Ok(())
    })
    .unwrap();
    let mut off_curve = peer.clone();
    off_curve.raw[40] ^= 1;
    let other = PublicKey {
        algorithm: Algorithm::Ed25519,
        raw: vec![1; 32],
    };
    let mut short = peer.clone();
    short.raw.pop();
    for wrong in [off_curve, other, short] {
        let outcome = device.agree(key, &wrong);
        assert!(matches!(outcome, Err(KeyError::Malformed(_))), "{outcome:?}");
    }
    device.destroy(key)
}

fn decrypt(device: &dyn KeyDevice, hash: OaepHash) -> Result<(), KeyError> {
    let key = device.generate(Algorithm::Rsa2048)?;
    let public = device.public_key(key)?;
    let secret = SecretBytes::new(b"a key for somebody".to_vec());
    let ciphertext = public.encrypt(hash, &secret)?;
    let outcome = device.decrypt(key, hash, &ciphertext);
    if let Ok(opened) = &outcome {
        assert_eq!(opened.expose(), secret.expose());
        let mut altered = ciphertext.clone();
        altered[100] ^= 1;
        for wrong in [&altered[..], &ciphertext[..255], &[]] {
            let outcome = device.decrypt(key, hash, wrong);
            assert!(matches!(outcome, Err(KeyError::Ciphertext)), "{outcome:?}");
        }
    }
    device.destroy(key)?;
    outcome.map(drop)
}

fn encrypt_data(device: &dyn KeyDevice) -> Result<(), KeyError> {
    // A device without AES keys says so here; one that has them for other purposes says so below.
    let (key, other) = (device.generate(Algorithm::Aes256)?, device.generate(Algorithm::Aes256)?);
    let outcome = device.encrypt_data(key, b"context", &[5; 1_000]);
    if let Ok(sealed) = &outcome {
        assert_eq!(sealed.len(), 12 + 1_000 + 16);
        assert_eq!(device.decrypt_data(key, b"context", sealed)?.expose(), [5; 1_000]);
        assert_ne!(
            &device.encrypt_data(key, b"context", &[5; 1_000])?,
            sealed,
            "the nonce is fresh"
        );
        let mut wrong = vec![
            device.decrypt_data(other, b"context", sealed),
            device.decrypt_data(key, b"other", sealed),
        ];
        for place in [0, 11, 12, 500, 1_027] {
            let mut altered = sealed.clone();
            altered[place] ^= 1;
            wrong.push(device.decrypt_data(key, b"context", &altered));
        }
        wrong.push(device.decrypt_data(key, b"context", &sealed[..20]));
        wrong.push(device.decrypt_data(key, b"context", &[]));
        for outcome in wrong {
            assert!(matches!(outcome, Err(KeyError::Ciphertext)), "{outcome:?}");
        }
        let empty = device.encrypt_data(key, b"", b"")?;
        assert_eq!(device.decrypt_data(key, b"", &empty)?.expose(), b"");
    }
    device.destroy(key)?;
    device.destroy(other)?;
    outcome.map(drop)
}

fn wrap_key(device: &dyn KeyDevice) -> Result<(), KeyError> {
    let (key, other) = (device.generate(Algorithm::Aes256)?, device.generate(Algorithm::Aes256)?);
    let data_key = SecretBytes::new((0..32).collect());
    let wrapped = device.wrap_key(key, b"context", &data_key)?;
    assert!(
        !wrapped
            .windows(8)
            .any(|window| data_key.expose().windows(8).any(|secret| secret == window))
    );
    assert_eq!(
        device.unwrap_key(key, b"context", &wrapped)?.expose(),
        data_key.expose()
    );
    let mut wrong = vec![
        device.unwrap_key(other, b"context", &wrapped),
        device.unwrap_key(key, b"other", &wrapped),
        device.unwrap_key(key, b"context", &wrapped[..wrapped.len() - 1]),
        device.unwrap_key(key, b"context", &[]),
    ];
    let mut altered = wrapped.clone();
    *altered.last_mut().unwrap() ^= 1;
    wrong.push(device.unwrap_key(key, b"context", &altered));
    for outcome in wrong {
        assert!(matches!(outcome, Err(KeyError::Ciphertext)), "{outcome:?}");
    }
    let long = SecretBytes::new(vec![0; device.capabilities().seal_limit + 1]);
    assert!(matches!(
        device.wrap_key(key, b"", &long),
        Err(KeyError::TooLong { .. })
    ));
    device.destroy(key)?;
    device.destroy(other)
}

fn seal(device: &dyn KeyDevice) -> Result<(), KeyError> {
    let limit = device.capabilities().seal_limit;
    for length in [1, 32, limit] {
        let secret = SecretBytes::new(vec![7; length]);
        let sealed = device.seal(b"store", &secret)?;
        assert_eq!(sealed_by(&sealed), Some(*device.identity()));
        assert_eq!(device.unseal(b"store", &sealed)?.expose(), secret.expose());
        assert!(matches!(device.unseal(b"backup", &sealed), Err(KeyError::Unsealable)));
        for place in (0..sealed.len()).step_by(17) {
            let mut altered = sealed.clone();
            altered[place] ^= 0x10;
            assert!(device.unseal(b"store", &altered).is_err(), "byte {place}");
        }
        assert!(device.unseal(b"store", &sealed[..sealed.len() - 1]).is_err());
    }
    let long = SecretBytes::new(vec![0; limit + 1]);
    assert!(matches!(device.seal(b"", &long), Err(KeyError::TooLong { .. })));
    assert!(matches!(device.unseal(b"", b""), Err(KeyError::Unsealable)));
    Ok(())
}

fn seal_to_pin(device: &dyn KeyDevice) -> Result<(), KeyError> {
    let (right, wrong) = (
        SecretString::new("2718".to_owned()),
        SecretString::new("3141".to_owned()),
    );
    let policy = SealPolicy {
        pin: Some(right.clone()),
        ..SealPolicy::default()
    };
    let sealed = device.seal_to(b"store", &SecretBytes::new(vec![7; 32]), &policy)?;
    let with = |pin| Unlock {
        pin: Some(pin),
        ..Unlock::default()
    };
    assert_eq!(device.unseal_with(b"store", &sealed, &with(&right))?.expose(), [7; 32]);
    let refused = device.unseal_with(b"store", &sealed, &with(&wrong));
    assert!(
        matches!(refused, Err(KeyError::Pin { attempts: Some(1..) })),
        "{refused:?}"
    );
    assert!(matches!(device.unseal(b"store", &sealed), Err(KeyError::Pin { .. })));
    assert_eq!(device.unseal_with(b"store", &sealed, &with(&right))?.expose(), [7; 32]);
    Ok(())
}

/// The registers that are for debugging and for applications: nothing on the machine depends on them.
fn spare() -> PcrSelection {
    PcrSelection::new(&[16, 23]).unwrap()
}

fn seal_to_pcrs(device: &dyn KeyDevice) -> Result<(), KeyError> {
    let policy = SealPolicy {
        binding: Binding::Pcrs(spare()),
        ..SealPolicy::default()
    };
    let secret = SecretBytes::new(vec![7; 32]);
    let sealed = device.seal_to(b"store", &secret, &policy)?;
    assert_eq!(device.unseal(b"store", &sealed)?.expose(), [7; 32]);
    assert!(matches!(device.unseal(b"other", &sealed), Err(KeyError::Unsealable)));
    device.extend(23, &[1; 32])?;
    let refused = device.unseal(b"store", &sealed);
    assert!(
        matches!(refused, Err(KeyError::OtherState(changed)) if changed == PcrSelection::new(&[23]).unwrap()),
        "{refused:?}"
    );
    assert!(refused.unwrap_err().to_string().contains("PCR 23"));
    let anew = device.seal_to(b"store", &secret, &policy)?;
    assert_eq!(device.unseal(b"store", &anew)?.expose(), [7; 32]);
    Ok(())
}

fn seal_to_approval(device: &dyn KeyDevice) -> Result<(), KeyError> {
    let signer =
        SoftwareKey::generate(Algorithm::EcdsaP256).and_then(|key| SoftwareKey::parse(Algorithm::EcdsaP256, &key))?;
    let forger =
        SoftwareKey::generate(Algorithm::EcdsaP256).and_then(|key| SoftwareKey::parse(Algorithm::EcdsaP256, &key))?;
    let policy = SealPolicy {
        binding: Binding::Approved {
            signer: signer.public().clone(),
            reference: b"stable".to_vec(),
        },
        ..SealPolicy::default()
    };
    let sealed = device.seal_to(b"store", &SecretBytes::new(vec![7; 32]), &policy)?;
    let approve = |key: &SoftwareKey, values: &PcrValues, reference: &[u8]| PcrApproval {
        signature: key.sign(&values.approval_message(reference)).unwrap(),
        values: values.clone(),
    };
    let with = |approvals: &[PcrApproval]| {
        let unlock = Unlock {
            approvals,
            ..Unlock::default()
        };
        device.unseal_with(b"store", &sealed, &unlock)
    };
    let before = device.pcrs(spare())?;
    let good = approve(&signer, &before, b"stable");
    assert_eq!(with(std::slice::from_ref(&good))?.expose(), [7; 32]);
    assert!(matches!(with(&[]), Err(KeyError::NotApproved { given: 0, .. })));
    for forged in [
        approve(&forger, &before, b"stable"),
        approve(&signer, &before, b"testing"),
    ] {
        assert!(matches!(with(&[forged]), Err(KeyError::ApprovalSignature)));
    }
    device.extend(16, &[2; 32])?;
    let refused = with(std::slice::from_ref(&good));
    assert!(
        matches!(refused, Err(KeyError::NotApproved { given: 1, differing }) if differing == PcrSelection::new(&[16]).unwrap()),
        "{refused:?}"
    );
    // The state that an update brings is approved without the device.
    let after = device.pcrs(spare())?;
    assert_eq!(with(&[good, approve(&signer, &after, b"stable")])?.expose(), [7; 32]);
    Ok(())
}

fn count(device: &dyn KeyDevice) -> Result<(), KeyError> {
    device.counter()?;
    let first = device.increment()?;
    assert_eq!(
        (device.counter()?, device.increment()?, device.counter()?),
        (first, first + 1, first + 1)
    );
    Ok(())
}

fn certify_counter(device: &dyn KeyDevice) -> Result<(), KeyError> {
    let certificate = device.certify_counter(&[9; 32])?;
    let signer = PublicKey {
        algorithm: Algorithm::EcdsaP256,
        raw: certificate.signer.clone(),
    };
    let certified = certificate.counter(&signer, &[9; 32])?;
    assert_eq!(certified.value, device.counter()?);
    assert!(matches!(
        certificate.counter(&signer, &[8; 32]),
        Err(KeyError::Certificate(_))
    ));
    let mut altered = certificate.clone();
    let last = altered.statement.len() - 1;
    altered.statement[last] ^= 1;
    assert!(matches!(
        altered.counter(&signer, &[9; 32]),
        Err(KeyError::Certificate(_))
    ));
    let next = device.increment()?;
    assert_eq!(
        device.certify_counter(&[9; 32])?.counter(&signer, &[9; 32])?.value,
        next
    );
    Ok(())
}

fn extend(device: &dyn KeyDevice) -> Result<(), KeyError> {
    let (one, measured) = (PcrSelection::new(&[16]).unwrap(), [3; 32]);
    device.extend(16, &measured)?;
    let before = device.pcrs(one)?;
    device.extend(16, &measured)?;
    let (_, old) = before.iter().next().unwrap();
    let expected = digest(&SHA256, &[&old[..], &measured].concat());
    assert_eq!(device.pcrs(one)?.iter().next().unwrap().1, expected.as_ref());
    Ok(())
}

fn quote(device: &dyn KeyDevice) -> Result<(), KeyError> {
    // More than the eight that a device reads at once.
    let many = PcrSelection::new(&(0..=16).collect::<Vec<_>>()).unwrap();
    let values = device.pcrs(many)?;
    let quoted = device.quote(many, b"nonce")?;
    let signer = PublicKey {
        algorithm: Algorithm::EcdsaP256,
        raw: quoted.signer.clone(),
    };
    quoted.quote(&signer, b"nonce", &values)?;
    assert!(matches!(
        quoted.quote(&signer, b"other", &values),
        Err(KeyError::Certificate(_))
    ));
    device.extend(16, &[4; 32])?;
    let now = device.pcrs(many)?;
    assert!(matches!(
        quoted.quote(&signer, b"nonce", &now),
        Err(KeyError::Certificate(_))
    ));
    device.quote(many, b"nonce")?.quote(&signer, b"nonce", &now)?;
    Ok(())
}
