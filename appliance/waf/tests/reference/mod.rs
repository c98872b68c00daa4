//! Runs the reference program: libmodsecurity and the libinjection within it, from Debian's `libmodsecurity-dev`. Where that or a
//! compiler is missing, tests say so and pass.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The compiled program, if it could be compiled.
fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let compiled = PROGRAM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/reference.cc");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let program = folder.join("reference");
        let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
        if changed(&program).is_ok_and(|compiled| compiled > changed(&source).unwrap()) {
            return Some(program);
        }
        // Several test processes may come here at once: each compiles its own and puts it in place whole.
        let output = folder.join(format!("reference-{}", std::process::id()));
        let compiled = Command::new("c++")
            .args(["-O2", "-o"])
            .arg(&output)
            .arg(source)
            .arg("-lmodsecurity")
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !compiled {
            eprintln!("skipped: c++ or libmodsecurity-dev is not installed");
        }
        compiled.then(|| {
            std::fs::rename(&output, &program).unwrap();
            program
        })
    });
    compiled.as_deref()
}

/// The answers to the values, in order; none if there is no reference.
pub(crate) fn ask(arguments: &[&str], values: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    let mut child = Command::new(program()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = Vec::new();
    for value in values {
        input.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
        input.extend_from_slice(value);
    }
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let mut output = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    writer.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    let mut answers = Vec::with_capacity(values.len());
    let mut rest = &output[..];
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let (answer, tail) = tail.split_at(u32::from_le_bytes(*length) as usize);
        answers.push(answer.to_vec());
        rest = tail;
    }
    assert_eq!(answers.len(), values.len());
    Some(answers)
}

/// A small generator of pseudo-random numbers (xorshift), so that a failure comes again.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % limit
    }

    /// One of the list.
    pub(crate) fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}
