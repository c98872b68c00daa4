//! What becomes of a stick that was plugged in.
//!
//! A document that an operator's key signed is applied at once, on probation, and kept when every service runs with it. An unsigned one
//! is offered in the menu, and only while nothing but the built-in configuration has ever run. A new version of the image is offered in
//! the menu. In each case a report is left on the stick.

use redan_config::Appliance;
use redan_ipc::messages::audit::Actor;
use redan_ipc::messages::machine::{MachineFacts, MachineReply, MachineRequest};
use redan_ipc::messages::manager::{
    ConfigurationState, ManagerReply, ManagerRequest, OperatorReply, OperatorRequest, Source,
};
use redan_ipc::messages::status::ServiceState;
use redan_ipc::messages::update::{PORTION, UpdateReply, UpdateRequest};
use redan_types::{Generation, Process};
use std::fs::File;
use std::time::Duration;

use crate::screens;
use crate::stick::{Offer, Stick, StickError};
use crate::world::World;

/// From a commit until it is looked whether everything runs with it.
const TRIAL: Duration = Duration::from_secs(20);
/// The manager rolls back after this many seconds.
const PROBATION: u32 = 120;
/// While the manager does not answer, the stick waits; asked again after this time.
const AGAIN: Duration = Duration::from_secs(5);

/// Sticks.
#[derive(Debug, Default)]
pub(crate) struct Sticks {
    /// Not looked at yet.
    waiting: Option<File>,
    asked: Duration,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    stick: Stick<File>,
    serial: String,
    report: Vec<String>,
    /// An unsigned document that may be accepted.
    offer: Option<String>,
    bundle: Option<String>,
    /// A version on probation, and when it is looked at.
    trial: Option<(Generation, Duration)>,
    /// An unsigned document that was accepted runs as this version, and nobody has kept it yet.
    accepted: Option<Generation>,
}

impl Sticks {
    /// Looks for a new stick, and goes on with the one that is held.
    pub(crate) fn tick(&mut self, world: &mut impl World, now: Duration) {
        if let Some(stick) = world.stick() {
            self.waiting = Some(stick);
            self.asked = Duration::ZERO;
        }
        if self.waiting.is_some() && now >= self.asked {
            self.asked = now.saturating_add(AGAIN);
            if let Some(running) = configuration(world)
                && let Some(device) = self.waiting.take()
            {
                self.held = Held::look(device, world, &running, now);
            }
        }
        if let Some(held) = &mut self.held {
            held.look_at_trial(world, now);
        }
    }

    /// The unsigned document that may be accepted.
    pub(crate) fn offer(&self) -> Option<&str> {
        self.held.as_ref()?.offer.as_deref()
    }

    /// The bundle on the stick.
    pub(crate) fn bundle(&self) -> Option<&str> {
        self.held.as_ref()?.bundle.as_deref()
    }

    /// What was last said about a stick.
    pub(crate) fn newest(&self) -> Option<&str> {
        self.held.as_ref()?.report.last().map(String::as_str)
    }

    /// Everything that was said about the last stick.
    pub(crate) fn report(&self) -> &[String] {
        self.held.as_ref().map_or(&[], |held| held.report.as_slice())
    }

    /// The unsigned document was accepted, and runs on probation.
    pub(crate) fn accepted(&mut self, generation: Generation) {
        if let Some(held) = &mut self.held {
            held.offer = None;
            held.accepted = Some(generation);
            held.tell(&format!(
                "accepted over the serial line, unsigned: version {generation} runs on probation"
            ));
        }
    }

    /// A version on probation was kept or rolled back.
    pub(crate) fn settled(&mut self, generation: Generation, is_kept: bool) {
        if let Some(held) = &mut self.held
            && held.accepted.take_if(|accepted| *accepted == generation).is_some()
        {
            let fate = if is_kept { "is kept" } else { "was rolled back" };
            held.tell(&format!("version {generation} {fate}"));
        }
    }

    /// Adds to the report.
    pub(crate) fn note(&mut self, line: &str) {
        if let Some(held) = &mut self.held {
            held.tell(line);
        }
    }

    /// Installs the bundle. Whoever asked restarts, once the operator and the stick were told.
    pub(crate) fn install(&mut self, world: &mut impl World) -> Result<String, String> {
        let held = self.held.as_mut().ok_or("there is no stick any more")?;
        let name = held.bundle.clone().ok_or("there is no new version on the stick")?;
        world.update(&UpdateRequest::Begin {
            by: "a stick, confirmed over the serial line".to_owned(),
        })?;
        let read = held.stick.read_bundle(&name, PORTION, |bytes| {
            world.update(&UpdateRequest::Data(bytes.to_vec())).map(drop)
        });
        let outcome = read.and_then(|()| world.update(&UpdateRequest::Finish { restart: false }));
        match outcome {
            Ok(UpdateReply::Installed { version }) => {
                held.tell(&format!(
                    "version {version} was installed and is tried at the next start"
                ));
                Ok(version)
            }
            Ok(_) => Err("the update service gave an answer to another question".to_owned()),
            Err(why) => {
                let _ = world.update(&UpdateRequest::Abort);
                held.tell(&format!("{name} was not installed: {why}"));
                Err(why)
            }
        }
    }
}

impl Held {
    fn look(device: File, world: &mut impl World, running: &ConfigurationState, now: Duration) -> Option<Self> {
        let facts = match world.machine(&MachineRequest::Facts) {
            Ok(MachineReply::Facts(facts)) => *facts,
            Ok(_) | Err(_) => MachineFacts::default(),
        };
        let document = running.running.as_ref().map(|version| version.document.as_str());
        let keys: Vec<String> = document
            .and_then(|text| Appliance::parse(text, "redan.toml").ok())
            .map(|appliance| appliance.system.operator_keys.iter().map(ToString::to_string).collect())
            .unwrap_or_default();
        let mut held = Self {
            stick: Stick::new(device),
            serial: facts.serial.clone(),
            report: vec![format!("Redan {}, serial number {}", facts.version, facts.serial)],
            offer: None,
            bundle: None,
            trial: None,
            accepted: None,
        };
        let offer = held.stick.offer(&facts.serial, &keys);
        if let Err(StickError::NotOurs(why)) = &offer {
            eprintln!("a stick was passed over: {why}");
            return None;
        }
        held.bundle = held.stick.bundle().unwrap_or_default();
        match offer {
            Ok(offer) if Some(offer.document.as_str()) == document => {
                held.tell(&format!("{}: this configuration runs already", offer.file));
            }
            Ok(offer) if offer.signed => held.apply(world, offer, running, now),
            Ok(offer) => {
                // Before anybody has given a configuration, whoever sits at the serial line may.
                let is_first =
                    document.is_none_or(|document| document == facts.built_in) && running.state.pending.is_none();
                if is_first {
                    held.tell(&format!(
                        "{}: it is not signed; accept it in the serial menu (S)",
                        offer.file
                    ));
                    held.offer = Some(offer.document);
                } else {
                    held.refuse(world, &format!("{}: it is not signed", offer.file));
                }
            }
            // A stick may be there for its new version alone.
            Err(StickError::NoDocument(_)) if held.bundle.is_some() => {
                held.tell("a new version; install it in the serial menu (V)");
            }
            Err(error) => held.refuse(world, &error.to_string()),
        }
        Some(held)
    }

    /// Commits a signed document.
    fn apply(&mut self, world: &mut impl World, offer: Offer, running: &ConfigurationState, now: Duration) {
        let Offer { file, document, .. } = offer;
        match ask(
            world,
            ManagerRequest::Check {
                document: document.clone(),
            },
        ) {
            Ok(ManagerReply::Checked(mistakes)) => {
                self.report.extend(screens::mistakes(&mistakes));
                if mistakes.iter().any(|mistake| mistake.fatal) {
                    return self.refuse(world, &format!("{file}: it has mistakes, see above"));
                }
            }
            Ok(_) => return self.refuse(world, ODD),
            Err(why) => return self.refuse(world, &why),
        }
        let diff = ManagerRequest::Diff {
            from: Source::Running,
            to: Source::Text(document.clone()),
        };
        if let Ok(ManagerReply::Diff(changes)) = ask(world, diff) {
            self.report.extend(screens::changes(&changes));
        }
        let commit = ManagerRequest::Commit {
            document,
            confirm_within: PROBATION,
            comment: format!("{file} on a USB stick"),
            actor: SELF,
            base: running.running.as_ref().map(|version| version.info.generation),
        };
        match ask(world, commit) {
            Ok(ManagerReply::Done(state)) => match state.pending {
                Some(pending) => {
                    record(world, "stick.applied", true, &format!("{file} runs on probation"));
                    self.trial = Some((pending.generation, now.saturating_add(TRIAL)));
                    self.tell(&format!("{file}: version {} runs on probation", pending.generation));
                }
                None => self.tell(&format!("{file}: version {} runs", state.confirmed)),
            },
            Ok(ManagerReply::Mistaken(mistakes)) => {
                self.report.extend(screens::mistakes(&mistakes));
                self.refuse(world, &format!("{file}: it has mistakes, see above"));
            }
            Ok(_) => self.refuse(world, ODD),
            Err(why) => self.refuse(world, &format!("{file}: {why}")),
        }
    }

    /// Keeps what runs on probation if everything runs with it; otherwise it is rolled back by itself.
    fn look_at_trial(&mut self, world: &mut impl World, now: Duration) {
        let Some((generation, _)) = self.trial.take_if(|(_, at)| now >= *at) else {
            return;
        };
        let trouble = match ask(world, ManagerRequest::Status) {
            Ok(ManagerReply::Status(status)) => {
                let unwell = status
                    .services
                    .iter()
                    .find(|service| service.state != ServiceState::Ready);
                let note = status.notes.into_iter().find(|note| note.contains("not fully applied"));
                unwell
                    .map(|service| format!("the {} is not ready", service.process))
                    .or(note)
            }
            Ok(_) => Some(ODD.to_owned()),
            Err(why) => Some(why),
        };
        if let Some(trouble) = trouble {
            return self.refuse(world, &format!("version {generation} is rolled back: {trouble}"));
        }
        match ask(
            world,
            ManagerRequest::Confirm {
                generation,
                actor: SELF,
            },
        ) {
            Ok(_) => {
                record(world, "stick.kept", true, &format!("version {generation}"));
                self.tell(&format!("version {generation} is kept"));
            }
            Err(why) => self.refuse(world, &format!("version {generation} is rolled back: {why}")),
        }
    }

    fn refuse(&mut self, world: &mut impl World, why: &str) {
        record(world, "stick.refused", false, why);
        self.tell(why);
    }

    /// Adds to the report and writes it. A stick that takes no report has been read all the same.
    fn tell(&mut self, line: &str) {
        self.report.push(line.to_owned());
        let text = self.report.join("\n") + "\n";
        let written = self
            .stick
            .report(&self.serial, &text)
            .map_err(|error| error.to_string());
        let durable = written.and_then(|()| self.stick.device().sync_data().map_err(|error| error.to_string()));
        if let Err(error) = durable {
            eprintln!("the report on the stick: {error}");
        }
    }
}

fn configuration(world: &mut impl World) -> Option<ConfigurationState> {
    match ask(world, ManagerRequest::Configuration) {
        Ok(ManagerReply::Configuration(state)) => Some(state),
        Ok(_) | Err(_) => None,
    }
}

fn ask(world: &mut impl World, request: ManagerRequest) -> Result<ManagerReply, String> {
    match world.ask(&OperatorRequest::Manager(request))? {
        OperatorReply::Manager(reply) => Ok(reply),
        _ => Err(ODD.to_owned()),
    }
}

fn record(world: &mut impl World, action: &str, done: bool, message: &str) {
    let request = OperatorRequest::Record {
        action: action.to_owned(),
        done,
        message: message.to_owned(),
    };
    // The report on the stick says it too.
    let _ = world.ask(&request);
}

const SELF: Actor = Actor::Process(Process::Provision);
const ODD: &str = "the manager gave an answer to another question";
