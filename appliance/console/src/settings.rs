//! The console's part of the configuration, as requests see it.

use redan_ipc::slice::ConsoleSlice;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// What is in force now; replaced as a whole at a commit. `None` before the first.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    current: Arc<RwLock<Option<Arc<ConsoleSlice>>>>,
}

impl Settings {
    /// What is in force.
    #[must_use]
    pub fn current(&self) -> Option<Arc<ConsoleSlice>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces it.
    pub fn replace(&self, slice: Arc<ConsoleSlice>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(slice);
    }

    /// Whether a client of this address may connect.
    #[must_use]
    pub fn allows(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.current().is_some_and(|slice| {
            slice.allowed.is_empty() || slice.allowed.iter().any(|network| network.contains(client))
        })
    }

    /// Whether the console answers to this `Host` (RFC 9110 section 7.2): a page of another name that resolves to this address
    /// must not be served (DNS rebinding).
    #[must_use]
    pub fn answers_to(&self, authority: &str) -> bool {
        let Some(slice) = self.current() else { return false };
        let name = host_of(authority);
        let Ok(name) = redan_types::HostName::parse(name) else {
            return false;
        };
        slice.hosts.contains(&name) || name.address().is_some_and(|address| address == slice.listen.ip())
    }
}

/// The host of an authority, without port and brackets.
fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or("", |(address, _)| address);
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::{Settings, host_of};
    use redan_ipc::messages::vault::Certificate;
    use redan_ipc::slice::ConsoleSlice;
    use redan_types::{HostName, KeyId, Timestamp};
    use std::sync::Arc;

    fn settings(allowed: &[&str]) -> Settings {
        let settings = Settings::default();
        settings.replace(Arc::new(ConsoleSlice {
            listen: "192.0.2.1:9443".parse().unwrap(),
            hosts: vec![HostName::parse("redan.example").unwrap()],
            certificate: Certificate {
                key: KeyId([0; 16]),
                chain: Vec::new(),
                until: Timestamp(0),
            },
            allowed: allowed.iter().map(|network| network.parse().unwrap()).collect(),
        }));
        settings
    }

    #[test]
    fn only_its_own_names_and_address_are_answered_to() {
        let settings = settings(&[]);
        for good in ["redan.example", "REDAN.example:9443", "192.0.2.1", "192.0.2.1:9443"] {
            assert!(settings.answers_to(good), "{good}");
        }
        for bad in [
            "",
            "other.example",
            "redan.example.evil",
            "192.0.2.2",
            "[::1]:9443",
            ":9443",
        ] {
            assert!(!settings.answers_to(bad), "{bad}");
        }
        assert_eq!(host_of("[2001:db8::1]:9443"), "2001:db8::1");
    }

    #[test]
    fn clients_from_elsewhere_are_refused() {
        let settings = settings(&["10.0.0.0/8"]);
        assert!(settings.allows("10.1.2.3".parse().unwrap()));
        assert!(settings.allows("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!settings.allows("192.0.2.9".parse().unwrap()));
        assert!(
            !Settings::default().allows("10.1.2.3".parse().unwrap()),
            "nobody before the first configuration"
        );
    }
}
