//! What the supervisor does as PID 1 of the appliance's own image and nowhere else.
//!
//! | module | what |
//! |---|---|
//! | [`boot`] | what the initramfs left behind: slot, version, the data partition's fate, the recovery key |
//! | [`console`] | the log on the kernel's console, the serial line for the provisioning service |
//! | [`end`] | the end of PID 1, whichever way it comes, is a restart of the machine |
//! | [`facts`] | what is known of the machine, for the serial line and status |
//! | [`first`] | the configuration that runs while nobody has given another |
//! | [`modules`] | no driver is loaded any more |
//! | [`mounts`] | file systems |
//! | [`partitions`] | what the update service gets |
//! | [`reset`] | nothing of the data can be read any more |
//! | [`sticks`] | USB sticks that are plugged in |
//! | [`sysctl`] | kernel settings, each with its reason |
//! | [`trial`] | a version on probation |
//! | [`watchdog`] | whether the machine is well enough to go on |
//!
//! All of it reads the kernel's own files and what the signed image holds; nothing that came over a network or from a stick.

pub(crate) mod boot;
pub(crate) mod console;
mod end;
pub(crate) mod facts;
pub(crate) mod first;
mod modules;
mod mounts;
pub(crate) mod partitions;
pub(crate) mod reset;
pub(crate) mod sticks;
mod sysctl;
pub(crate) mod trial;
pub(crate) mod watchdog;

pub(crate) use end::{End, finish};
pub(crate) use mounts::is_mounted;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use crate::log::say;
use crate::supervisor::SELF;
use boot::Boot;
use partitions::Partitions;
use redan_hal::board::button::OpenButton;
use redan_hal::board::file::Board;
use sticks::Sticks;
use trial::Trial;
use watchdog::Watchdog;

/// Which device is where, on each board that is known.
const BOARDS: &str = "/usr/share/redan/board";

/// The machine, once it has been made ready for services.
#[derive(Debug)]
pub(crate) struct Machine {
    /// What the boot said.
    pub(crate) boot: Boot,
    /// What does not hold or work, in words.
    pub(crate) notes: Vec<String>,
    /// The serial line, where there is one, until the supervisor takes it.
    pub(crate) serial: Option<OwnedFd>,
    /// Where the vault tells the first administrator's password, and where the provisioning service reads it.
    pub(crate) password: Option<Rc<OwnedFd>>,
    /// The built-in configuration, where an interface was found for it.
    pub(crate) first: Option<String>,
    pub(crate) watchdog: Watchdog,
    /// For the update service, where new versions can be installed.
    pub(crate) partitions: Option<Partitions>,
    /// Of the version that runs.
    pub(crate) trial: Trial,
    pub(crate) sticks: Sticks,
    pub(crate) board: Board,
    pub(crate) buttons: Vec<OpenButton>,
    /// Whether everything has been ready once.
    pub(crate) is_up: bool,
    /// How it ends once everything has stopped.
    pub(crate) end: End,
}

impl Machine {
    /// Makes the machine ready: the log, file systems, drivers, settings. What fails is noted and not fatal: an appliance that
    /// comes up with less can be asked why over its serial line, one that does not come up cannot.
    pub(crate) fn prepare(now: Instant) -> Self {
        let mut notes = console::begin_log();
        end::guard();
        notes.extend(mounts::mount_missing());
        notes.extend(modules::close());
        notes.extend(sysctl::apply());
        let boot = Boot::read();
        say(
            SELF,
            &format!("the image is version {}, slot {}", boot.version, boot.slot),
        );
        if let Err(error) = rustix::system::sethostname(b"redan") {
            notes.push(format!("the host name cannot be set: {error}"));
        }
        let first = first::document();
        if first.is_none() {
            notes.push("no network interface was found".to_owned());
        }
        let serial = match console::serial_line(console::SERIAL.as_ref()) {
            Ok(serial) => Some(serial),
            Err(why) => {
                notes.push(why);
                None
            }
        };
        let watchdog = Watchdog::open(now);
        let board = match Board::of_this_machine(Path::new(BOARDS)) {
            Ok(board) => board,
            Err(error) => {
                notes.push(format!("the board file: {error}"));
                Board::default()
            }
        };
        let mut buttons = Vec::new();
        for button in &board.button {
            match OpenButton::open(button) {
                Ok(open) => buttons.push(open),
                Err(error) => notes.push(format!("the button {:?}: {error}", button.device)),
            }
        }
        let partitions = match Partitions::open(&boot) {
            Ok(partitions) => Some(partitions),
            Err(why) => {
                notes.push(why);
                None
            }
        };
        for note in &notes {
            say(SELF, note);
        }
        Self {
            boot,
            notes,
            serial,
            password: password_file().map(Rc::new),
            first,
            watchdog,
            partitions,
            trial: Trial::new(now),
            sticks: Sticks::default(),
            board,
            buttons,
            is_up: false,
            end: End::Reboot,
        }
    }
}

/// From now on the console shows what is wrong and nothing else: the menu is on the same line.
pub(crate) fn quiet_console() {
    // Level 4 and below (linux/kernel/printk): errors. Where it is refused, the menu is less tidy.
    let _ = std::fs::write("/proc/sys/kernel/printk", "4");
}

/// Memory that the vault writes the first password to.
fn password_file() -> Option<OwnedFd> {
    rustix::fs::memfd_create("password", rustix::fs::MemfdFlags::CLOEXEC).ok()
}

/// A small file of the kernel's, without its last line feed.
pub(crate) fn read_line(path: &str) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    File::open(path).ok()?.take(4096).read_to_string(&mut text).ok()?;
    Some(text.trim_end().to_owned())
}
