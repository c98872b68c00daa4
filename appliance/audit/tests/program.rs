//! The program: what it prints and which exit code it gives.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ed25519_dalek::{Signer, SigningKey};
use redan_audit::export::ExportWriter;
use redan_audit::{Checkpoint, Frontier, Leaf, LeafHeader, LogKey, Opening, leaf_hash};
use std::convert::Infallible;
use std::path::Path;
use std::process::{Command, Output};

fn export() -> (LogKey, Vec<u8>) {
    let signing = SigningKey::from_bytes(&[3; 32]);
    let key = LogKey::new("redan.example/audit", signing.verifying_key().as_bytes()).unwrap();
    let mut tree = Frontier::new();
    let mut writer = ExportWriter::begin(Vec::new(), &key, &[], &tree, 3).unwrap();
    for sequence in 0..3 {
        let header = LeafHeader::commit(sequence, 7, [1; 32], &Opening([2; 32]), b"erased");
        let data = Leaf {
            header,
            ciphertext: vec![0; 40],
        }
        .to_bytes()
        .unwrap();
        tree.append(leaf_hash(&data));
        writer.entry(sequence, leaf_hash(&data), &data, None).unwrap();
    }
    let checkpoint = Checkpoint {
        origin: key.name().into(),
        size: 3,
        root: tree.root(),
        counter: Some(1),
    };
    let note = checkpoint
        .sign::<Infallible, _>(&key, |text| Ok(signing.sign(text).to_bytes()))
        .unwrap();
    writer.checkpoint(&note).unwrap();
    (key, writer.finish().unwrap())
}

fn run(arguments: &[&str], folder: &Path) -> (i32, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_redan-audit"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    (
        status.code().unwrap(),
        String::from_utf8([stdout, stderr].concat()).unwrap(),
    )
}

#[test]
fn a_good_export_exits_with_0_and_says_how_much_that_proves() {
    let folder = tempfile::tempdir().unwrap();
    let (key, export) = export();
    std::fs::write(folder.path().join("log"), export).unwrap();
    let (code, text) = run(&["verify", "log"], folder.path());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("taken from the export itself"), "{text}");
    let (code, text) = run(
        &["verify", "log", "--key", &key.to_string(), "--save", "kept"],
        folder.path(),
    );
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("itself"), "{text}");
    let (code, text) = run(&["verify", "--kept", "kept", "log"], folder.path());
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_changed_export_exits_with_1_and_names_the_entry() {
    let folder = tempfile::tempdir().unwrap();
    let text = String::from_utf8(export().1).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines.remove(2);
    std::fs::write(folder.path().join("log"), lines.join("\n") + "\n").unwrap();
    let (code, text) = run(&["verify", "log", "--save", "kept"], folder.path());
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("line 3: entry 1 is missing"), "{text}");
    assert!(text.contains("FAILED"), "{text}");
    assert!(
        !folder.path().join("kept").exists(),
        "a checkpoint of a bad export is not kept"
    );
}

#[test]
fn what_cannot_be_verified_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log"), "something else\n").unwrap();
    for arguments in [
        &["verify", "log"][..],
        &["verify", "absent"],
        &["verify", "."],
        &["verify", "log", "--key", "nonsense"],
        &["verify", "log", "--key"],
        &["verify", "log", "log"],
        &["verify", "log", "--kee"],
        &["verify"],
        &["list"],
        &[],
    ] {
        let (code, text) = run(arguments, folder.path());
        assert_eq!(code, 2, "{arguments:?}: {text}");
        assert!(!text.is_empty());
    }
    assert_eq!(run(&["--help"], folder.path()).0, 0);
}
