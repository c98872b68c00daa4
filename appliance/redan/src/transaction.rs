//! `redan config` on a running appliance: what runs, what ran, apply, confirm, roll back.

use std::time::Duration;

use redan_ipc::messages::audit::Actor;
use redan_ipc::messages::manager::{Change, ChangeKind, ConfigurationState, ManagerReply, ManagerRequest, Source};
use redan_ipc::messages::vault::{CommitState, VersionInfo};
use redan_types::Generation;

use crate::appliance::Appliance;
use crate::error::CommandError;
use crate::table::{clean, table};
use crate::{Output, Verdict};

/// How many versions `history` shows at most: pages of the manager until then.
const HISTORY: usize = 1_000;

pub(crate) fn show(appliance: &Appliance, version: Option<Generation>) -> Result<Output, CommandError> {
    let document = match version {
        None => state(appliance)?.running.ok_or(CommandError::NoConfiguration)?.document,
        Some(generation) => match appliance.ask_manager(ManagerRequest::Version(generation))? {
            ManagerReply::Version(found) => found.ok_or(CommandError::NoVersion(generation))?.document,
            _ => return Err(CommandError::Answer("what came")),
        },
    };
    Ok(Output::text(document))
}

pub(crate) fn history(appliance: &Appliance) -> Result<Output, CommandError> {
    let ConfigurationState { state, running, .. } = state(appliance)?;
    let mut versions: Vec<VersionInfo> = Vec::new();
    let mut before = None;
    while versions.len() < HISTORY {
        let ManagerReply::Versions(page) = appliance.ask_manager(ManagerRequest::Versions { before })? else {
            return Err(CommandError::Answer("what came"));
        };
        let Some(last) = page.last() else { break };
        // Each page must lead further down, whatever the other side sends.
        if before.is_some_and(|before| last.generation >= before) {
            break;
        }
        before = Some(last.generation);
        versions.extend(page);
    }
    let running = running.map(|version| version.info.generation);
    let mark = |generation| {
        if state
            .pending
            .as_ref()
            .is_some_and(|pending| pending.generation == generation)
        {
            "on probation"
        } else if running == Some(generation) {
            "running"
        } else {
            ""
        }
    };
    let rows: Vec<Vec<String>> = versions
        .iter()
        .map(|info| {
            vec![
                info.generation.to_string(),
                mark(info.generation).to_owned(),
                info.time.to_string(),
                info.author.to_string(),
                info.hash.chars().take(12).collect(),
                info.comment.clone(),
            ]
        })
        .collect();
    Ok(Output::text(table(
        &["VERSION", "STATE", "TIME", "AUTHOR", "HASH", "COMMENT"],
        &rows,
    )))
}

pub(crate) fn apply(
    appliance: &Appliance,
    document: String,
    confirm_within: Duration,
    comment: String,
) -> Result<Output, CommandError> {
    let base = state(appliance)?.running.map(|version| version.info.generation);
    let mut text = String::new();
    if base.is_some() {
        let request = ManagerRequest::Diff {
            from: Source::Running,
            to: Source::Text(document.clone()),
        };
        match appliance.ask_manager(request)? {
            ManagerReply::Diff(changes) => text.push_str(&changed(changes)),
            ManagerReply::Mistaken(mistakes) => return Ok(mistaken(&mistakes)),
            _ => return Err(CommandError::Answer("what came")),
        }
    }
    commit(appliance, document, confirm_within, comment, base, text)
}

/// Commits a document that was made from the version `base`; `text` is what has been said before.
pub(crate) fn commit(
    appliance: &Appliance,
    document: String,
    confirm_within: Duration,
    comment: String,
    base: Option<Generation>,
    mut text: String,
) -> Result<Output, CommandError> {
    let request = ManagerRequest::Commit {
        document,
        confirm_within: u32::try_from(confirm_within.as_secs()).unwrap_or(u32::MAX),
        comment,
        actor: actor(),
        base,
    };
    match appliance.ask_manager(request)? {
        ManagerReply::Done(CommitState {
            confirmed,
            pending: None,
        }) if base == Some(confirmed) => Ok(Output::text(format!(
            "no change: this is version {confirmed}, which runs already\n"
        ))),
        ManagerReply::Done(state) => {
            text.push_str(&describe(&state));
            Ok(Output::text(text))
        }
        ManagerReply::Mistaken(mistakes) => Ok(mistaken(&mistakes)),
        _ => Err(CommandError::Answer("what came")),
    }
}

pub(crate) fn confirm(appliance: &Appliance) -> Result<Output, CommandError> {
    let generation = pending(appliance)?;
    finish(
        appliance,
        ManagerRequest::Confirm {
            generation,
            actor: actor(),
        },
    )
}

pub(crate) fn rollback(appliance: &Appliance) -> Result<Output, CommandError> {
    let generation = pending(appliance)?;
    finish(
        appliance,
        ManagerRequest::Rollback {
            generation,
            actor: actor(),
        },
    )
}

fn finish(appliance: &Appliance, request: ManagerRequest) -> Result<Output, CommandError> {
    match appliance.ask_manager(request)? {
        ManagerReply::Done(state) => Ok(Output::text(describe(&state))),
        _ => Err(CommandError::Answer("what came")),
    }
}

fn pending(appliance: &Appliance) -> Result<Generation, CommandError> {
    let pending = state(appliance)?.state.pending.ok_or(CommandError::NothingPending)?;
    Ok(pending.generation)
}

fn state(appliance: &Appliance) -> Result<ConfigurationState, CommandError> {
    match appliance.ask_manager(ManagerRequest::Configuration)? {
        ManagerReply::Configuration(state) => Ok(state),
        _ => Err(CommandError::Answer("what came")),
    }
}

/// The state of the transaction in words.
fn describe(state: &CommitState) -> String {
    match &state.pending {
        None => format!("version {} runs\n", state.confirmed),
        Some(pending) => format!(
            "version {} runs on probation until {}; then version {} comes back.\nKeep it: redan config confirm\n",
            pending.generation, pending.deadline, state.confirmed,
        ),
    }
}

fn changed(changes: Vec<Change>) -> String {
    crate::document::changed(changes.into_iter().map(|change| {
        let kind = match change.kind {
            ChangeKind::Added => redan_config::ChangeKind::Added,
            ChangeKind::Changed => redan_config::ChangeKind::Changed,
            ChangeKind::Removed => redan_config::ChangeKind::Removed,
        };
        (kind, change.text)
    }))
}

fn mistaken(mistakes: &[redan_ipc::messages::manager::Mistake]) -> Output {
    let mut text = String::new();
    for mistake in mistakes {
        for line in mistake.rendered.lines() {
            text.push_str(&clean(line));
            text.push('\n');
        }
        text.push('\n');
    }
    text.push_str("nothing changed\n");
    Output {
        text,
        verdict: Verdict::Bad,
        ..Output::default()
    }
}

/// Ourselves. The manager puts the peer's credentials in its place: this is what they say anyway.
fn actor() -> Actor {
    Actor::Operator {
        uid: rustix::process::getuid().as_raw(),
    }
}
