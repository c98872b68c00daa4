//! The loop: signals, control channels, logs and the manager's questions, one thread.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use redan_hal::board::button::OpenButton;
use redan_hal::board::led::{self, Light};
use redan_ipc::messages::control::{FromService, LIMIT, ToService};
use redan_ipc::messages::status::{Protection, ServiceEventKind};
use redan_ipc::{IpcError, MAX_PACKET};
use redan_sandbox::NamespaceIds;
use redan_types::{Mode, Process, Timestamp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, WaitOptions, WaitStatus, geteuid, getpid, getrlimit, set_parent_process_death_signal,
    setrlimit, wait,
};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use crate::Options;
use crate::cgroup::Groups;
use crate::journal::Journal;
use crate::keeper::Opener;
use crate::keydevice::Support;
use crate::life::{Action, Cause};
use crate::listeners::{Addresses, Listeners};
use crate::log::{clean, say};
use crate::machine::console::serial_line;
use crate::machine::{End, Machine, quiet_console};
use crate::manifest::{Entry, Milestone, Place, SERVICES};
use crate::outbox::{Outbox, OutboxError};
use crate::service::{BinaryError, Ground, Parcel, Service, describe};
use crate::state::{Run, StateError, built_in, document, inherited, store};

/// The source of the supervisor's own lines in the log.
pub(crate) const SELF: &str = "supervisor";

/// Messages of one service that are read before the others have their turn.
pub(crate) const TURN: usize = 64;
/// Lines of a proof that are kept; the sandbox has about twenty.
const PROTECTIONS: usize = 32;

/// Why the appliance cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// The mode needs root.
    #[error("this mode needs to be run as root (for an ordinary user: in a user namespace of its own)")]
    NotRoot,
    /// `/proc` is missing or belongs to another PID namespace.
    #[error("/proc is not mounted, or shows another PID namespace")]
    Proc(#[source] std::io::Error),
    /// A service's binary is missing.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// A file of the appliance's.
    #[error(transparent)]
    State(#[from] StateError),
    /// Signals cannot be received.
    #[error("cannot receive signals")]
    Signals(#[source] nix::Error),
    /// The terminal for the menu.
    #[error("{0}")]
    Serial(String),
    /// Waiting for events failed.
    #[error("cannot wait for events")]
    Poll(#[source] Errno),
}

/// The supervisor.
#[derive(Debug)]
pub struct Supervisor {
    pub(crate) ground: Ground,
    pub(crate) services: Vec<Service>,
    pub(crate) listeners: Listeners,
    pub(crate) journal: Journal,
    pub(crate) started: Timestamp,
    /// The answering end of the manager's wire.
    pub(crate) manager: Option<Outbox>,
    /// The answering end of the provisioning service's wire.
    pub(crate) provision: Option<Outbox>,
    /// The machine, where this is its PID 1.
    pub(crate) machine: Option<Machine>,
    /// The serial line, where there is one.
    pub(crate) serial: Option<Rc<OwnedFd>>,
    /// Opens the data partition, while that runs.
    pub(crate) opener: Option<Opener>,
    signals: SignalFd,
    /// `None` while the data partition is not open.
    pub(crate) store: Option<Rc<OwnedFd>>,
    pub(crate) operators: Rc<OwnedFd>,
    pub(crate) document: Option<Rc<OwnedFd>>,
    pub(crate) password: Option<Rc<OwnedFd>>,
    pub(crate) key_device: Support,
    /// Why the vault is sealed, where it is.
    pub(crate) sealed: Option<String>,
    ready: Option<File>,
    /// The next group of [`crate::manifest::STOP`] to be stopped, once the end has begun.
    pub(crate) stopping: Option<usize>,
    _run: Run,
}

#[derive(Clone, Copy, Debug)]
enum Token {
    Signals,
    Control(usize),
    Log(usize),
    Manager,
    Provision,
    Buttons,
}

impl Supervisor {
    /// Prepares everything that is needed before the first service starts.
    ///
    /// # Errors
    /// Says what is missing; nothing has been started then.
    pub fn new(options: &Options) -> Result<Self, SupervisorError> {
        let mut machine = options.machine.then(|| Machine::prepare(Instant::now()));
        let serial = match &options.serial {
            Some(path) => Some(serial_line(path).map_err(SupervisorError::Serial)?),
            None => machine.as_mut().and_then(|machine| machine.serial.take()),
        };
        let is_root = geteuid().is_root();
        if !is_root && options.mode != Mode::EvaluationBare {
            return Err(SupervisorError::NotRoot);
        }
        let own = std::fs::read_link("/proc/self").map_err(SupervisorError::Proc)?;
        if own.to_str() != Some(getpid().as_raw_nonzero().to_string().as_str()) {
            let error = std::io::Error::other("another PID namespace");
            return Err(SupervisorError::Proc(error));
        }
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
            mask.add(signal);
        }
        mask.thread_block().map_err(SupervisorError::Signals)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&mask, flags).map_err(SupervisorError::Signals)?;
        let ready = options.ready.map(inherited).transpose()?;
        let password = options
            .password
            .map(inherited)
            .transpose()?
            .map(|file| Rc::new(OwnedFd::from(file)));
        if options.ready.is_some() {
            // There is a launcher, and without it nobody would stop the appliance.
            set_parent_process_death_signal(Some(rustix::process::Signal::TERM)).map_err(SupervisorError::Poll)?;
        }

        raise_limit(Resource::Nofile);
        raise_locked_limit();
        let services = SERVICES
            .iter()
            .filter(|entry| exists(entry, machine.as_ref(), serial.is_some()))
            .map(|entry| Service::new(entry, &options.binaries))
            .collect::<Result<_, _>>()?;
        let (run, operators) = Run::claim(&options.run_folder())?;
        let owner = SERVICES.iter().find(|entry| entry.process == Process::Vault);
        let owner = owner
            .and_then(|entry| entry.identity(is_root, options.mode))
            .map(|identity| identity.uid);
        // Without its data the machine comes up as well, to be asked why over the serial line.
        let has_data = machine.as_ref().is_none_or(Machine::has_data);
        let store = has_data.then(|| store(&options.state, owner)).transpose()?;
        let first = machine.as_ref().and_then(|machine| machine.first.as_deref());
        let document = match first {
            Some(text) => Some(built_in(text)?),
            None => options.configuration.as_deref().map(document).transpose()?,
        };
        let password = password.or_else(|| machine.as_ref().and_then(|machine| machine.password.clone()));
        let addresses = match options.mode {
            Mode::Appliance => Addresses::Ours,
            Mode::EvaluationBare | Mode::EvaluationRoot | Mode::EvaluationUser => Addresses::Hosts,
        };
        let has_users = is_root && options.mode != Mode::EvaluationUser;
        let key_device = Support::new(options.key_device.clone(), has_users)?;
        let ground = Ground {
            mode: options.mode,
            threads: options.threads,
            is_root,
            outside: NamespaceIds::own().map_err(SupervisorError::Proc)?,
            null: File::open("/dev/null").map_err(SupervisorError::Proc)?,
            groups: Groups::create(),
        };
        Ok(Self {
            ground,
            services,
            listeners: Listeners::new(options.threads, addresses),
            journal: Journal::default(),
            started: wall(),
            manager: None,
            provision: None,
            machine,
            serial: serial.map(Rc::new),
            opener: None,
            signals,
            store: store.map(|store| Rc::new(OwnedFd::from(store))),
            operators: Rc::new(operators),
            document: document.map(Rc::new),
            password,
            key_device,
            sealed: None,
            ready,
            stopping: None,
            _run: run,
        })
    }

    /// Runs the appliance until it is told to stop, and ends every process.
    ///
    /// # Errors
    /// Only if waiting for events is impossible; the services die with the supervisor then.
    pub fn run(self) -> Result<(), SupervisorError> {
        self.run_to_end().map(drop)
    }

    /// As [`Self::run`]; says how the machine is to end.
    pub(crate) fn run_to_end(mut self) -> Result<End, SupervisorError> {
        while !self.is_over() {
            self.open_gates(Instant::now());
            let (tokens, ready) = self.wait(Instant::now())?;
            // What has arrived is heard before anybody is judged by the clock.
            for (token, flags) in tokens.into_iter().zip(ready).filter(|(_, flags)| !flags.is_empty()) {
                self.handle(token, flags);
            }
            self.reap();
            self.act(Instant::now());
            self.announce();
            self.attend_machine(Instant::now());
            self.continue_stop();
        }
        say(SELF, "everything has stopped");
        Ok(self.machine.as_ref().map_or(End::Reboot, |machine| machine.end))
    }

    /// Gives a service all its listeners anew.
    pub(crate) fn hand_over_listeners(&mut self) {
        for index in 0..self.services.len() {
            let Some(service) = self.services.get(index) else {
                continue;
            };
            for parcel in self.listeners.messages(service.entry.process) {
                self.send(index, parcel);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.stopping.is_some() && self.services.iter().all(|service| service.process.is_none())
    }

    /// Lets services start whose turn has come.
    fn open_gates(&mut self, now: Instant) {
        let reached: Vec<_> = self
            .services
            .iter()
            .map(|s| (s.entry.process, s.life.milestone()))
            .collect();
        for service in &mut self.services {
            let has_what_it_needs = service.entry.process != Process::Vault || self.store.is_some();
            let open = has_what_it_needs
                && service.entry.after.is_none_or(|(process, milestone)| {
                    reached
                        .iter()
                        .any(|(other, at)| *other == process && at.is_some_and(|at| at >= milestone))
                });
            if open && self.stopping.is_none() {
                service.life.may_start(now);
            }
        }
    }

    fn act(&mut self, now: Instant) {
        for index in 0..self.services.len() {
            while let Some(action) = self.services.get_mut(index).and_then(|service| service.life.due(now)) {
                match action {
                    Action::Start if self.stopping.is_some() => {
                        if let Some(service) = self.services.get_mut(index) {
                            service.life.stop(now);
                        }
                    }
                    Action::Start => self.start(index, now),
                    Action::Ping(number) => self.send(index, (ToService::Ping { number }, Vec::new())),
                    Action::Kill(cause) => {
                        if let Some(service) = self.services.get(index) {
                            say(SELF, &format!("killing the {}: {cause}", service.entry.process));
                            service.kill();
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn send(&mut self, index: usize, parcel: Parcel) {
        let Some(service) = self.services.get_mut(index) else {
            return;
        };
        if let Err(error) = service.send(parcel) {
            Self::unsent(service, &error);
        }
    }

    /// A process that is just exiting closes its channel before it can be reaped, and is to be told apart from one that reads
    /// nothing.
    pub(crate) fn unsent(service: &mut Service, error: &OutboxError) {
        match error {
            OutboxError::Channel(IpcError::Closed) => service.life.closed(Instant::now()),
            error => Self::broken(service, &error.to_string()),
        }
    }

    /// A service whose channel is of no use is killed, unless it has just ended by itself.
    fn broken(service: &mut Service, why: &str) {
        if service.life.is_running() {
            say(SELF, &format!("the {}: {why}", service.entry.process));
            service.life.condemn(Cause::Channel, Instant::now());
        }
    }

    fn wait(&self, now: Instant) -> Result<(Vec<Token>, Vec<PollFlags>), SupervisorError> {
        let mut tokens = vec![Token::Signals];
        let mut polled = vec![PollFd::new(&self.signals, PollFlags::IN)];
        for (index, service) in self.services.iter().enumerate() {
            let Some(process) = &service.process else { continue };
            if service.life.is_listened_to() {
                tokens.push(Token::Control(index));
                polled.push(PollFd::new(&process.control, interest(&process.control)));
            }
            if process.log.is_open() {
                tokens.push(Token::Log(index));
                polled.push(PollFd::new(&process.log, PollFlags::IN));
            }
        }
        if let Some(manager) = &self.manager {
            tokens.push(Token::Manager);
            polled.push(PollFd::new(manager, interest(manager)));
        }
        if let Some(provision) = &self.provision {
            tokens.push(Token::Provision);
            polled.push(PollFd::new(provision, interest(provision)));
        }
        for button in self.machine.iter().flat_map(|machine| &machine.buttons) {
            tokens.push(Token::Buttons);
            polled.push(PollFd::new(button.device(), PollFlags::IN));
        }
        let lives = self.services.iter().filter_map(|service| service.life.wake());
        let machine = self.machine.iter().flat_map(|machine| {
            let held = machine.buttons.iter().filter_map(OpenButton::wake);
            held.chain([machine.watchdog.wake(now), machine.sticks.wake(now)])
        });
        let next = lives.chain(machine).min();
        // One millisecond more, so that a wake-up is never just before its time.
        let timeout = next.map(|next| next.saturating_duration_since(now) + Duration::from_millis(1));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok((tokens, polled.iter().map(PollFd::revents).collect())),
            Err(errno) => Err(SupervisorError::Poll(errno)),
        }
    }

    fn handle(&mut self, token: Token, flags: PollFlags) {
        match token {
            Token::Signals => self.take_signals(),
            Token::Control(index) => {
                if flags.contains(PollFlags::OUT) {
                    self.flush(index);
                }
                if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                    self.listen_to(index);
                }
            }
            Token::Log(index) => {
                if let Some(process) = self
                    .services
                    .get_mut(index)
                    .and_then(|service| service.process.as_mut())
                {
                    process.log.pump(Instant::now());
                }
            }
            Token::Manager => {
                let flushed = self.manager.as_mut().map_or(Ok(()), Outbox::flush);
                if let Err(error) = flushed.and_then(|()| self.attend_manager()) {
                    self.manager = None;
                    self.wire_ended(Process::Manager, &error);
                }
            }
            // Looked at with everything else of the machine's.
            Token::Buttons => {}
            Token::Provision => {
                let flushed = self.provision.as_mut().map_or(Ok(()), Outbox::flush);
                if let Err(error) = flushed.and_then(|()| self.attend_provision()) {
                    self.provision = None;
                    self.wire_ended(Process::Provision, &error);
                }
            }
        }
    }

    /// Who asks the supervisor gets a new wire only by a restart.
    fn wire_ended(&mut self, process: Process, error: &OutboxError) {
        let Some(service) = self.services.iter_mut().find(|s| s.entry.process == process) else {
            return;
        };
        match error {
            OutboxError::Channel(IpcError::Closed) => service.life.should_end(Cause::Channel, Instant::now()),
            error => Self::broken(service, &format!("its wire: {error}")),
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            if info.ssi_signo == Signal::SIGCHLD as u32 {
                continue;
            }
            if self.stopping.is_some() {
                say(SELF, "told to stop again: killing what still runs");
                self.services.iter().for_each(Service::kill);
            } else {
                self.begin_stop();
            }
        }
    }

    fn flush(&mut self, index: usize) {
        let Some(service) = self.services.get_mut(index) else {
            return;
        };
        if let Some(process) = &mut service.process
            && let Err(error) = process.control.flush()
        {
            Self::unsent(service, &error);
        }
    }

    /// Reads what a service says.
    fn listen_to(&mut self, index: usize) {
        let mut buffer = vec![0; MAX_PACKET];
        for _ in 0..TURN {
            let Some(service) = self.services.get_mut(index) else {
                return;
            };
            let Some(process) = &service.process else { return };
            let message = process.control.receive(&mut buffer, LIMIT).and_then(|received| {
                received
                    .map(|received| received.body::<FromService>(&buffer))
                    .transpose()
            });
            match message {
                Ok(Some(message)) => self.take(index, message),
                Ok(None) => return,
                Err(IpcError::Closed) => {
                    // It ends, or will be killed if it does not.
                    service.life.closed(Instant::now());
                    return;
                }
                Err(error) => return Self::broken(service, &error.to_string()),
            }
        }
    }

    fn take(&mut self, index: usize, message: FromService) {
        let Some(service) = self.services.get_mut(index) else {
            return;
        };
        let (process, now) = (service.entry.process, Instant::now());
        match message {
            FromService::Confined { proof } => {
                service.protections = proof.iter().take(PROTECTIONS).map(tidy).collect();
                service.life.reached(Milestone::Confined, now);
            }
            FromService::Ready if service.life.milestone() == Some(Milestone::Confined) => {
                service.life.reached(Milestone::Ready, now);
                let kind = if service.was_ready {
                    ServiceEventKind::Restarted
                } else {
                    ServiceEventKind::Started
                };
                service.was_ready = true;
                let pid = service
                    .process
                    .as_ref()
                    .map_or(0, |running| running.child.pid().as_raw_nonzero().get());
                self.journal.record(wall(), process, kind, &format!("process {pid}"));
                if process == Process::Vault && self.machine.is_none() {
                    // The password has been written by now, if there was one to be written.
                    self.password = None;
                }
            }
            FromService::Ready if service.life.milestone().is_none() => {
                Self::broken(service, "it says that it is ready before it has entered its sandbox");
            }
            FromService::Ready => {}
            FromService::Report(report) if process == Process::Update => self.take_report(report),
            FromService::Report(_) => Self::broken(service, "only the update service reports"),
            FromService::Needs(_) | FromService::Sealed { .. } if process != Process::Vault => {
                Self::broken(service, "it says what only the vault may say");
            }
            FromService::Needs(need) => {
                let parcel = self.key_device.supply(need);
                self.send(index, parcel);
            }
            FromService::Sealed { why } => {
                self.sealed = why.as_deref().map(clean);
                match &self.sealed {
                    None => say(SELF, "the vault is open"),
                    Some(why) => {
                        say(SELF, &format!("the vault is sealed: {why}"));
                        self.tell_sealed();
                    }
                }
            }
            FromService::Pong { number } => service.life.answered(number, now),
            FromService::Failed { message } => {
                let message = clean(&message);
                service.life.should_end(Cause::Failed, now);
                if let Some(running) = &mut service.process {
                    running.failure = Some(message);
                }
            }
        }
    }

    /// Takes in every process that has ended; as PID 1, orphans too.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            self.buried(pid, status);
        }
    }

    fn buried(&mut self, pid: Pid, status: WaitStatus) {
        let is_it = |service: &Service| {
            service
                .process
                .as_ref()
                .is_some_and(|process| process.child.pid() == pid)
        };
        let Some(index) = self.services.iter().position(is_it) else {
            self.key_device.buried(pid);
            return self.tool_ended(pid, status);
        };
        // What it said last may still be in the channel.
        self.listen_to(index);
        let Some(service) = self.services.get_mut(index) else {
            return;
        };
        let Some(mut running) = service.process.take() else {
            return;
        };
        let now = Instant::now();
        running.log.pump(now);
        let cause = service.life.died(now);
        let mut detail = match cause {
            Some(cause) if status.terminating_signal() == Some(Signal::SIGKILL as i32) => {
                format!("killed by the supervisor: {cause}")
            }
            // It ended by itself before the kill reached it.
            _ => describe(status),
        };
        if let Some(why) = &running.failure {
            let (process, why) = (service.entry.process, why.clone());
            self.tell_refusal(&format!("the {process}: {why}"));
        }
        let Some(service) = self.services.get_mut(index) else {
            return;
        };
        let words = running.failure.unwrap_or_else(|| running.log.last_words());
        if !words.is_empty() {
            detail.push_str("; it said: ");
            detail.push_str(&words);
        }
        service.last_exit = Some(detail.clone());
        let process = service.entry.process;
        match process {
            Process::Manager => self.manager = None,
            Process::Provision => self.provision = None,
            _ => {}
        }
        if self.stopping.is_none() || cause.is_some() {
            self.tell_death(process, &detail);
        }
    }

    pub(crate) fn tell_death(&mut self, process: Process, detail: &str) {
        // Until everything is ready the launcher says why, once; the same line for each attempt would hide it.
        let shown = match detail.split_once("; it said: ") {
            Some((how, _)) if self.ready.is_some() => how,
            _ => detail,
        };
        say(SELF, &format!("the {process} died: {shown}"));
        self.journal.record(wall(), process, ServiceEventKind::Died, detail);
        if let Some(ready) = &mut self.ready {
            // The launcher shows it; where it does not read, the log has it.
            let detail: String = detail.chars().take(300).collect();
            let _ = ready.write(format!("trouble {process}: {detail}\n").as_bytes());
        }
    }

    /// Tells the launcher why the start cannot go on; a cause that stays the same is final.
    pub(crate) fn tell_refusal(&mut self, why: &str) {
        if let Some(ready) = &mut self.ready {
            let why: String = why.chars().take(600).collect();
            // Where the launcher does not read, there is the log.
            let _ = ready.write(format!("refused {}\n", clean(&why)).as_bytes());
        }
    }

    /// Tells the launcher that people have to open the vault.
    fn tell_sealed(&mut self) {
        if let (Some(ready), Some(why)) = (&mut self.ready, &self.sealed) {
            let why: String = why.chars().take(600).collect();
            // Where the launcher does not read, there is the log.
            let _ = ready.write(format!("sealed {why}\n").as_bytes());
        }
    }

    /// Tells the launcher, once, that everything answers.
    fn announce(&mut self) {
        let all = self
            .services
            .iter()
            .all(|service| service.life.milestone() == Some(Milestone::Ready));
        if all
            && self.listeners.is_committed()
            && let Some(machine) = &mut self.machine
            && !std::mem::replace(&mut machine.is_up, true)
        {
            say(SELF, "everything is ready");
            quiet_console();
            if let Some(name) = &machine.board.status_led
                && let Err(error) = led::set(name, Light::On)
            {
                say(SELF, &format!("the status light: {error}"));
            }
        }
        if all
            && self.sealed.is_none()
            && self.listeners.is_committed()
            && let Some(mut ready) = self.ready.take()
        {
            let _ = ready.write(b"ready\n");
            say(SELF, "everything is ready");
        }
    }
}

/// Whether a service exists here.
fn exists(entry: &Entry, machine: Option<&Machine>, has_serial: bool) -> bool {
    match entry.place {
        Place::Everywhere => true,
        Place::SerialLine => machine.is_some() || has_serial,
        Place::Partitions => machine.is_some_and(|machine| machine.partitions.is_some()),
    }
}

fn tidy(protection: &Protection) -> Protection {
    Protection {
        name: clean(&protection.name),
        state: protection.state,
        detail: clean(&protection.detail),
    }
}

fn interest(outbox: &Outbox) -> PollFlags {
    if outbox.is_waiting() {
        PollFlags::IN | PollFlags::OUT
    } else {
        PollFlags::IN
    }
}

/// The listeners of a large configuration need many descriptors, and what the supervisor may have at most is what it may give.
fn raise_limit(resource: Resource) {
    let Rlimit { maximum, .. } = getrlimit(resource);
    // Raising the soft limit to the hard one is always allowed; where it is not, listeners are refused one by one with the reason.
    let _ = setrlimit(
        resource,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}

/// The vault locks all of its memory. Root may raise the limit for that; where nobody may, the vault says that it is not locked.
fn raise_locked_limit() {
    let none = Rlimit {
        current: None,
        maximum: None,
    };
    let _ = setrlimit(Resource::Memlock, none);
}

pub(crate) fn wall() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}
