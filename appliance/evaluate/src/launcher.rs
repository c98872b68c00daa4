//! The launcher: stays in the caller's network, offers the loopback ports, says where to look, ends everything.

use crate::build;
use crate::crossing::{Inside, Message, Start, receive, send};
use crate::doors::Doors;
use crate::operator;
use crate::options::Options;
use crate::plan::{Offer, Plan};
use crate::relay::relay;
use crate::report::{self, Report};
use redan_config::{Appliance, WafMode};
use redan_ipc::{Channel, IpcError};
use redan_types::{Generation, Mode};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What runs when the user brings no configuration of their own.
const DEFAULT: &str = include_str!("../../../config/examples/evaluation.toml");
/// The same without namespaces: everything on the host's loopback.
const DEFAULT_BARE: &str = include_str!("../../../config/examples/evaluation-bare.toml");
/// Added to either where the OWASP Core Rule Set is installed.
const WITH_RULES: &str = include_str!("waf.toml");
/// Where it is installed: by the appliance's image, by Debian's package `modsecurity-crs`.
const RULES: [&str; 2] = ["/usr/share/redan/rules/crs", "/usr/share/modsecurity-crs/rules"];
/// How long the appliance may take to answer.
const START: Duration = Duration::from_secs(60);
/// Between two looks at which version runs.
const LOOK: Duration = Duration::from_secs(1);
/// How long the inside may take to end.
const STOP: Duration = Duration::from_secs(20);

/// Why the evaluation did not start or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error("{0} cannot be read")]
    Read(PathBuf, #[source] io::Error),
    #[error("the configuration has mistakes:\n\n{0}")]
    Mistakes(String),
    #[error("the folder {0} cannot be made")]
    State(PathBuf, #[source] io::Error),
    #[error("{0} cannot be written")]
    Write(PathBuf, #[source] io::Error),
    #[error("{0} cannot be listened on ({1}); choose another with {2}")]
    Listen(SocketAddr, io::Error, &'static str),
    #[error("the ready file {0} cannot be written")]
    ReadyFile(PathBuf, #[source] io::Error),
    #[error("the appliance did not start: {0}")]
    Start(String),
    #[error("the appliance ended: {0}")]
    Ended(String),
    #[error("the appliance did not answer within {} seconds", START.as_secs())]
    Silent,
}

/// Builds, starts, reports, relays, until interrupted.
pub(crate) fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    // Checked first, so that a mistake costs no build.
    let wanted = if options.bare {
        Mode::EvaluationBare
    } else {
        best_mode()
    };
    let (text, appliance) = configuration(options, wanted)?;
    if let Some(path) = &options.ready_file {
        report::clear(path).map_err(|source| LaunchError::ReadyFile(path.clone(), source))?;
    }
    let binaries = build::everything(options.release, options.build)?;
    raise_descriptor_limit();
    let started = Instant::now();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&options.state)
        .map_err(|source| LaunchError::State(options.state.clone(), source))?;
    let state = options.state.canonicalize()?;
    let attempt = Attempt {
        options,
        binaries: &binaries,
        state: &state,
        started,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(attempt.start(wanted, &text, &appliance));
    match outcome {
        Err(Failure::NoNamespaces(reason)) if wanted != Mode::EvaluationBare => {
            eprintln!("no namespaces here ({reason}): starting without them");
            let (text, appliance) = configuration(options, Mode::EvaluationBare)?;
            match runtime.block_on(attempt.start(Mode::EvaluationBare, &text, &appliance)) {
                Ok(()) => Ok(()),
                Err(Failure::NoNamespaces(reason)) => Err(LaunchError::Start(reason).into()),
                Err(Failure::Other(error)) => Err(error),
            }
        }
        Ok(()) => Ok(()),
        Err(Failure::NoNamespaces(reason)) => Err(LaunchError::Start(reason).into()),
        Err(Failure::Other(error)) => Err(error),
    }
}

fn best_mode() -> Mode {
    if rustix::process::geteuid().is_root() {
        Mode::EvaluationRoot
    } else {
        Mode::EvaluationUser
    }
}

fn configuration(options: &Options, mode: Mode) -> Result<(String, Appliance), LaunchError> {
    let (text, name) = match &options.configuration {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|source| LaunchError::Read(path.clone(), source))?;
            (text, path.display().to_string())
        }
        None if mode == Mode::EvaluationBare => {
            // Nothing stands between the appliance and this host: it listens where the options say by itself.
            let text = DEFAULT_BARE
                .replace("port = 8443", &format!("port = {}", options.published.port()))
                .replace("port = 9443", &format!("port = {}", options.console.port()));
            (text, "evaluation-bare.toml".to_owned())
        }
        None => (DEFAULT.to_owned(), "evaluation.toml".to_owned()),
    };
    let inspects = options.configuration.is_none() && RULES.iter().any(|folder| Path::new(folder).is_dir());
    let text = if inspects { text + WITH_RULES } else { text };
    let appliance = Appliance::parse(&text, &name).map_err(|mistakes| LaunchError::Mistakes(mistakes.to_string()))?;
    Ok((text, appliance))
}

/// Ten thousand connections need twenty thousand descriptors.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Refused only where the hard limit changed meanwhile; fewer connections are relayed then.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}

struct Attempt<'a> {
    options: &'a Options,
    binaries: &'a Path,
    state: &'a Path,
    started: Instant,
}

enum Failure {
    /// The kernel allows none: worth an attempt without.
    NoNamespaces(String),
    Other(Box<dyn Error>),
}

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

impl Attempt<'_> {
    async fn start(&self, mode: Mode, text: &str, appliance: &Appliance) -> Result<(), Failure> {
        let plan = Plan::new(appliance, self.options.configuration.is_none())?;
        let listeners = if mode == Mode::EvaluationBare {
            self.probe(&plan)?;
            Vec::new()
        } else {
            self.offer(&plan.offers).await?
        };
        self.announce(&plan);
        let configuration = self.state.join("given.toml");
        fs::write(&configuration, text).map_err(|source| LaunchError::Write(configuration.clone(), source))?;
        let _given = Leftover(configuration.clone());
        let _ready = self.options.ready_file.clone().map(Leftover);
        let (mut inside, channel, mut arriving) = spawn_inside()?;
        let start = Start {
            mode,
            plan: plan.clone(),
            binaries: self.binaries.to_owned(),
            state: self.state.to_owned(),
            configuration,
            threads: self.options.threads.unwrap_or_else(processors),
            serial: self.options.serial.clone(),
            key_device: self.options.key_device.clone(),
        };
        send(&channel, &Message::Start(Box::new(start)), None)?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let answers = Cell::new(false);
        let outcome = async {
            let mut waited = tokio::time::timeout(START, ready(&mut arriving, &plan))
                .await
                .map_err(|_| LaunchError::Silent)??;
            let around = loop {
                match waited {
                    Waited::Ready(around) => break around,
                    Waited::Sealed(why) => self.tell_sealed(&why),
                }
                // People open it when they come.
                waited = ready(&mut arriving, &plan).await?;
            };
            answers.set(true);
            self.report(mode, appliance, &plan, &listeners, around)?;
            let mut doors = Doors::open(listeners, &plan, &channel, self.options.published.ip());
            let mut versions = watch(self.state);
            let mut listened = listening(appliance);
            loop {
                tokio::select! {
                    failure = attend(&mut arriving, &plan) => break Err(failure),
                    Some((generation, appliance)) = versions.recv() => {
                        // Without namespaces there are no doors: the appliance listens on this host itself.
                        let said = if mode == Mode::EvaluationBare {
                            let listens = listening(&appliance);
                            let moved = listens != listened;
                            listened.clone_from(&listens);
                            if moved { listens } else { Vec::new() }
                        } else {
                            doors.follow(&appliance).await
                        };
                        for line in said {
                            println!("version {generation} runs: {line}");
                        }
                    }
                }
            }
        };
        let outcome = tokio::select! {
            outcome = outcome => outcome,
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        };
        eprintln!("stopping");
        if !answers.get() {
            // It waits for the supervisor, not for us; its end is the supervisor's sign to end in order.
            let _ = kill_process(Pid::from_child(&inside), Signal::TERM);
        }
        stop(&channel, &mut inside);
        outcome
    }

    fn tell_sealed(&self, why: &str) {
        println!("The vault is sealed: {why}");
        println!("Nothing is served until somebody opens it:");
        let redan = self.binaries.join("redan");
        println!("  {} --state {} vault unseal", redan.display(), self.state.display());
    }

    /// Says, before anything is started, which addresses beyond this host will be connected to.
    fn announce(&self, plan: &Plan) {
        // A datagram socket sends nothing by being bound, and can be bound to the host's own addresses only.
        let abroad = plan.abroad(|address| std::net::UdpSocket::bind((address, 0)).is_ok());
        if abroad.is_empty() {
            return;
        }
        println!(
            "This configuration has upstreams outside of this host. From this host's own network, connections will be made to"
        );
        for address in abroad {
            println!("  {address}");
        }
        println!("when a request is to be sent there, and from the start on by health checks.");
    }

    /// Finds out before the start whether another program has a port that the appliance itself is to listen on.
    fn probe(&self, plan: &Plan) -> Result<(), LaunchError> {
        let in_use = |address: SocketAddr| match std::net::TcpListener::bind(address) {
            // Everything else is said by the supervisor, which knows better why.
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => Some(source),
            _ => None,
        };
        if let Some(sample) = &plan.sample
            && let Some(source) = in_use(sample.address)
        {
            let instead = "--config, which needs no sample application";
            return Err(LaunchError::Listen(sample.address, source, instead));
        }
        for (number, offer) in plan.offers.iter().enumerate() {
            let option = match (&self.options.configuration, number + 1 == plan.offers.len()) {
                (Some(_), _) => "another port in the configuration",
                (None, true) => "--console",
                (None, false) => "--published",
            };
            if let Some(source) = in_use(offer.inside) {
                return Err(LaunchError::Listen(offer.inside, source, option));
            }
        }
        Ok(())
    }

    /// Binds the loopback ports: the first published address and the console where the options say, the others at their own port
    /// number.
    async fn offer(&self, offers: &[Offer]) -> Result<Vec<(SocketAddr, TcpListener)>, LaunchError> {
        let mut listeners = Vec::new();
        for (number, offer) in offers.iter().enumerate() {
            let (outside, option) = if number + 1 == offers.len() {
                (self.options.console, "--console")
            } else if number == 0 {
                (self.options.published, "--published")
            } else {
                (
                    (self.options.published.ip(), offer.inside.port()).into(),
                    "another port in the configuration",
                )
            };
            let listener = TcpListener::bind(outside)
                .await
                .map_err(|source| LaunchError::Listen(outside, source, option))?;
            let bound = listener.local_addr().unwrap_or(outside);
            listeners.push((bound, listener));
        }
        Ok(listeners)
    }

    fn report(
        &self,
        mode: Mode,
        appliance: &Appliance,
        plan: &Plan,
        listeners: &[(SocketAddr, TcpListener)],
        inside: Inside,
    ) -> Result<(), Box<dyn Error>> {
        let access = operator::access(self.state)?;
        // Without namespaces the appliance itself listens on the host.
        let outside = |number: usize, offer: &Offer| listeners.get(number).map_or(offer.inside, |(bound, _)| *bound);
        let hosts = plan.offers.first().map(|offer| offer.hosts.clone()).unwrap_or_default();
        let mut all: Vec<_> = plan
            .offers
            .iter()
            .enumerate()
            .map(|(number, offer)| (outside(number, offer), offer.inside))
            .collect();
        let console = all.pop().map_or(self.options.console, |(outside, _)| outside);
        let report = Report {
            options: self.options,
            mode,
            published: all,
            hosts,
            console,
            access,
            inside,
            binaries: self.binaries,
            state: self.state,
            sample: self.options.configuration.is_none(),
            inspects: appliance
                .services
                .values()
                .any(|service| service.waf.as_ref().is_some_and(|waf| waf.mode != WafMode::Off)),
            took: self.started.elapsed(),
        };
        report.print();
        if let Some(path) = &self.options.ready_file {
            report
                .write(path)
                .map_err(|source| LaunchError::ReadyFile(path.clone(), source))?;
        }
        Ok(())
    }
}

/// A file that goes with the evaluation: what was given to it, and what says that it answers.
struct Leftover(PathBuf);

impl Drop for Leftover {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = fs::remove_file(&self.0);
    }
}

/// The version that runs and those that come to run, by asking once a second.
fn watch(state: &Path) -> UnboundedReceiver<(Generation, Box<Appliance>)> {
    let (versions, arriving) = unbounded_channel();
    let mut running = operator::Running::of(state);
    // It ends with the process: a thread that could not be started means that the doors stay where they are.
    let _ = std::thread::Builder::new().name("versions".into()).spawn(move || {
        let mut last = None;
        while !versions.is_closed() {
            std::thread::sleep(LOOK);
            let Ok(Some((generation, document))) = running.ask() else {
                continue;
            };
            if last.replace(generation) != Some(generation)
                && let Ok(appliance) = Appliance::parse(&document, "the running configuration")
                && versions.send((generation, Box::new(appliance))).is_err()
            {
                break;
            }
        }
    });
    arriving
}

/// Where a configuration without namespaces listens.
fn listening(appliance: &Appliance) -> Vec<String> {
    let services = appliance.services.values();
    let published: BTreeSet<_> = services
        .flat_map(|service| appliance.service_addresses(service))
        .collect();
    let published = published
        .into_iter()
        .map(|address| format!("published at https://{address}/"));
    let console = appliance.console_address();
    published
        .chain(console.map(|address| format!("the console is at https://{address}/")))
        .collect()
}

type Arriving = UnboundedReceiver<Result<(Message, Option<OwnedFd>), IpcError>>;

fn spawn_inside() -> Result<(Child, Arc<Channel>, Arriving), Box<dyn Error>> {
    let (near, far) = Channel::pair()?;
    let inside = Command::new(std::env::current_exe()?)
        .arg("--inside")
        .stdin(Stdio::from(far.into_descriptor()))
        .spawn()?;
    let channel = Arc::new(near);
    let receiving = Arc::clone(&channel);
    let (messages, arriving) = unbounded_channel();
    std::thread::Builder::new().name("crossing".into()).spawn(move || {
        loop {
            let received = receive(&receiving);
            let last = received.is_err();
            if messages.send(received).is_err() || last {
                break;
            }
        }
    })?;
    Ok((inside, channel, arriving))
}

/// How the wait for everything to answer ended.
enum Waited {
    Ready(Inside),
    /// The vault waits for people.
    Sealed(String),
}

/// Waits until everything answers. Upstreams may be asked for meanwhile, by health checks.
async fn ready(arriving: &mut Arriving, plan: &Plan) -> Result<Waited, Failure> {
    loop {
        match arriving.recv().await {
            Some(Ok((Message::Ready(inside), _))) => return Ok(Waited::Ready(inside)),
            Some(Ok((Message::Failed(reason), _))) if reason.contains("namespace") => {
                return Err(Failure::NoNamespaces(reason));
            }
            Some(Ok((Message::Failed(reason), _))) => return Err(LaunchError::Start(reason).into()),
            Some(Ok((Message::Sealed(why), _))) => return Ok(Waited::Sealed(why)),
            Some(Ok((Message::Server(number), Some(connection)))) => lead_on(plan, number, connection),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(LaunchError::Start("its process ended".to_owned()).into()),
        }
    }
}

/// Leads the appliance's connections to the user's own upstreams, until the inside ends.
async fn attend(arriving: &mut Arriving, plan: &Plan) -> Failure {
    loop {
        match arriving.recv().await {
            Some(Ok((Message::Server(number), Some(connection)))) => lead_on(plan, number, connection),
            Some(Ok((Message::Failed(reason), _))) => return LaunchError::Ended(reason).into(),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return LaunchError::Ended("its process ended".to_owned()).into(),
        }
    }
}

fn lead_on(plan: &Plan, number: usize, connection: OwnedFd) {
    if let Some(upstream) = plan.upstreams.get(number) {
        tokio::spawn(relay(connection, upstream.address));
    }
}

/// Asks the inside to end and waits, within bounds.
fn stop(channel: &Channel, inside: &mut Child) {
    // It may have ended already.
    let _ = send(channel, &Message::Stop, None);
    let pid = Pid::from_child(inside);
    let (ended, end) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = inside.wait();
            drop(ended);
        });
        if matches!(end.recv_timeout(STOP), Err(mpsc::RecvTimeoutError::Timeout)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
}

fn processors() -> u16 {
    std::thread::available_parallelism().map_or(1, |count| u16::try_from(count.get().min(8)).unwrap_or(8))
}
