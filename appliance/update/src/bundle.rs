//! The update bundle, `redan-<version>.update`. No I/O: the writer makes bytes, the reader takes them in portions of any size.
//!
//! ```text
//!   0  magic           8 bytes  "REDANUPD"
//!   8  format          u16      1                (all numbers little-endian)
//!  10  algorithm       u16      1 = Ed25519
//!  12  manifest size   u32      at most 4,096
//!  16  signature      64 bytes  over CONTEXT followed by the manifest
//!  80  manifest                 text, see below
//!      slot                     what the slot's partition holds from its first byte on: root file system, hash tree, signature
//!      kernel                   the signed unified kernel image, for EFI/Linux on the boot partition
//! ```
//!
//! The manifest is seven lines in this order, each ended by one line feed, and nothing else:
//!
//! ```text
//! redan-update 1
//! product redan-x86_64
//! version 1.4.0
//! security-version 3
//! root-hash <SHA-256 of the root of the hash tree, 64 hexadecimal digits>
//! slot <bytes> <SHA-256>
//! kernel <bytes> <SHA-256>
//! ```
//!
//! The signature is checked before the first byte of the manifest is looked at, the manifest before the first byte of a part is
//! given out, and a part is good only once [`Step::PartDone`] says so: what was written of it before must not be used. The kernel
//! image carries a signature for the firmware besides, and the slot one for the kernel: this one keeps a stranger's bytes off the
//! disk in the first place.

use ed25519_dalek::{Signature, SignatureError, VerifyingKey};
use sha2::{Digest as _, Sha256};
use std::fmt;

use crate::version::{Version, VersionError};

/// The first bytes.
pub const MAGIC: [u8; 8] = *b"REDANUPD";
/// What precedes the manifest where it is signed, so that the signature means nothing anywhere else.
pub const CONTEXT: &[u8] = b"redan update manifest 1\0";
/// Bytes before the manifest.
pub const HEAD: usize = 80;
/// The largest manifest, in bytes.
pub const MANIFEST: usize = 4096;
/// The largest slot, in bytes.
pub const SLOT: u64 = 1 << 30;
/// The largest kernel image, in bytes.
pub const KERNEL: u64 = 256 << 20;

const FORMAT: u16 = 1;
const ED25519: u16 = 1;
const FIRST_LINE: &str = "redan-update 1";

/// Why a bundle is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Another kind of file.
    #[error("this is no update bundle")]
    Magic,
    /// A format of the future.
    #[error("the bundle has format {0}, this version reads format {FORMAT}")]
    Format(u16),
    /// An unknown algorithm.
    #[error("the bundle is signed with algorithm {0}, this version knows 1 (Ed25519)")]
    Algorithm(u16),
    /// Not ours, or changed.
    #[error("the bundle's signature is not by the key that this appliance trusts")]
    Signature(#[source] SignatureError),
    /// A manifest that is too large.
    #[error("a manifest has at most {MANIFEST} bytes, not {0}")]
    ManifestSize(u32),
    /// A line of the manifest.
    #[error("line {line} of the manifest should be `{wanted}`")]
    Line {
        /// From 1.
        line: usize,
        /// Its form.
        wanted: &'static str,
    },
    /// The manifest's version.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// A part that is too large or empty.
    #[error("the {part} has {size} bytes; at least 1 and at most {limit} are possible")]
    PartSize {
        /// Which.
        part: Part,
        /// What the manifest says.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A part is not what the manifest says.
    #[error("the {0} is damaged: its SHA-256 is not the manifest's")]
    Damaged(Part),
    /// It ends too early.
    #[error("the bundle ends too early, in the {0}")]
    Short(&'static str),
    /// It goes on after the end.
    #[error("there are bytes after the end of the bundle")]
    Trailing,
}

/// A part of a bundle.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The signed unified kernel image.
    Kernel,
    /// The content of the slot's partition.
    Slot,
}

/// A SHA-256 value.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Digest(pub [u8; 32]);

/// The size and digest of a part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Extent {
    /// Bytes.
    pub size: u64,
    /// SHA-256 of them.
    pub digest: Digest,
}

/// What a bundle holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Manifest {
    /// For which kind of machine: `redan-x86_64`.
    pub product: String,
    /// The version.
    pub version: Version,
    /// Images with a lower one must not run any more once this one has.
    pub security_version: u32,
    /// The root of the hash tree.
    pub root_hash: Digest,
    /// The content of the slot.
    pub slot: Extent,
    /// The kernel image.
    pub kernel: Extent,
}

impl Manifest {
    /// Reads the text. It must be exactly what [`Self::encode`] writes.
    ///
    /// # Errors
    /// Says which line is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, BundleError> {
        let malformed = |line, wanted| BundleError::Line { line, wanted };
        let text = std::str::from_utf8(text).map_err(|_| malformed(1, FIRST_LINE))?;
        let mut lines = text.split('\n');
        let mut value = |line, key: &str, wanted| {
            lines
                .next()
                .and_then(|found| found.strip_prefix(key))
                .ok_or_else(|| malformed(line, wanted))
        };
        if !value(1, FIRST_LINE, FIRST_LINE)?.is_empty() {
            return Err(malformed(1, FIRST_LINE));
        }
        let product = value(2, "product ", "product <name>")?;
        if !is_product(product) {
            return Err(malformed(2, "product <name>"));
        }
        let version = Version::parse(value(3, "version ", "version <major>.<minor>.<patch>")?)?;
        let security = value(4, "security-version ", "security-version <number>")?;
        let security_version = number(security).and_then(|number| u32::try_from(number).ok());
        let security_version = security_version.ok_or_else(|| malformed(4, "security-version <number>"))?;
        let root_hash = Digest::parse(value(5, "root-hash ", "root-hash <64 hexadecimal digits>")?);
        let root_hash = root_hash.ok_or_else(|| malformed(5, "root-hash <64 hexadecimal digits>"))?;
        let slot = Extent::parse(value(6, "slot ", "slot <bytes> <SHA-256>")?);
        let slot = slot.ok_or_else(|| malformed(6, "slot <bytes> <SHA-256>"))?;
        let kernel = Extent::parse(value(7, "kernel ", "kernel <bytes> <SHA-256>")?);
        let kernel = kernel.ok_or_else(|| malformed(7, "kernel <bytes> <SHA-256>"))?;
        if lines.next() != Some("") || lines.next().is_some() {
            return Err(malformed(8, "<end>"));
        }
        let manifest = Self {
            product: product.to_owned(),
            version,
            security_version,
            root_hash,
            slot,
            kernel,
        };
        manifest.check_sizes()?;
        Ok(manifest)
    }

    /// The text that is signed.
    #[must_use]
    pub fn encode(&self) -> String {
        format!(
            "{FIRST_LINE}\nproduct {}\nversion {}\nsecurity-version {}\nroot-hash {}\nslot {} {}\nkernel {} {}\n",
            self.product,
            self.version,
            self.security_version,
            self.root_hash,
            self.slot.size,
            self.slot.digest,
            self.kernel.size,
            self.kernel.digest
        )
    }

    /// Bytes of the whole bundle.
    #[must_use]
    pub fn total(&self) -> u64 {
        let head = u64::try_from(HEAD + self.encode().len()).unwrap_or(u64::MAX);
        head.saturating_add(self.slot.size).saturating_add(self.kernel.size)
    }

    const fn extent(&self, part: Part) -> Extent {
        match part {
            Part::Kernel => self.kernel,
            Part::Slot => self.slot,
        }
    }

    fn check_sizes(&self) -> Result<(), BundleError> {
        for (part, size, limit) in [
            (Part::Slot, self.slot.size, SLOT),
            (Part::Kernel, self.kernel.size, KERNEL),
        ] {
            if size == 0 || size > limit {
                return Err(BundleError::PartSize { part, size, limit });
            }
        }
        Ok(())
    }
}

/// Writes the beginning of a bundle; slot and kernel follow as they are. `sign` is given the bytes to sign and answers with an
/// Ed25519 signature (RFC 8032), wherever the key is.
///
/// # Errors
/// What `sign` says, or a manifest that [`Manifest::parse`] would refuse.
pub fn begin<E: From<BundleError>>(
    manifest: &Manifest,
    sign: impl FnOnce(&[u8]) -> Result<[u8; 64], E>,
) -> Result<Vec<u8>, E> {
    let text = manifest.encode();
    Manifest::parse(text.as_bytes())?;
    let size = u32::try_from(text.len()).unwrap_or(u32::MAX);
    if text.len() > MANIFEST {
        return Err(BundleError::ManifestSize(size).into());
    }
    let signature = sign(&[CONTEXT, text.as_bytes()].concat())?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend(ED25519.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(signature);
    bytes.extend(text.as_bytes());
    Ok(bytes)
}

/// What the reader found in the bytes that it was given.
#[derive(Debug, Eq, PartialEq)]
pub enum Step<'a> {
    /// The signature is good; the caller decides now whether it wants this.
    Manifest(Manifest),
    /// Bytes of a part; not to be trusted before its end.
    Data {
        /// Of which.
        part: Part,
        /// Where in the part.
        offset: u64,
        /// Bytes.
        bytes: &'a [u8],
    },
    /// The part is complete and as the manifest says.
    PartDone(Part),
    /// Nothing more in these bytes.
    More,
    /// The bundle is complete.
    End,
}

/// Reads a bundle.
#[derive(Debug)]
pub struct Reader {
    key: VerifyingKey,
    state: State,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a process has one reader")]
enum State {
    Begin(Vec<u8>),
    Part {
        manifest: Manifest,
        part: Part,
        done: u64,
        hash: Sha256,
    },
    End,
    /// After an error nothing is read any more.
    Failed,
}

impl Reader {
    /// A reader that trusts this key.
    #[must_use]
    pub const fn new(key: VerifyingKey) -> Self {
        Self {
            key,
            state: State::Begin(Vec::new()),
        }
    }

    /// Takes from `input` what makes the next step; to be called until it says [`Step::More`].
    ///
    /// # Errors
    /// The bundle is refused, and every later call is too.
    pub fn take<'a>(&mut self, input: &mut &'a [u8]) -> Result<Step<'a>, BundleError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Begin(mut seen) => {
                let wanted = loop {
                    let wanted = begin_size(&seen)?;
                    let missing = wanted.saturating_sub(seen.len());
                    if missing == 0 {
                        break wanted;
                    }
                    if input.is_empty() {
                        self.state = State::Begin(seen);
                        return Ok(Step::More);
                    }
                    seen.extend(cut(input, missing));
                };
                let manifest = self.verify(seen.get(..wanted).unwrap_or_default())?;
                self.state = State::part(manifest.clone(), Part::Slot);
                Ok(Step::Manifest(manifest))
            }
            State::Part {
                manifest,
                part,
                done,
                mut hash,
            } => {
                let extent = manifest.extent(part);
                let missing = extent.size.saturating_sub(done);
                if missing == 0 {
                    if hash.finalize().as_slice() != extent.digest.0 {
                        return Err(BundleError::Damaged(part));
                    }
                    self.state = match part {
                        Part::Slot => State::part(manifest, Part::Kernel),
                        Part::Kernel => State::End,
                    };
                    return Ok(Step::PartDone(part));
                }
                let bytes = cut(input, usize::try_from(missing).unwrap_or(usize::MAX));
                hash.update(bytes);
                self.state = State::Part {
                    manifest,
                    part,
                    done: done.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
                    hash,
                };
                if bytes.is_empty() {
                    return Ok(Step::More);
                }
                Ok(Step::Data {
                    part,
                    offset: done,
                    bytes,
                })
            }
            State::End => {
                if !input.is_empty() {
                    return Err(BundleError::Trailing);
                }
                self.state = State::End;
                Ok(Step::End)
            }
            State::Failed => Err(BundleError::Short("bundle, which was refused")),
        }
    }

    /// The input has ended.
    ///
    /// # Errors
    /// The bundle is not complete.
    pub const fn finish(&self) -> Result<(), BundleError> {
        match &self.state {
            State::End => Ok(()),
            State::Begin(_) => Err(BundleError::Short("manifest")),
            State::Part { part: Part::Slot, .. } => Err(BundleError::Short("slot")),
            State::Part { part: Part::Kernel, .. } => Err(BundleError::Short("kernel")),
            State::Failed => Err(BundleError::Short("bundle, which was refused")),
        }
    }

    fn verify(&self, begin: &[u8]) -> Result<Manifest, BundleError> {
        let signature = begin.get(16..HEAD).unwrap_or_default();
        let manifest = begin.get(HEAD..).unwrap_or_default();
        let signature = Signature::from_slice(signature).map_err(BundleError::Signature)?;
        let message = [CONTEXT, manifest].concat();
        self.key
            .verify_strict(&message, &signature)
            .map_err(BundleError::Signature)?;
        Manifest::parse(manifest)
    }
}

impl State {
    fn part(manifest: Manifest, part: Part) -> Self {
        Self::Part {
            manifest,
            part,
            done: 0,
            hash: Sha256::new(),
        }
    }
}

impl Digest {
    /// Reads 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 64 || !text.as_bytes().iter().all(lower) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl Extent {
    /// The extent of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            digest: Digest::of(bytes),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (size, digest) = text.split_once(' ')?;
        Some(Self {
            size: number(size)?,
            digest: Digest::parse(digest)?,
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Slot => "slot",
        })
    }
}

/// How many bytes the part before the slot has, as far as the bytes seen say: the head first, then with the manifest.
fn begin_size(seen: &[u8]) -> Result<usize, BundleError> {
    if !MAGIC.starts_with(seen.get(..MAGIC.len()).unwrap_or(seen)) {
        return Err(BundleError::Magic);
    }
    let Some([f0, f1, a0, a1, s0, s1, s2, s3]) = seen.get(8..16) else {
        return Ok(HEAD);
    };
    match u16::from_le_bytes([*f0, *f1]) {
        FORMAT => {}
        other => return Err(BundleError::Format(other)),
    }
    match u16::from_le_bytes([*a0, *a1]) {
        ED25519 => {}
        other => return Err(BundleError::Algorithm(other)),
    }
    let size = u32::from_le_bytes([*s0, *s1, *s2, *s3]);
    match usize::try_from(size) {
        Ok(bytes) if bytes <= MANIFEST => Ok(HEAD + bytes),
        _ => Err(BundleError::ManifestSize(size)),
    }
}

/// Takes at most so many bytes off the front.
fn cut<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    taken
}

/// A decimal number without sign or leading zeros.
fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    (canonical && digits).then(|| text.parse().ok()).flatten()
}

fn is_product(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::{BundleError, Digest, Extent, HEAD, Manifest, Part, Reader, Step, begin};
    use crate::version::Version;
    use ed25519_dalek::{Signer as _, SigningKey};
    use proptest::prelude::{ProptestConfig, any, prop};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn manifest(slot: &[u8], kernel: &[u8]) -> Manifest {
        Manifest {
            product: "redan-x86_64".to_owned(),
            version: Version::parse("1.4.0").unwrap(),
            security_version: 3,
            root_hash: Digest::of(b"tree"),
            slot: Extent::of(slot),
            kernel: Extent::of(kernel),
        }
    }

    fn bundle(slot: &[u8], kernel: &[u8]) -> Vec<u8> {
        let head: Result<_, BundleError> = begin(&manifest(slot, kernel), |bytes| Ok(key().sign(bytes).to_bytes()));
        [&head.unwrap(), slot, kernel].concat()
    }

    /// Reads in portions of this size; returns the parts.
    fn read(bytes: &[u8], portion: usize) -> Result<(Manifest, Vec<u8>, Vec<u8>), BundleError> {
        let mut reader = Reader::new(key().verifying_key());
        let (mut manifest, mut slot, mut kernel, mut done) = (None, Vec::new(), Vec::new(), Vec::new());
        for mut piece in bytes.chunks(portion) {
            loop {
                match reader.take(&mut piece)? {
                    Step::Manifest(found) => manifest = Some(found),
                    Step::Data {
                        part: Part::Slot,
                        offset,
                        bytes,
                    } => {
                        assert_eq!(offset, slot.len() as u64);
                        slot.extend(bytes);
                    }
                    Step::Data { bytes, .. } => kernel.extend(bytes),
                    Step::PartDone(part) => done.push(part),
                    Step::More | Step::End => break,
                }
            }
        }
        reader.finish()?;
        assert_eq!(done, [Part::Slot, Part::Kernel]);
        Ok((manifest.unwrap(), slot, kernel))
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written_and_no_other_way() {
        let manifest = manifest(b"root", b"kernel");
        let text = manifest.encode();
        assert_eq!(Manifest::parse(text.as_bytes()).unwrap(), manifest);
        for wrong in [
            text.replace("redan-update 1", "redan-update 2"),
            text.replace("version 1.4.0", "version 01.4.0"),
            text.replace("security-version 3", "security-version +3"),
            text.replace("slot 4 ", "slot 0 "),
            text.replace("kernel 6 ", "kernel 268435457 "),
            text.replace('\n', "\r\n"),
            text.trim_end().to_owned(),
            format!("{text}\n"),
            format!("{text}more\n"),
            text.to_uppercase(),
        ] {
            assert!(Manifest::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused() {
        let good = bundle(b"root file system", b"kernel");
        read(&good, 7).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(read(&bad, good.len()).is_err(), "byte {at}");
        }
    }

    #[test]
    fn nothing_of_a_part_is_given_out_before_the_signature_is_good() {
        let mut bad = bundle(b"root", b"kernel");
        bad[HEAD + 20] ^= 1;
        let mut reader = Reader::new(key().verifying_key());
        let mut input = bad.as_slice();
        assert!(matches!(reader.take(&mut input), Err(BundleError::Signature(_))));
        assert!(reader.take(&mut input).is_err(), "and it stays refused");
    }

    #[test]
    fn a_bundle_that_ends_early_or_late_is_refused() {
        let good = bundle(b"root", b"kernel");
        for length in 0..good.len() {
            assert!(read(&good[..length], 16).is_err(), "{length} bytes");
        }
        let long = [good.as_slice(), b"x"].concat();
        assert!(matches!(read(&long, long.len()), Err(BundleError::Trailing)));
    }

    #[test]
    fn another_keys_signature_is_refused() {
        let stranger = SigningKey::from_bytes(&[8; 32]);
        let head: Result<_, BundleError> = begin(&manifest(b"a", b"b"), |bytes| Ok(stranger.sign(bytes).to_bytes()));
        let bytes = [&head.unwrap()[..], b"ab"].concat();
        assert!(matches!(read(&bytes, 64), Err(BundleError::Signature(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_bundle_is_read_whole_in_portions_of_any_size(
            slot in prop::collection::vec(any::<u8>(), 1..400),
            kernel in prop::collection::vec(any::<u8>(), 1..400),
            portion in 1_usize..500,
        ) {
            let (found, read_slot, read_kernel) = read(&bundle(&slot, &kernel), portion).unwrap();
            prop_assert_eq!(found, manifest(&slot, &kernel));
            prop_assert_eq!((read_slot, read_kernel), (slot, kernel));
        }

        #[test]
        fn bytes_of_any_kind_are_refused_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300), keep in 0_usize..100
        ) {
            let mut text = bundle(b"root", b"kernel");
            text.truncate(keep);
            text.extend(bytes);
            prop_assert!(read(&text, 50).is_err() || text == bundle(b"root", b"kernel"));
        }
    }
}
