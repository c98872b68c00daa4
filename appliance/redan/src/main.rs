//! `redan`: the operator's command.
//!
//! `redan config check`, `diff` and `reference` work on files alone; everything else asks the manager of a running appliance over the
//! operators' socket ([`appliance`]). One file for each group of commands; each gives an [`Output`], which is printed here. Secrets
//! are read from the terminal or standard input, never from arguments, which everybody on the machine can see.
#![forbid(unsafe_code)]

mod accounts;
mod appliance;
mod audit;
mod cli;
mod document;
mod error;
mod network;
mod password;
mod status;
mod table;
mod transaction;
mod vault;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use redan_types::SecretString;

use crate::appliance::Appliance;
use crate::cli::{Cli, Command};
use crate::error::CommandError;

/// What a command has to say.
#[derive(Debug, Default)]
struct Output {
    /// For standard output.
    text: String,
    /// A secret that is shown once, on a line of its own after the text.
    secret: Option<SecretString>,
    /// How good the answer is, which the exit code says too.
    verdict: Verdict,
}

/// How good an answer is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Verdict {
    /// Mistakes, a refusal, a log that does not verify.
    Bad,
    #[default]
    Good,
    /// No answer; why has been said already.
    Unusable,
}

impl Verdict {
    const fn bad_if(bad: bool) -> Self {
        if bad { Self::Bad } else { Self::Good }
    }
}

impl Output {
    fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = match run(cli) {
        Ok(output) => output,
        Err(error) => {
            complain(&error);
            return ExitCode::from(error.exit_code());
        }
    };
    match print(&output) {
        Ok(()) => match output.verdict {
            Verdict::Bad => ExitCode::from(error::BAD_NEWS),
            Verdict::Good => ExitCode::SUCCESS,
            Verdict::Unusable => ExitCode::from(error::UNUSABLE),
        },
        // A reader that went away (`redan … | head`) is no failure worth a message.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(error::UNUSABLE),
    }
}

fn run(cli: Cli) -> Result<Output, CommandError> {
    let open = || Appliance::open(cli.state.as_deref());
    match cli.command {
        Command::Audit(command) => audit::run(command, open),
        Command::Block(request) => network::block(&open()?, request),
        Command::Blocklist => network::blocklist(&open()?),
        Command::Config(command) => document::run(command, open),
        Command::Counters => network::counters(&open()?),
        Command::Key(command) => accounts::keys(&open()?, command),
        Command::Session(command) => accounts::sessions(&open()?, command),
        Command::Status { pid: Some(service), .. } => status::pid(&open()?, &service),
        Command::Status { json, pid: None } => status::run(&open()?, json),
        Command::Unblock { network } => network::unblock(&open()?, network),
        Command::Vault(command) => vault::run(&open()?, &command),
        Command::User(command) => accounts::users(&open()?, command),
    }
}

fn print(output: &Output) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(output.text.as_bytes())?;
    if !output.text.is_empty() && !output.text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    if let Some(secret) = &output.secret {
        out.write_all(secret.expose().as_bytes())?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn complain(error: &CommandError) {
    let mut text = format!("redan: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    // Where standard error is gone there is nobody to tell; the exit code still says it.
    let _ = writeln!(io::stderr().lock(), "{}", table::lines(&text));
}
