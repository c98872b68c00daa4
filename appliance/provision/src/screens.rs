//! What the screens say. Lines only; the menu decides when.

use redan_config::Appliance;
use redan_ipc::messages::accounts::UserRecord;
use redan_ipc::messages::audit::AuditQuery;
use redan_ipc::messages::machine::{DataState, MachineFacts, MachineReply};
use redan_ipc::messages::manager::{Change, ChangeKind, ConfigurationState, ManagerReply, Mistake, OperatorReply};
use redan_ipc::messages::seal::{SealStatus, Unsealing};
use redan_ipc::messages::status::{ApplianceStatus, ProtectionState, ServiceState};
use redan_ipc::messages::update::UpdateReply;
use redan_ipc::messages::vault::CertificateOwner;
use sha2::{Digest, Sha256};

use crate::text::{WIDTH, plain, table, wrapped};

type Answer<'a> = Result<&'a OperatorReply, &'a String>;

/// Entries of the audit log in the support information.
const ENTRIES: u16 = 40;
const INDENT: usize = 2;

/// The first line of each screen.
pub(crate) fn head(facts: &MachineFacts, title: &str) -> String {
    let version = if facts.version.is_empty() {
        ""
    } else {
        facts.version.as_str()
    };
    let left = if title.is_empty() {
        format!(" Redan {version}")
    } else {
        format!(" Redan {version} - {title}")
    };
    let mut right = Vec::new();
    if !facts.slot.is_empty() {
        right.push(format!("slot {}", facts.slot));
    }
    if !facts.serial.is_empty() {
        right.push(format!("SN {}", facts.serial));
    }
    let (left, right) = (plain(left.trim_end()), plain(&right.join("  ")));
    let gap = (WIDTH - 2).saturating_sub(left.len() + right.len()).max(1);
    format!("{left}{}{right}", " ".repeat(gap))
}

/// The few lines above the main menu.
pub(crate) fn summary(
    facts: &MachineFacts,
    running: Option<&ConfigurationState>,
    status: Answer<'_>,
    stick: Option<&str>,
) -> Vec<String> {
    let services = match status {
        Ok(OperatorReply::Manager(ManagerReply::Status(status))) => {
            let ready = status
                .services
                .iter()
                .filter(|service| service.state == ServiceState::Ready)
                .count();
            format!("{ready} of {} ready", status.services.len())
        }
        Ok(_) => "unknown".to_owned(),
        Err(why) => why.clone(),
    };
    let (version, console) = match running {
        None => ("unknown".to_owned(), "-".to_owned()),
        Some(running) => (
            version(running),
            document(running)
                .and_then(|appliance| appliance.console_address())
                .map_or_else(|| "-".to_owned(), |address| format!("https://{address}/")),
        ),
    };
    let mut lines = vec![
        format!("  Services       {services}"),
        format!("  Configuration  {version}"),
        format!("  Console        {console}"),
    ];
    let name = "  Data           ";
    for (number, piece) in wrapped(&data(&facts.data), WIDTH - 1 - name.len())
        .into_iter()
        .enumerate()
    {
        let name = if number == 0 { name } else { "                 " };
        lines.push(format!("{name}{piece}"));
    }
    lines.extend(stick.map(|said| format!("  Stick          {said}")));
    for line in &mut lines {
        let mut cut = plain(line);
        cut.truncate(WIDTH - 1);
        *line = cut;
    }
    lines
}

fn version(running: &ConfigurationState) -> String {
    let state = &running.state;
    match (&state.pending, state.confirmed.0) {
        (Some(pending), _) => format!("version {} on probation", pending.generation),
        (None, 0) => "none yet".to_owned(),
        (None, number) => format!("version {number}"),
    }
}

fn data(state: &DataState) -> String {
    match state {
        DataState::Absent => "there is no data partition".to_owned(),
        DataState::Folder => "in a folder: this is an evaluation".to_owned(),
        DataState::Locked { reason } => format!("LOCKED: {reason}"),
        DataState::New => "open, made at this start".to_owned(),
        DataState::Opened => "open, sealed to this machine and its software".to_owned(),
        DataState::Recovered => "open, with the recovery key".to_owned(),
    }
}

fn document(running: &ConfigurationState) -> Option<Appliance> {
    let version = running.running.as_ref()?;
    Appliance::parse(&version.document, "redan.toml").ok()
}

/// Services, hardware and what is wrong.
pub(crate) fn status(
    facts: &MachineFacts,
    status: Answer<'_>,
    vault: Answer<'_>,
    update: Option<Result<&UpdateReply, &String>>,
    stick: &[String],
) -> Vec<String> {
    let mut lines = Vec::new();
    match status {
        Ok(OperatorReply::Manager(ManagerReply::Status(status))) => lines.extend(services(status)),
        Ok(_) => {}
        Err(why) => lines.extend(paragraph(why)),
    }
    lines.push(String::new());
    match vault {
        Ok(OperatorReply::VaultHealth(health)) => {
            lines.push(format!(
                "  Vault: {}, {} audit entries, {} KiB on disk",
                health.device,
                health.audit_size,
                health.disk >> 10
            ));
            lines.extend(
                health
                    .unwritable
                    .iter()
                    .flat_map(|why| paragraph(&format!("NOT WRITABLE: {why}"))),
            );
            lines.extend(health.notes.iter().flat_map(|note| paragraph(note)));
        }
        Ok(_) => {}
        Err(why) => lines.extend(paragraph(why)),
    }
    lines.push(format!("  Data:  {}", data(&facts.data)));
    if !facts.slot.is_empty() {
        lines.push(format!(
            "  Image: version {}, security version {}, slot {}, {}",
            facts.version,
            facts.security_version,
            facts.slot,
            if facts.is_proven { "proven" } else { "not proven yet" }
        ));
    }
    if !facts.root_hash.is_empty() {
        lines.push(format!("  Root:  {}", facts.root_hash));
    }
    lines.extend(update.into_iter().flat_map(self::update));
    // The report begins with which appliance wrote it.
    let said = stick.iter().skip(1);
    lines.extend(said.flat_map(|said| paragraph(&format!("Stick: {said}"))));
    lines.push(String::new());
    for reading in &facts.board {
        let mark = if reading.good { ' ' } else { '!' };
        lines.push(format!(" {mark} {:<24}{}", plain(&reading.name), plain(&reading.value)));
    }
    if !facts.notes.is_empty() {
        lines.push(String::new());
        lines.extend(facts.notes.iter().flat_map(|note| paragraph(&format!("! {note}"))));
    }
    lines
}

fn services(status: &ApplianceStatus) -> Vec<String> {
    let rows: Vec<Vec<String>> = status
        .services
        .iter()
        .map(|service| {
            let absent = service
                .protections
                .iter()
                .filter(|protection| protection.state == ProtectionState::Absent)
                .count();
            vec![
                service.process.to_string(),
                service.state.name().to_owned(),
                format!("{} KiB", service.memory >> 10),
                service.restarts.to_string(),
                match absent {
                    0 => "all".to_owned(),
                    count => format!("{count} absent"),
                },
            ]
        })
        .collect();
    let head = ["SERVICE", "STATE", "MEMORY", "RESTARTS", "PROTECTIONS"];
    let mut lines: Vec<_> = table(&head, &rows)
        .into_iter()
        .map(|line| format!("  {line}"))
        .collect();
    lines.extend(status.notes.iter().flat_map(|note| paragraph(&format!("! {note}"))));
    for service in &status.services {
        if let (true, Some(exit)) = (service.state != ServiceState::Ready, &service.last_exit) {
            lines.extend(paragraph(&format!("! the {}: {exit}", service.process)));
        }
    }
    lines
}

/// Where the console is and what its certificate must be.
pub(crate) fn console(running: Option<&ConfigurationState>, certificates: Answer<'_>) -> Vec<String> {
    let address = running
        .and_then(document)
        .and_then(|appliance| appliance.console_address());
    let mut lines = vec![match address {
        Some(address) => format!("  Address      https://{address}/"),
        None => "  Address      no configuration with a console runs".to_owned(),
    }];
    let leaf = match certificates {
        Ok(OperatorReply::Certificates(certificates)) => certificates
            .iter()
            .find(|(owner, _)| *owner == CertificateOwner::Console)
            .and_then(|(_, certificate)| certificate.chain.first().map(|leaf| (leaf, certificate.until))),
        Ok(_) => None,
        Err(why) => {
            lines.extend(paragraph(why));
            None
        }
    };
    if let Some((leaf, until)) = leaf {
        let fingerprint: Vec<String> = Sha256::digest(leaf).iter().map(|byte| format!("{byte:02X}")).collect();
        lines.push(format!("  Certificate  good until {until}"));
        lines.push("  SHA-256".to_owned());
        for half in fingerprint.chunks(16) {
            lines.push(format!("    {}", half.join(":")));
        }
        lines.push(String::new());
        lines.push("  The browser shows the same SHA-256 fingerprint before it trusts the console;".to_owned());
        lines.push("  if it shows another one, somebody sits in between.".to_owned());
    }
    lines
}

/// The interfaces with numbers, and their names in that order.
pub(crate) fn interfaces(facts: &MachineFacts, running: Option<&ConfigurationState>) -> (Vec<String>, Vec<String>) {
    let appliance = running.and_then(document);
    let declared: Vec<_> = appliance.iter().flat_map(|appliance| &appliance.interfaces).collect();
    let mut names: Vec<String> = facts
        .interfaces
        .iter()
        .map(|interface| interface.name.clone())
        .collect();
    for (name, _) in &declared {
        if !names.iter().any(|known| known == name.as_str()) {
            names.push(name.to_string());
        }
    }
    let rows: Vec<Vec<String>> = (1..)
        .zip(&names)
        .map(|(number, name)| {
            let hardware = facts.interfaces.iter().find(|interface| interface.name == *name);
            let found = declared.iter().find(|(declared, _)| declared.as_str() == name);
            let addresses: Vec<String> = found
                .iter()
                .flat_map(|(_, interface)| &interface.addresses)
                .map(ToString::to_string)
                .collect();
            vec![
                format!("{number}"),
                name.clone(),
                match hardware.map(|hardware| hardware.carrier) {
                    Some(Some(true)) => "up",
                    Some(Some(false)) => "no link",
                    Some(None) => "down",
                    None => "absent",
                }
                .to_owned(),
                hardware.map_or_else(String::new, |hardware| hardware.mac.clone()),
                found.map_or_else(|| "-".to_owned(), |(_, interface)| interface.zone.to_string()),
                if addresses.is_empty() {
                    "-".to_owned()
                } else {
                    addresses.join(" ")
                },
            ]
        })
        .collect();
    let head = ["", "NAME", "LINK", "HARDWARE", "ZONE", "ADDRESSES"];
    let lines = table(&head, &rows)
        .into_iter()
        .map(|line| format!("  {line}"))
        .collect();
    (lines, names)
}

/// What becomes of new versions of the image.
fn update(reply: Result<&UpdateReply, &String>) -> Vec<String> {
    let state = match reply {
        Ok(UpdateReply::State(state)) => state,
        Ok(_) => return Vec::new(),
        Err(why) => return paragraph(&format!("Update: {why}")),
    };
    let mut said = Vec::new();
    if state.on_probation {
        said.push(format!("version {} is on probation", state.running));
    }
    if let Some(next) = state.next.as_ref().filter(|next| **next != state.running) {
        said.push(format!("version {next} is tried at the next start"));
    }
    said.extend(state.unable.clone());
    if said.is_empty() {
        said.push("nothing waits for a restart".to_owned());
    }
    paragraph(&format!("Update: {}", said.join("; ")))
}

/// What opens the vault.
pub(crate) fn seal(status: &SealStatus) -> Vec<String> {
    let mut lines = match &status.sealed {
        None => vec!["  The vault is open.".to_owned()],
        Some(why) => paragraph(&format!("THE VAULT IS SEALED: {why}")),
    };
    if let Some(device) = &status.device {
        lines.extend(paragraph(&format!("Key device   {device}")));
    }
    lines.extend(paragraph(&format!("Sealed to    {}", status.sealed_to)));
    lines.push(match status.unsealing {
        Unsealing::Automatic => "  At a start   it opens by itself".to_owned(),
        Unsealing::Manual => "  At a start   it stays closed until the recovery is brought".to_owned(),
    });
    lines.push(match &status.recovery {
        None => "  Recovery     none: what is lost with the key device stays lost".to_owned(),
        Some(recovery) => format!(
            "  Recovery     {} of {} shares, made {}",
            recovery.shape.threshold, recovery.shape.shares, recovery.made
        ),
    });
    lines
}

/// A user with a number.
pub(crate) fn user(number: usize, user: &UserRecord) -> String {
    let roles: Vec<&str> = user.roles.iter().map(redan_types::RoleName::as_str).collect();
    let state = match (user.enabled, user.must_change) {
        (false, _) => "switched off",
        (true, true) => "has a one-time password",
        (true, false) => "",
    };
    format!(
        "  {number:>2}  {:<24} {:<24} {state}",
        user.name.as_str(),
        roles.join(", ")
    )
}

/// Mistakes as the checker prints them.
pub(crate) fn mistakes(mistakes: &[Mistake]) -> Vec<String> {
    mistakes
        .iter()
        .flat_map(|mistake| mistake.rendered.lines())
        .map(|line| {
            let mut cut = plain(line);
            cut.truncate(WIDTH - 1);
            cut
        })
        .collect()
}

/// What changes, each with its mark.
pub(crate) fn changes(changes: &[Change]) -> Vec<String> {
    if changes.is_empty() {
        return vec!["  Nothing changes.".to_owned()];
    }
    changes
        .iter()
        .flat_map(|change| {
            let mark = match change.kind {
                ChangeKind::Added => '+',
                ChangeKind::Changed => '~',
                ChangeKind::Removed => '-',
            };
            paragraph(&format!("{mark} {}", change.text))
        })
        .collect()
}

/// What is asked of the audit log for the support information.
pub(crate) fn newest_entries() -> AuditQuery {
    AuditQuery {
        limit: ENTRIES,
        ..AuditQuery::default()
    }
}

/// The audit log's newest entries and the log.
pub(crate) fn support(audit: Answer<'_>, log: Result<&MachineReply, &String>) -> Vec<String> {
    let mut lines = vec![String::new(), "Audit log, newest first:".to_owned()];
    match audit {
        Ok(OperatorReply::AuditPage(page)) => {
            for entry in &page.entries {
                let event = &entry.event;
                lines.extend(paragraph(&format!(
                    "{} {} {} {} {} {}",
                    event.time,
                    event.actor,
                    event.action,
                    event.resource,
                    event.outcome.name(),
                    event.message
                )));
            }
        }
        Ok(_) => {}
        Err(why) => lines.extend(paragraph(why)),
    }
    lines.push(String::new());
    lines.push("Log, oldest first:".to_owned());
    match log {
        Ok(MachineReply::Log(log)) => lines.extend(log.iter().flat_map(|line| paragraph(line))),
        Ok(_) => {}
        Err(why) => lines.extend(paragraph(why)),
    }
    lines
}

fn paragraph(text: &str) -> Vec<String> {
    wrapped(text, WIDTH - 2 - INDENT)
        .into_iter()
        .map(|line| format!("  {line}"))
        .collect()
}
