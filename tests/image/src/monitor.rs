//! What hands do to a machine, through QEMU's monitor (QMP).

use crate::machine::Machine;
use crate::stick::Stick;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(60);
const STICK: &str = "stick";

impl Machine<'_> {
    /// Plugs a stick in.
    ///
    /// # Panics
    /// Where QEMU refuses.
    pub fn plug(&self, stick: &Stick) {
        let file = json!({ "driver": "file", "filename": stick.path() });
        self.ask_monitor(
            "blockdev-add",
            &json!({ "driver": "raw", "node-name": STICK, "file": file }),
        );
        let device =
            json!({ "driver": "usb-storage", "id": "plugged", "bus": "usb.0", "drive": STICK, "removable": true });
        self.ask_monitor("device_add", &device);
    }

    /// Pulls it out.
    ///
    /// # Panics
    /// Where QEMU refuses.
    pub fn unplug(&self) {
        self.ask_monitor("device_del", &json!({ "id": "plugged" }));
        self.ask_monitor("blockdev-del", &json!({ "node-name": STICK }));
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
