//! What is known of the machine.

use redan_ipc::messages::machine::InterfaceFacts;
use std::fs;

use super::read_line;

/// Interfaces with hardware behind them, in the order in which the kernel found them.
pub(crate) fn interfaces() -> Vec<InterfaceFacts> {
    let mut found: Vec<(u32, InterfaceFacts)> = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let folder = format!("/sys/class/net/{name}");
            // Only what has a device is hardware; bridges, VLANs and the loopback have none.
            fs::metadata(format!("{folder}/device")).ok()?;
            let index = read_line(&format!("{folder}/ifindex"))?.parse().ok()?;
            let facts = InterfaceFacts {
                mac: read_line(&format!("{folder}/address")).unwrap_or_default(),
                // The kernel answers with an error while the interface is down.
                carrier: read_line(&format!("{folder}/carrier")).map(|text| text == "1"),
                name,
            };
            Some((index, facts))
        })
        .collect();
    found.sort_unstable_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, facts)| facts).collect()
}

/// The machine's serial number; where the firmware has none, the first interface's hardware address without its colons.
pub(crate) fn serial_number() -> String {
    let plain = |text: &str| -> String {
        let allowed = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        text.chars().filter(allowed).take(40).collect()
    };
    let told = read_line("/sys/class/dmi/id/product_serial").map(|text| plain(&text));
    told.filter(|text| !text.is_empty() && !is_placeholder(text))
        .or_else(|| interfaces().first().map(|first| plain(&first.mac)))
        .unwrap_or_default()
}

/// What manufacturers leave in the field.
fn is_placeholder(text: &str) -> bool {
    [
        "0",
        "None",
        "NotSpecified",
        "DefaultString",
        "SystemSerialNumber",
        "ToBeFilledByOEM",
    ]
    .iter()
    .any(|known| text.eq_ignore_ascii_case(known))
}
