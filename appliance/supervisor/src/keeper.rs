//! The supervisor as the machine's keeper: its watchdog, what the provisioning service asks, its end.

use redan_hal::board::button::Press;
use redan_hal::board::sensors;
use redan_ipc::messages::ProvisionSupervisor;
use redan_ipc::messages::control::{Purpose, Report, ToService};
use redan_ipc::messages::machine::{DataState, MachineFacts, MachineReply, MachineRequest, Reading};
use redan_ipc::messages::status::ServiceEventKind;
use redan_types::{Process, SecretString};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, WaitStatus};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Instant;

use crate::log::{newest, say};
use crate::machine::boot::{Boot, forget_recovery_key, recovery_key};
use crate::machine::facts::{interfaces, serial_number};
use crate::machine::reset::erase;
use crate::machine::trial::Judgement;
use crate::machine::watchdog::WellBeing;
use crate::machine::{End, finish, is_mounted};
use crate::manifest::{Milestone, SERVICES};
use crate::outbox::OutboxError;
use crate::service::{Parcel, describe};
use crate::state::store;
use crate::supervisor::{SELF, Supervisor, wall};
use crate::{Options, words};

/// The program that opens, makes and destroys the data partition.
const DATA_TOOL: &str = "/usr/lib/redan/redan-data";
const DATA: &str = "/data";
/// The most that is read of what the program says, in bytes: less than a pipe holds.
const SAID: u64 = 2 << 10;

/// Runs the appliance as PID 1, and ends the machine.
pub fn run_machine(options: &Options) -> ! {
    let end = match Supervisor::new(options).and_then(Supervisor::run_to_end) {
        Ok(end) => end,
        Err(error) => {
            say(SELF, &words(&error));
            End::Reboot
        }
    };
    if end == End::FactoryReset {
        destroy_data();
    }
    finish(end)
}

impl Supervisor {
    /// Answers what has arrived on the provisioning service's wire.
    pub(crate) fn attend_provision(&mut self) -> Result<(), OutboxError> {
        self.attend::<ProvisionSupervisor>(|this| &mut this.provision, Self::answer_provision)
    }

    /// What is to be done for the machine itself, often.
    pub(crate) fn attend_machine(&mut self, now: Instant) {
        let state = self.well_being();
        let stopping = self.stopping.is_some();
        let Some(machine) = &mut self.machine else { return };
        // The end is bounded by itself; a watchdog that expires within it would only hide what took so long.
        machine
            .watchdog
            .attend(if stopping { WellBeing::Alive } else { state }, now);
        let pressed = machine.buttons.iter_mut().find_map(|button| button.take(now));
        let sticks = machine.sticks.look(now);
        let judgement = machine.trial.judge(machine.watchdog.is_proven(now), now);
        if let Some(press) = pressed {
            let (end, what) = match press {
                Press::Power => (End::PowerOff, "the power button was pressed"),
                Press::Reset => (End::Reboot, "the reset button was pressed"),
                Press::FactoryReset => (End::FactoryReset, "the reset button was held for ten seconds"),
            };
            self.end(end, what);
        }
        for stick in sticks {
            let purpose = Purpose::Stick;
            self.send_to(Process::Provision, (ToService::File { purpose }, vec![Rc::new(stick)]));
        }
        let verdict = match judgement {
            Some(Judgement::Good) if !stopping => Ok(()),
            Some(Judgement::Bad) if !stopping => Err(self.trouble()),
            _ => return,
        };
        self.send_to(Process::Update, (ToService::Verdict(verdict), Vec::new()));
    }

    fn send_to(&mut self, process: Process, parcel: Parcel) {
        if let Some(index) = self
            .services
            .iter()
            .position(|service| service.entry.process == process)
        {
            self.send(index, parcel);
        }
    }

    /// The update service has something to tell.
    pub(crate) fn take_report(&mut self, report: Report) {
        let Some(machine) = &mut self.machine else { return };
        let noted = match report {
            Report::OnProbation => {
                machine.trial.begin();
                "the version that runs is on probation".to_owned()
            }
            Report::Kept(text) => {
                machine.trial.end();
                // From the next start on an older version cannot open the data any more.
                let raising = Command::new(DATA_TOOL)
                    .arg("raise")
                    .env_clear()
                    .stdin(Stdio::null())
                    .spawn();
                match raising {
                    Ok(_) => text,
                    Err(error) => format!("{text}; {DATA_TOOL} cannot be run: {error}"),
                }
            }
            Report::Noted(text) => text,
            Report::Restart(why) => {
                self.end(End::Reboot, &why);
                format!("restart: {why}")
            }
        };
        let noted = crate::log::clean(&noted);
        say(SELF, &noted);
        self.journal
            .record(wall(), Process::Update, ServiceEventKind::Noted, &noted);
    }

    /// Why everything is not as it should be, in words.
    fn trouble(&self) -> String {
        if self.store.is_none() {
            return "the data partition is not open".to_owned();
        }
        let unwell: Vec<_> = self
            .services
            .iter()
            .filter(|service| service.life.milestone() != Some(Milestone::Ready))
            .map(|service| match &service.last_exit {
                Some(exit) => format!("the {} does not run: {exit}", service.entry.process),
                None => format!("the {} is not ready", service.entry.process),
            })
            .collect();
        if unwell.is_empty() {
            "the configuration was not applied in time, or a service kept dying".to_owned()
        } else {
            unwell.join("; ")
        }
    }

    /// A process that is no service has ended.
    pub(crate) fn tool_ended(&mut self, pid: Pid, status: WaitStatus) {
        let Some(opener) = self.opener.take_if(|opener| opener.pid == pid) else {
            return;
        };
        let said = opener.said();
        if status.exit_status() == Some(0) {
            self.take_up_data();
            if let Some(machine) = &mut self.machine
                && !said.is_empty()
            {
                machine.notes.push(said);
            }
            return;
        }
        let why = if said.is_empty() { describe(status) } else { said };
        say(SELF, &format!("the recovery key did not open the data: {why}"));
        if let Some(machine) = &mut self.machine {
            machine.boot.data = DataState::Locked { reason: why };
        }
    }

    /// How the services are.
    fn well_being(&self) -> WellBeing {
        let is_ready = |process| {
            self.services
                .iter()
                .any(|service| service.entry.process == process && service.life.milestone() == Some(Milestone::Ready))
        };
        if self.store.is_none() {
            // All that can run is the serial line.
            return if is_ready(Process::Provision) {
                WellBeing::Alive
            } else {
                WellBeing::Unwell
            };
        }
        let all = self.services.iter().all(|service| is_ready(service.entry.process));
        match (all, self.listeners.is_committed()) {
            (true, true) => WellBeing::Good,
            (true, false) => WellBeing::Alive,
            (false, _) => WellBeing::Unwell,
        }
    }

    fn answer_provision(&mut self, request: MachineRequest) -> MachineReply {
        match request {
            MachineRequest::Facts => MachineReply::Facts(Box::new(self.facts())),
            MachineRequest::Log => MachineReply::Log(newest()),
            MachineRequest::RecoveryKey => MachineReply::RecoveryKey(recovery_key()),
            MachineRequest::RecoveryKeyNoted => match forget_recovery_key() {
                Ok(()) => MachineReply::Done,
                Err(error) => MachineReply::Refused(format!("the recovery key cannot be forgotten: {error}")),
            },
            MachineRequest::Unlock { key } => self.unlock(&key),
            MachineRequest::Reboot { reason } => self.end(End::Reboot, &reason),
            MachineRequest::PowerOff { reason } => self.end(End::PowerOff, &reason),
            MachineRequest::FactoryReset { reason } => self.end(End::FactoryReset, &reason),
        }
    }

    /// Ends the machine in this way.
    pub(crate) fn end(&mut self, end: End, reason: &str) -> MachineReply {
        let Some(machine) = &mut self.machine else {
            return MachineReply::Refused("this is no machine of its own".to_owned());
        };
        if self.stopping.is_some() {
            return MachineReply::Refused("it is ending already".to_owned());
        }
        machine.end = end;
        say(SELF, &format!("{end}: {}", crate::log::clean(reason)));
        self.begin_stop();
        MachineReply::Done
    }

    fn facts(&self) -> MachineFacts {
        let Some(machine) = &self.machine else {
            return MachineFacts {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                data: DataState::Folder,
                started: self.started,
                ..MachineFacts::default()
            };
        };
        let Boot {
            version,
            slot,
            security_version,
            root_hash,
            data,
            ..
        } = &machine.boot;
        let watchdog = if machine.watchdog.is_there() {
            ("fed", true)
        } else {
            ("absent", false)
        };
        let is_proven = machine.watchdog.is_proven(Instant::now());
        MachineFacts {
            version: version.clone(),
            slot: slot.clone(),
            security_version: *security_version,
            root_hash: root_hash.clone(),
            serial: serial_number(),
            data: data.clone(),
            started: self.started,
            interfaces: interfaces(),
            board: std::iter::once(Reading {
                name: "watchdog".to_owned(),
                value: watchdog.0.to_owned(),
                good: watchdog.1,
            })
            .chain(sensors::read(&machine.board).into_iter().map(|reading| Reading {
                name: reading.name,
                value: reading.value,
                good: reading.good,
            }))
            .collect(),
            is_proven,
            built_in: machine.first.clone().unwrap_or_default(),
            notes: machine.notes.clone(),
        }
    }

    fn unlock(&mut self, key: &SecretString) -> MachineReply {
        if self.store.is_some() {
            return MachineReply::Refused("the data partition is open".to_owned());
        }
        if self.opener.is_some() {
            return MachineReply::Refused("the last key is still being tried".to_owned());
        }
        match start_opener(key) {
            Ok(opener) => {
                self.opener = Some(opener);
                MachineReply::Done
            }
            Err(error) => MachineReply::Refused(format!("{DATA_TOOL} cannot be run: {error}")),
        }
    }

    /// The data partition is open now: the vault may start.
    fn take_up_data(&mut self) {
        let Some(machine) = &mut self.machine else { return };
        machine.boot = Boot::read();
        if !machine.has_data() {
            say(SELF, "the data partition is open and not mounted");
            return;
        }
        let vault = SERVICES.iter().find(|entry| entry.process == Process::Vault);
        match store(DATA.as_ref(), vault.map(|entry| entry.user)) {
            Ok(folder) => {
                self.store = Some(Rc::new(OwnedFd::from(folder)));
                say(SELF, "the data partition was opened with the recovery key");
            }
            Err(error) => say(SELF, &words(&error)),
        }
    }
}

impl crate::machine::Machine {
    /// Whether the data partition is open and mounted.
    pub(crate) fn has_data(&self) -> bool {
        let opened = matches!(
            self.boot.data,
            DataState::New | DataState::Opened | DataState::Recovered
        );
        opened && is_mounted(DATA)
    }
}

/// Opens the data partition.
#[derive(Debug)]
pub(crate) struct Opener {
    pid: Pid,
    output: Option<ChildStdout>,
}

impl Opener {
    /// What it has said; it has ended.
    fn said(self) -> String {
        let mut said = Vec::new();
        if let Some(output) = self.output {
            // What a pipe holds is there at once. What it has started may hold the pipe still, and is not waited for.
            let _ = fcntl_setfl(&output, OFlags::NONBLOCK);
            let _ = output.take(SAID).read_to_end(&mut said);
        }
        crate::log::clean(String::from_utf8_lossy(&said).trim())
    }
}

/// Starts the program with the key on its standard input; its end is noticed like a service's.
fn start_opener(key: &SecretString) -> std::io::Result<Opener> {
    let mut child = Command::new(DATA_TOOL)
        .arg("open")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A recovery key is far shorter than a pipe: this does not wait.
        input.write_all(key.expose().as_bytes())?;
        input.write_all(b"\n")?;
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| std::io::Error::other("the kernel gave an odd process id"))?;
    Ok(Opener {
        pid,
        output: child.stdout.take(),
    })
}

/// Destroys the data partition's keys, which makes all of it unreadable at once, then the vault's, then the rest. Everything has stopped.
fn destroy_data() {
    let outcome = Command::new(DATA_TOOL)
        .arg("destroy")
        .env_clear()
        .stdin(Stdio::null())
        .status();
    match outcome {
        Ok(status) if status.success() => say(SELF, "the data and its keys are destroyed"),
        Ok(status) => say(
            SELF,
            &format!("the data may not be destroyed: {DATA_TOOL} ended with {status}"),
        ),
        Err(error) => say(
            SELF,
            &format!("the data are not destroyed: {DATA_TOOL} cannot be run: {error}"),
        ),
    }
    if is_mounted(DATA)
        && let Err(error) = erase(DATA.as_ref())
    {
        say(SELF, &format!("not all of the data could be removed: {error}"));
    }
}
