//! Verification of an export: one pass, memory of O(log n) hashes, one line and a bounded list of findings.

use super::read::{Item, Lines};
use super::report::{Finding, KeySource, Problem, Report};
use super::{EntryLine, FORMAT, FORMAT_VERSION, Header, Line, MAX_KEYS};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::hash::{Hash, leaf_hash};
use crate::leaf::{Leaf, Opening};
use crate::note::{LogKey, NoteError, Scheme};
use crate::tree::Frontier;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{self, BufRead};
use std::ops::Range;

/// The most findings that are kept; the rest is counted.
const MAX_FINDINGS: usize = 200;

const CUT: &str = "it is cut off: the last line does not end with a newline";

/// What the person who verifies knows beforehand.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The log's public keys, from a trusted place. Where there are keys of both schemes, every checkpoint must be signed by one of
    /// each. Without any, the export's own are used.
    pub keys: Vec<LogKey>,
    /// A checkpoint of this log kept from an earlier export, as a signed note.
    pub kept: Option<String>,
}

/// Why the input cannot be verified at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// The input cannot be read.
    #[error("the export cannot be read")]
    Read(#[from] io::Error),
    /// The first line is not the header of an export.
    #[error("line 1: this is not a Redan audit export: {0}")]
    Header(String),
    /// The header has a version that this program does not know.
    #[error("line 1: the export has format version {0}, this program reads version {FORMAT_VERSION}")]
    Version(u32),
    /// The header's keys, range or start do not fit together.
    #[error("line 1: the header is not usable: {0}")]
    HeaderValue(String),
    /// The kept checkpoint cannot be used.
    #[error("the checkpoint that you kept is refused")]
    Kept(#[source] CheckpointError),
    /// The kept checkpoint lies before the exported range.
    #[error(
        "the checkpoint that you kept has {size} entries, the export begins at entry {first}: export the log from entry 0"
    )]
    KeptBefore {
        /// The kept checkpoint's size.
        size: u64,
        /// The export's first entry.
        first: u64,
    },
}

/// Reads an export to its end and reports everything that is wrong.
///
/// # Errors
/// [`Unusable`] where there is nothing that could be verified: unreadable input, no header, a kept checkpoint that is none.
pub fn verify<R: BufRead>(input: R, options: &Options) -> Result<Report, Unusable> {
    let mut lines = Lines::new(input);
    let header = match lines.next()? {
        Item::Line(Line::Header(header)) => header,
        Item::Line(_) => {
            return Err(Unusable::Header(
                "it begins with another line than the header".to_owned(),
            ));
        }
        Item::Malformed(why) | Item::Garbled(_, why) => return Err(Unusable::Header(why)),
        Item::Cut => return Err(Unusable::Header(CUT.to_owned())),
        Item::Eof => return Err(Unusable::Header("it is empty".to_owned())),
    };
    let mut verifier = Verifier::new(&header, options)?;
    loop {
        match lines.next()? {
            Item::Eof => break,
            // What follows is missing, which is said at the end.
            Item::Cut => verifier.find(lines.number, Problem::Malformed(CUT.to_owned())),
            Item::Malformed(why) => verifier.unread(lines.number, why),
            Item::Garbled(..) if verifier.ended => {
                verifier.find(lines.number, Problem::Misplaced("a line after the end line"));
            }
            Item::Garbled(entry, why) => {
                let sequence = entry.sequence;
                verifier.find(lines.number, Problem::PlaintextUnread { sequence, why });
                verifier.entry(lines.number, &entry);
            }
            Item::Line(line) => match line {
                Line::Header(_) => verifier.find(lines.number, Problem::Misplaced("a second header")),
                _ if verifier.ended => verifier.find(lines.number, Problem::Misplaced("a line after the end line")),
                Line::Entry(entry) => verifier.entry(lines.number, &entry),
                Line::Checkpoint(note) => verifier.checkpoint(lines.number, note),
                Line::End(end) => {
                    verifier.ended = true;
                    if end.lines != lines.number - 1 {
                        let problem = Problem::Lines {
                            counted: end.lines,
                            found: lines.number - 1,
                        };
                        verifier.find(lines.number, problem);
                    }
                    verifier.digest_fits = end.sha256.0 == lines.digest_before();
                    verifier.end_line = lines.number;
                }
            },
        }
    }
    Ok(verifier.finish(header.end, lines.number))
}

/// An entry whose data and stated hash differ; the next checkpoint tells which of them is right.
struct Suspect {
    line: u64,
    sequence: u64,
    stated: Hash,
    computed: Hash,
}

struct Verifier {
    report: Report,
    keys: Vec<LogKey>,
    /// Checkpoint kept from before, until its size is reached.
    kept: Option<Checkpoint>,
    /// The sequence that the next entry should have.
    expected: u64,
    /// The sequence of the entry read last.
    previous: u64,
    /// Lines since the last entry that could not be read at all.
    unread: Vec<u64>,
    /// Missing so far, with the line where each was missed.
    gaps: Vec<(u64, Range<u64>)>,
    /// The trees of the stated hashes and of the data's hashes: the same, unless something is wrong.
    stated: Frontier,
    computed: Frontier,
    /// Whether the trees hold every entry so far: without one of them no later root can be compared.
    whole: bool,
    suspects: Vec<Suspect>,
    /// The size of the last checkpoint whose root was confirmed, or the export's first entry.
    attested: u64,
    counter: u64,
    ended: bool,
    end_line: u64,
    digest_fits: bool,
}

impl Verifier {
    fn new(header: &Header, options: &Options) -> Result<Self, Unusable> {
        if header.format != FORMAT {
            return Err(Unusable::Header(format!("its format is {:?}", header.format)));
        }
        if header.version != FORMAT_VERSION {
            return Err(Unusable::Version(header.version));
        }
        if header.keys.is_empty() || header.keys.len() > MAX_KEYS {
            return Err(Unusable::HeaderValue(format!("it has 1 to {MAX_KEYS} keys")));
        }
        if header.first > header.end {
            return Err(Unusable::HeaderValue(format!(
                "the range ends at {} before it begins at {}",
                header.end, header.first
            )));
        }
        let own = header
            .keys
            .iter()
            .map(|key| LogKey::parse(key))
            .collect::<Result<Vec<_>, _>>();
        let own = own.map_err(|error| Unusable::HeaderValue(error.to_string()))?;
        let start = Frontier::from_hashes(header.first, header.start.clone());
        let start = start.map_err(|error| Unusable::HeaderValue(format!("its start does not fit: {error}")))?;
        let (key_source, keys) = if options.keys.is_empty() {
            // Those of a device are as good as what they stand beside: only who has them from elsewhere can rely on them.
            let common = own.iter().filter(|key| key.scheme() == Scheme::Ed25519);
            (KeySource::Export, common.cloned().collect())
        } else {
            (KeySource::Pinned, options.keys.clone())
        };
        let mut verifier = Self {
            report: Report {
                origin: header.origin.clone(),
                key_source,
                first: header.first,
                entries: 0,
                shown: 0,
                checkpoints: 0,
                last: None,
                findings: Vec::new(),
                more: 0,
            },
            keys,
            kept: None,
            expected: header.first,
            previous: header.first,
            unread: Vec::new(),
            gaps: Vec::new(),
            computed: start.clone(),
            stated: start,
            whole: true,
            suspects: Vec::new(),
            attested: header.first,
            counter: 0,
            ended: false,
            end_line: 0,
            digest_fits: false,
        };
        for key in verifier.keys.clone() {
            if key.name() != header.origin {
                verifier.find(
                    1,
                    Problem::Origin {
                        expected: key.name().to_owned(),
                        found: header.origin.clone(),
                    },
                );
            } else if !own.contains(&key) {
                verifier.find(1, Problem::Keys(header.keys.join(", ")));
            }
        }
        if let Some(note) = &options.kept {
            let kept = verifier.open(note).map_err(Unusable::Kept)?;
            if kept.size < header.first {
                return Err(Unusable::KeptBefore {
                    size: kept.size,
                    first: header.first,
                });
            }
            verifier.kept = Some(kept);
        }
        verifier.compare_kept(1);
        Ok(verifier)
    }

    fn find(&mut self, line: u64, problem: Problem) {
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(Finding { line, problem });
        } else {
            self.report.more = self.report.more.saturating_add(1);
        }
    }

    fn unread(&mut self, line: u64, why: String) {
        if self.unread.len() < MAX_FINDINGS {
            self.unread.push(line);
        }
        self.find(line, Problem::Malformed(why));
    }

    /// Whether entries seem to be missing because their lines could not be read, which is said already: as many as there are such
    /// lines in their place. The finding then says which entry it is.
    fn is_unread(&mut self, missing: Range<u64>) -> bool {
        let unread = std::mem::take(&mut self.unread);
        if missing.is_empty() || u64::try_from(unread.len()) != Ok(missing.end.saturating_sub(missing.start)) {
            return false;
        }
        self.whole = false;
        for (line, sequence) in unread.into_iter().zip(missing) {
            let finding = self.report.findings.iter_mut().find(|finding| finding.line == line);
            if let Some(Finding { problem, .. }) = finding
                && let Problem::Malformed(why) = problem
            {
                let why = std::mem::take(why);
                *problem = Problem::Unread { sequence, why };
            }
        }
        true
    }

    /// Opens a note with the keys of each scheme.
    fn open(&self, note: &str) -> Result<Checkpoint, CheckpointError> {
        let schemes = [Scheme::Ed25519, Scheme::EcdsaP256];
        let given = schemes
            .into_iter()
            .filter(|scheme| self.keys.iter().any(|key| key.scheme() == *scheme));
        let mut opened = Err(CheckpointError::Note(NoteError::Shape("there is no key")));
        for scheme in given {
            opened = Ok(self.open_by(scheme, note)?);
        }
        opened
    }

    /// Opens a note with whichever key of a scheme signed it.
    fn open_by(&self, scheme: Scheme, note: &str) -> Result<Checkpoint, CheckpointError> {
        let mut error = CheckpointError::Note(NoteError::Shape("there is no key"));
        for key in self.keys.iter().filter(|key| key.scheme() == scheme) {
            match Checkpoint::open(note, key) {
                Ok(checkpoint) => return Ok(checkpoint),
                // With several keys, the interesting refusal is that of the key that did sign.
                Err(CheckpointError::Note(unsigned @ NoteError::Unsigned { .. })) => {
                    if matches!(error, CheckpointError::Note(NoteError::Shape(_))) {
                        error = unsigned.into();
                    }
                }
                Err(other) => error = other,
            }
        }
        Err(error)
    }

    fn entry(&mut self, line: u64, entry: &EntryLine) {
        self.report.entries = self.report.entries.saturating_add(1);
        let Ok(data) = STANDARD.decode(&entry.leaf) else {
            self.find(line, Problem::LeafBase64(entry.sequence));
            // What the hash claims still has its place in the tree, and the next root says whether the claim is right.
            return self.append(line, entry.sequence, entry.hash, entry.hash);
        };
        let computed = leaf_hash(&data);
        let leaf = match Leaf::parse(&data) {
            Ok(leaf) => leaf,
            Err(error) => {
                self.find(
                    line,
                    Problem::Leaf {
                        sequence: entry.sequence,
                        error,
                    },
                );
                return self.append(line, entry.sequence, entry.hash, computed);
            }
        };
        let header = leaf.header;
        let damaged = computed != entry.hash;
        // The leaf's own sequence is what was hashed and signed; the line's is only a label.
        let sequence = if damaged { entry.sequence } else { header.sequence };
        if damaged {
            if self.suspects.len() < MAX_FINDINGS {
                self.suspects.push(Suspect {
                    line,
                    sequence,
                    stated: entry.hash,
                    computed,
                });
            } else {
                self.report.more = self.report.more.saturating_add(1);
            }
        } else if entry.sequence != header.sequence {
            self.find(
                line,
                Problem::Sequence {
                    line: entry.sequence,
                    leaf: header.sequence,
                },
            );
        }
        self.append(line, sequence, entry.hash, computed);
        match (entry.opening, &entry.plaintext) {
            (None, None) => {}
            (Some(opening), Some(plaintext)) => match plaintext.to_bytes() {
                Ok(bytes) if header.opens(&Opening(opening.0), &bytes) => {
                    if plaintext.time == header.time {
                        self.report.shown = self.report.shown.saturating_add(1);
                    } else if !damaged {
                        self.find(
                            line,
                            Problem::Time {
                                sequence,
                                plaintext: plaintext.time,
                                leaf: header.time,
                            },
                        );
                    }
                }
                // Where the leaf itself was changed, that is said already, and the plaintext may be the right one.
                Ok(_) if damaged => {}
                _ => self.find(line, Problem::Plaintext(sequence)),
            },
            _ => self.find(line, Problem::HalfShown(sequence)),
        }
    }

    /// Puts an entry in its place of the order, and of the trees where nothing is missing before it.
    fn append(&mut self, line: u64, sequence: u64, stated: Hash, computed: Hash) {
        let after = self.previous;
        self.previous = sequence;
        if sequence < self.expected {
            let gap = self.gaps.iter().position(|(_, gap)| gap.contains(&sequence));
            let Some(at) = gap else {
                return self.find(line, Problem::Twice(sequence));
            };
            let (missed, gap) = self.gaps.swap_remove(at);
            let parts = [gap.start..sequence, sequence + 1..gap.end];
            self.gaps.extend(
                parts
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .map(|part| (missed, part)),
            );
            return self.find(line, Problem::Order { sequence, after });
        }
        let missing = self.expected..sequence;
        if !self.is_unread(missing.clone()) && !missing.is_empty() {
            self.miss(line, missing);
        }
        self.expected = sequence.saturating_add(1);
        if self.whole {
            self.stated.append(stated);
            self.computed.append(computed);
            self.compare_kept(line);
        }
    }

    fn miss(&mut self, line: u64, range: Range<u64>) {
        self.whole = false;
        if self.gaps.len() < MAX_FINDINGS {
            self.gaps.push((line, range));
        } else {
            self.report.more = self.report.more.saturating_add(1);
        }
    }

    fn compare_kept(&mut self, line: u64) {
        let found = self.computed.root();
        let Some(kept) = self.kept.take_if(|kept| kept.size == self.computed.size()) else {
            return;
        };
        self.counter = self.counter.max(kept.counter.unwrap_or(0));
        if kept.root != found {
            self.find(
                line,
                Problem::Rewritten {
                    size: kept.size,
                    kept: kept.root,
                    found,
                },
            );
        }
    }

    fn checkpoint(&mut self, line: u64, note: String) {
        let position = self.expected;
        let checkpoint = match self.open(&note) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return self.find(line, Problem::Checkpoint { position, error }),
        };
        let Checkpoint {
            size,
            counter,
            root: signed,
            ..
        } = checkpoint;
        if let Some(counter) = counter.filter(|counter| *counter < self.counter) {
            self.find(
                line,
                Problem::Counter {
                    size,
                    counter,
                    before: self.counter,
                },
            );
        }
        self.counter = self.counter.max(counter.unwrap_or(0));
        if size < position {
            return self.find(line, Problem::CheckpointPlace { size, position });
        }
        if size > position {
            // The signature is good, so these entries existed.
            self.whole = false;
            self.expected = size;
            if self.is_unread(position..size) {
                return self.settle(None);
            }
            return self.find(
                line,
                Problem::CutOff {
                    attests: "the checkpoint",
                    size,
                    from: position,
                },
            );
        }
        if !self.whole {
            return self.settle(None);
        }
        let (stated, found) = (self.stated.root(), self.computed.root());
        if stated != signed && found != signed {
            self.settle(None);
            self.whole = false;
            return self.find(
                line,
                Problem::Root {
                    from: self.attested,
                    size,
                    signed,
                    found,
                },
            );
        }
        self.settle(Some(stated == signed));
        self.report.checkpoints = self.report.checkpoints.saturating_add(1);
        self.report.last = Some((checkpoint, note));
        self.attested = size;
        // From a confirmed root on, both trees go on from what was signed.
        if stated == signed {
            self.computed = self.stated.clone();
        } else {
            self.stated = self.computed.clone();
        }
    }

    /// Says about the entries whose data and hash differ what a checkpoint showed: whether it confirmed the stated hashes.
    fn settle(&mut self, confirmed: Option<bool>) {
        for Suspect {
            line,
            sequence,
            stated,
            computed,
        } in std::mem::take(&mut self.suspects)
        {
            self.find(
                line,
                match confirmed {
                    Some(true) => Problem::DataChanged {
                        sequence,
                        stated,
                        computed,
                    },
                    Some(false) => Problem::HashChanged {
                        sequence,
                        stated,
                        computed,
                    },
                    None => Problem::HashDiffers {
                        sequence,
                        stated,
                        computed,
                    },
                },
            );
        }
    }

    fn finish(mut self, announced: u64, last_line: u64) -> Report {
        self.settle(None);
        let past = last_line.saturating_add(1);
        for (line, gap) in std::mem::take(&mut self.gaps) {
            self.find(
                line,
                Problem::Missing {
                    from: gap.start,
                    to: gap.end - 1,
                },
            );
        }
        let place = if self.ended { self.end_line } else { past };
        // The line that could not be read may have been the end, or the last checkpoint.
        let blind = !self.unread.is_empty();
        if self.is_unread(self.expected..announced) {
            self.expected = announced;
        }
        if !self.ended && !blind {
            self.find(past, Problem::NoEnd);
        }
        let found = self.expected;
        if announced > found {
            self.find(
                place,
                Problem::CutOff {
                    attests: "the header",
                    size: announced,
                    from: found,
                },
            );
        }
        // Where the rest is complete in itself, it may as well be the header that was changed.
        if announced < found || (announced > found && self.ended && self.attested == found) {
            self.find(1, Problem::Range { announced, found });
        }
        if let Some(kept) = self.kept.take().filter(|kept| kept.size > found) {
            self.find(
                place,
                Problem::CutOff {
                    attests: "the checkpoint that you kept",
                    size: kept.size,
                    from: found,
                },
            );
        }
        match &self.report.last {
            // Where a checkpoint was refused or entries are missing, that is said already.
            None if self.report.is_good() => self.find(place, Problem::NoCheckpoint),
            Some(_) if self.attested < found && self.whole && !blind => {
                self.find(
                    place,
                    Problem::Unattested {
                        from: self.attested,
                        to: found - 1,
                    },
                );
            }
            _ => {}
        }
        // Where something more exact is known already, the digest adds nothing.
        if self.ended && !self.digest_fits && self.report.is_good() {
            self.find(self.end_line, Problem::Digest);
        }
        self.report.findings.sort_by_key(|finding| finding.line);
        self.report
    }
}
