//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use redan_ipc::messages::audit::Outcome;
use redan_types::{Cidr, Generation, RecordId, RoleName, Timestamp, UserName};

/// Looks after a Redan appliance: its state, its configuration, its users and its audit log.
#[derive(Debug, Parser)]
#[command(
    name = "redan",
    version,
    arg_required_else_help = true,
    after_help = "\
Exit code: 0 done, 1 bad news (mistakes, a refusal, a log that does not verify), 2 no answer (nothing runs, an unreadable file)."
)]
pub(crate) struct Cli {
    /// The appliance's state folder. Without it: ./redan-state, else the appliance of this machine (/run/redan).
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show every service: its state, its process, its memory, and what confines it.
    Status {
        /// Print JSON, for scripts.
        #[arg(long, conflicts_with = "pid")]
        json: bool,
        /// Print the process id of one service only.
        #[arg(long, value_name = "SERVICE")]
        pid: Option<String>,
    },
    /// Check, compare and change the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Search, export and verify the audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Show what opens the vault, close it, open it. Recovery keys and shares are asked for, or read from standard input.
    #[command(subcommand)]
    Vault(VaultCommand),
    /// Show and change users. Passwords are asked for, or read from standard input.
    #[command(subcommand)]
    User(UserCommand),
    /// Show and change API keys. A new key is printed once.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Show and end sessions at the console.
    #[command(subcommand)]
    Session(SessionCommand),
    /// Cut an address or a network off at once, for a time.
    Block(BlockArguments),
    /// Let a blocked address or network in again.
    Unblock {
        /// Exactly as it was blocked.
        #[arg(value_name = "ADDRESS")]
        network: Cidr,
    },
    /// Show what is blocked.
    Blocklist,
    /// Show what each rule of the packet filter counted.
    Counters,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VaultCommand {
    /// Say whether the vault is open, and what opens it.
    Status {
        /// Print JSON, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Close the vault: no new connection, no sign-in, until somebody brings the recovery.
    Seal,
    /// Open the vault with the recovery key, or with as many of its shares as it needs.
    Unseal {
        /// Forget the shares brought so far instead.
        #[arg(long)]
        forget: bool,
    },
    /// Make a recovery key or shares, or replace those there are. They are printed once.
    Recovery {
        /// How many shares; 1 is a recovery key.
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        shares: u8,
        /// How many of them open the vault.
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        threshold: u8,
    },
    /// Seal the store anew to the key device that is there, and to the machine's present state.
    Reseal {
        /// To no device: people open the vault at each start.
        #[arg(long)]
        manual: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Report all mistakes of a document. Needs no running appliance.
    Check {
        /// The document; `-` is standard input.
        file: PathBuf,
    },
    /// Say in words what changes from one document to another. Needs no running appliance.
    Diff {
        /// The document before.
        old: PathBuf,
        /// The document after.
        new: PathBuf,
    },
    /// Print the reference of every key as Markdown.
    Reference,
    /// Print the document that runs.
    Show {
        /// Another version's instead.
        #[arg(long, value_parser = generation, value_name = "N")]
        version: Option<Generation>,
    },
    /// List the versions, newest first.
    History,
    /// Check a document, say what changes, and let it run; without a confirmation it is rolled back.
    Apply {
        /// The document; `-` is standard input.
        file: PathBuf,
        /// How long it runs on probation: 30s to 10m.
        #[arg(long, default_value = "60s", value_parser = probation, value_name = "TIME")]
        confirm_within: Duration,
        /// Why, for the history and the audit log.
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// Keep the version that runs on probation.
    Confirm,
    /// Return to the confirmed version now.
    Rollback,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Verify an export offline: runs `redan-audit verify`.
    Verify {
        /// The export.
        export: PathBuf,
        /// The log's public key, from a trusted place, and the one in its key device. Without any the export's own is used, which
        /// proves less.
        #[arg(long, value_name = "VKEY")]
        key: Vec<String>,
        /// A checkpoint kept from an earlier export: shows a log that was rewritten or cut.
        #[arg(long, value_name = "CHECKPOINT")]
        kept: Option<PathBuf>,
        /// Where to keep the last checkpoint for the next time.
        #[arg(long, value_name = "CHECKPOINT")]
        save: Option<PathBuf>,
    },
    /// Let the vault verify its whole log now.
    Check,
    /// Write the whole log to a file that `redan audit verify` reads.
    Export {
        /// The file; it must not exist yet.
        file: PathBuf,
    },
    /// Export the log, verify the export, then seal what it holds up to a checkpoint and give that up on the appliance.
    Archive {
        /// The file; it must not exist yet. Keep it: with a later export it is the whole log.
        file: PathBuf,
        /// Keep the entries from this one on; without it, all but the newest are sealed.
        #[arg(long, value_name = "ENTRY")]
        keep_from: Option<u64>,
    },
    /// Show what was sealed and given up.
    Segments,
    /// Destroy the key of a person's entries: nobody can read them any more, and every proof goes on to hold.
    Erase {
        /// Whose, as the log names the actor, for instance user:ann.
        person: String,
    },
    /// Find entries, newest first.
    Search(SearchArguments),
}

#[derive(Args, Debug)]
pub(crate) struct SearchArguments {
    /// Text within any field.
    pub(crate) text: Option<String>,
    /// Who, or the beginning: `user:ann`.
    #[arg(long)]
    pub(crate) actor: Option<String>,
    /// What, or the beginning: `configuration`.
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// On what, or the beginning: `service/`.
    #[arg(long)]
    pub(crate) resource: Option<String>,
    /// Only what ended so.
    #[arg(long, value_parser = outcome, value_name = "denied|failed|succeeded")]
    pub(crate) outcome: Option<Outcome>,
    /// Not before: a time such as 2026-11-22T12:00:00Z, or how long ago, such as 2h.
    #[arg(long, value_parser = moment, value_name = "TIME")]
    pub(crate) from: Option<Moment>,
    /// Not after.
    #[arg(long, value_parser = moment, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(crate) limit: u16,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// List all users.
    List,
    /// Make a user; the password is asked for and must be changed at the first login.
    Create {
        name: UserName,
        /// A role; may be given several times.
        #[arg(long = "role", required = true, value_name = "ROLE")]
        roles: Vec<RoleName>,
    },
    /// Give a user other roles.
    Roles {
        name: UserName,
        /// All roles from now on.
        #[arg(required = true)]
        roles: Vec<RoleName>,
    },
    /// Let a user log in again.
    Enable { name: UserName },
    /// Switch a user off: sessions and keys stop working at once.
    Disable { name: UserName },
    /// Give a user a new one-time password, which is printed once.
    Reset { name: UserName },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List all API keys.
    List,
    /// Make an API key.
    Create {
        /// Whose key it is.
        owner: UserName,
        /// A role of the owner's that the key has; may be given several times.
        #[arg(long = "role", required = true, value_name = "ROLE")]
        roles: Vec<RoleName>,
        /// What it is for.
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// Give a key a new secret; the old one works for 24 hours more.
    Rotate {
        #[arg(value_parser = record)]
        id: RecordId,
    },
    /// End a key at once.
    Revoke {
        #[arg(value_parser = record)]
        id: RecordId,
    },
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List the sessions that are alive.
    List,
    /// End a session at once.
    Revoke {
        #[arg(value_parser = record)]
        id: RecordId,
    },
}

#[derive(Args, Debug)]
pub(crate) struct BlockArguments {
    /// An address or a network.
    #[arg(value_name = "ADDRESS")]
    pub(crate) network: Cidr,
    /// For how long, at most 30d; the block ends by itself.
    #[arg(long = "for", default_value = "1h", value_parser = block_time, value_name = "TIME")]
    pub(crate) time: Duration,
    /// Why, for the list and the audit log.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

/// A point in time as it was given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    Ago(Duration),
    At(Timestamp),
}

fn generation(text: &str) -> Result<Generation, String> {
    text.parse()
        .map(Generation)
        .map_err(|_| "a version is a number".to_owned())
}

fn record(text: &str) -> Result<RecordId, String> {
    RecordId::parse(text).ok_or_else(|| "an id has 16 hexadecimal digits".to_owned())
}

fn outcome(text: &str) -> Result<Outcome, String> {
    [Outcome::Denied, Outcome::Failed, Outcome::Succeeded]
        .into_iter()
        .find(|outcome| outcome.name() == text)
        .ok_or_else(|| "an outcome is denied, failed or succeeded".to_owned())
}

fn probation(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_secs(30), Duration::from_secs(600))
}

fn block_time(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_secs(1), Duration::from_secs(30 * 86_400))
}

fn between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let time = redan_config::parse_duration(text)?;
    if (least..=most).contains(&time) {
        Ok(time)
    } else {
        let [least, most] = [least, most].map(redan_config::duration_text);
        Err(format!("give a time from {least} to {most}"))
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(ago) = redan_config::parse_duration(text) {
        return Ok(Moment::Ago(ago));
    }
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| "give a time such as 2026-11-22T12:00:00Z, or how long ago, such as 2h".to_owned())?;
    Ok(Moment::At(Timestamp(u64::try_from(time.as_microsecond()).unwrap_or(0))))
}
