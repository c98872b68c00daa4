//! `redan config`: documents as files, without an appliance; the rest is in [`crate::transaction`].

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use redan_config::{ChangeKind, LARGEST, Mistakes, diff, reference};

use crate::appliance::Appliance;
use crate::cli::ConfigCommand;
use crate::error::CommandError;
use crate::{Output, Verdict, transaction};

pub(crate) fn run(
    command: ConfigCommand,
    open: impl FnOnce() -> Result<Appliance, CommandError>,
) -> Result<Output, CommandError> {
    match command {
        ConfigCommand::Apply {
            file,
            confirm_within,
            comment,
        } => {
            let text = read(&file)?;
            match parse(&file, &text) {
                Err(mistakes) => Ok(Output {
                    text: mistakes.to_string(),
                    verdict: Verdict::Bad,
                    ..Output::default()
                }),
                Ok(_) => transaction::apply(&open()?, text, confirm_within, comment),
            }
        }
        ConfigCommand::Check { file } => check(&file),
        ConfigCommand::Confirm => transaction::confirm(&open()?),
        ConfigCommand::Diff { old, new } => compare(&old, &new),
        ConfigCommand::History => transaction::history(&open()?),
        ConfigCommand::Reference => Ok(Output::text(reference())),
        ConfigCommand::Rollback => transaction::rollback(&open()?),
        ConfigCommand::Show { version } => transaction::show(&open()?, version),
    }
}

fn check(file: &Path) -> Result<Output, CommandError> {
    let text = read(file)?;
    Ok(match parse(file, &text) {
        Ok((appliance, warnings)) => {
            let count =
                |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
            Output::text(format!(
                "{warnings}{}: good: {}, {}, {}, {}\n",
                crate::table::clean(&name(file)),
                count(appliance.zones.len(), "zone", "zones"),
                count(appliance.policies.len(), "policy", "policies"),
                count(appliance.services.len(), "service", "services"),
                count(appliance.identity.users.len(), "user", "users"),
            ))
        }
        Err(mistakes) => Output {
            text: mistakes.to_string(),
            verdict: Verdict::Bad,
            ..Output::default()
        },
    })
}

fn compare(old: &Path, new: &Path) -> Result<Output, CommandError> {
    let texts = [(old, read(old)?), (new, read(new)?)];
    let mut mistakes = String::new();
    let mut documents = Vec::new();
    for (file, text) in &texts {
        match parse(file, text) {
            Ok((document, _)) => documents.push(document),
            Err(wrong) => mistakes.push_str(&wrong.to_string()),
        }
    }
    let [before, after] = documents.as_slice() else {
        return Ok(Output {
            text: mistakes,
            verdict: Verdict::Bad,
            ..Output::default()
        });
    };
    let changes: Vec<(ChangeKind, String)> = diff(before, after)
        .into_iter()
        .map(|change| (change.kind, change.text))
        .collect();
    Ok(Output::text(changed(changes)))
}

/// Changes as a list, each with its mark.
pub(crate) fn changed(changes: impl IntoIterator<Item = (ChangeKind, String)>) -> String {
    let mut text = String::new();
    for (kind, words) in changes {
        let mark = match kind {
            ChangeKind::Added => '+',
            ChangeKind::Changed => '~',
            ChangeKind::Removed => '-',
        };
        text.push_str(&format!("{mark} {}\n", crate::table::clean(&words)));
    }
    if text.is_empty() {
        "nothing changes\n".to_owned()
    } else {
        text
    }
}

fn parse(file: &Path, text: &str) -> Result<(redan_config::Appliance, Mistakes), Mistakes> {
    redan_config::Appliance::parse_with_warnings(text, &name(file))
}

fn name(file: &Path) -> String {
    if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    }
}

/// Reads a document, no further than the limit.
fn read(file: &Path) -> Result<String, CommandError> {
    let failed = |source| CommandError::Read {
        path: file.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    // One more than allowed, to see that it is too much.
    let limit = u64::try_from(LARGEST).unwrap_or(u64::MAX) + 1;
    if file == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        File::open(file)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(failed)?;
    }
    if bytes.len() > LARGEST {
        return Err(CommandError::FileTooLarge {
            path: file.to_owned(),
            limit: LARGEST,
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        failed(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("line {line} is not UTF-8 text"),
        ))
    })
}
