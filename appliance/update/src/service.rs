//! Answers: the state machine around an installation, for the one at a time that there is.

use redan_ipc::messages::control::Report;
use redan_ipc::messages::update::{PORTION, UpdateReply, UpdateRequest, UpdateState};

use crate::esp::Esp;
use crate::install::{Installation, Running};
use crate::storage::Storage;

/// The update service's work.
#[derive(Debug)]
pub struct Updater<S> {
    running: Running,
    slot: S,
    esp: Esp<S>,
    under_way: Option<(Asker, String, Installation)>,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asker {
    /// Somebody at the console.
    Console,
    /// A stick.
    Provision,
}

impl<S: Storage> Updater<S> {
    /// With the other slot and the boot partition.
    pub const fn new(running: Running, slot: S, esp: S) -> Self {
        Self {
            running,
            slot,
            esp: Esp::new(esp),
            under_way: None,
        }
    }

    /// What is to be told at the start: a version that was tried in vain, or that this one is on probation.
    pub fn begin(&mut self) -> Vec<Report> {
        let version = self.running.version;
        let mut reports = Vec::new();
        match self.esp.take_failures(version) {
            Ok(failures) => reports.extend(failures.into_iter().map(|(failed, why)| {
                let why = why.unwrap_or_else(|| "it left no word: it did not start, hung, or crashed".to_owned());
                Report::Noted(format!(
                    "version {failed} was tried and given up, {version} runs again: {why}"
                ))
            })),
            Err(error) => reports.push(Report::Noted(format!("the boot partition cannot be read: {error}"))),
        }
        if self.is_on_probation() {
            reports.push(Report::OnProbation);
        }
        reports
    }

    /// This version has proved itself.
    pub fn keep(&mut self) -> Option<Report> {
        let version = self.running.version;
        match self.esp.keep(version) {
            Ok(true) => Some(Report::Kept(format!("version {version} has proved itself and is kept"))),
            Ok(false) => None,
            Err(error) => Some(Report::Noted(format!(
                "version {version} cannot be made permanent: {error}"
            ))),
        }
    }

    /// This version gives itself up.
    pub fn give_up(&mut self, why: &str) -> Report {
        if let Err(error) = self.esp.leave_reason(why) {
            return Report::Restart(format!("{why} (and the boot partition cannot be written: {error})"));
        }
        Report::Restart(why.to_owned())
    }

    /// Answers a question; what is to be told to the supervisor besides comes second.
    pub fn answer(&mut self, asker: Asker, request: UpdateRequest) -> (UpdateReply, Vec<Report>) {
        match request {
            UpdateRequest::State => (UpdateReply::State(self.state()), Vec::new()),
            UpdateRequest::Begin { by } => {
                self.under_way = Some((asker, by, Installation::begin(self.running.clone())));
                (UpdateReply::Taken { version: None }, Vec::new())
            }
            UpdateRequest::Data(bytes) => self.take(asker, &bytes),
            UpdateRequest::Finish { restart } => self.finish(asker, restart),
            UpdateRequest::Abort => {
                self.under_way.take_if(|(by, ..)| *by == asker);
                (UpdateReply::Taken { version: None }, Vec::new())
            }
        }
    }

    fn take(&mut self, asker: Asker, bytes: &[u8]) -> (UpdateReply, Vec<Report>) {
        let Some((_, by, mut installation)) = self.under_way.take_if(|(by, ..)| *by == asker) else {
            return (UpdateReply::Refused(NONE.to_owned()), Vec::new());
        };
        if bytes.len() > PORTION {
            return (
                UpdateReply::Refused(format!("a portion has at most {PORTION} bytes")),
                Vec::new(),
            );
        }
        match installation.take(bytes, &mut self.slot, &mut self.esp) {
            Ok(()) => {
                let version = installation.manifest().map(|manifest| manifest.version.to_string());
                self.under_way = Some((asker, by, installation));
                (UpdateReply::Taken { version }, Vec::new())
            }
            Err(error) => refused(&by, &error.to_string()),
        }
    }

    fn finish(&mut self, asker: Asker, restart: bool) -> (UpdateReply, Vec<Report>) {
        let Some((_, by, installation)) = self.under_way.take_if(|(by, ..)| *by == asker) else {
            return (UpdateReply::Refused(NONE.to_owned()), Vec::new());
        };
        match installation.finish(&mut self.esp) {
            Ok(version) => {
                let mut reports = vec![Report::Noted(format!(
                    "version {version} was installed by {by} and is tried at the next start"
                ))];
                if restart {
                    reports.push(Report::Restart(format!("into version {version}")));
                }
                let version = version.to_string();
                (UpdateReply::Installed { version }, reports)
            }
            Err(error) => refused(&by, &error.to_string()),
        }
    }

    fn state(&mut self) -> UpdateState {
        let version = self.running.version;
        let entries = self.esp.entries();
        UpdateState {
            running: version.to_string(),
            security_version: self.running.security_version,
            on_probation: self.is_on_probation(),
            next: entries.as_ref().ok().and_then(|entries| {
                let next = entries
                    .iter()
                    .find(|entry| entry.tries.is_some_and(|tries| tries.left > 0));
                next.map(|entry| entry.version.to_string())
            }),
            unable: entries
                .err()
                .map(|error| format!("the boot partition cannot be read: {error}")),
        }
    }

    fn is_on_probation(&mut self) -> bool {
        let version = self.running.version;
        self.esp.entries().is_ok_and(|entries| {
            entries
                .iter()
                .any(|entry| entry.version == version && entry.tries.is_some())
        })
    }
}

fn refused(by: &str, why: &str) -> (UpdateReply, Vec<Report>) {
    let report = Report::Noted(format!("an update by {by} was refused: {why}"));
    (UpdateReply::Refused(why.to_owned()), vec![report])
}

const NONE: &str = "no bundle was begun";
