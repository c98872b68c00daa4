//! `redan-audit`: verifies an export of the audit log, offline.
#![forbid(unsafe_code)]

use redan_audit::export::{KeySource, Options, Report, leaves, verify};
use redan_audit::note::{LogKey, MAX_NOTE};
use redan_audit::tiles::TileWriter;
use redan_audit::tree::LeafHashes;
use redan_audit::{consistency_proof, inclusion_proof, root};
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
redan-audit verify EXPORT [--key VKEY]... [--kept CHECKPOINT] [--save CHECKPOINT]
redan-audit tiles EXPORT FOLDER
redan-audit prove EXPORT --entry NUMBER | --from SIZE

Verifies an export of Redan's audit log and says exactly what is wrong and where.

  --key VKEY         the log's public key, from a trusted place (name+id+base64). Without it, the key is taken
                     from the export itself, which then proves only that it agrees with itself. Give the key inside
                     the key device too, where the log has one: then both must have signed every checkpoint.
  --kept CHECKPOINT  a file with the last checkpoint of an earlier export: shows a log that was rewritten or cut.
  --save CHECKPOINT  writes the last verified checkpoint there, for the next time.

`tiles` writes the log into a new folder as static files (C2SP tlog-tiles), from which anybody computes every proof. `prove` prints
the inclusion proof of one entry, or the proof that the log of SIZE entries is the beginning of the exported one (RFC 9162): the
sizes, the roots (for an entry its hash and the root), then the proof's hashes, in base64, a line each.

Exit code: 0 everything verified, 1 something is wrong, 2 the input cannot be used.
";
const FAILED: u8 = 1;
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        return print(USAGE);
    }
    let command = match Command::parse(arguments) {
        Ok(command) => command,
        Err(problem) => {
            complain(&format!("{problem}\n\n{USAGE}"));
            return ExitCode::from(UNUSABLE);
        }
    };
    let command = match command {
        Command::Verify(command) => command,
        Command::Tiles { export, folder } => return done(tiles(&export, &folder)),
        Command::Prove { export, what } => return done(prove(&export, what)),
    };
    match run(&command) {
        Ok(report) => {
            let printed = print(&describe(&report));
            if report.is_good() {
                printed
            } else {
                ExitCode::from(FAILED)
            }
        }
        Err(error) => {
            let mut text = format!("redan-audit: {}: {error}", command.export.display());
            let mut source = error.source();
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            complain(&text);
            ExitCode::from(UNUSABLE)
        }
    }
}

enum Command {
    Verify(Verify),
    Tiles { export: PathBuf, folder: PathBuf },
    Prove { export: PathBuf, what: Proof },
}

#[derive(Clone, Copy)]
enum Proof {
    /// That this entry is in the log.
    Entry(u64),
    /// That the log of this size is the beginning.
    From(u64),
}

struct Verify {
    export: PathBuf,
    keys: Vec<LogKey>,
    kept: Option<PathBuf>,
    save: Option<PathBuf>,
}

impl Command {
    fn parse(arguments: Vec<OsString>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let verb = arguments.next();
        match verb.as_deref().and_then(OsStr::to_str) {
            Some("verify") => Verify::parse(arguments).map(Self::Verify),
            Some("tiles") => match (arguments.next(), arguments.next(), arguments.next()) {
                (Some(export), Some(folder), None) => Ok(Self::Tiles {
                    export: export.into(),
                    folder: folder.into(),
                }),
                _ => Err("tiles takes an export and a folder".to_owned()),
            },
            Some("prove") => {
                let wrong = || "prove takes an export and --entry NUMBER or --from SIZE".to_owned();
                let given = [arguments.next(), arguments.next(), arguments.next(), arguments.next()];
                let [Some(export), Some(option), Some(number), None] = given else {
                    return Err(wrong());
                };
                let number = number.to_str().and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
                let what = match option.to_str() {
                    Some("--entry") => Proof::Entry(number),
                    Some("--from") => Proof::From(number),
                    _ => return Err(wrong()),
                };
                Ok(Self::Prove {
                    export: export.into(),
                    what,
                })
            }
            _ => Err("the commands are `verify`, `tiles` and `prove`".to_owned()),
        }
    }
}

impl Verify {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let (mut export, mut keys, mut kept, mut save) = (None, Vec::new(), None, None);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{} needs a value", argument.display()));
            let slot = match argument.to_str() {
                Some("--key") => {
                    let text = value()?;
                    let text = text.to_str().ok_or("the key is not text")?;
                    keys.push(LogKey::parse(text).map_err(|error| error.to_string())?);
                    continue;
                }
                Some("--kept") => (&mut kept, value()?),
                Some("--save") => (&mut save, value()?),
                Some(option) if option.starts_with("--") => return Err(format!("there is no option {option}")),
                _ if export.is_some() => return Err(format!("one export at a time, not also {}", argument.display())),
                _ => (&mut export, argument),
            };
            *slot.0 = Some(PathBuf::from(slot.1));
        }
        Ok(Self {
            export: export.ok_or("which export?")?,
            keys,
            kept,
            save,
        })
    }
}

fn run(command: &Verify) -> Result<Report, Box<dyn Error>> {
    let kept = command.kept.as_deref().map(read_note).transpose()?;
    let options = Options {
        keys: command.keys.clone(),
        kept,
    };
    let report = verify(BufReader::new(File::open(&command.export)?), &options)?;
    if let (Some(path), Some((_, note))) = (&command.save, report.last.as_ref().filter(|_| report.is_good())) {
        std::fs::write(path, note).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(report)
}

fn open(export: &Path) -> Result<BufReader<File>, Box<dyn Error>> {
    let file = File::open(export).map_err(|error| format!("{}: {error}", export.display()))?;
    Ok(BufReader::new(file))
}

fn tiles(export: &Path, folder: &Path) -> Result<String, Box<dyn Error>> {
    std::fs::create_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut writer = TileWriter::new(|path: &str, bytes: &[u8]| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        std::fs::write(path, bytes)
    });
    let mut count = 0_u64;
    let checkpoint = leaves(open(export)?, |hash, data| {
        count += 1;
        Ok(writer.append(hash, data)?)
    })?;
    writer.finish(&checkpoint)?;
    Ok(format!("{count} entries\n"))
}

fn prove(export: &Path, what: Proof) -> Result<String, Box<dyn Error>> {
    let mut hashes = Vec::new();
    leaves(open(export)?, |hash, _| {
        hashes.push(hash);
        Ok(())
    })?;
    let size = u64::try_from(hashes.len())?;
    let all = hashes.as_slice();
    let (first, proof) = match what {
        Proof::Entry(index) => (
            format!("entry {index} of {size}\n{}\n", all.leaf_hash(index)?),
            inclusion_proof(all, index, size)?,
        ),
        Proof::From(old) => {
            let proof = consistency_proof(all, old, size)?;
            (format!("size {old} of {size}\n{}\n", root(all, old)?), proof)
        }
    };
    let mut text = format!("{first}{}\n", root(all, size)?);
    proof.iter().for_each(|hash| text.push_str(&format!("{hash}\n")));
    Ok(text)
}

fn done(outcome: Result<String, Box<dyn Error>>) -> ExitCode {
    match outcome {
        Ok(text) => print(&text),
        Err(error) => {
            complain(&format!("redan-audit: {error}"));
            ExitCode::from(UNUSABLE)
        }
    }
}

fn read_note(path: &Path) -> Result<String, Box<dyn Error>> {
    let mut note = String::new();
    let limit = u64::try_from(MAX_NOTE)? + 1;
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    file.take(limit).read_to_string(&mut note)?;
    Ok(note)
}

fn describe(report: &Report) -> String {
    let mut text = format!("log          {}\n", report.origin);
    text.push_str(&match report.entries {
        0 => "entries      none\n".to_owned(),
        n => format!(
            "entries      {n}, from entry {}; plaintext shown and confirmed for {}\n",
            report.first, report.shown
        ),
    });
    text.push_str(&format!("checkpoints  {} verified\n", report.checkpoints));
    if let Some((last, _)) = &report.last {
        text.push_str(&format!(
            "last         {} entries, root {}, counter {}\n",
            last.size,
            last.root,
            last.counter
                .map_or_else(|| "none".to_owned(), |counter| counter.to_string())
        ));
    }
    text.push_str(match report.key_source {
        KeySource::Pinned => "key          what you gave\n",
        KeySource::Export => {
            "key          taken from the export itself: this proves only that the export agrees with itself.\n\
             \x20            Give the log's key with --key to prove that it is the appliance's.\n"
        }
    });
    for finding in &report.findings {
        text.push_str(&format!("WRONG        {finding}\n"));
    }
    if report.more > 0 {
        text.push_str(&format!("WRONG        and {} more\n", report.more));
    }
    text.push_str(if report.is_good() {
        "\nOK: everything verified.\n"
    } else {
        "\nFAILED: this is not the log as it was written.\n"
    });
    text
}

/// Prints to standard output; a reader that went away makes the result unusable rather than a panic.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(UNUSABLE),
    }
}

fn complain(text: &str) {
    // Where standard error is gone there is nobody to tell; the exit code still says it.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
