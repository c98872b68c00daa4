//! `redan waf`: the web application firewall's rules and what they found. `check` and `explain` work on files alone, without an
//! appliance; `events` and `except` ask one that runs.
//!
//! [`load`] reads rule files as the appliance would, [`page`] lays text out for a terminal of 80 columns.

mod check;
mod events;
mod except;
mod explain;
mod load;
mod page;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use redan_types::{IncidentId, ServiceName};

use crate::Output;
use crate::appliance::Appliance;
use crate::cli::{Moment, moment, probation};
use crate::error::CommandError;

#[derive(Debug, Subcommand)]
pub(crate) enum WafCommand {
    /// Compile rules and report what they are, or every mistake in them. Needs no running appliance.
    Check(CheckArguments),
    /// Show what rules found, newest first, or one event in full.
    Events(EventArguments),
    /// Show the narrowest exceptions for an event and what they would have let through in the last 24 hours; apply them with --apply.
    Except(ExceptArguments),
    /// Run a request through rules and say what matches, what it costs and what follows. Needs no running appliance.
    Explain(ExplainArguments),
}

#[derive(Args, Debug)]
pub(crate) struct CheckArguments {
    /// Folders with rules (a checkout of the Core Rule Set, Debian's /usr/share/modsecurity-crs, one with *.conf files) or rule
    /// files; several make one rule set.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// The set-up file to load before the rules, instead of the one that is found there.
    #[arg(long, value_name = "FILE")]
    setup: Option<PathBuf>,
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainArguments {
    /// A folder with rules, or a rule file.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The request as it is sent: request line, headers, an empty line, the body. `-` is standard input.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// The set-up file to load before the rules, instead of the one that is found there.
    #[arg(long, value_name = "FILE")]
    setup: Option<PathBuf>,
    /// The paranoia level, instead of the one that the set-up file says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=4))]
    paranoia: Option<u8>,
    /// Show matches of rules that are not for the log, too.
    #[arg(long)]
    all: bool,
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct EventArguments {
    /// One event in full, with its audit record.
    #[arg(value_name = "EVENT", conflicts_with_all = ["service", "rule", "client", "path", "refused", "passed", "from", "until", "incident"])]
    event: Option<u64>,
    /// Of this service.
    #[arg(long)]
    service: Option<ServiceName>,
    /// Where this rule matched.
    #[arg(long, value_name = "ID")]
    rule: Option<u64>,
    /// From this address.
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// With a path that begins so.
    #[arg(long)]
    path: Option<String>,
    /// Only what was refused.
    #[arg(long, conflicts_with = "passed")]
    refused: bool,
    /// Only what passed.
    #[arg(long)]
    passed: bool,
    /// With this incident, as the client was told.
    #[arg(long, value_parser = incident)]
    incident: Option<IncidentId>,
    /// Not before: a time such as 2026-11-22T12:00:00Z, or how long ago, such as 2h.
    #[arg(long, value_parser = moment, value_name = "TIME")]
    from: Option<Moment>,
    /// Before.
    #[arg(long, value_parser = moment, value_name = "TIME")]
    until: Option<Moment>,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
    limit: u16,
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ExceptArguments {
    /// The event's number.
    #[arg(value_name = "EVENT")]
    event: u64,
    /// Only for this match, by its number in the event, from 1; may be given several times. Without: for all that counted.
    #[arg(long = "match", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    matches: Vec<u16>,
    /// When the exceptions end, such as 30d; `never` for good.
    #[arg(long, default_value = "30d", value_parser = lifetime, value_name = "TIME")]
    expires: Lifetime,
    /// Why it is harmless, for the configuration and the audit log.
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    /// Write them into the configuration and let it run; without a confirmation it is rolled back.
    #[arg(long)]
    apply: bool,
    /// Also apply those that are wider than one part of the request on one path.
    #[arg(long, requires = "apply")]
    wider: bool,
    /// How long it runs on probation: 30s to 10m.
    #[arg(long, default_value = "60s", value_parser = probation, value_name = "TIME", requires = "apply")]
    confirm_within: Duration,
}

/// How long exceptions last.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lifetime {
    For(Duration),
    Forever,
}

fn lifetime(text: &str) -> Result<Lifetime, String> {
    if text == "never" {
        return Ok(Lifetime::Forever);
    }
    let time = redan_config::parse_duration(text)?;
    if time < Duration::from_secs(60) || time > Duration::from_hours(24 * 3_650) {
        return Err("give a time from 1m to 3650d, or never".to_owned());
    }
    Ok(Lifetime::For(time))
}

fn incident(text: &str) -> Result<IncidentId, String> {
    IncidentId::parse(text).ok_or_else(|| "an incident has 16 hexadecimal digits".to_owned())
}

pub(crate) fn run(
    command: WafCommand,
    open: impl FnOnce() -> Result<Appliance, CommandError>,
) -> Result<Output, CommandError> {
    match command {
        WafCommand::Check(arguments) => check::run(&arguments),
        WafCommand::Events(arguments) => events::run(&open()?, arguments),
        WafCommand::Except(arguments) => except::run(&open()?, &arguments),
        WafCommand::Explain(arguments) => explain::run(&arguments),
    }
}
