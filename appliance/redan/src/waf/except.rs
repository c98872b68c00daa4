//! `redan waf except`: exceptions for an event.

use std::time::SystemTime;

use redan_ipc::messages::manager::{ManagerReply, ManagerRequest};
use redan_ipc::messages::waf::{ExceptionPreview, ExceptionWish};
use redan_types::Timestamp;

use super::page::wrapped;
use super::{ExceptArguments, Lifetime};
use crate::appliance::Appliance;
use crate::error::CommandError;
use crate::table::{clean, lines};
use crate::{Output, Verdict, transaction};

/// How many clients are named.
const CLIENTS: usize = 5;

pub(crate) fn run(appliance: &Appliance, arguments: &ExceptArguments) -> Result<Output, CommandError> {
    let now = Timestamp::from_system(SystemTime::now());
    let given = arguments.reason.trim();
    let reason = if given.is_empty() {
        format!("false positive, event {}", arguments.event)
    } else {
        given.to_owned()
    };
    let wish = ExceptionWish {
        record: arguments.event,
        matches: arguments
            .matches
            .iter()
            .map(|number| number.saturating_sub(1))
            .collect(),
        expires: match arguments.expires {
            Lifetime::For(time) => Some(now.after(time)),
            Lifetime::Forever => None,
        },
        reason: reason.clone(),
    };
    let ManagerReply::ExceptionPreview(preview) = appliance.ask_manager(ManagerRequest::PreviewException(wish))? else {
        return Err(CommandError::Answer("what came"));
    };
    let mut text = described(&preview);
    let wider = is_wider(&preview);
    let ExceptionPreview {
        candidate,
        obstacle,
        base,
        ..
    } = *preview;
    let Some(candidate) = candidate else {
        let obstacle = obstacle.unwrap_or_else(|| "there is no exception to make".to_owned());
        text.push_str(&wrapped("", &format!("Cannot be applied: {}.", clean(&obstacle))));
        return Ok(Output {
            text,
            verdict: Verdict::Bad,
            ..Output::default()
        });
    };
    if !arguments.apply {
        let how = if wider { "--apply --wider" } else { "--apply" };
        text.push_str(&format!("Nothing has changed. Apply it: the same command with {how}\n"));
        return Ok(Output::text(text));
    }
    if wider && !arguments.wider {
        text.push_str(&wrapped(
            "",
            "Nothing has changed: what is marked WIDER is applied only with --apply --wider. Name the matches that need no such exception \
             with --match, or write it yourself.",
        ));
        return Ok(Output {
            text,
            verdict: Verdict::Bad,
            ..Output::default()
        });
    }
    let comment = format!("WAF exception: {reason}");
    transaction::commit(
        appliance,
        candidate,
        arguments.confirm_within,
        comment,
        Some(base),
        text,
    )
}

/// Whether an exception spares more than one part of the request on one path.
fn is_wider(preview: &ExceptionPreview) -> bool {
    preview.exceptions.iter().any(|one| one.wider.is_some())
}

fn described(preview: &ExceptionPreview) -> String {
    let mut text = String::new();
    for one in &preview.exceptions {
        let what = match &one.parameter {
            Some(parameter) => format!("does not look at {} on {}", clean(parameter), clean(&one.path)),
            None => format!("does not run on {}", clean(&one.path)),
        };
        let sentence = format!(
            "service {}: rule {} ({}) {what}",
            one.service,
            one.rule,
            clean(&one.message)
        );
        text.push_str(&wrapped("exception  ", &sentence));
        if let Some(wider) = &one.wider {
            text.push_str(&wrapped(
                "           ",
                &format!("WIDER than one part of the request: {}", clean(wider)),
            ));
        }
    }
    for (place, reason) in &preview.without {
        text.push_str(&wrapped(
            "none       ",
            &format!("for match {}: {}", place + 1, clean(reason)),
        ));
    }
    if !preview.exceptions.is_empty() {
        let replay = &preview.replay;
        let count = |count: u32| format!("{count} {}", if count == 1 { "request" } else { "requests" });
        text.push_str(&wrapped(
            "replay     ",
            &format!(
                "would have let through {} of the last 24 hours; {} would still be refused{}",
                count(replay.would_pass),
                replay.still_refused,
                if replay.complete {
                    ""
                } else {
                    " (only the newest events were looked at)"
                }
            ),
        ));
        let mut tally = |name: &str, all: Vec<String>| {
            if !all.is_empty() {
                text.push_str(&wrapped("           ", &format!("{name} {}", all.join(", "))));
            }
        };
        let clients = replay.clients.iter().take(CLIENTS);
        tally("from", clients.map(|(client, n)| format!("{client} ({n})")).collect());
        tally(
            "with",
            replay
                .classes
                .iter()
                .map(|(class, n)| format!("{} ({n})", clean(class)))
                .collect(),
        );
        text.push_str(&format!("\n{}\n\n", lines(&preview.toml)));
    }
    text
}
