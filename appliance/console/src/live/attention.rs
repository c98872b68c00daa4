//! What asks for a person, worst first.

use crate::api::model::{Attention, Level, Verification};
use redan_ipc::messages::status::{ApplianceStatus, ProtectionState, ServiceState};
use redan_ipc::messages::vault::VaultHealth;
use redan_types::Timestamp;

/// A certificate with less than this left asks for attention, in days.
const RENEWAL: u64 = 14;

/// The list, from what the services said; `None` where a service said nothing.
pub(super) fn list(
    status: Option<&ApplianceStatus>,
    health: Option<&VaultHealth>,
    verified: Option<&Verification>,
    manager: bool,
    certificate: Option<Timestamp>,
    now: Timestamp,
) -> Vec<Attention> {
    let mut list = Vec::new();
    let mut add = |level, title: String, detail: String, page: &str| {
        list.push(Attention {
            level,
            title,
            detail,
            page: page.to_owned(),
        });
    };
    if let Some(found) = verified.filter(|found| !found.sound) {
        let detail = format!(
            "{} mistakes found. Export the log and keep a copy before anything else.",
            found.problems.len()
        );
        add(Level::Critical, "The audit log is damaged".to_owned(), detail, "/audit");
    }
    if let Some(health) = health {
        if let Some(reason) = &health.unwritable {
            let detail = format!("{reason}. Nothing is acknowledged; reading goes on.");
            add(
                Level::Critical,
                "The store cannot be written".to_owned(),
                detail,
                "/services",
            );
        }
        for note in &health.notes {
            add(
                Level::Warning,
                "The store was mended at its start".to_owned(),
                note.clone(),
                "/services",
            );
        }
        if health.evaluation_only {
            let detail = format!("{}. Do not keep production keys here.", health.device);
            add(
                Level::Warning,
                "Keys are for evaluation only".to_owned(),
                detail,
                "/services",
            );
        }
    } else {
        let detail = "No login, no new handshake and no change works without it; what is open goes on.";
        add(
            Level::Critical,
            "The vault does not answer".to_owned(),
            detail.to_owned(),
            "/services",
        );
    }
    if !manager {
        let detail = "The configuration cannot be changed; everything else goes on.";
        add(
            Level::Critical,
            "The manager does not answer".to_owned(),
            detail.to_owned(),
            "/services",
        );
    }
    if let Some(status) = status {
        for service in &status.services {
            let cause = service.last_exit.clone().unwrap_or_default();
            match service.state {
                ServiceState::BackOff => {
                    add(
                        Level::Critical,
                        format!("{} is down", service.process),
                        cause,
                        "/services",
                    );
                }
                ServiceState::Stopped => add(
                    Level::Warning,
                    format!("{} is stopped", service.process),
                    cause,
                    "/services",
                ),
                ServiceState::Ready | ServiceState::Starting => {}
            }
        }
        for note in &status.notes {
            add(
                Level::Warning,
                "This mode protects less".to_owned(),
                note.clone(),
                "/services",
            );
        }
        let absent = |service: &&redan_ipc::messages::status::ServiceStatus| {
            service
                .protections
                .iter()
                .any(|one| one.state == ProtectionState::Absent)
        };
        let weaker: Vec<_> = status
            .services
            .iter()
            .filter(absent)
            .map(|service| service.process.name())
            .collect();
        if !weaker.is_empty() {
            let detail = format!("Of {}: this host lacks what they need.", weaker.join(", "));
            add(
                Level::Warning,
                "Some protections are absent".to_owned(),
                detail,
                "/services",
            );
        }
    }
    if let Some(until) = certificate {
        let days = until.since(now).as_secs() / 86_400;
        if until <= now {
            add(
                Level::Critical,
                "The console's certificate has expired".to_owned(),
                until.to_string(),
                "/configuration",
            );
        } else if days < RENEWAL {
            let detail = format!("In {days} days, on {until}.");
            add(
                Level::Warning,
                "The console's certificate expires soon".to_owned(),
                detail,
                "/configuration",
            );
        }
    }
    list.sort_by_key(|one| one.level);
    list
}

#[cfg(test)]
mod tests {
    use super::list;
    use crate::api::model::Level;
    use redan_types::Timestamp;

    #[test]
    fn silence_of_the_vault_is_critical_and_stands_first() {
        let soon = Timestamp(86_400_000_000);
        let list = list(None, None, None, true, Some(soon), Timestamp(0));
        assert_eq!(list.first().unwrap().level, Level::Critical);
        assert_eq!(list.first().unwrap().title, "The vault does not answer");
        assert_eq!(list.last().unwrap().title, "The console's certificate expires soon");
    }
}
