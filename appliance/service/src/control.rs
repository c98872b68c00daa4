//! The conversation with the supervisor: once at the start, then on a thread of its own.

use crate::hub::{Hub, Initial};
use crate::{StartError, hub};
use redan_ipc::frame::{Encoded, Header, Kind, Received};
use redan_ipc::messages::control::{FromService, LIMIT, ToService};
use redan_ipc::messages::status::{Protection, ProtectionState};
use redan_ipc::{Channel, IpcError, MAX_PACKET};
use redan_sandbox::{Proof, Spec, State};
use redan_types::{Mode, Process};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// What the first messages said.
pub(crate) struct Begun {
    pub(crate) mode: Mode,
    pub(crate) threads: u16,
    pub(crate) proof: Proof,
    pub(crate) initial: Initial,
}

/// Reads until `Started` and enters the sandbox.
pub(crate) fn begin(channel: &Channel, wanted: Process) -> Result<Begun, StartError> {
    let mut buffer = vec![0; MAX_PACKET];
    let ToService::Begin {
        process,
        mode,
        threads,
        sandbox,
    } = receive(channel, &mut buffer)?.0
    else {
        return Err(StartError::Order);
    };
    if process != wanted {
        return Err(StartError::Process { wanted, found: process });
    }
    let spec: Spec = postcard::from_bytes(&sandbox).map_err(StartError::Specification)?;
    let mut initial = Initial::default();
    loop {
        match receive(channel, &mut buffer)? {
            (ToService::Started, _) => break,
            (message, descriptors) => initial.take(message, descriptors)?,
        }
    }
    let mut given = initial.descriptors();
    given.push(channel.as_fd());
    let proof = redan_sandbox::enter(&spec, &given)?;
    drop(given);
    Ok(Begun {
        mode,
        threads,
        proof,
        initial,
    })
}

/// Attends to the channel until the supervisor goes or asks for the end.
pub(crate) fn attend(hub: &Hub, stop: &Sender<()>) {
    let mut buffer = vec![0; MAX_PACKET];
    loop {
        let (message, descriptors) = match receive(hub.channel(), &mut buffer) {
            Ok(received) => received,
            Err(IpcError::Closed) => break,
            Err(error) => {
                eprintln!("the supervisor broke the control channel: {error}");
                break;
            }
        };
        match message {
            ToService::Ping { number } => {
                if hub.alive(Instant::now()) {
                    hub.tell(&FromService::Pong { number });
                }
            }
            ToService::Stop => {
                // The receiver may have gone already, on its own way out.
                let _ = stop.send(());
            }
            ToService::Verdict(verdict) => hub.judge(verdict),
            message => {
                if let Err(error) = hub.take(message, descriptors) {
                    eprintln!("the supervisor broke the control channel: {error}");
                    break;
                }
            }
        }
    }
}

/// Sends to the supervisor; when it has gone, the receiving side says so.
pub(crate) fn tell(channel: &Channel, message: &FromService) {
    let header = Header {
        kind: Kind::Notice,
        id: 0,
        wait: Duration::ZERO,
    };
    let _ = Encoded::new(header, message, LIMIT).and_then(|frame| frame.send(channel, &[]));
}

/// The proof in the form of the status report.
pub(crate) fn protections(proof: &Proof) -> Vec<Protection> {
    proof
        .findings()
        .iter()
        .map(|finding| {
            let (state, detail) = match &finding.state {
                State::Absent(reason) => (ProtectionState::Absent, reason.clone()),
                State::Holds(form) => (ProtectionState::Active, form.clone()),
            };
            Protection {
                name: finding.protection.to_string(),
                state,
                detail,
            }
        })
        .collect()
}

fn receive(channel: &Channel, buffer: &mut [u8]) -> Result<(ToService, Vec<OwnedFd>), IpcError> {
    let packet = channel.receive(buffer)?;
    let mut received = Received::parse(buffer, packet, LIMIT)?;
    let descriptors = std::mem::take(&mut received.descriptors);
    Ok((received.body(buffer)?, descriptors))
}

impl From<hub::Unexpected> for StartError {
    fn from(_: hub::Unexpected) -> Self {
        Self::Order
    }
}
