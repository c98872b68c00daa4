//! The note, the tree and the proofs, read by somebody else: Go's `sumdb/note` and `sumdb/tlog`.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumptions do")]

use ed25519_dalek::{Signer, SigningKey};
use redan_audit::export::ExportWriter;
use redan_audit::{Checkpoint, Frontier, LogKey, leaf_hash};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ORIGIN: &str = "log.example/audit";
/// Debian's package golang-golang-x-mod-dev.
const GO_PATH: &str = "/usr/share/gocode";

fn audit(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_redan-audit"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output
}

/// The Go program, compiled once; `None`, and a line that says so, where Go is not installed.
fn reader(folder: &Path) -> Option<PathBuf> {
    let library = Path::new(GO_PATH).join("src/golang.org/x/mod/sumdb/tlog");
    if !library.exists() || Command::new("go").arg("version").output().is_err() {
        eprintln!("SKIPPED: Go and its golang.org/x/mod are not installed (golang-go, golang-golang-x-mod-dev)");
        return None;
    }
    let program = folder.join("sumdb");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sumdb.go"))
        .env("GO111MODULE", "off")
        .env("GOPATH", GO_PATH)
        .env("GOCACHE", folder.join("cache"))
        .env("GOFLAGS", "")
        .env("GOPROXY", "off")
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    Some(program)
}

#[test]
fn go_verifies_the_checkpoint_the_tiles_and_the_proofs() {
    let folder = tempfile::tempdir().unwrap();
    let Some(reader) = reader(folder.path()) else { return };
    let signing = SigningKey::from_bytes(&[3; 32]);
    let key = LogKey::new(ORIGIN, signing.verifying_key().as_bytes()).unwrap();
    for size in [1_u64, 255, 256, 257, 700] {
        let at = |name: &str| folder.path().join(format!("{size}-{name}")).display().to_string();
        let mut export = ExportWriter::begin(Vec::new(), &key, &[], &Frontier::new(), size).unwrap();
        let mut frontier = Frontier::new();
        for sequence in 0..size {
            // What a leaf says is nothing to the tree; that it is one is checked by the verifier.
            let data = [&b"leaf "[..], &sequence.to_be_bytes()].concat();
            frontier.append(leaf_hash(&data));
            export.entry(sequence, leaf_hash(&data), &data, None).unwrap();
        }
        let checkpoint = Checkpoint {
            origin: ORIGIN.to_owned(),
            size,
            root: frontier.root(),
            counter: Some(7),
        };
        let note = checkpoint
            .sign::<Infallible, _>(&key, |text| Ok(signing.sign(text).to_bytes()))
            .unwrap();
        export.checkpoint(&note).unwrap();
        std::fs::write(at("export"), export.finish().unwrap()).unwrap();

        audit(&["tiles", &at("export"), &at("tiles")]);
        let mut command = Command::new(&reader);
        command.arg(key.to_string()).arg(at("tiles"));
        for (number, (option, which)) in [
            ("--entry", 0),
            ("--entry", size / 2),
            ("--entry", size - 1),
            ("--from", 1),
            ("--from", size / 2 + 1),
            ("--from", size),
        ]
        .into_iter()
        .enumerate()
        {
            let path = at(&format!("proof-{number}"));
            let proof = audit(&["prove", &at("export"), option, &which.to_string()]);
            std::fs::write(&path, proof.stdout).unwrap();
            command.arg(path);
        }
        let verified = command.output().unwrap();
        assert!(verified.status.success(), "{size}: {verified:?}");
        assert_eq!(String::from_utf8_lossy(&verified.stdout), format!("{size} records\n"));

        // A changed hash in a tile, and a checkpoint of another key, are refused.
        let mut command = Command::new(&reader);
        let other = SigningKey::from_bytes(&[4; 32]);
        let other = LogKey::new(ORIGIN, other.verifying_key().as_bytes()).unwrap();
        assert!(
            !command
                .arg(other.to_string())
                .arg(at("tiles"))
                .status()
                .unwrap()
                .success()
        );
        let first = if size < 256 {
            format!("000.p/{size}")
        } else {
            "000".to_owned()
        };
        let tile = Path::new(&at("tiles")).join("tile/0").join(first);
        let mut bytes = std::fs::read(&tile).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&tile, bytes).unwrap();
        let mut command = Command::new(&reader);
        assert!(
            !command
                .arg(key.to_string())
                .arg(at("tiles"))
                .status()
                .unwrap()
                .success()
        );
    }
}
