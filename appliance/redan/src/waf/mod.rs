//! `redan waf`: the web application firewall's rules. `check` and `explain` work on files alone, without an appliance.
//!
//! [`load`] reads rule files as the appliance would, [`page`] lays text out for a terminal of 80 columns.

mod check;
mod explain;
mod load;
mod page;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::Output;
use crate::error::CommandError;

#[derive(Debug, Subcommand)]
pub(crate) enum WafCommand {
    /// Compile rules and report what they are, or every mistake in them. Needs no running appliance.
    Check(CheckArguments),
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

pub(crate) fn run(command: WafCommand) -> Result<Output, CommandError> {
    match command {
        WafCommand::Check(arguments) => check::run(&arguments),
        WafCommand::Explain(arguments) => explain::run(&arguments),
    }
}
