//! What hands do to a machine, through QEMU's monitor (QMP).

use crate::machine::Machine;
use crate::stick::Stick;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(60);
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A stick in a machine.
#[derive(Debug)]
pub struct Plugged(String);

fn device(name: &str) -> String {
    format!("{name}-device")
}

impl Machine<'_> {
    /// Plugs a stick in; gives what it is called there.
    ///
    /// # Panics
    /// Where QEMU refuses.
    #[must_use]
    pub fn plug(&self, stick: &Stick) -> Plugged {
        // Of its own: what QEMU gives up is gone only when the machine has let go of it.
        let name = format!("stick{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let file = json!({ "driver": "file", "filename": stick.path() });
        self.ask_monitor(
            "blockdev-add",
            &json!({ "driver": "raw", "node-name": name, "file": file }),
        );
        let device =
            json!({ "driver": "usb-storage", "id": device(&name), "bus": "usb.0", "drive": name, "removable": true });
        self.ask_monitor("device_add", &device);
        Plugged(name)
    }

    /// Pulls it out.
    ///
    /// # Panics
    /// Where QEMU refuses.
    pub fn unplug(&self, plugged: &Plugged) {
        self.ask_monitor("device_del", &json!({ "id": device(&plugged.0) }));
    }

    /// Presses the power button.
    ///
    /// # Panics
    /// Where QEMU refuses.
    pub fn press_power_button(&self) {
        self.ask_monitor("system_powerdown", &json!({}));
    }

    fn ask_monitor(&self, command: &str, arguments: &Value) {
        let stream = UnixStream::connect(self.body().path("monitor.sock")).unwrap();
        stream.set_read_timeout(Some(ANSWER)).unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        lines.next().expect("a greeting").unwrap();
        for (command, arguments) in [("qmp_capabilities", &json!({})), (command, arguments)] {
            let question = json!({ "execute": command, "arguments": arguments });
            writeln!(&stream, "{question}").unwrap();
            // Events may come before the answer.
            let answer = lines
                .by_ref()
                .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
                .find(|said| said.get("event").is_none());
            let answer = answer.expect("an answer");
            assert!(answer.get("return").is_some(), "{question}: {answer}");
        }
    }
}
