//! The end of PID 1. Whichever way it comes, the machine starts again or is switched off; it never hangs.

use rustix::system::{RebootCommand, reboot};
use std::time::Duration;

use crate::log::say;
use crate::supervisor::SELF;

/// How the machine ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    FactoryReset,
    PowerOff,
    Reboot,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::FactoryReset => "factory reset",
            Self::PowerOff => "switching off",
            Self::Reboot => "starting the machine again",
        })
    }
}

/// From now on a panic restarts the machine, the keys Ctrl-Alt-Del ask this process, and a kernel without PID 1 restarts.
pub(super) fn guard() {
    std::panic::set_hook(Box::new(|panic| {
        say(SELF, &format!("{panic}"));
        finish(End::Reboot);
    }));
    // Where the kernel refuses, the keys restart at once: not orderly, but what was acknowledged is on the disk.
    let _ = reboot(RebootCommand::CadOff);
}

/// Writes everything to the disks and ends the machine. If the kernel refuses even that, the watchdog is no longer fed.
pub(crate) fn finish(end: End) -> ! {
    say(SELF, &end.to_string());
    rustix::fs::sync();
    let _ = reboot(match end {
        End::PowerOff => RebootCommand::PowerOff,
        End::FactoryReset | End::Reboot => RebootCommand::Restart,
    });
    // Switching off may not be possible; starting again always should be.
    let _ = reboot(RebootCommand::Restart);
    loop {
        std::thread::sleep(Duration::from_mins(1));
    }
}
