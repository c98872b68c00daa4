//! The log's way out, and the serial line.

use rustix::fs::{Mode, OFlags, open};
use rustix::termios::{ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr};
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::log;

/// The first serial port: the appliance's menu.
pub(super) const SERIAL: &str = "/dev/ttyS0";
const SPEED: u32 = 115_200;

/// Sends the log, and whatever else this process writes, to the kernel's log: it is kept there, and shown on the console as far as
/// the kernel's command line asks for it.
pub(super) fn begin_log() -> Vec<String> {
    let opened = open("/dev/kmsg", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    let outcome = opened.and_then(|kmsg| {
        rustix::stdio::dup2_stdout(&kmsg)?;
        rustix::stdio::dup2_stderr(&kmsg)
    });
    match outcome {
        Ok(()) => {
            log::to_kernel();
            Vec::new()
        }
        Err(errno) => vec![format!("the kernel's log cannot be written: {errno}")],
    }
}

/// Opens the serial line as it is used: 115200 8N1, every byte as it comes, no signals from keys, nobody's controlling terminal.
pub(crate) fn serial_line(path: &Path) -> Result<OwnedFd, String> {
    let failed = |errno| format!("{} cannot be used: {errno}", path.display());
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let line = open(path, flags, Mode::empty()).map_err(failed)?;
    let mut modes = tcgetattr(&line).map_err(failed)?;
    modes.input_modes = InputModes::IGNBRK;
    modes.output_modes = OutputModes::empty();
    modes.local_modes = LocalModes::empty();
    modes.control_modes = ControlModes::CS8 | ControlModes::CREAD | ControlModes::CLOCAL;
    modes.set_speed(SPEED).map_err(failed)?;
    tcsetattr(&line, OptionalActions::Now, &modes).map_err(failed)?;
    Ok(line)
}
