//! `redan status`.

use std::time::SystemTime;

use redan_ipc::messages::manager::{ManagerReply, ManagerRequest, OperatorReply, OperatorRequest};
use redan_ipc::messages::status::{ApplianceStatus, ProtectionState, ServiceState, ServiceStatus};
use redan_ipc::messages::vault::VaultHealth;
use redan_types::Timestamp;
use serde_json::{Value, json};

use crate::appliance::Appliance;
use crate::error::CommandError;
use crate::table::{clean, size, span, table};
use crate::{Output, Verdict};

pub(crate) fn run(appliance: &Appliance, as_json: bool) -> Result<Output, CommandError> {
    let ManagerReply::Status(status) = appliance.ask_manager(ManagerRequest::Status)? else {
        return Err(CommandError::Answer("what came"));
    };
    // The vault may be down just when the state of the services is asked for; that must not hide it.
    let vault = match appliance.ask(&OperatorRequest::VaultHealth) {
        Ok(OperatorReply::VaultHealth(health)) => Ok(health),
        Ok(_) => Err("gave no answer".to_owned()),
        Err(CommandError::Refused(reason)) => Err(reason),
        Err(error) => Err(error.to_string()),
    };
    let ready = status
        .services
        .iter()
        .all(|service| service.state == ServiceState::Ready);
    let text = if as_json {
        format!("{:#}\n", object(&status, &vault))
    } else {
        describe(&status, &vault, Timestamp::from_system(SystemTime::now()))
    };
    Ok(Output {
        text,
        verdict: Verdict::bad_if(!ready),
        ..Output::default()
    })
}

/// The process id of one service, for scripts.
pub(crate) fn pid(appliance: &Appliance, name: &str) -> Result<Output, CommandError> {
    let ManagerReply::Status(status) = appliance.ask_manager(ManagerRequest::Status)? else {
        return Err(CommandError::Answer("what came"));
    };
    let service = status.services.iter().find(|service| service.process.name() == name);
    let pid = service
        .and_then(|service| service.pid)
        .ok_or_else(|| CommandError::NoProcess(name.to_owned()))?;
    Ok(Output {
        text: format!("{pid}\n"),
        ..Output::default()
    })
}

fn describe(status: &ApplianceStatus, vault: &Result<VaultHealth, String>, now: Timestamp) -> String {
    let mut text = format!("{}, up {}\n\n", status.mode.name(), span(now.since(status.started)));
    let rows: Vec<Vec<String>> = status
        .services
        .iter()
        .map(|service| {
            vec![
                service.process.to_string(),
                service.state.name().to_owned(),
                service.pid.map_or_else(|| "–".to_owned(), |pid| pid.to_string()),
                if service.memory == 0 {
                    "–".to_owned()
                } else {
                    size(service.memory)
                },
                service.restarts.to_string(),
                service
                    .started
                    .map_or_else(|| "–".to_owned(), |started| span(now.since(started))),
                names(service, ProtectionState::Active),
            ]
        })
        .collect();
    text.push_str(&table(
        &["SERVICE", "STATE", "PID", "MEMORY", "RESTARTS", "UP", "CONFINED BY"],
        &rows,
    ));

    let absent: Vec<Vec<String>> = status
        .services
        .iter()
        .flat_map(|service| {
            service
                .protections
                .iter()
                .filter(|one| one.state == ProtectionState::Absent)
                .map(|one| vec![service.process.to_string(), one.name.clone(), one.detail.clone()])
        })
        .collect();
    if !absent.is_empty() {
        text.push('\n');
        text.push_str(&table(&["SERVICE", "ABSENT", "WHY"], &absent));
    }
    for service in &status.services {
        if let Some(exit) = &service.last_exit {
            text.push_str(&format!("\n{} ended before: {}", service.process, clean(exit)));
        }
    }
    text.push_str("\nvault     ");
    match vault {
        Ok(health) => {
            text.push_str(&format!(
                "{}; {} on disk; {} audit entries; {} signatures\n",
                clean(&health.device),
                size(health.disk),
                health.audit_size,
                health.signatures
            ));
            if health.evaluation_only {
                text.push_str("warning   keys are made in software: for evaluation only\n");
            }
            if let Some(reason) = &health.unwritable {
                text.push_str(&format!("warning   nothing can be written: {}\n", clean(reason)));
            }
            for note in &health.notes {
                text.push_str(&format!("note      {}\n", clean(note)));
            }
        }
        Err(reason) => text.push_str(&format!("no answer: {}\n", clean(reason))),
    }
    for note in &status.notes {
        text.push_str(&format!("note      {}\n", clean(note)));
    }
    text
}

fn names(service: &ServiceStatus, state: ProtectionState) -> String {
    let names: Vec<&str> = service
        .protections
        .iter()
        .filter(|one| one.state == state)
        .map(|one| one.name.as_str())
        .collect();
    if names.is_empty() {
        "–".to_owned()
    } else {
        names.join(", ")
    }
}

/// The same for scripts. Times are RFC 3339, memory is in bytes.
fn object(status: &ApplianceStatus, vault: &Result<VaultHealth, String>) -> Value {
    let services: Vec<Value> = status
        .services
        .iter()
        .map(|service| {
            let protections: Vec<Value> = service
                .protections
                .iter()
                .map(|one| json!({ "name": one.name, "active": one.state == ProtectionState::Active, "detail": one.detail }))
                .collect();
            json!({
                "service": service.process.name(),
                "state": service.state.name(),
                "pid": service.pid,
                "memory": service.memory,
                "restarts": service.restarts,
                "started": service.started.map(|time| time.to_string()),
                "protections": protections,
                "last_exit": service.last_exit,
            })
        })
        .collect();
    let vault = match vault {
        Ok(health) => json!({
            "device": health.device,
            "evaluation_only": health.evaluation_only,
            "unwritable": health.unwritable,
            "notes": health.notes,
            "audit_size": health.audit_size,
            "checkpoint": health.checkpoint.map(|time| time.to_string()),
            "disk": health.disk,
            "signatures": health.signatures,
        }),
        Err(reason) => json!({ "error": reason }),
    };
    json!({
        "mode": status.mode.name(),
        "started": status.started.to_string(),
        "notes": status.notes,
        "services": services,
        "vault": vault,
    })
}
