//! Why a command did not do what it was asked to.

use std::io;
use std::path::PathBuf;

use redan_ipc::IpcError;

/// The exit code of a bad answer: mistakes in a document, a log that does not verify, a refusal.
pub(crate) const BAD_NEWS: u8 = 1;
/// The exit code where there is no answer: nothing runs, a file cannot be read, wrong arguments (as clap does).
pub(crate) const UNUSABLE: u8 = 2;

#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("{0} is not an answer to this question: the appliance and this command are of different versions")]
    Answer(&'static str),
    #[error("the operators' channel failed")]
    Channel(#[from] IpcError),
    #[error("cannot connect to {}", path.display())]
    Connect { path: PathBuf, source: io::Error },
    #[error("{}: the file has more than {limit} bytes", path.display())]
    FileTooLarge { path: PathBuf, limit: usize },
    #[error("the password cannot be read")]
    Password(#[source] io::Error),
    #[error("{0}")]
    PasswordRefused(&'static str),
    #[error("no appliance runs here: there is no socket at {}; name the appliance's state folder with --state DIR", .0.display())]
    NotRunning(PathBuf),
    #[error("the appliance does not run: nobody listens at {}", .0.display())]
    NobodyListens(PathBuf),
    #[error("{} belongs to somebody else: run this command as root, or as the user that started the appliance", .0.display())]
    NotAllowed(PathBuf),
    #[error("{}: there are no rule files (*.conf) here", .0.display())]
    NoRules(PathBuf),
    #[error("no service {0} runs")]
    NoProcess(String),
    #[error("nothing waits for confirmation")]
    NothingPending,
    #[error("there is no event {0}, or it is not kept any more")]
    NoEvent(u64),
    #[error("there is no version {0}")]
    NoVersion(redan_types::Generation),
    #[error("no configuration runs yet")]
    NoConfiguration,
    #[error("{}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("refused: {0}")]
    Refused(String),
    #[error("{}", path.display())]
    Sample {
        path: PathBuf,
        source: redan_waf::sample::SampleError,
    },
    #[error("the rule set has more than {0} files")]
    TooManyRuleFiles(usize),
    #[error("cannot run {}, which belongs beside this command", path.display())]
    Verifier { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl CommandError {
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::NoConfiguration | Self::NoEvent(_) | Self::NoVersion(_) | Self::NothingPending | Self::Refused(_) => {
                BAD_NEWS
            }
            _ => UNUSABLE,
        }
    }
}
