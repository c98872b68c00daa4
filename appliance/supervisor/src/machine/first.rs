//! The configuration that runs while nobody has given another: management on the first interface, nothing else open.

use std::fs;
use std::time::{Duration, Instant};

use super::facts::interfaces;

/// The appliance's address until it has another one. It can be changed over the serial line or by a stick.
const ADDRESS: &str = "192.168.1.1";
const NETWORK: &str = "192.168.1.0/24";
/// The console's port.
const PORT: u16 = 9443;
/// Drivers find their hardware while the machine starts; this is how long the first interface is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// The built-in document for the first interface; `None` where none appears in time.
pub(super) fn document() -> Option<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let first = interfaces().into_iter().next();
        if let Some(first) = first {
            return Some(document_for(&first.name));
        }
        if Instant::now() >= end || fs::metadata("/sys/class/net").is_err() {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

/// The built-in document with this interface.
#[must_use]
pub(crate) fn document_for(interface: &str) -> String {
    format!(
        "# What runs until somebody gives the appliance a configuration of its own.\n\
         schema = 1\n\n\
         [zones.management]\n\
         comment = \"whoever sets up the appliance\"\n\n\
         [interfaces.{interface}]\n\
         zone = \"management\"\n\
         addresses = [\"{ADDRESS}/24\"]\n\n\
         [console]\n\
         listen = {{ interface = \"{interface}\", port = {PORT} }}\n\
         networks = [\"{NETWORK}\"]\n\n\
         [[identity.users]]\n\
         name = \"admin\"\n\
         roles = [\"admin\"]\n"
    )
}

#[cfg(test)]
mod tests {
    use super::document_for;

    #[test]
    fn the_built_in_document_is_good_and_opens_nothing_but_the_console() {
        let document = document_for("eth0");
        let (appliance, warnings) = redan_config::Appliance::parse_with_warnings(&document, "built-in").unwrap();
        assert_eq!(warnings.to_string(), "");
        assert!(appliance.services.is_empty() && appliance.policies.is_empty());
    }
}
