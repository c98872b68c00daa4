//! Buttons: events of input devices (linux/input.h), and how long a button has been held.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use super::file::{Button, Purpose};

/// Bytes of `struct input_event` on 64-bit machines: two words of time, type, code, value.
const EVENT: usize = 24;
const EV_KEY: u16 = 1;
/// A reset button held for this long means a factory reset.
pub const HELD: Duration = Duration::from_secs(10);

/// What somebody wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Press {
    /// The power button was pressed.
    Power,
    /// The reset button was pressed and let go.
    Reset,
    /// The reset button was held for ten seconds.
    FactoryReset,
}

/// A button whose device is open.
#[derive(Debug)]
pub struct OpenButton {
    device: File,
    logic: Held,
}

impl OpenButton {
    /// Opens the input device of the button's name.
    ///
    /// # Errors
    /// There is none, or it cannot be opened.
    pub fn open(button: &Button) -> io::Result<Self> {
        let path = find(&button.device)?;
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        Ok(Self {
            device: File::options().read(true).custom_flags(nonblocking).open(path)?,
            logic: Held::new(button),
        })
    }

    /// The device, to be waited for.
    #[must_use]
    pub const fn device(&self) -> &File {
        &self.device
    }

    /// Reads what has happened.
    pub fn take(&mut self, now: Instant) -> Option<Press> {
        let mut press = None;
        let mut buffer = [0; EVENT * 16];
        // Bounded: a button that chatters has its turn again.
        if let Ok(length) = self.device.read(&mut buffer) {
            for event in buffer.get(..length).unwrap_or_default().chunks_exact(EVENT) {
                press = self.logic.event(event, now).or(press);
            }
        }
        press.or_else(|| self.logic.tick(now))
    }

    /// When to ask again though nothing happens; `None` while it is not held.
    #[must_use]
    pub fn wake(&self) -> Option<Instant> {
        self.logic.since.map(|since| since + HELD)
    }
}

/// From events to what is wanted.
#[derive(Clone, Debug)]
struct Held {
    purpose: Purpose,
    key: u16,
    since: Option<Instant>,
}

impl Held {
    const fn new(button: &Button) -> Self {
        Self {
            purpose: button.purpose,
            key: button.key,
            since: None,
        }
    }

    fn event(&mut self, event: &[u8], now: Instant) -> Option<Press> {
        let Some([t0, t1, c0, c1, v0, v1, v2, v3]) = event.get(16..EVENT) else {
            return None;
        };
        let (kind, code) = (u16::from_ne_bytes([*t0, *t1]), u16::from_ne_bytes([*c0, *c1]));
        if kind != EV_KEY || code != self.key {
            return None;
        }
        match (u32::from_ne_bytes([*v0, *v1, *v2, *v3]), self.purpose) {
            (1, Purpose::Power) => Some(Press::Power),
            (1, Purpose::Reset) => {
                self.since = Some(now);
                None
            }
            (0, Purpose::Reset) => match self.tick(now) {
                Some(press) => Some(press),
                None => self.since.take().map(|_| Press::Reset),
            },
            // Repetitions while it is held.
            _ => None,
        }
    }

    fn tick(&mut self, now: Instant) -> Option<Press> {
        let held = self
            .since
            .is_some_and(|since| now.saturating_duration_since(since) >= HELD);
        if held {
            self.since = None;
        }
        held.then_some(Press::FactoryReset)
    }
}

fn find(name: &str) -> io::Result<String> {
    for entry in fs::read_dir("/sys/class/input")?.flatten() {
        let event = entry.file_name();
        let Some(event) = event.to_str().filter(|event| event.starts_with("event")) else {
            continue;
        };
        let found = fs::read_to_string(entry.path().join("device/name")).unwrap_or_default();
        if found.trim() == name {
            return Ok(format!("/dev/input/{event}"));
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::{EV_KEY, HELD, Held, Press};
    use crate::board::file::{Button, Purpose};
    use std::time::{Duration, Instant};

    fn button(purpose: Purpose, key: u16) -> Held {
        Held::new(&Button {
            purpose,
            device: String::new(),
            key,
        })
    }

    fn event(code: u16, value: u32) -> Vec<u8> {
        let fields = [&EV_KEY.to_ne_bytes()[..], &code.to_ne_bytes(), &value.to_ne_bytes()].concat();
        [vec![0; 16], fields].concat()
    }

    #[test]
    fn a_reset_button_restarts_when_pressed_and_erases_when_held() {
        let start = Instant::now();
        let mut reset = button(Purpose::Reset, 408);
        assert_eq!(reset.event(&event(408, 1), start), None);
        assert_eq!(reset.event(&event(408, 2), start), None);
        assert_eq!(
            reset.event(&event(408, 0), start + Duration::from_secs(1)),
            Some(Press::Reset)
        );
        reset.event(&event(408, 1), start);
        assert_eq!(reset.tick(start + HELD - Duration::from_millis(1)), None);
        assert_eq!(reset.tick(start + HELD), Some(Press::FactoryReset));
        assert_eq!(
            reset.event(&event(408, 0), start + HELD),
            None,
            "letting go afterwards means nothing"
        );
    }

    #[test]
    fn the_power_button_means_its_own_key_only() {
        let mut power = button(Purpose::Power, 116);
        let now = Instant::now();
        assert_eq!(power.event(&event(30, 1), now), None);
        assert_eq!(power.event(&event(116, 1), now), Some(Press::Power));
        assert_eq!(power.event(&event(116, 0), now), None);
        assert_eq!(power.event(&[0; 7], now), None);
    }
}
