//! What `verify` says about exports that were damaged, cut, rewritten or forged.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ed25519_dalek::{Signer, SigningKey};
use redan_audit::export::{ExportWriter, Finding, KeySource, Options, Problem, Report, Unusable, verify};
use redan_audit::{
    Actor, ActorKind, Checkpoint, Entry, Frontier, Hash, Leaf, LeafHeader, LogKey, Opening, Outcome, leaf_hash,
};
use std::convert::Infallible;

const ORIGIN: &str = "redan.example/audit";

struct Log {
    signing: SigningKey,
    key: LogKey,
    leaves: Vec<(Vec<u8>, Hash, Opening, Entry)>,
}

impl Log {
    fn new(seed: u8, entries: u64) -> Self {
        let signing = SigningKey::from_bytes(&[seed; 32]);
        let key = LogKey::new(ORIGIN, signing.verifying_key().as_bytes()).unwrap();
        let mut log = Self {
            signing,
            key,
            leaves: Vec::new(),
        };
        (0..entries).for_each(|sequence| log.append(sequence));
        log
    }

    fn append(&mut self, sequence: u64) {
        let actor = Actor {
            kind: ActorKind::User,
            name: format!("user{sequence}"),
        };
        let mut entry = Entry::new(1_000 + sequence, actor, "user.login", "console", Outcome::Success);
        entry.message = Some("hällo \"welt\"".into());
        let byte = u8::try_from(sequence).unwrap();
        let opening = Opening([byte ^ 0x55; 32]);
        let plaintext = entry.to_bytes().unwrap();
        let header = LeafHeader::commit(sequence, entry.time, [byte; 32], &opening, &plaintext);
        // Any bytes serve as ciphertext here: the verifier never decrypts.
        let data = Leaf {
            header,
            ciphertext: plaintext.iter().map(|b| b ^ 0xaa).collect(),
        }
        .to_bytes()
        .unwrap();
        self.leaves.push((data.clone(), leaf_hash(&data), opening, entry));
    }

    fn frontier(&self, size: u64) -> Frontier {
        let mut frontier = Frontier::new();
        self.leaves.iter().take(size.try_into().unwrap()).for_each(|leaf| {
            frontier.append(leaf.1);
        });
        frontier
    }

    fn note(&self, size: u64) -> String {
        self.note_with(ORIGIN, size, size)
    }

    fn note_with(&self, origin: &str, size: u64, counter: u64) -> String {
        let checkpoint = Checkpoint {
            origin: origin.into(),
            size,
            root: self.frontier(size).root(),
            counter: Some(counter),
        };
        checkpoint
            .sign::<Infallible, _>(&self.key, |text| Ok(self.signing.sign(text).to_bytes()))
            .unwrap()
    }

    /// Entries from `first`, a checkpoint after each size given, the last of which is the export's end.
    fn export(&self, first: u64, checkpoints: &[u64]) -> Vec<u8> {
        let end = *checkpoints.last().unwrap();
        let mut writer = ExportWriter::begin(Vec::new(), &self.key, &[], &self.frontier(first), end).unwrap();
        for sequence in first..=end {
            if checkpoints.contains(&sequence) {
                writer.checkpoint(&self.note(sequence)).unwrap();
            }
            if sequence < end {
                let (data, hash, opening, entry) = &self.leaves[usize::try_from(sequence).unwrap()];
                // Every third entry is one that the exporter may not read, or whose key was erased.
                let shown = (sequence % 3 != 2).then(|| (opening, entry.clone()));
                writer.entry(sequence, *hash, data, shown).unwrap();
            }
        }
        writer.finish().unwrap()
    }

    fn pinned(&self) -> Options {
        Options {
            keys: vec![self.key.clone()],
            kept: None,
        }
    }

    fn check(&self, export: &[u8]) -> Report {
        verify(export, &self.pinned()).unwrap()
    }
}

fn lines(export: &[u8]) -> Vec<String> {
    String::from_utf8(export.to_vec())
        .unwrap()
        .lines()
        .map(|line| format!("{line}\n"))
        .collect()
}

fn problems(report: &Report) -> Vec<String> {
    report.findings.iter().map(ToString::to_string).collect()
}

fn has(report: &Report, wanted: impl Fn(&Problem) -> bool) -> bool {
    report.findings.iter().any(|finding| wanted(&finding.problem))
}

#[test]
fn an_untouched_export_verifies() {
    let log = Log::new(1, 9);
    let report = log.check(&log.export(0, &[4, 9]));
    assert!(report.is_good(), "{:?}", problems(&report));
    assert_eq!((report.entries, report.shown, report.checkpoints), (9, 6, 2));
    assert_eq!(report.key_source, KeySource::Pinned);
    assert_eq!(report.last.unwrap().0.size, 9);
}

#[test]
fn an_export_of_an_empty_log_verifies() {
    let log = Log::new(1, 0);
    assert!(log.check(&log.export(0, &[0])).is_good());
}

#[test]
fn an_export_from_the_middle_verifies_for_every_range() {
    let log = Log::new(1, 13);
    for first in 0..=13 {
        for end in first..=13 {
            let report = log.check(&log.export(first, &[end]));
            assert!(report.is_good(), "{first}..{end}: {:?}", problems(&report));
        }
    }
}

#[test]
fn without_a_pinned_key_the_report_says_so() {
    let log = Log::new(1, 2);
    let report = verify(log.export(0, &[2]).as_slice(), &Options::default()).unwrap();
    assert!(report.is_good());
    assert_eq!(report.key_source, KeySource::Export);
}

#[test]
fn every_flipped_bit_is_found_on_its_line() {
    let log = Log::new(1, 4);
    let export = log.export(0, &[2, 4]);
    let mut line = 1;
    for at in 0..export.len() {
        for bit in 0..8 {
            let mut flipped = export.clone();
            flipped[at] ^= 1 << bit;
            match verify(flipped.as_slice(), &log.pinned()) {
                Err(Unusable::Header(_) | Unusable::HeaderValue(_) | Unusable::Version(_)) => {
                    assert_eq!(line, 1, "byte {at} bit {bit}");
                }
                Err(error) => panic!("byte {at} bit {bit}: {error}"),
                Ok(report) => {
                    let named = report.findings.iter().any(|finding| finding.line == line);
                    assert!(named, "byte {at} bit {bit} of line {line}: {:?}", problems(&report));
                }
            }
        }
        if export[at] == b'\n' {
            line += 1;
        }
    }
}

#[test]
fn a_flipped_bit_in_an_entrys_data_names_the_entry_and_says_that_the_data_was_changed() {
    let log = Log::new(1, 9);
    for entry in 0..9_usize {
        let mut changed = Log::new(1, 9);
        changed.leaves[entry].0[100] ^= 0x10;
        let mut report = log.check(&changed.export(0, &[4, 9]));
        assert_eq!(report.findings.len(), 1, "{:?}", problems(&report));
        let finding = report.findings.remove(0);
        let expected = u64::try_from(entry).unwrap();
        assert!(
            matches!(finding.problem, Problem::DataChanged { sequence, .. } if sequence == expected),
            "{finding}"
        );
        assert_eq!(finding.line, expected + 2 + u64::from(entry >= 4));
    }
}

#[test]
fn a_removed_entry_is_named() {
    let log = Log::new(1, 9);
    for entry in 0..9_usize {
        let mut lines = lines(&log.export(0, &[9]));
        lines.remove(entry + 1);
        let report = log.check(lines.concat().as_bytes());
        let expected = u64::try_from(entry).unwrap();
        let named = has(&report, |problem| match problem {
            Problem::Missing { from, to } => (*from, *to) == (expected, expected),
            Problem::CutOff { size, from, .. } => (*size, *from) == (9, expected),
            _ => false,
        });
        assert!(named, "{entry}: {:?}", problems(&report));
    }
}

#[test]
fn a_removed_entry_with_the_rest_renumbered_is_named() {
    let log = Log::new(1, 6);
    let mut lines = lines(&log.export(0, &[6]));
    lines.remove(3);
    for (line, sequence) in [(3, 3), (4, 4), (5, 5)] {
        let (old, new) = (
            format!("\"sequence\":{sequence}"),
            format!("\"sequence\":{}", sequence - 1),
        );
        lines[line] = lines[line].replace(&old, &new);
    }
    let report = log.check(lines.concat().as_bytes());
    assert!(
        has(&report, |p| *p == Problem::Missing { from: 2, to: 2 }),
        "{:?}",
        problems(&report)
    );
    assert!(
        has(&report, |p| *p == Problem::Sequence { line: 2, leaf: 3 }),
        "{:?}",
        problems(&report)
    );
}

#[test]
fn swapped_entries_are_named() {
    let log = Log::new(1, 9);
    let mut lines = lines(&log.export(0, &[9]));
    lines.swap(3, 6);
    let report = log.check(lines.concat().as_bytes());
    assert!(
        has(&report, |p| *p == Problem::Order { sequence: 2, after: 4 }),
        "{:?}",
        problems(&report)
    );
    assert!(
        has(&report, |p| matches!(p, Problem::Order { sequence: 3, .. })),
        "{:?}",
        problems(&report)
    );
    assert!(
        !has(&report, |p| matches!(p, Problem::Missing { .. })),
        "{:?}",
        problems(&report)
    );
}

#[test]
fn a_doubled_entry_is_named() {
    let log = Log::new(1, 4);
    let mut lines = lines(&log.export(0, &[4]));
    lines.insert(3, lines[2].clone());
    let report = log.check(lines.concat().as_bytes());
    assert!(has(&report, |p| *p == Problem::Twice(1)), "{:?}", problems(&report));
}

#[test]
fn a_cut_tail_is_named_wherever_it_is_cut() {
    let log = Log::new(1, 9);
    let export = log.export(0, &[4, 9]);
    let all = lines(&export);
    for keep in 1..all.len() {
        let report = log.check(all[..keep].concat().as_bytes());
        let past = u64::try_from(keep).unwrap() + 1;
        assert!(
            report.findings.contains(&Finding {
                line: past,
                problem: Problem::NoEnd
            }),
            "{:?}",
            problems(&report)
        );
        let entries = report.entries;
        let cut = has(
            &report,
            |p| matches!(p, Problem::CutOff { size: 9, from, .. } if *from == entries),
        );
        assert_eq!(cut, entries < 9, "{:?}", problems(&report));
    }
    let report = log.check(&export[..export.len() - 1]);
    assert!(has(&report, |p| *p == Problem::NoEnd), "{:?}", problems(&report));
}

#[test]
fn a_tail_cut_off_before_the_last_checkpoint_is_named() {
    let log = Log::new(1, 9);
    let mut lines = lines(&log.export(0, &[9]));
    lines.drain(7..10);
    let report = log.check(lines.concat().as_bytes());
    let cut = Problem::CutOff {
        attests: "the checkpoint",
        size: 9,
        from: 6,
    };
    assert!(has(&report, |p| *p == cut), "{:?}", problems(&report));
    assert!(
        problems(&report).concat().contains("entries 6 to 8 are missing"),
        "{:?}",
        problems(&report)
    );
}

#[test]
fn a_log_cut_back_to_an_old_checkpoint_shows_with_a_kept_one() {
    let log = Log::new(1, 9);
    let cut = log.export(0, &[6]);
    assert!(
        log.check(&cut).is_good(),
        "alone, the export is good: nothing in it is younger"
    );
    let options = Options {
        kept: Some(log.note(8)),
        ..log.pinned()
    };
    let report = verify(cut.as_slice(), &options).unwrap();
    let expected = Problem::CutOff {
        attests: "the checkpoint that you kept",
        size: 8,
        from: 6,
    };
    assert!(has(&report, |p| *p == expected), "{:?}", problems(&report));
}

#[test]
fn a_rewritten_and_signed_again_log_shows_with_a_kept_checkpoint() {
    let log = Log::new(1, 9);
    let kept = log.note(5);
    let mut rewritten = Log::new(1, 9);
    let (data, hash, ..) = &mut rewritten.leaves[3];
    *data.last_mut().unwrap() ^= 1;
    *hash = leaf_hash(data);
    let export = rewritten.export(0, &[9]);
    assert!(
        log.check(&export).is_good(),
        "whoever holds the key can write a log that agrees with itself"
    );
    let report = verify(
        export.as_slice(),
        &Options {
            kept: Some(kept.clone()),
            ..log.pinned()
        },
    )
    .unwrap();
    assert!(
        has(&report, |p| matches!(p, Problem::Rewritten { size: 5, .. })),
        "{:?}",
        problems(&report)
    );
    let honest = verify(
        log.export(0, &[9]).as_slice(),
        &Options {
            kept: Some(kept.clone()),
            ..log.pinned()
        },
    )
    .unwrap();
    assert!(honest.is_good(), "{:?}", problems(&honest));
    let later = verify(
        log.export(7, &[9]).as_slice(),
        &Options {
            kept: Some(kept),
            ..log.pinned()
        },
    );
    assert!(matches!(later, Err(Unusable::KeptBefore { size: 5, first: 7 })));
}

#[test]
fn an_entry_forged_with_its_hash_is_narrowed_down_to_its_checkpoints() {
    let log = Log::new(1, 9);
    let mut forged = Log::new(1, 9);
    let (data, hash, ..) = &mut forged.leaves[5];
    *data.last_mut().unwrap() ^= 1;
    *hash = leaf_hash(data);
    let forged_lines = lines(&forged.export(0, &[4, 7, 9]));
    let mut mixed = lines(&log.export(0, &[4, 7, 9]));
    mixed[7] = forged_lines[7].clone();
    let report = log.check(mixed.concat().as_bytes());
    assert!(
        has(&report, |p| matches!(p, Problem::Root { from: 4, size: 7, .. })),
        "{:?}",
        problems(&report)
    );
}

#[test]
fn another_plaintext_is_named() {
    let log = Log::new(1, 6);
    let export = String::from_utf8(log.export(0, &[6])).unwrap();
    let report = log.check(export.replace("user3", "userX").as_bytes());
    assert_eq!(
        problems(&report),
        ["line 5: entry 3: the plaintext shown is not the one that was logged"]
    );
}

#[test]
fn a_checkpoint_signed_by_somebody_else_is_refused() {
    let (log, other) = (Log::new(1, 4), Log::new(2, 4));
    let report = log.check(&other.export(0, &[4]));
    assert!(
        has(&report, |p| matches!(p, Problem::Keys(_))),
        "{:?}",
        problems(&report)
    );
    assert!(
        has(&report, |p| matches!(p, Problem::Checkpoint { position: 4, .. })),
        "{:?}",
        problems(&report)
    );
    assert_eq!(report.checkpoints, 0);
}

#[test]
fn a_checkpoint_of_another_log_is_refused() {
    let log = Log::new(1, 4);
    let mut writer = ExportWriter::begin(Vec::new(), &log.key, &[], &Frontier::new(), 4).unwrap();
    for (sequence, (data, hash, ..)) in (0..).zip(&log.leaves) {
        writer.entry(sequence, *hash, data, None).unwrap();
    }
    writer.checkpoint(&log.note_with("other.example/audit", 4, 4)).unwrap();
    let report = log.check(&writer.finish().unwrap());
    assert!(
        problems(&report)
            .concat()
            .contains("of the log other.example/audit, not of redan.example/audit"),
        "{report:?}"
    );
}

#[test]
fn entries_after_the_last_checkpoint_are_named() {
    let log = Log::new(1, 6);
    let mut writer = ExportWriter::begin(Vec::new(), &log.key, &[], &Frontier::new(), 6).unwrap();
    for (sequence, (data, hash, ..)) in (0..).zip(&log.leaves) {
        if sequence == 4 {
            writer.checkpoint(&log.note(4)).unwrap();
        }
        writer.entry(sequence, *hash, data, None).unwrap();
    }
    let report = log.check(&writer.finish().unwrap());
    assert!(
        has(&report, |p| *p == Problem::Unattested { from: 4, to: 5 }),
        "{:?}",
        problems(&report)
    );
}

#[test]
fn an_export_without_a_checkpoint_proves_nothing_and_says_so() {
    let log = Log::new(1, 1);
    let mut writer = ExportWriter::begin(Vec::new(), &log.key, &[], &Frontier::new(), 1).unwrap();
    writer.entry(0, log.leaves[0].1, &log.leaves[0].0, None).unwrap();
    let report = log.check(&writer.finish().unwrap());
    assert!(has(&report, |p| *p == Problem::NoCheckpoint), "{:?}", problems(&report));
}

#[test]
fn a_counter_that_goes_back_shows_a_restored_copy() {
    let log = Log::new(1, 4);
    let mut writer = ExportWriter::begin(Vec::new(), &log.key, &[], &Frontier::new(), 4).unwrap();
    for (sequence, (data, hash, ..)) in (0..).zip(&log.leaves) {
        if sequence == 2 {
            writer.checkpoint(&log.note_with(ORIGIN, 2, 8)).unwrap();
        }
        writer.entry(sequence, *hash, data, None).unwrap();
    }
    writer.checkpoint(&log.note_with(ORIGIN, 4, 7)).unwrap();
    let report = log.check(&writer.finish().unwrap());
    assert!(
        has(&report, |p| *p
            == Problem::Counter {
                size: 4,
                counter: 7,
                before: 8
            }),
        "{:?}",
        problems(&report)
    );
}

#[test]
fn what_is_no_export_is_unusable() {
    for input in [
        &b""[..],
        b"\n",
        b"{}\n",
        b"\xff\xfe",
        b"{\"checkpoint\":\"x\"}\n",
        &[b'['; 300_000],
        &[0; 300_000],
    ] {
        assert!(matches!(verify(input, &Options::default()), Err(Unusable::Header(_))));
    }
}

#[test]
fn a_line_beyond_the_limit_is_named_and_passed_over() {
    let log = Log::new(1, 4);
    let mut lines = lines(&log.export(0, &[4]));
    lines[2] = format!("{{\"entry\":\"{}\"}}\n", "x".repeat(1_000_000));
    let report = log.check(lines.concat().as_bytes());
    assert!(
        matches!(
            &report.findings[0],
            Finding {
                line: 3,
                problem: Problem::Unread { sequence: 1, .. }
            }
        ),
        "{:?}",
        problems(&report)
    );
    assert_eq!(report.findings.len(), 1, "{:?}", problems(&report));
}

#[test]
fn findings_are_bounded() {
    let log = Log::new(1, 1);
    let mut lines = lines(&log.export(0, &[1]));
    lines.splice(1..1, std::iter::repeat_n("junk\n".to_owned(), 5_000));
    let report = log.check(lines.concat().as_bytes());
    assert_eq!(report.findings.len(), 200);
    assert!(report.more > 4_000);
}

#[test]
fn one_changed_bit_of_a_line_is_one_finding_that_names_its_entry() {
    let log = Log::new(7, 9);
    let export = log.export(0, &[5, 9]);
    let lines = lines(&export);
    // A header, five entries, a checkpoint: entry 3 is shown, entry 2 is not.
    for (at, sequence) in [(4, 3), (3, 2)] {
        let before: usize = lines[..at].iter().map(String::len).sum();
        for byte in 0..lines[at].len() - 1 {
            for bit in 0..8 {
                let mut changed = export.clone();
                changed[before + byte] ^= 1 << bit;
                // That would be two lines.
                if changed[before + byte] == b'\n' {
                    continue;
                }
                let report = log.check(&changed);
                let found = problems(&report);
                let shown = String::from_utf8_lossy(&changed[before..before + lines[at].len()]).into_owned();
                assert_eq!(found.len(), 1, "byte {byte}, bit {bit}: {found:?} {shown}");
                assert!(
                    found[0].contains(&format!("line {}: entry {sequence}", at + 1)),
                    "byte {byte}, bit {bit}: {found:?}"
                );
            }
        }
    }
}

#[test]
fn one_changed_bit_in_the_outcome_is_one_finding() {
    let log = Log::new(7, 6);
    let export = log.export(0, &[6]);
    let text = String::from_utf8(export.clone()).unwrap();
    let at = text.match_indices("\"success\"").nth(1).unwrap().0 + 1;
    let mut changed = export;
    changed[at] ^= 1;
    let found = problems(&log.check(&changed));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("entry 1") && found[0].contains("plaintext"),
        "{found:?}"
    );
}

#[test]
fn a_last_line_that_cannot_be_read_is_one_finding() {
    let log = Log::new(7, 6);
    let export = log.export(0, &[3, 6]);
    let lines = lines(&export);
    for back in [1, 2] {
        let at = lines.len() - back;
        let before: usize = lines[..at].iter().map(String::len).sum();
        let mut changed = export.clone();
        changed[before] ^= 1;
        let found = problems(&log.check(&changed));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(&format!("line {}:", at + 1)), "{found:?}");
    }
}
