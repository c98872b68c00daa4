//! Another address for an interface, in the document that runs. The document is changed as text, so that its comments stay, and then
//! read again: unless exactly what was asked for has changed, it is refused.

use redan_config::{Appliance, Change, diff};
use redan_types::Cidr;
use std::net::IpAddr;

/// The document with another address and default route (`""`: none) for an interface; where the console is open to the interface's
/// network only, it is open to the new one instead.
///
/// # Errors
/// Says what is wrong with the address, or why this document cannot be changed here.
pub fn changed(document: &str, interface: &str, address: &str, gateway: &str) -> Result<String, String> {
    let (ip, prefix) = parse(address)?;
    let network = Cidr::containing(ip, prefix).to_string();
    let gateway = match gateway {
        "" => None,
        text => Some(
            text.parse::<IpAddr>()
                .map_err(|_| format!("`{text}` is no address of a router"))?,
        ),
    };
    let before =
        Appliance::parse(document, "redan.toml").map_err(|_| "the document that runs cannot be read".to_owned())?;
    let old = before
        .interfaces
        .iter()
        .find(|(name, _)| name.as_str() == interface)
        .map(|(_, interface)| interface.addresses.clone());
    let Some(old) = old else {
        return Err(format!(
            "interface {interface} is in no zone yet: apply a configuration that declares it"
        ));
    };
    let mut lines = Vec::new();
    let mut section = String::new();
    for line in document.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with('[') {
            trimmed.clone_into(&mut section);
        }
        let key = trimmed.split('=').next().unwrap_or_default().trim();
        if section == format!("[interfaces.{interface}]") {
            match key {
                "addresses" => {
                    lines.push(format!("addresses = [\"{address}\"]"));
                    if let Some(gateway) = gateway {
                        lines.push(format!("gateway = \"{gateway}\""));
                    }
                    continue;
                }
                "gateway" => continue,
                _ => {}
            }
        }
        if section == "[console]" && key == "networks" {
            let networks = old.iter().fold(line.to_owned(), |line, old| {
                line.replace(&format!("\"{}\"", old.network()), &format!("\"{network}\""))
            });
            lines.push(networks);
            continue;
        }
        lines.push(line.to_owned());
    }
    let text = lines.join("\n") + "\n";
    let after = Appliance::parse(&text, "redan.toml").map_err(|mistakes| {
        let first = mistakes.errors.first().map(|mistake| mistake.message.clone());
        first.unwrap_or_else(|| "the address does not fit the configuration".to_owned())
    })?;
    let is_wanted = |change: &Change| {
        change.path.starts_with(&format!("interfaces.{interface}")) || change.path.starts_with("console")
    };
    let set = after.interfaces.iter().any(|(name, found)| {
        name.as_str() == interface && found.addresses.iter().any(|one| one.to_string() == address)
    });
    if set && diff(&before, &after).iter().all(is_wanted) {
        Ok(text)
    } else {
        Err("this document cannot be changed here: apply a changed one instead".to_owned())
    }
}

fn parse(address: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || format!("`{address}` is no address with a prefix length, such as 10.0.0.5/24");
    let (ip, prefix) = address.split_once('/').ok_or_else(wrong)?;
    let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= most).ok_or_else(wrong)?;
    Ok((ip, prefix))
}

#[cfg(test)]
mod tests {
    use super::changed;

    const DOCUMENT: &str = "# mine\nschema = 1\n[zones.management]\n[interfaces.eth0]\nzone = \"management\"\naddresses = \
                            [\"192.168.1.1/24\"] # old\n[console]\nlisten = { interface = \"eth0\", port = 9443 }\nnetworks = \
                            [\"192.168.1.0/24\"]\n[[identity.users]]\nname = \"admin\"\nroles = [\"admin\"]\n";

    #[test]
    fn the_address_its_route_and_the_consoles_network_change_and_nothing_else() {
        let text = changed(DOCUMENT, "eth0", "10.1.2.3/16", "10.1.0.1").unwrap();
        assert!(text.starts_with("# mine\n"));
        assert!(
            text.contains("addresses = [\"10.1.2.3/16\"]\ngateway = \"10.1.0.1\"\n"),
            "{text}"
        );
        assert!(text.contains("networks = [\"10.1.0.0/16\"]"), "{text}");
        let again = changed(&text, "eth0", "10.1.2.4/16", "").unwrap();
        assert!(!again.contains("gateway"), "{again}");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_reason() {
        for (address, gateway) in [
            ("10.1.2.3", ""),
            ("10.1.2.3/33", ""),
            ("10.1.2.3/24\"]", ""),
            ("10.1.2.3/24", "x"),
        ] {
            assert!(
                changed(DOCUMENT, "eth0", address, gateway).is_err(),
                "{address} {gateway}"
            );
        }
        assert!(
            changed(DOCUMENT, "eth9", "10.1.2.3/24", "")
                .unwrap_err()
                .contains("in no zone")
        );
        let elsewhere = DOCUMENT.replace("[interfaces.eth0]\n", "[interfaces.\"eth0\"]\n");
        assert!(changed(&elsewhere, "eth0", "10.1.2.3/24", "").is_err());
    }
}
