//! `/init` of the initramfs.
#![forbid(unsafe_code)]

use redan_init::{Failure, stages};
use rustix::system::{RebootCommand, reboot};
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

/// Long enough to be read on the serial line, short enough to be waited for; the boot loader counts the try.
const READING: Duration = Duration::from_secs(10);

fn main() {
    // A kernel whose PID 1 ends panics; whatever goes wrong here restarts the machine instead, after saying why.
    std::panic::set_hook(Box::new(|panic| give_up(&panic.to_string())));
    if let Err(failure) = stages::kernel_file_systems() {
        give_up(&failure.chain());
    }
    let failure: Failure = stages::run(&mut say);
    give_up(&failure.chain());
}

fn say(line: &str) {
    // The console appears with /dev; before that, and where there is none, nobody listens.
    if let Ok(mut console) = OpenOptions::new().write(true).open("/dev/console") {
        let _ = console.write_all(format!("redan-init: {line}\r\n").as_bytes());
    }
}

fn give_up(why: &str) -> ! {
    say(why);
    say("the machine starts again in ten seconds");
    std::thread::sleep(READING);
    rustix::fs::sync();
    let _ = reboot(RebootCommand::Restart);
    // The kernel refuses only whoever may not, and PID 1 may.
    loop {
        std::thread::sleep(READING);
    }
}
