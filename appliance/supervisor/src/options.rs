//! The command line, which only the launcher or the boot image writes.

use lexopt::{Arg, Parser, ValueExt};
use redan_types::Mode;
use std::ffi::OsString;
use std::path::PathBuf;

/// How the appliance is to be run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// `--appliance`: this is PID 1 of the appliance's own image, where everything has its fixed place.
    pub machine: bool,
    /// `--mode`: decides namespaces, users and what may be absent.
    pub mode: Mode,
    /// `--state DIR`: the vault's store in `DIR/store`, the operators' socket in `DIR/run`.
    pub state: PathBuf,
    /// `--binaries DIR`: where the services' binaries are.
    pub binaries: PathBuf,
    /// `--configuration FILE`: the document to start from when the vault holds none.
    pub configuration: Option<PathBuf>,
    /// `--threads N`: worker threads of the proxy, 1 to 64.
    pub threads: u16,
    /// `--ready-fd N`: an inherited descriptor to which `ready` and a newline are written when everything answers.
    pub ready: Option<i32>,
    /// `--serial PATH`: a terminal for the provisioning service's menu; without it an evaluation has no such service.
    pub serial: Option<PathBuf>,
    /// `--password-fd N`: an inherited descriptor for the vault to write the first administrator's password to.
    pub password: Option<i32>,
}

/// A command line that cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// Not an option, or a value is missing.
    #[error(transparent)]
    Syntax(#[from] lexopt::Error),
    /// A required option.
    #[error("the option {0} is required")]
    Missing(&'static str),
    /// A mode that does not exist.
    #[error("there is no mode {0:?}; the modes are appliance, evaluation-root, evaluation-user, evaluation-bare")]
    Mode(String),
    /// A number outside its range.
    #[error("{option} takes a number from {least} to {most}, not {found}")]
    Range {
        /// The option.
        option: &'static str,
        /// The smallest number allowed.
        least: i32,
        /// The largest number allowed.
        most: i32,
        /// The number given.
        found: i32,
    },
}

/// More worker threads than any machine for which this is made has processors.
const MOST_THREADS: u16 = 64;

impl Options {
    /// As PID 1: the state is on the data partition, the binaries on the verified root, a worker thread on each processor.
    fn appliance() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, |number| number.get().min(MOST_THREADS.into()));
        Self {
            machine: true,
            mode: Mode::Appliance,
            state: PathBuf::from("/data"),
            binaries: PathBuf::from("/usr/lib/redan"),
            configuration: None,
            threads: u16::try_from(processors).unwrap_or(1),
            ready: None,
            serial: None,
            password: None,
        }
    }

    /// Where the lock and the operators' socket are.
    pub(crate) fn run_folder(&self) -> PathBuf {
        if self.machine {
            PathBuf::from("/run/redan")
        } else {
            self.state.join("run")
        }
    }

    /// Reads the arguments; the first is the program's name.
    ///
    /// # Errors
    /// Says which option is wrong.
    pub fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, OptionsError> {
        let mut parser = Parser::from_iter(arguments);
        let (mut mode, mut state, mut binaries, mut configuration) = (None, None, None, None);
        let (mut threads, mut ready, mut serial, mut password) = (1, None, None, None);
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("appliance") => return Ok(Self::appliance()),
                Arg::Long("mode") => mode = Some(parse_mode(&parser.value()?.string()?)?),
                Arg::Long("state") => state = Some(PathBuf::from(parser.value()?)),
                Arg::Long("binaries") => binaries = Some(PathBuf::from(parser.value()?)),
                Arg::Long("configuration") => configuration = Some(PathBuf::from(parser.value()?)),
                Arg::Long("threads") => {
                    let number = number(&mut parser, "--threads", 1, MOST_THREADS.into())?;
                    threads = u16::try_from(number).unwrap_or(MOST_THREADS);
                }
                Arg::Long("serial") => serial = Some(PathBuf::from(parser.value()?)),
                // Descriptors 0 to 2 are the log and its like.
                Arg::Long("ready-fd") => ready = Some(number(&mut parser, "--ready-fd", 3, 1023)?),
                Arg::Long("password-fd") => password = Some(number(&mut parser, "--password-fd", 3, 1023)?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Self {
            machine: false,
            mode: mode.ok_or(OptionsError::Missing("--mode"))?,
            state: state.ok_or(OptionsError::Missing("--state"))?,
            binaries: binaries.ok_or(OptionsError::Missing("--binaries"))?,
            configuration,
            threads,
            ready,
            serial,
            password,
        })
    }
}

fn parse_mode(text: &str) -> Result<Mode, OptionsError> {
    match text {
        "appliance" => Ok(Mode::Appliance),
        "evaluation-bare" => Ok(Mode::EvaluationBare),
        "evaluation-root" => Ok(Mode::EvaluationRoot),
        "evaluation-user" => Ok(Mode::EvaluationUser),
        other => Err(OptionsError::Mode(other.to_owned())),
    }
}

fn number(parser: &mut Parser, option: &'static str, least: i32, most: i32) -> Result<i32, OptionsError> {
    let found = parser.value()?.parse()?;
    if (least..=most).contains(&found) {
        Ok(found)
    } else {
        Err(OptionsError::Range {
            option,
            least,
            most,
            found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, OptionsError};
    use redan_types::Mode;

    fn parse(line: &str) -> Result<Options, OptionsError> {
        Options::from_arguments(
            std::iter::once("redan-supervisor")
                .chain(line.split_whitespace())
                .map(Into::into),
        )
    }

    #[test]
    fn a_launchers_line_is_understood() {
        let options =
            parse("--mode evaluation-user --state s --binaries=b --configuration c --threads 2 --ready-fd 5").unwrap();
        assert_eq!(options.mode, Mode::EvaluationUser);
        assert_eq!((options.threads, options.ready, options.password), (2, Some(5), None));
    }

    #[test]
    fn the_appliance_needs_no_other_option() {
        let options = parse("--appliance").unwrap();
        assert!(options.machine && options.mode == Mode::Appliance);
        assert_eq!(options.run_folder(), std::path::Path::new("/run/redan"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert!(matches!(
            parse("--state s --binaries b"),
            Err(OptionsError::Missing("--mode"))
        ));
        assert!(matches!(
            parse("--mode fast --state s --binaries b"),
            Err(OptionsError::Mode(_))
        ));
        assert!(matches!(
            parse("--threads 65"),
            Err(OptionsError::Range { most: 64, .. })
        ));
        assert!(matches!(
            parse("--ready-fd 2"),
            Err(OptionsError::Range { least: 3, .. })
        ));
        assert!(matches!(parse("--no-sandbox"), Err(OptionsError::Syntax(_))));
    }
}
