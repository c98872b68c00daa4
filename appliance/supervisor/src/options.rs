//! The command line, which only the launcher or the boot image writes.

use crate::keydevice::{KeyDevice, Pkcs11Options, TpmOptions, TpmPlace};
use lexopt::{Arg, Parser, ValueExt};
use redan_types::Mode;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

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
    /// `--tpm…` or `--pkcs11…`: what the vault keeps its keys in.
    pub key_device: KeyDevice,
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
    /// Both a TPM and an HSM, or options of one without it.
    #[error("the key device is either a TPM (--tpm) or an HSM (--pkcs11-worker, -module, -token and -pin); {0}")]
    KeyDevice(&'static str),
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
            key_device: own_key_device(Path::new(TPM)),
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
        let (mut tpm, mut hsm) = (None, None);
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
                Arg::Long(name) if name.starts_with("tpm") => {
                    let name = name.to_owned();
                    tpm_option(&mut tpm, &name, &mut parser)?;
                }
                Arg::Long(name) if name.starts_with("pkcs11-") => {
                    let name = name.to_owned();
                    pkcs11_option(hsm.get_or_insert_default(), &name, &mut parser)?;
                }
                other => return Err(other.unexpected().into()),
            }
        }
        let key_device = match (tpm, hsm) {
            (None, None) => KeyDevice::Software,
            (Some(tpm), None) => KeyDevice::Tpm(tpm),
            (None, Some(hsm)) => KeyDevice::Pkcs11(Box::new(complete(hsm)?)),
            (Some(_), Some(_)) => return Err(OptionsError::KeyDevice("not both")),
        };
        Ok(Self {
            machine: false,
            key_device,
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

fn tpm_option(tpm: &mut Option<TpmOptions>, name: &str, parser: &mut Parser) -> Result<(), OptionsError> {
    let value = parser.value()?;
    if name == "tpm" {
        let text = value.string()?;
        let place = match text.strip_prefix("unix:") {
            Some(path) => TpmPlace::Socket(path.into()),
            None if text.starts_with("/dev/") => TpmPlace::Device(text.into()),
            None => return Err(OptionsError::KeyDevice("a TPM is /dev/… or unix:PATH")),
        };
        *tpm = Some(TpmOptions {
            place,
            pcrs: PCRS.to_vec(),
            approval_key: None,
            reference: REFERENCE.to_owned(),
            approvals: None,
        });
        return Ok(());
    }
    let tpm = tpm.as_mut().ok_or(OptionsError::KeyDevice("--tpm comes first"))?;
    match name {
        "tpm-pcrs" => {
            let text = value.string()?;
            let number = |pcr: &str| pcr.parse().ok().filter(|pcr| *pcr < 24);
            tpm.pcrs = text
                .split(',')
                .filter(|pcr| !pcr.is_empty())
                .map(|pcr| {
                    number(pcr).ok_or(OptionsError::KeyDevice(
                        "--tpm-pcrs takes numbers from 0 to 23 and commas",
                    ))
                })
                .collect::<Result<_, _>>()?;
        }
        "tpm-approval-key" => tpm.approval_key = Some(value.into()),
        "tpm-approval-for" => {
            tpm.reference = value.string()?;
            if tpm.reference.len() > 32 {
                return Err(OptionsError::KeyDevice("--tpm-approval-for takes at most 32 bytes"));
            }
        }
        "tpm-approvals" => tpm.approvals = Some(value.into()),
        other => return Err(Arg::Long(other).unexpected().into()),
    }
    Ok(())
}

fn pkcs11_option(hsm: &mut Pkcs11Options, name: &str, parser: &mut Parser) -> Result<(), OptionsError> {
    if name == "pkcs11-network" {
        hsm.network = true;
        return Ok(());
    }
    let value = parser.value()?;
    match name {
        "pkcs11-worker" => hsm.worker = value.into(),
        "pkcs11-module" => hsm.module = value.into(),
        "pkcs11-token" => hsm.token = value.string()?,
        "pkcs11-pin" => hsm.pin = value.into(),
        "pkcs11-read" => hsm.read.push(value.into()),
        "pkcs11-write" => hsm.write.push(value.into()),
        "pkcs11-env" => {
            let text = value.string()?;
            let (name, value) = text
                .split_once('=')
                .ok_or(OptionsError::KeyDevice("--pkcs11-env takes NAME=VALUE"))?;
            hsm.environment.push((name.into(), value.into()));
        }
        other => return Err(Arg::Long(other).unexpected().into()),
    }
    Ok(())
}

fn complete(hsm: Pkcs11Options) -> Result<Pkcs11Options, OptionsError> {
    let paths = [&hsm.worker, &hsm.module, &hsm.pin];
    if hsm.token.is_empty() || paths.iter().any(|path| path.as_os_str().is_empty()) {
        return Err(OptionsError::KeyDevice("an HSM needs all four"));
    }
    Ok(hsm)
}

/// The kernel's resource manager of the appliance's own TPM, where it has one.
const TPM: &str = "/dev/tpmrm0";

/// The machine's TPM. The store is sealed to the device and to no registers: it lies in the data partition, whose key is bound to
/// what was booted, in a form that survives updates which our key approved.
fn own_key_device(tpm: &Path) -> KeyDevice {
    if !tpm.exists() {
        return KeyDevice::Software;
    }
    KeyDevice::Tpm(TpmOptions {
        place: TpmPlace::Device(tpm.to_owned()),
        pcrs: Vec::new(),
        approval_key: None,
        reference: REFERENCE.to_owned(),
        approvals: None,
    })
}

/// Secure Boot's keys and databases, and the unified kernel image with its command line: what the store is sealed to by itself.
const PCRS: [u8; 2] = [7, 11];
/// What approvals are for by themselves.
const REFERENCE: &str = "redan";

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
    use super::{Options, OptionsError, own_key_device};
    use crate::keydevice::{KeyDevice, TpmPlace};
    use redan_types::Mode;

    fn parse(line: &str) -> Result<Options, OptionsError> {
        Options::from_arguments(
            std::iter::once("redan-supervisor")
                .chain(line.split_whitespace())
                .map(Into::into),
        )
    }

    #[test]
    fn the_key_device_is_software_a_tpm_or_an_hsm_and_not_two() {
        let with = |rest: &str| parse(&format!("--mode evaluation-bare --state s --binaries b {rest}"));
        assert_eq!(with("").unwrap().key_device, KeyDevice::Software);
        let KeyDevice::Tpm(tpm) = with("--tpm /dev/tpmrm0").unwrap().key_device else {
            panic!("no TPM");
        };
        assert_eq!(
            (tpm.place, tpm.pcrs),
            (TpmPlace::Device("/dev/tpmrm0".into()), vec![7, 11])
        );
        let KeyDevice::Tpm(tpm) = with("--tpm unix:/run/tpm --tpm-pcrs 0,4,23").unwrap().key_device else {
            panic!("no TPM");
        };
        assert_eq!(
            (tpm.place, tpm.pcrs),
            (TpmPlace::Socket("/run/tpm".into()), vec![0, 4, 23])
        );
        let hsm =
            "--pkcs11-worker w --pkcs11-module m --pkcs11-token t --pkcs11-pin p --pkcs11-env A=B --pkcs11-network";
        let KeyDevice::Pkcs11(options) = with(hsm).unwrap().key_device else {
            panic!("no HSM");
        };
        assert!(options.network && options.environment == [("A".into(), "B".into())]);
        for wrong in [
            "--tpm tcp:1",
            "--tpm-pcrs 7",
            "--tpm /dev/tpmrm0 --tpm-pcrs 24",
            "--tpm /dev/tpmrm0 --tpm-pcrs x",
            "--pkcs11-worker w",
            &format!("--tpm /dev/tpmrm0 {hsm}"),
        ] {
            assert!(matches!(with(wrong), Err(OptionsError::KeyDevice(_))), "{wrong}");
        }
        assert!(matches!(
            with("--tpm /dev/tpmrm0 --tpm-colour red"),
            Err(OptionsError::Syntax(_))
        ));
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
    fn the_machine_seals_its_store_to_its_own_tpm_and_to_no_register() {
        let folder = tempfile::tempdir().unwrap();
        let tpm = folder.path().join("tpmrm0");
        assert_eq!(own_key_device(&tpm), KeyDevice::Software);
        std::fs::write(&tpm, b"").unwrap();
        let KeyDevice::Tpm(options) = own_key_device(&tpm) else {
            panic!("no TPM");
        };
        assert_eq!((options.place, options.pcrs), (TpmPlace::Device(tpm), Vec::new()));
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
