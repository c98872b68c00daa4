//! The command line.

use crate::build::Order;
use crate::keys;
use crate::report::Report;
use crate::run::Run;
use crate::sources::Profile;
use crate::tools::Outcome;
use lexopt::{Arg, Parser, ValueExt};
use redan_image_layout::Version;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    Build(Order),
    Report(Report),
    Run(Run),
}

const USAGE: &str = "usage: image/build [--profile release|dev] [--binaries FOLDER] [--version X.Y.Z] [--security N] [--out FOLDER]
                   [--keys FOLDER] [--pkcs11-uri URI]
       image/run [--out FOLDER] [--version X.Y.Z] [--keys FOLDER] [--state FOLDER] [--accelerator tcg|kvm] [--memory MEGABYTES]
                 [--serial stdio|socket] [--once] [--usb FILE]
       image/report [--out FOLDER] [--version X.Y.Z]";

impl Task {
    pub(crate) fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Outcome<Self> {
        let mut parser = Parser::from_iter(arguments);
        match parser.next()? {
            Some(Arg::Value(task)) if task == "build" => Ok(Self::Build(order(&mut parser)?)),
            Some(Arg::Value(task)) if task == "report" => Ok(Self::Report(report(&mut parser)?)),
            Some(Arg::Value(task)) if task == "run" => Ok(Self::Run(run(&mut parser)?)),
            _ => Err(USAGE.into()),
        }
    }
}

fn run(parser: &mut Parser) -> Outcome<Run> {
    let (mut keys, mut out, mut state) = (None, None, None);
    let mut run = Run {
        out: PathBuf::new(),
        version: Version::parse(env!("CARGO_PKG_VERSION"))?,
        keys: PathBuf::new(),
        state: PathBuf::new(),
        accelerator: "tcg".to_owned(),
        memory: 256,
        socket: false,
        once: false,
        usb: None,
        inside: false,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("out") => out = Some(PathBuf::from(parser.value()?)),
            Arg::Long("version") => run.version = Version::parse(&parser.value()?.string()?)?,
            Arg::Long("keys") => keys = Some(PathBuf::from(parser.value()?)),
            Arg::Long("state") => state = Some(PathBuf::from(parser.value()?)),
            Arg::Long("accelerator") => run.accelerator = parser.value()?.string()?,
            Arg::Long("memory") => run.memory = parser.value()?.parse()?,
            Arg::Long("serial") => {
                run.socket = match parser.value()?.string()?.as_str() {
                    "socket" => true,
                    "stdio" => false,
                    other => return Err(format!("the serial line is on stdio or on a socket, not on {other}").into()),
                }
            }
            Arg::Long("once") => run.once = true,
            Arg::Long("usb") => run.usb = Some(parser.value()?.into()),
            Arg::Long("inside") => run.inside = true,
            other => return Err(format!("{}\n{USAGE}", other.unexpected()).into()),
        }
    }
    run.keys = keys.map_or_else(keys::folder, Ok)?;
    run.out = out.map_or_else(output, Ok)?;
    run.state = state.unwrap_or_else(|| run.out.join("machine"));
    Ok(run)
}

fn report(parser: &mut Parser) -> Outcome<Report> {
    let mut report = Report {
        out: output()?,
        version: Version::parse(env!("CARGO_PKG_VERSION"))?,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("out") => report.out = parser.value()?.into(),
            Arg::Long("version") => report.version = Version::parse(&parser.value()?.string()?)?,
            other => return Err(format!("{}\n{USAGE}", other.unexpected()).into()),
        }
    }
    Ok(report)
}

/// Where results go unless another folder is given.
fn output() -> Outcome<PathBuf> {
    Ok(match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => PathBuf::from(target),
        None => repository()?.join("target"),
    }
    .join("image"))
}

fn repository() -> Outcome<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?)
}

fn order(parser: &mut Parser) -> Outcome<Order> {
    let (mut keys, mut out) = (None, None);
    let mut order = Order {
        profile: Profile::Release,
        binaries: None,
        version: Version::parse(env!("CARGO_PKG_VERSION"))?,
        security: 1,
        out: PathBuf::new(),
        keys: PathBuf::new(),
        token: None,
        repository: repository()?,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("profile") => {
                order.profile = match parser.value()?.string()?.as_str() {
                    "dev" => Profile::Dev,
                    "release" => Profile::Release,
                    other => return Err(format!("there is no profile {other}").into()),
                }
            }
            Arg::Long("binaries") => order.binaries = Some(parser.value()?.into()),
            Arg::Long("version") => order.version = Version::parse(&parser.value()?.string()?)?,
            Arg::Long("security") => order.security = parser.value()?.parse()?,
            Arg::Long("out") => out = Some(PathBuf::from(parser.value()?)),
            Arg::Long("keys") => keys = Some(PathBuf::from(parser.value()?)),
            Arg::Long("pkcs11-uri") => order.token = Some(parser.value()?.string()?),
            other => return Err(format!("{}\n{USAGE}", other.unexpected()).into()),
        }
    }
    order.keys = keys.map_or_else(keys::folder, Ok)?;
    order.out = out.map_or_else(output, Ok)?;
    Ok(order)
}
