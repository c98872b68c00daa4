//! The process inside the namespaces: makes the network, starts the supervisor and the sample application, relays connections.

use crate::crossing::{Inside, Message, Start, receive, send};
use crate::links::{self, LinkError, Side};
use crate::plan::Upstream;
use crate::relay::relay;
use crate::report;
use nix::sched::{CloneFlags, unshare};
use redan_ipc::{Channel, IpcError};
use redan_types::Mode;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, getegid, geteuid, kill_process, set_parent_process_death_signal, setsid};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::net::TcpListener;

/// How long the supervisor may take to stop everything.
const PATIENCE: Duration = Duration::from_secs(15);
/// Deaths before everything answers, after which the start is given up.
const TROUBLES: u32 = 3;

/// Why the inside ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InsideError {
    #[error("this is started by the launcher only")]
    NoLauncher(#[source] IpcError),
    #[error("cannot {0}")]
    System(&'static str, #[source] io::Error),
    #[error("the network around the appliance cannot be made")]
    Links(#[from] LinkError),
    #[error("{0}")]
    Refused(String),
    #[error("the {0}")]
    Trouble(String),
    #[error("the supervisor ended: {0}")]
    Supervisor(ExitStatus),
}

/// Runs until the launcher asks for the end or has gone.
pub(crate) fn run() -> Result<(), Box<dyn std::error::Error>> {
    let standard_input = io::stdin().as_fd().try_clone_to_owned()?;
    let channel = Arc::new(Channel::from_descriptor(standard_input));
    // The interrupt from the terminal is for the launcher, which then ends everything in order.
    let _ = setsid();
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let Message::Start(start) = receive(&channel).map_err(InsideError::NoLauncher)?.0 else {
        return Err(IpcError::Framing("another message before the start").into());
    };
    let outcome = live(&channel, &start);
    if let Err(error) = &outcome {
        send(&channel, &Message::Failed(report::chain(error)), None)?;
    }
    // Said already, to the launcher.
    Ok(())
}

fn live(channel: &Arc<Channel>, start: &Start) -> Result<(), InsideError> {
    enter_namespaces(start.mode)?;
    let mut sides = if start.mode == Mode::EvaluationBare {
        Vec::new()
    } else {
        links::make(&start.plan.links)?
    };
    let cables = sides.len();
    sides.push(links::home("appliance")?);
    // `None` stands for the appliance's own loopback: the last.
    let at = |link: Option<usize>| sides.get(link.unwrap_or(cables));
    if let Some(sample) = &start.plan.sample
        && let Some(side) = at(sample.link)
    {
        start_sample(side, sample)?;
    }
    if start.mode != Mode::EvaluationBare {
        for (number, upstream) in start.plan.upstreams.iter().enumerate() {
            if let Some(side) = at(upstream.link) {
                lead_out(channel, side, upstream, number)?;
            }
        }
    }
    let supervisor = start_supervisor(channel, start)?;
    let pid = Pid::from_child(&supervisor);
    let ended = watch(channel, supervisor)?;
    send(channel, &Message::Ready(look(start.mode, &sides, cables)), None).map_err(InsideError::NoLauncher)?;
    loop {
        match receive(channel) {
            Ok((Message::Client { inside, link }, Some(connection))) => {
                if let Some(side) = at(link) {
                    side.run(move || drop(tokio::spawn(relay(connection, inside))))?;
                }
            }
            Ok((Message::Stop, _)) | Err(_) => break,
            Ok(_) => {}
        }
    }
    // It may have ended already; the wait below knows.
    let _ = kill_process(pid, Signal::TERM);
    match ended.recv_timeout(PATIENCE) {
        Err(RecvTimeoutError::Timeout) => {
            let _ = kill_process(pid, Signal::KILL);
            Ok(())
        }
        Ok(()) | Err(RecvTimeoutError::Disconnected) => Ok(()),
    }
}

fn enter_namespaces(mode: Mode) -> Result<(), InsideError> {
    let failed = |what| move |source| InsideError::System(what, source);
    match mode {
        Mode::EvaluationBare | Mode::Appliance => return Ok(()),
        Mode::EvaluationRoot => links::unshare_network().map_err(failed("make a network namespace"))?,
        Mode::EvaluationUser => {
            let (user, group) = (geteuid().as_raw(), getegid().as_raw());
            // The mount, IPC and host name namespaces let the supervisor make those of the services.
            let mine = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | mine)
                .map_err(|errno| InsideError::System("make a user namespace", errno.into()))?;
            fs::write("/proc/self/setgroups", "deny").map_err(failed("give up supplementary groups"))?;
            fs::write("/proc/self/uid_map", format!("0 {user} 1")).map_err(failed("map the user"))?;
            fs::write("/proc/self/gid_map", format!("0 {group} 1")).map_err(failed("map the group"))?;
        }
    }
    // Within the new namespace only: packets between zones pass through the appliance.
    for switch in [
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/net/ipv6/conf/all/forwarding",
    ] {
        match fs::write(switch, "1") {
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(failed("switch forwarding on"))?,
        }
    }
    Ok(())
}

fn start_sample(side: &Side, sample: &Upstream) -> Result<(), InsideError> {
    let own = std::env::current_exe().map_err(|source| InsideError::System("find the launcher's binary", source))?;
    let address = sample.address.to_string();
    let (done, outcome) = mpsc::channel();
    // A child belongs to the namespace of the thread that starts it.
    side.run(move || {
        let child = Command::new(own)
            .args(["--sample", &address])
            .stdin(std::process::Stdio::null())
            .spawn();
        // The receiver waits below.
        let _ = done.send(child.map(drop));
    })?;
    outcome
        .recv()
        .map_err(|_| LinkError::Ended(side.interface.clone()))?
        .map_err(|source| InsideError::System("start the sample application", source))
}

/// Accepts what the appliance wants to send to an upstream and hands it to the launcher, which reaches it.
fn lead_out(channel: &Arc<Channel>, side: &Side, upstream: &Upstream, number: usize) -> Result<(), InsideError> {
    let listener = std::net::TcpListener::from(links::listen(side, upstream.address)?);
    let channel = Arc::clone(channel);
    side.run(move || {
        tokio::spawn(async move {
            let adopted = listener
                .set_nonblocking(true)
                .and_then(|()| TcpListener::from_std(listener));
            let Ok(listener) = adopted else { return };
            while let Ok((connection, _)) = listener.accept().await {
                let Ok(connection) = connection.into_std() else {
                    continue;
                };
                // Without the launcher the connection is dropped, which the appliance sees as a failed upstream.
                let _ = send(&channel, &Message::Server(number), Some(&OwnedFd::from(connection)));
            }
        });
    })?;
    Ok(())
}

/// Starts the supervisor and waits until everything answers.
fn start_supervisor(channel: &Channel, start: &Start) -> Result<Child, InsideError> {
    let failed = |what| move |source: io::Error| InsideError::System(what, source);
    let (ready, told) = io::pipe().map_err(failed("make a pipe"))?;
    fcntl_setfd(&told, FdFlags::empty()).map_err(|errno| InsideError::System("pass a pipe", errno.into()))?;
    let mode = match start.mode {
        Mode::EvaluationUser => "evaluation-user",
        Mode::EvaluationBare => "evaluation-bare",
        Mode::EvaluationRoot | Mode::Appliance => "evaluation-root",
    };
    let serial = start
        .serial
        .iter()
        .flat_map(|path| ["--serial".as_ref(), path.as_os_str()]);
    let mut supervisor = Command::new(start.binaries.join("redan-supervisor"))
        .args(serial)
        .args(["--mode", mode, "--threads", &start.threads.to_string()])
        .args(["--ready-fd", &told.as_raw_fd().to_string()])
        .arg("--state")
        .arg(&start.state)
        .arg("--binaries")
        .arg(&start.binaries)
        .arg("--configuration")
        .arg(&start.configuration)
        .args(&start.key_device)
        .stdin(std::process::Stdio::null())
        .spawn()
        .map_err(failed("start the supervisor"))?;
    drop(told);
    let mut troubles = 0;
    let mut refusal: Option<String> = None;
    for line in BufReader::new(ready).lines() {
        let line = line.map_err(failed("wait for the supervisor"))?;
        if line == "ready" {
            return Ok(supervisor);
        }
        if let Some(why) = line.strip_prefix("sealed ") {
            send(channel, &Message::Sealed(outside(why, start)), None).map_err(InsideError::NoLauncher)?;
        }
        // What is refused for the same reason again will be refused for ever.
        if let Some(why) = line.strip_prefix("refused ") {
            if refusal.as_deref() == Some(why) {
                give_up(&mut supervisor)?;
                return Err(InsideError::Refused(outside(why, start)));
            }
            refusal = Some(why.to_owned());
        }
        // One death may be chance. A service that dies again and again says why each time.
        if let Some(trouble) = line.strip_prefix("trouble ") {
            troubles += 1;
            if troubles == TROUBLES {
                give_up(&mut supervisor)?;
                return Err(InsideError::Trouble(outside(trouble, start)));
            }
        }
    }
    let status = supervisor.wait().map_err(failed("wait for the supervisor"))?;
    Err(InsideError::Supervisor(status))
}

fn give_up(supervisor: &mut Child) -> Result<(), InsideError> {
    // It may have ended meanwhile.
    let _ = kill_process(Pid::from_child(supervisor), Signal::TERM);
    let waited = supervisor.wait();
    waited
        .map(drop)
        .map_err(|source| InsideError::System("wait for the supervisor", source))
}

/// A service's words with its paths as they are outside of its sandbox: the only folder that one has is the vault's, which it calls
/// `.`.
fn outside(words: &str, start: &Start) -> String {
    words.replace(" ./", &format!(" {}/store/", start.state.display()))
}

/// Waits for the supervisor on a thread of its own; its end is the end of everything.
fn watch(channel: &Arc<Channel>, mut supervisor: Child) -> Result<Receiver<()>, InsideError> {
    let (sender, ended) = mpsc::channel();
    let channel = Arc::clone(channel);
    std::thread::Builder::new()
        .name("supervisor".into())
        .spawn(move || {
            let status = supervisor.wait().unwrap_or_else(|_| ExitStatus::from_raw(-1));
            // The launcher may have gone, and the main thread may have stopped waiting: nobody is left to tell then.
            let _ = send(
                &channel,
                &Message::Failed(InsideError::Supervisor(status).to_string()),
                None,
            );
            let _ = sender.send(());
        })
        .map_err(|source| InsideError::System("start a thread", source))?;
    Ok(ended)
}

fn look(mode: Mode, sides: &[Side], cables: usize) -> Inside {
    if mode == Mode::EvaluationBare {
        return Inside::default();
    }
    let paths = sides
        .iter()
        .take(cables)
        .map(|side| (side.interface.clone(), side.path.clone()))
        .collect();
    Inside {
        sides: paths,
        appliance: sides.get(cables).map(|side| side.path.clone()),
    }
}
