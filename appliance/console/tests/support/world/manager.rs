//! The configuration and the services' state, as the manager answers about them.

use super::World;
use redan_console::now;
use redan_ipc::messages::audit::Outcome;
use redan_ipc::messages::manager::{
    Change, ChangeKind, ConfigurationState, ManagerReply, ManagerRequest, Mistake, Source,
};
use redan_ipc::messages::status::{ApplianceStatus, Protection, ProtectionState, ServiceState, ServiceStatus};
use redan_ipc::messages::vault::{CommitState, Pending, Version};
use redan_types::{Mode, Process, Timestamp};
use std::time::Duration;

impl World {
    pub fn manager(&mut self, request: ManagerRequest) -> ManagerReply {
        self.time_out();
        match request {
            ManagerRequest::Status => ManagerReply::Status(self.status()),
            ManagerRequest::Configuration => ManagerReply::Configuration(ConfigurationState {
                state: self.commit.clone(),
                running: self.running(),
                now: now(),
            }),
            ManagerRequest::Version(generation) => ManagerReply::Version(
                self.versions
                    .iter()
                    .find(|version| version.info.generation == generation)
                    .cloned(),
            ),
            ManagerRequest::Versions { before } => ManagerReply::Versions(
                self.versions
                    .iter()
                    .rev()
                    .map(|version| version.info.clone())
                    .filter(|info| before.is_none_or(|before| info.generation < before))
                    .collect(),
            ),
            ManagerRequest::Check { document } => ManagerReply::Checked(mistakes(&document)),
            ManagerRequest::Diff { from, to } => {
                let (from, to) = (self.text(&from), self.text(&to));
                let text = format!(
                    "the document grows from {} to {} lines, or another of its values is other",
                    from.lines().count(),
                    to.lines().count()
                );
                ManagerReply::Diff(vec![Change {
                    kind: ChangeKind::Changed,
                    path: "services.shop.limits".to_owned(),
                    text,
                }])
            }
            ManagerRequest::PreviewException(_) => ManagerReply::Refused(vec!["there is no such event".to_owned()]),
            ManagerRequest::Commit {
                document,
                confirm_within,
                comment,
                actor,
                base,
            } => {
                let found = mistakes(&document);
                if !found.is_empty() {
                    return ManagerReply::Mistaken(found);
                }
                if self.commit.pending.is_some() || base != Some(self.commit.confirmed) {
                    return ManagerReply::Refused(vec!["somebody was faster".to_owned()]);
                }
                if self.running().is_some_and(|running| running.document == document) {
                    return ManagerReply::Done(self.commit.clone());
                }
                let generation = self.store(document, actor.clone(), &comment);
                let deadline = now().after(Duration::from_secs(confirm_within.into()));
                self.commit.pending = Some(Pending {
                    generation,
                    deadline,
                    actor: actor.clone(),
                });
                self.record(
                    actor,
                    "configuration.committed",
                    &format!("configuration/{generation}"),
                    Outcome::Succeeded,
                    &comment,
                );
                ManagerReply::Done(self.commit.clone())
            }
            ManagerRequest::Confirm { generation, actor } => {
                self.commit = CommitState {
                    confirmed: generation,
                    pending: None,
                };
                self.record(
                    actor,
                    "configuration.confirmed",
                    &format!("configuration/{generation}"),
                    Outcome::Succeeded,
                    "",
                );
                ManagerReply::Done(self.commit.clone())
            }
            ManagerRequest::Rollback { generation, actor } => {
                self.commit.pending = None;
                self.record(
                    actor,
                    "configuration.rolled-back",
                    &format!("configuration/{generation}"),
                    Outcome::Succeeded,
                    "asked for",
                );
                ManagerReply::Done(self.commit.clone())
            }
        }
    }

    fn running(&self) -> Option<Version> {
        let generation = self
            .commit
            .pending
            .as_ref()
            .map_or(self.commit.confirmed, |pending| pending.generation);
        self.versions
            .iter()
            .find(|version| version.info.generation == generation)
            .cloned()
    }

    fn text(&self, source: &Source) -> String {
        match source {
            Source::Running => self.running().unwrap().document,
            Source::Text(text) => text.clone(),
            Source::Version(generation) => self
                .versions
                .iter()
                .find(|version| version.info.generation == *generation)
                .unwrap()
                .document
                .clone(),
        }
    }

    fn status(&self) -> ApplianceStatus {
        let protection = |name: &str, state, detail: &str| Protection {
            name: name.to_owned(),
            state,
            detail: detail.to_owned(),
        };
        let services = [
            Process::Supervisor,
            Process::Vault,
            Process::Manager,
            Process::Network,
            Process::Proxy,
            Process::Console,
        ];
        let service = |(i, process): (u32, Process)| {
            let down = self.down == Some(process);
            ServiceStatus {
                process,
                state: if down {
                    ServiceState::BackOff
                } else {
                    ServiceState::Ready
                },
                pid: (!down).then_some(4_000 + i),
                memory: u64::from(9 + i * 3) << 20,
                restarts: u32::from(down),
                started: Some(Timestamp(now().0.saturating_sub(754_000_000))),
                protections: vec![
                    protection("seccomp", ProtectionState::Active, "92 system calls allowed"),
                    protection("landlock", ProtectionState::Active, "no file, no port"),
                    protection("network namespace", ProtectionState::Active, "empty"),
                    protection(
                        "cgroup v2",
                        ProtectionState::Absent,
                        "this host has no v2 controllers; limits are rlimits",
                    ),
                ],
                last_exit: down.then(|| "killed by signal 9".to_owned()),
            }
        };
        ApplianceStatus {
            mode: Mode::EvaluationRoot,
            started: Timestamp(now().0.saturating_sub(760_000_000)),
            notes: vec!["traffic of this host itself is unfiltered".to_owned()],
            services: (0..).zip(services).map(service).collect(),
        }
    }
}

/// A line with `oops` is a mistake.
fn mistakes(document: &str) -> Vec<Mistake> {
    (1..)
        .zip(document.lines())
        .filter_map(|(line, text)| Some((line, text.find("oops")?)))
        .map(|(line, at)| Mistake {
            line,
            column: u32::try_from(at).unwrap() + 1,
            length: 4,
            message: "unknown key `oops`".to_owned(),
            help: Some("did you mean `hosts`?".to_owned()),
            rendered: String::new(),
            fatal: true,
        })
        .collect()
}
