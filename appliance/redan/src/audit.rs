//! `redan audit`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use redan_ipc::messages::audit::{AuditEvent, AuditQuery, VerifyReport};
use redan_ipc::messages::manager::{OperatorReply, OperatorRequest};
use redan_types::Timestamp;

use crate::appliance::Appliance;
use crate::cli::{AuditCommand, Moment, SearchArguments};
use crate::error::CommandError;
use crate::table::{clean, table};
use crate::{Output, Verdict};

/// The verifier, which an auditor may build and read alone.
const VERIFIER: &str = "redan-audit";

pub(crate) fn run(
    command: AuditCommand,
    open: impl FnOnce() -> Result<Appliance, CommandError>,
) -> Result<Output, CommandError> {
    match command {
        AuditCommand::Check => check(&open()?),
        AuditCommand::Archive { file, keep_from } => archive(&open()?, &file, keep_from),
        AuditCommand::Erase { person } => match open()?.ask(&OperatorRequest::AuditErase { person })? {
            OperatorReply::Done => Ok(Output::text("erased\n".to_owned())),
            _ => Err(CommandError::Answer("what came")),
        },
        AuditCommand::Segments => segments(&open()?, &OperatorRequest::AuditSegments),
        AuditCommand::Export { file } => export(&open()?, &file),
        AuditCommand::Search(arguments) => search(&open()?, arguments),
        AuditCommand::Verify {
            export,
            key,
            kept,
            save,
        } => {
            let mut arguments = vec!["verify".into(), export.into_os_string()];
            for key in key {
                arguments.extend(["--key".into(), key.into()]);
            }
            for (option, value) in [
                ("--kept", kept.map(std::path::PathBuf::into_os_string)),
                ("--save", save.map(std::path::PathBuf::into_os_string)),
            ] {
                arguments.extend(value.into_iter().flat_map(|value| [option.into(), value]));
            }
            verify(&arguments)
        }
    }
}

/// Runs the verifier beside this program; what it prints is the answer.
fn verify(arguments: &[std::ffi::OsString]) -> Result<Output, CommandError> {
    let path = std::env::current_exe()
        .map(|own| own.with_file_name(VERIFIER))
        .map_err(|source| CommandError::Verifier {
            path: VERIFIER.into(),
            source,
        })?;
    let status = Command::new(&path)
        .args(arguments)
        .status()
        .map_err(|source| CommandError::Verifier {
            path: path.clone(),
            source,
        })?;
    // It has printed its answer, good or bad; `redan-audit --help` says what the codes mean.
    let verdict = match status.code() {
        Some(0) => Verdict::Good,
        Some(1) => Verdict::Bad,
        _ => Verdict::Unusable,
    };
    Ok(Output {
        verdict,
        ..Output::default()
    })
}

fn check(appliance: &Appliance) -> Result<Output, CommandError> {
    let OperatorReply::AuditVerified(report) = appliance.ask(&OperatorRequest::AuditVerify)? else {
        return Err(CommandError::Answer("what came"));
    };
    let VerifyReport {
        size,
        root,
        key,
        inside,
        checkpoint,
        mistakes,
        micros,
    } = report;
    let mut text = format!(
        "entries     {size}\nroot        {}\nkey         {}\n{}checkpoint  {checkpoint}\ntook        {} ms\n",
        clean(&root),
        clean(&key),
        inside.map_or_else(String::new, |key| format!("in device   {}\n", clean(&key))),
        micros / 1_000
    );
    for mistake in &mistakes {
        text.push_str(&format!("WRONG       {}\n", clean(mistake)));
    }
    text.push_str(if mistakes.is_empty() {
        "\nOK: the log is intact.\n"
    } else {
        "\nFAILED: this is not the log as it was written.\n"
    });
    Ok(Output {
        text,
        verdict: Verdict::bad_if(!mistakes.is_empty()),
        ..Output::default()
    })
}

/// Nothing is given up that is not in a file whose verifier found it good.
fn archive(appliance: &Appliance, file: &Path, keep_from: Option<u64>) -> Result<Output, CommandError> {
    export(appliance, file)?;
    let verified = verify(&["verify".into(), file.as_os_str().to_owned()])?;
    if verified.verdict != Verdict::Good {
        return Ok(verified);
    }
    let until = keep_from.unwrap_or(u64::MAX);
    segments(appliance, &OperatorRequest::AuditSeal { until })
}

fn segments(appliance: &Appliance, request: &OperatorRequest) -> Result<Output, CommandError> {
    let OperatorReply::AuditSegments(segments) = appliance.ask(request)? else {
        return Err(CommandError::Answer("what came"));
    };
    let mut text = String::new();
    for segment in segments {
        text.push_str(&format!(
            "sealed      entries {} to {}, {}\n{}",
            segment.first,
            segment.until.saturating_sub(1),
            segment.sealed,
            clean_lines(&segment.note)
        ));
    }
    Ok(Output::text(text))
}

fn clean_lines(note: &str) -> String {
    note.lines()
        .map(|line| format!("            {}\n", clean(line)))
        .collect()
}

/// Writes the export beside its place and renames it, so that a file with the name is a whole export.
fn export(appliance: &Appliance, file: &Path) -> Result<Output, CommandError> {
    let failed = |source| CommandError::Write {
        path: file.to_owned(),
        source,
    };
    if file.exists() {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let part = Path::new(&name);
    // Entries may hold personal data: nobody else reads them.
    let mut out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(part)
        .map_err(failed)?;
    let written = parts(appliance, |text| out.write_all(text.as_bytes()).map_err(failed)).and_then(|bytes| {
        out.sync_all()
            .and_then(|()| std::fs::rename(part, file))
            .map_err(failed)
            .map(|()| bytes)
    });
    match written {
        Ok(bytes) => Ok(Output::text(format!(
            "{bytes} bytes written to {}\nVerify it: redan audit verify {}\n",
            clean(&file.display().to_string()),
            clean(&file.display().to_string())
        ))),
        Err(error) => {
            // The first error is the one to report; half an export is of no use.
            let _ = std::fs::remove_file(part);
            Err(error)
        }
    }
}

fn parts(
    appliance: &Appliance,
    mut write: impl FnMut(&str) -> Result<(), CommandError>,
) -> Result<usize, CommandError> {
    let (mut from, mut bytes) = (0, 0);
    loop {
        let OperatorReply::AuditExport(part) = appliance.ask(&OperatorRequest::AuditExport { from })? else {
            return Err(CommandError::Answer("what came"));
        };
        write(&part.text)?;
        bytes += part.text.len();
        match part.next {
            None => return Ok(bytes),
            Some(next) if next > from => from = next,
            Some(_) => return Err(CommandError::Answer("a part that leads back")),
        }
    }
}

fn search(appliance: &Appliance, arguments: SearchArguments) -> Result<Output, CommandError> {
    let now = Timestamp::from_system(SystemTime::now());
    let time = |moment| match moment {
        Moment::Ago(span) => Timestamp(
            now.0
                .saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
        ),
        Moment::At(time) => time,
    };
    let query = AuditQuery {
        text: arguments.text,
        actor: arguments.actor,
        action: arguments.action,
        resource: arguments.resource,
        outcome: arguments.outcome,
        from: arguments.from.map(time),
        until: arguments.until.map(time),
        before: None,
        limit: arguments.limit,
    };
    let OperatorReply::AuditPage(page) = appliance.ask(&OperatorRequest::AuditSearch(query))? else {
        return Err(CommandError::Answer("what came"));
    };
    let rows: Vec<Vec<String>> = page
        .entries
        .iter()
        .map(|entry| {
            let event = &entry.event;
            vec![
                entry.sequence.to_string(),
                event.time.to_string(),
                event.actor.to_string(),
                event.action.clone(),
                event.resource.clone(),
                event.outcome.name().to_owned(),
                described(event),
            ]
        })
        .collect();
    let mut text = table(
        &["ENTRY", "TIME", "ACTOR", "ACTION", "RESOURCE", "OUTCOME", "MESSAGE"],
        &rows,
    );
    text.push_str(&format!("{} of {} entries", rows.len(), page.size));
    text.push_str(if page.next.is_some() {
        "; there are more: narrow the search or raise --limit\n"
    } else {
        "\n"
    });
    Ok(Output::text(text))
}

/// The message, with the HTTP request that it is about.
fn described(event: &AuditEvent) -> String {
    match &event.request {
        None => event.message.clone(),
        Some(request) => {
            let times = if request.count > 1 {
                format!(", {} times", request.count)
            } else {
                String::new()
            };
            format!(
                "{} {} \u{2192} {}{times}: {}",
                request.method, request.path, request.status, event.message
            )
        }
    }
}
