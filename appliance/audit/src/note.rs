//! Signed notes (C2SP `signed-note`) with Ed25519 and ECDSA P-256: a text, an empty line, and signature lines.
//!
//! A signature line is an em dash (U+2014), a space, the key's name, a space, and the base64 of the key's 4-byte id and the
//! signature. Lines of keys that the reader does not know are passed over, as the specification asks: a later log may add its TPM's
//! signature or a witness's, and today's verifier still reads it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{DerSignature, VerifyingKey as P256Key};
use sha2::{Digest, Sha256};
use std::fmt;

/// The largest note that is read, in bytes.
pub const MAX_NOTE: usize = 16 * 1024;
/// The most signature lines that are read.
pub const MAX_SIGNATURES: usize = 16;
/// The longest key name, in bytes.
pub const MAX_NAME: usize = 255;

/// The signature type of Ed25519 in key ids and vkeys.
const ED25519: u8 = 0x01;
/// The signature type of ECDSA in vkeys. Its key id is made of the `SubjectPublicKeyInfo` alone.
const ECDSA: u8 = 0x02;
/// A P-256 key's `SubjectPublicKeyInfo` (RFC 5480 section 2) up to the uncompressed point.
const SPKI_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const SIGNATURE_MARK: &str = "\u{2014} ";

/// Why a note or a key is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// The key's text is not `name+id+base64` with an Ed25519 key whose id fits.
    #[error("{0:?} is not a verifier key: {1}")]
    Key(String, &'static str),
    /// The text to sign is empty, holds control characters, or does not end with a newline.
    #[error("the text of a note is lines without control characters, the last one ended")]
    Text,
    /// The note does not have the shape of one.
    #[error("this is not a signed note: {0}")]
    Shape(&'static str),
    /// No signature line belongs to the key.
    #[error("the note is not signed by {name} (key id {id:08x}); it has signatures by {found}")]
    Unsigned {
        /// The key's name.
        name: String,
        /// The key's id.
        id: u32,
        /// The names and ids of the keys that signed.
        found: String,
    },
    /// The key's signature line does not fit the text.
    #[error("the signature of {name} (key id {id:08x}) does not fit the text")]
    Signature {
        /// The key's name.
        name: String,
        /// The key's id.
        id: u32,
    },
}

/// A log's public key: its name and an Ed25519 or ECDSA P-256 key. Prints as a vkey, `name+id+base64`.
#[derive(Clone, Eq, PartialEq)]
pub struct LogKey {
    name: String,
    key: Public,
}

#[derive(Clone, Eq, PartialEq)]
enum Public {
    Ed25519(VerifyingKey),
    P256(P256Key),
}

/// What a key signs with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// Ed25519, which every reader of signed notes knows.
    Ed25519,
    /// ECDSA P-256 with SHA-256, which TPMs and HSMs make inside.
    EcdsaP256,
}

impl LogKey {
    /// The key `public` of the log called `name`.
    ///
    /// # Errors
    /// A name is 1 to 255 characters without spaces, `+` and control characters; the key must be a point of large order.
    pub fn new(name: &str, public: &[u8; 32]) -> Result<Self, NoteError> {
        let wrong = |why| NoteError::Key(name.to_owned(), why);
        let key = VerifyingKey::from_bytes(public).map_err(|_| wrong("the bytes are not an Ed25519 key"))?;
        if key.is_weak() {
            return Err(wrong("the key is of small order, anybody can sign for it"));
        }
        Self::named(name, Public::Ed25519(key))
    }

    /// The ECDSA P-256 key with this uncompressed point (65 bytes) of the log called `name`.
    ///
    /// # Errors
    /// As [`LogKey::new`]; the point must lie on the curve.
    pub fn p256(name: &str, point: &[u8]) -> Result<Self, NoteError> {
        let key = P256Key::from_sec1_bytes(point)
            .ok()
            .filter(|_| point.len() == 65)
            .ok_or_else(|| NoteError::Key(name.to_owned(), "the bytes are not an uncompressed point of P-256"))?;
        Self::named(name, Public::P256(key))
    }

    fn named(name: &str, key: Public) -> Result<Self, NoteError> {
        let wrong = |why| NoteError::Key(name.to_owned(), why);
        if name.is_empty()
            || name.len() > MAX_NAME
            || name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
        {
            return Err(wrong("a name has 1 to 255 bytes without spaces and '+'"));
        }
        Ok(Self {
            name: name.to_owned(),
            key,
        })
    }

    /// Reads a vkey.
    ///
    /// # Errors
    /// Says which part of the text is wrong.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let wrong = |why| NoteError::Key(text.chars().take(MAX_NAME).collect(), why);
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("it has the form name+id+key"));
        };
        let bytes = STANDARD.decode(key).map_err(|_| wrong("the key is not base64"))?;
        let parsed = match bytes.split_first() {
            Some((&ED25519, public)) => {
                let public = public.try_into().map_err(|_| wrong("an Ed25519 key has 32 bytes"))?;
                Self::new(name, public)?
            }
            Some((&ECDSA, spki)) => {
                let point = spki.strip_prefix(SPKI_HEAD);
                Self::p256(name, point.ok_or_else(|| wrong("only ECDSA keys of P-256 are known"))?)?
            }
            _ => return Err(wrong("only Ed25519 keys (type 1) and ECDSA keys (type 2) are known")),
        };
        if format!("{:08x}", parsed.id()) == id {
            Ok(parsed)
        } else {
            Err(wrong("the id is not that of the name and key"))
        }
    }

    /// The name, which is also the origin of the log's checkpoints.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs with.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        match self.key {
            Public::Ed25519(_) => Scheme::Ed25519,
            Public::P256(_) => Scheme::EcdsaP256,
        }
    }

    /// The key's id: the first 4 bytes of SHA-256, for Ed25519 of the name, a newline, the type 0x01 and the public key, for ECDSA of
    /// the `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn id(&self) -> u32 {
        let digest = match &self.key {
            Public::Ed25519(key) => Sha256::new()
                .chain_update(&self.name)
                .chain_update([b'\n', ED25519])
                .chain_update(key.as_bytes())
                .finalize(),
            Public::P256(key) => Sha256::digest(spki(key)),
        };
        digest.iter().take(4).fold(0, |id, byte| id << 8 | u32::from(*byte))
    }

    /// Makes a note of `text`; `sign` is given the text's bytes and returns the signature of exactly these: 64 bytes of Ed25519,
    /// or ECDSA in DER.
    ///
    /// # Errors
    /// [`SignError::Text`] where the text cannot stand in a note, [`SignError::Signer`] with what `sign` said.
    pub fn sign_note<E, S: AsRef<[u8]>>(
        &self,
        text: &str,
        sign: impl FnOnce(&[u8]) -> Result<S, E>,
    ) -> Result<String, SignError<E>> {
        if !is_note_text(text) {
            return Err(SignError::Text(NoteError::Text));
        }
        let signature = sign(text.as_bytes()).map_err(SignError::Signer)?;
        Ok(format!("{text}\n{}", self.line(signature.as_ref())))
    }

    /// Adds this key's signature to a note of others.
    ///
    /// # Errors
    /// [`SignError::Text`] where it is no note, [`SignError::Signer`] with what `sign` said.
    pub fn cosign<E, S: AsRef<[u8]>>(
        &self,
        note: &str,
        sign: impl FnOnce(&[u8]) -> Result<S, E>,
    ) -> Result<String, SignError<E>> {
        let (text, signatures) = parse_note(note).map_err(SignError::Text)?;
        if signatures.len() >= MAX_SIGNATURES {
            return Err(SignError::Text(NoteError::Shape("it has 16 signatures already")));
        }
        let signature = sign(text.as_bytes()).map_err(SignError::Signer)?;
        Ok(format!("{note}{}", self.line(signature.as_ref())))
    }

    fn line(&self, signature: &[u8]) -> String {
        let mut line = self.id().to_be_bytes().to_vec();
        line.extend_from_slice(signature);
        format!("{SIGNATURE_MARK}{} {}\n", self.name, STANDARD.encode(line))
    }

    /// Checks the note's signature by this key and returns the text, with its last newline.
    ///
    /// # Errors
    /// Says whether the note is no note, is signed by others only, or is signed wrongly.
    pub fn open_note<'note>(&self, note: &'note str) -> Result<&'note str, NoteError> {
        let (text, signatures) = parse_note(note)?;
        let (name, id) = (self.name.clone(), self.id());
        let mut ours = signatures
            .iter()
            .filter(|line| line.name == self.name && line.id == id)
            .peekable();
        if ours.peek().is_none() {
            let found: Vec<_> = signatures
                .iter()
                .map(|line| format!("{} ({:08x})", line.name, line.id))
                .collect();
            return Err(NoteError::Unsigned {
                name,
                id,
                found: found.join(", "),
            });
        }
        let good = |line: &SignatureLine<'_>| match &self.key {
            Public::Ed25519(key) => Signature::from_slice(&line.signature)
                .is_ok_and(|signature| key.verify_strict(text.as_bytes(), &signature).is_ok()),
            Public::P256(key) => DerSignature::from_bytes(&line.signature)
                .is_ok_and(|signature| key.verify(text.as_bytes(), &signature).is_ok()),
        };
        if ours.all(good) {
            Ok(text)
        } else {
            Err(NoteError::Signature { name, id })
        }
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = match &self.key {
            Public::Ed25519(key) => [&[ED25519], &key.as_bytes()[..]].concat(),
            Public::P256(key) => [&[ECDSA], &spki(key)[..]].concat(),
        };
        write!(f, "{}+{:08x}+{}", self.name, self.id(), STANDARD.encode(key))
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({self})")
    }
}

/// Why a note was not signed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignError<E> {
    /// The text cannot stand in a note.
    #[error(transparent)]
    Text(NoteError),
    /// The signer refused.
    #[error("the signer refused")]
    Signer(#[source] E),
}

fn spki(key: &P256Key) -> Vec<u8> {
    [SPKI_HEAD, key.to_sec1_point(false).as_bytes()].concat()
}

struct SignatureLine<'a> {
    name: &'a str,
    id: u32,
    signature: Vec<u8>,
}

fn is_note_text(text: &str) -> bool {
    text.ends_with('\n')
        && text.len() <= MAX_NOTE / 2
        && !text.contains("\n\n")
        && !text.chars().any(|c| c.is_control() && c != '\n')
}

fn parse_note(note: &str) -> Result<(&str, Vec<SignatureLine<'_>>), NoteError> {
    if note.len() > MAX_NOTE {
        return Err(NoteError::Shape("it is longer than 16 KiB"));
    }
    if note.chars().any(|c| c.is_control() && c != '\n') {
        return Err(NoteError::Shape("it holds control characters"));
    }
    let at = note
        .rfind("\n\n")
        .ok_or(NoteError::Shape("no empty line separates text and signatures"))?;
    let (text, lines) = note.split_at(at + 1);
    let lines = lines.strip_prefix('\n').unwrap_or(lines);
    let lines = lines
        .strip_suffix('\n')
        .ok_or(NoteError::Shape("the last line is not ended"))?;
    let signatures = lines.split('\n').map(signature_line).collect::<Result<Vec<_>, _>>()?;
    if signatures.len() > MAX_SIGNATURES {
        return Err(NoteError::Shape("it has more than 16 signatures"));
    }
    Ok((text, signatures))
}

fn signature_line(line: &str) -> Result<SignatureLine<'_>, NoteError> {
    let wrong = NoteError::Shape("a signature line is an em dash, a name, and the base64 of a key id and a signature");
    let parts = line.strip_prefix(SIGNATURE_MARK).and_then(|rest| rest.split_once(' '));
    let Some((name, encoded)) = parts else {
        return Err(wrong);
    };
    let Ok(bytes) = STANDARD.decode(encoded) else {
        return Err(wrong);
    };
    let Some((id, signature)) = bytes.split_first_chunk::<4>() else {
        return Err(wrong);
    };
    if name.is_empty() || name.contains('+') || name.contains(char::is_whitespace) || signature.is_empty() {
        return Err(wrong);
    }
    Ok(SignatureLine {
        name,
        id: u32::from_be_bytes(*id),
        signature: signature.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::{LogKey, NoteError};
    use p256::ecdsa::signature::Signer;
    use p256::ecdsa::{DerSignature, SigningKey};
    use std::convert::Infallible;

    /// The example of Go's `golang.org/x/mod/sumdb/note` documentation: somebody else's key and signature, which must open here.
    const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
         then you don't know what your problem is.\n\
         \n\
         \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_signed_by_another_implementation_opens() {
        let key = LogKey::parse(GO_KEY).unwrap();
        assert_eq!(key.to_string(), GO_KEY);
        assert!(key.open_note(GO_NOTE).unwrap().ends_with("problem is.\n"));
    }

    #[test]
    fn a_changed_text_is_refused() {
        let key = LogKey::parse(GO_KEY).unwrap();
        let changed = GO_NOTE.replace("answer", "answers");
        assert!(matches!(key.open_note(&changed), Err(NoteError::Signature { .. })));
    }

    #[test]
    fn a_signature_of_an_unknown_key_is_passed_over_but_does_not_count() {
        let key = LogKey::parse(GO_KEY).unwrap();
        let line = "\u{2014} witness AAAAAAAA\n";
        assert!(key.open_note(&format!("{GO_NOTE}{line}")).is_ok());
        let (text, _) = GO_NOTE.rsplit_once('\u{2014}').unwrap();
        let error = key.open_note(&format!("{text}{line}")).unwrap_err();
        assert!(
            matches!(&error, NoteError::Unsigned { found, .. } if found == "witness (00000000)"),
            "{error}"
        );
    }

    #[test]
    fn a_key_whose_id_does_not_fit_is_refused() {
        for bad in [
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumanm+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3",
            "",
        ] {
            assert!(LogKey::parse(bad).is_err(), "{bad}");
        }
    }

    fn p256() -> (SigningKey, LogKey) {
        let signing = SigningKey::from_slice(&[7; 32]).unwrap();
        let point = signing.verifying_key().to_sec1_point(false);
        (signing, LogKey::p256("log.example/audit", point.as_bytes()).unwrap())
    }

    #[test]
    fn a_note_carries_both_kinds_of_signatures() {
        let ed25519 = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let first = LogKey::new("log.example/audit", ed25519.verifying_key().as_bytes()).unwrap();
        let note = first
            .sign_note("text\n", |text| Ok::<_, Infallible>(ed25519.sign(text).to_bytes()))
            .unwrap();
        let (signing, second) = p256();
        let sign = |text: &[u8]| -> Result<DerSignature, Infallible> { Ok(signing.sign(text)) };
        let both = second
            .cosign(&note, |text| sign(text).map(|s| s.as_bytes().to_vec()))
            .unwrap();
        for key in [&first, &second] {
            assert_eq!(key.open_note(&both).unwrap(), "text\n");
            assert_eq!(LogKey::parse(&key.to_string()).unwrap(), *key);
        }
        assert!(matches!(second.open_note(&note), Err(NoteError::Unsigned { .. })));
        let changed = both.replace("text", "tent");
        assert!(matches!(second.open_note(&changed), Err(NoteError::Signature { .. })));
    }

    #[test]
    fn a_key_that_fits_every_signature_is_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(LogKey::new("weak", &identity).is_err());
    }
}
