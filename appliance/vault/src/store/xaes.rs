//! XAES-256-GCM (C2SP `XAES-256-GCM`): AES-256-GCM under a key derived for each 192-bit nonce, so that nonces can be random.
//!
//! The derivation is CMAC-based (NIST SP 800-108r1, counter mode) with fixed, block-sized inputs, which leaves three AES calls in
//! all: one to make the CMAC subkey, done once a key, and two for each nonce.

use aes_gcm::aead::AeadInOut;
use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use aes_gcm::{Aes256Gcm, KeyInit};
use zeroize::Zeroizing;

/// A key ready for use. The AES key schedule inside is wiped when dropped.
pub(crate) struct Xaes {
    cipher: Aes256,
    subkey: Zeroizing<[u8; BLOCK]>,
}

impl Xaes {
    /// Prepares a key.
    pub(crate) fn new(key: &[u8; KEY_LENGTH]) -> Self {
        let cipher = Aes256::new(&(*key).into());
        // The CMAC subkey K1 (NIST SP 800-38B section 6.1): E(0) doubled in GF(2^128).
        let mut block = [0; BLOCK].into();
        cipher.encrypt_block(&mut block);
        let doubled = u128::from_be_bytes(block.into());
        let reduce = if doubled >> 127 == 1 { 0x87 } else { 0 };
        Self {
            cipher,
            subkey: Zeroizing::new(((doubled << 1) ^ reduce).to_be_bytes()),
        }
    }

    /// Encrypts `buffer` in place and returns the tag; `None` for more than GCM takes (64 GiB).
    pub(crate) fn seal(
        &self,
        nonce: &[u8; NONCE_LENGTH],
        associated: &[u8],
        buffer: &mut [u8],
    ) -> Option<[u8; TAG_LENGTH]> {
        let (gcm, rest) = self.derive(nonce);
        gcm.encrypt_inout_detached(&rest.into(), associated, buffer.into())
            .ok()
            .map(Into::into)
    }

    /// Decrypts `buffer` in place; `None` where the tag does not fit, and then the buffer's content is of no use.
    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE_LENGTH],
        associated: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LENGTH],
    ) -> Option<()> {
        let (gcm, rest) = self.derive(nonce);
        gcm.decrypt_inout_detached(&rest.into(), associated, buffer.into(), &(*tag).into())
            .ok()
    }

    fn derive(&self, nonce: &[u8; NONCE_LENGTH]) -> (Aes256Gcm, [u8; BLOCK - 4]) {
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        for (half, counter) in key.chunks_exact_mut(BLOCK).zip(1_u8..) {
            let mut block = [0, counter, b'X', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            block[4..].copy_from_slice(&nonce[..12]);
            block
                .iter_mut()
                .zip(self.subkey.iter())
                .for_each(|(byte, sub)| *byte ^= sub);
            let mut block = block.into();
            self.cipher.encrypt_block(&mut block);
            half.copy_from_slice(&block);
        }
        let mut rest = [0; BLOCK - 4];
        rest.copy_from_slice(&nonce[12..]);
        (Aes256Gcm::new(&(*key).into()), rest)
    }
}

impl std::fmt::Debug for Xaes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Xaes(..)")
    }
}

/// Bytes of a key.
pub(crate) const KEY_LENGTH: usize = 32;
/// Bytes of a nonce.
pub(crate) const NONCE_LENGTH: usize = 24;
/// Bytes of a tag.
pub(crate) const TAG_LENGTH: usize = 16;
const BLOCK: usize = 16;

#[cfg(test)]
mod tests {
    use super::Xaes;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The two vectors of the specification, one for each value of the subkey's top bit.
    #[test]
    fn the_published_vectors_come_out() {
        let cases: [(u8, &[u8], &str); 2] = [
            (1, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
            (
                3,
                b"c2sp.org/XAES-256-GCM",
                "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
            ),
        ];
        for (byte, associated, expected) in cases {
            let key = Xaes::new(&[byte; 32]);
            let mut buffer = *b"XAES-256-GCM";
            let tag = key.seal(b"ABCDEFGHIJKLMNOPQRSTUVWX", associated, &mut buffer).unwrap();
            assert_eq!(hex(&[&buffer[..], &tag].concat()), expected);
            key.open(b"ABCDEFGHIJKLMNOPQRSTUVWX", associated, &mut buffer, &tag)
                .unwrap();
            assert_eq!(&buffer, b"XAES-256-GCM");
        }
    }

    #[test]
    fn anything_altered_does_not_open() {
        let key = Xaes::new(&[9; 32]);
        let mut sealed = *b"a record";
        let tag = key.seal(&[1; 24], b"tree", &mut sealed).unwrap();
        let opens = |key: &Xaes, nonce: [u8; 24], associated: &[u8], mut buffer: [u8; 8], tag: [u8; 16]| {
            key.open(&nonce, associated, &mut buffer, &tag).is_some()
        };
        assert!(opens(&key, [1; 24], b"tree", sealed, tag));
        assert!(!opens(&Xaes::new(&[8; 32]), [1; 24], b"tree", sealed, tag));
        assert!(!opens(&key, [2; 24], b"tree", sealed, tag));
        assert!(!opens(&key, [1; 24], b"trei", sealed, tag));
        let mut flipped = sealed;
        flipped[3] ^= 1;
        assert!(!opens(&key, [1; 24], b"tree", flipped, tag));
        let mut flipped = tag;
        flipped[15] ^= 0x80;
        assert!(!opens(&key, [1; 24], b"tree", sealed, flipped));
    }
}
