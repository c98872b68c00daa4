//! The command line.

use lexopt::prelude::{Long, Short, ValueExt};
use std::net::SocketAddr;
use std::path::PathBuf;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Starts an evaluation appliance: the real services, with software keys, around a sample application or your own.

usage: cargo evaluate [OPTIONS]

  --state DIR          where the store is kept (default ./redan-state)
  --config FILE        run this configuration against its own upstreams instead of the sample application
  --published ADDRESS  where the first published service is offered on this host (default 127.0.0.1:8443)
  --console ADDRESS    where the console is offered on this host (default 127.0.0.1:9443)
  --serial PATH        run the serial line's menu on this terminal, such as /dev/pts/3
  --threads N          worker threads of the proxy (default: one for each processor, at most 8)
  --ready-file PATH    write where to look as JSON once everything answers
  --release            build and run optimised services
  --no-build           run what was built before
  --tpm PLACE          keys in a TPM, /dev/tpmrm0 or a simulator at unix:PATH; --tpm-… and --pkcs11-… as in the supervisor's options
  --bare               without namespaces, even where the kernel allows them
  --help               this text
";

/// What was asked for.
pub(crate) enum Command {
    /// The text above.
    Help,
    /// An evaluation appliance.
    Launch(Box<Options>),
    /// The process inside the namespaces; started by the launcher only.
    Inside,
    /// The sample application; started by the inside process only.
    Sample(SocketAddr),
}

/// The options of an evaluation.
pub(crate) struct Options {
    pub(crate) state: PathBuf,
    pub(crate) configuration: Option<PathBuf>,
    pub(crate) published: SocketAddr,
    pub(crate) console: SocketAddr,
    pub(crate) serial: Option<PathBuf>,
    pub(crate) threads: Option<u16>,
    pub(crate) ready_file: Option<PathBuf>,
    pub(crate) release: bool,
    pub(crate) build: bool,
    pub(crate) bare: bool,
    /// Options of the supervisor's that choose the key device.
    pub(crate) key_device: Vec<String>,
}

impl Options {
    pub(crate) fn from_arguments() -> Result<Command, lexopt::Error> {
        let mut options = Self {
            state: PathBuf::from("redan-state"),
            configuration: None,
            published: ([127, 0, 0, 1], 8443).into(),
            console: ([127, 0, 0, 1], 9443).into(),
            serial: None,
            threads: None,
            ready_file: None,
            release: false,
            build: true,
            bare: false,
            key_device: Vec::new(),
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("state") => options.state = parser.value()?.into(),
                Long("config") => options.configuration = Some(parser.value()?.into()),
                Long("published") => options.published = parser.value()?.parse()?,
                Long("console") => options.console = parser.value()?.parse()?,
                Long("serial") => options.serial = Some(parser.value()?.into()),
                Long("threads") => options.threads = Some(parser.value()?.parse_with(threads)?),
                Long("ready-file") => options.ready_file = Some(parser.value()?.into()),
                Long("release") => options.release = true,
                Long("no-build") => options.build = false,
                Long("bare") => options.bare = true,
                Long("pkcs11-network") => options.key_device.push("--pkcs11-network".to_owned()),
                Long(name) if name.starts_with("tpm") || name.starts_with("pkcs11-") => {
                    let name = format!("--{name}");
                    options.key_device.extend([name, parser.value()?.string()?]);
                }
                Long("help") | Short('h') => return Ok(Command::Help),
                Long("inside") => return Ok(Command::Inside),
                Long("sample") => return Ok(Command::Sample(parser.value()?.parse()?)),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(Command::Launch(Box::new(options)))
    }
}

fn threads(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|threads| (1..=64).contains(threads))
        .ok_or_else(|| "a number from 1 to 64".to_owned())
}
