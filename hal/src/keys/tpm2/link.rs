//! One connection to a TPM: sends commands, waits for a busy device, tells refusals from failures.

use super::session::{Secret, Session};
use super::transport::{LONGEST, Transport};
use super::wire::{Answer, Parameters, command, parse_answer};
use crate::keys::KeyError;
use std::io::ErrorKind;
use std::time::{Duration, Instant};
use tpm2_protocol::data::{TpmCc, TpmRc, TpmRcBase, TpmRcIndex};
use zeroize::{Zeroize, Zeroizing};

/// How long the driver waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Patience {
    /// For the answer to a command.
    pub answer: Duration,
    /// For the answer to a command that makes a key: an RSA key takes some TPMs a minute.
    pub making: Duration,
    /// For a device that says that it is busy.
    pub busy: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(20),
            making: Duration::from_secs(180),
            busy: Duration::from_secs(5),
        }
    }
}

/// Something in the device that commands are about, with the name that authorizations are bound to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entity {
    pub(super) handle: u32,
    pub(super) name: Vec<u8>,
}

impl Entity {
    /// A hierarchy, a PCR or a session: its name is its handle.
    pub(super) fn fixed(handle: u32) -> Self {
        Self {
            handle,
            name: handle.to_be_bytes().to_vec(),
        }
    }
}

/// Why a command did not succeed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The device refused with this code, and did nothing.
    Refused(TpmCc, u32),
    /// Anything else.
    Failed(KeyError),
}

impl From<KeyError> for Fault {
    fn from(error: KeyError) -> Self {
        Self::Failed(error)
    }
}

impl Fault {
    /// The refusal's reason without the place that it points to.
    pub(super) fn reason(&self) -> Option<TpmRcBase> {
        match self {
            Self::Refused(_, code) => TpmRc::try_from(*code).ok().map(|code| code.base()),
            Self::Failed(_) => None,
        }
    }

    /// Whether the device does not know handles that it gave us: it was reset since.
    pub(super) fn forgot(&self) -> bool {
        let Self::Refused(_, code) = self else { return false };
        match TpmRc::try_from(*code) {
            Ok(TpmRc::Fmt1(code)) => {
                matches!(code.base, TpmRcBase::Handle | TpmRcBase::Value)
                    && matches!(code.index, Some(TpmRcIndex::Handle(_) | TpmRcIndex::Session(_)))
            }
            Ok(TpmRc::Warn(base)) => matches!(
                base,
                TpmRcBase::ReferenceH0
                    | TpmRcBase::ReferenceH1
                    | TpmRcBase::ReferenceH2
                    | TpmRcBase::ReferenceS0
                    | TpmRcBase::ReferenceS1
                    | TpmRcBase::ReferenceS2
            ),
            Ok(TpmRc::Fmt0(base)) => base == TpmRcBase::Initialize,
            Err(_) => false,
        }
    }
}

/// A command to be sent.
pub(super) struct Call<'a> {
    pub(super) code: TpmCc,
    pub(super) entities: &'a [&'a Entity],
    pub(super) parameters: Parameters,
}

/// What came back.
pub(super) struct Reply {
    handle: Option<u32>,
    parameters: Zeroizing<Vec<u8>>,
    device: String,
}

impl Reply {
    /// The handle of what the command made.
    pub(super) fn handle(&self) -> Result<u32, KeyError> {
        self.handle.ok_or_else(|| self.broken("no handle"))
    }

    /// Reads the parameters; `None` says that they are not what they should be.
    pub(super) fn read<T>(&self, read: impl FnOnce(&mut super::wire::Reader<'_>) -> Option<T>) -> Result<T, KeyError> {
        let mut reader = super::wire::Reader(&self.parameters);
        let value = read(&mut reader);
        match (value, reader.end()) {
            (Some(value), Some(())) => Ok(value),
            _ => Err(self.broken("parameters that do not parse")),
        }
    }

    fn broken(&self, what: &'static str) -> KeyError {
        KeyError::Protocol {
            device: self.device.clone(),
            what,
        }
    }
}

pub(super) struct Link {
    transport: Box<dyn Transport>,
    name: String,
    patience: Patience,
    command: Zeroizing<Vec<u8>>,
    answer: Zeroizing<Vec<u8>>,
}

impl Link {
    pub(super) fn new(transport: Box<dyn Transport>, name: String, patience: Patience) -> Self {
        Self {
            transport,
            name,
            patience,
            command: Zeroizing::new(Vec::with_capacity(LONGEST)),
            answer: Zeroizing::new(vec![0; LONGEST]),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Sends a command without any authorization: nothing about it is secret, and its answer is not to be relied on.
    pub(super) fn plain(&mut self, call: Call<'_>) -> Result<Reply, Fault> {
        let Call {
            code,
            entities,
            parameters,
        } = call;
        self.frame(code, entities, &[], &parameters)?;
        let length = self.exchange(code)?;
        self.reply(code, length, 0, |_, _| Some(()))
    }

    /// Sends a command that an empty password authorizes: the first, before there is a session.
    pub(super) fn open(&mut self, call: Call<'_>) -> Result<Reply, Fault> {
        let Call {
            code,
            entities,
            parameters,
        } = call;
        self.frame(code, entities, &PASSWORD, &parameters)?;
        let length = self.exchange(code)?;
        self.reply(code, length, 1, |_, _| Some(()))
    }

    /// Sends a command in a session, which authorizes the use of its first entity with `value`; a second one that needs an
    /// authorization gets an empty password.
    pub(super) fn secured(
        &mut self,
        session: &mut Session,
        value: &[u8],
        secret: Secret,
        call: Call<'_>,
    ) -> Result<Reply, Fault> {
        let Call {
            code,
            entities,
            mut parameters,
        } = call;
        let number = code as u32;
        let (mut authorizations, pending) = session.authorize(number, entities, &mut parameters, value, secret)?;
        let two = code == TpmCc::NvCertify;
        if two {
            authorizations.extend_from_slice(&PASSWORD);
        }
        self.frame(code, entities, &authorizations, &parameters)?;
        let length = self.exchange(code)?;
        self.reply(code, length, if two { 2 } else { 1 }, |acknowledgement, parameters| {
            session.accept(&pending, number, acknowledgement, parameters)
        })
    }

    /// Frees what a handle stands for. A device that was reset has forgotten it already. Says whether the device answered at all.
    pub(super) fn flush(&mut self, handle: u32) -> bool {
        let parameters = Parameters::new().u32(handle);
        let outcome = self.plain(Call {
            code: TpmCc::FlushContext,
            entities: &[],
            parameters,
        });
        matches!(outcome, Ok(_) | Err(Fault::Refused(..)))
    }

    fn frame(
        &mut self,
        code: TpmCc,
        entities: &[&Entity],
        authorizations: &[u8],
        parameters: &Parameters,
    ) -> Result<(), Fault> {
        let handles: Vec<u32> = entities.iter().map(|entity| entity.handle).collect();
        command(&mut self.command, code as u32, &handles, authorizations, &parameters.0);
        if self.command.len() > LONGEST {
            return Err(Fault::Failed(KeyError::TooLong {
                length: self.command.len(),
                limit: LONGEST,
            }));
        }
        Ok(())
    }

    /// Sends the framed command until the device is not busy; returns the length of the answer, which is no refusal.
    fn exchange(&mut self, code: TpmCc) -> Result<usize, Fault> {
        let slow = matches!(code, TpmCc::Create | TpmCc::CreatePrimary | TpmCc::SelfTest);
        let limit = if slow {
            self.patience.making
        } else {
            self.patience.answer
        };
        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let length = self
                .transport
                .exchange(&self.command, &mut self.answer, limit)
                .map_err(|source| self.failed(source, limit))?;
            let refusal = match self.answer.get(6..10).and_then(|code| code.first_chunk()) {
                Some(code) if length >= 10 => u32::from_be_bytes(*code),
                _ => return Err(self.broken("an answer without a header").into()),
            };
            match TpmRc::try_from(refusal) {
                Ok(TpmRc::Warn(TpmRcBase::Retry | TpmRcBase::Testing | TpmRcBase::Yielded | TpmRcBase::NvRate)) => {
                    let waited = start.elapsed();
                    if waited >= self.patience.busy {
                        return Err(Fault::Failed(KeyError::Busy {
                            device: self.name.clone(),
                            waited,
                        }));
                    }
                    // Nothing tells when it will be free: the specification says to send the command again.
                    std::thread::sleep(pause.min(self.patience.busy.saturating_sub(waited)));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                _ if refusal == 0 => return Ok(length),
                _ => {
                    let whole = self.answer.get(..length).unwrap_or_default();
                    return Err(match parse_answer(whole, false, 0) {
                        Some(Answer::Refused(refusal)) => Fault::Refused(code, refusal),
                        _ => self.broken("a refusal with something behind it").into(),
                    });
                }
            }
        }
    }

    fn reply(
        &mut self,
        code: TpmCc,
        length: usize,
        authorizations: usize,
        accept: impl FnOnce(&super::wire::Acknowledgement<'_>, &mut [u8]) -> Option<()>,
    ) -> Result<Reply, Fault> {
        let with_handle = matches!(
            code,
            TpmCc::CreatePrimary | TpmCc::Load | TpmCc::LoadExternal | TpmCc::StartAuthSession
        );
        let whole = self.answer.get(..length).unwrap_or_default();
        let Some(Answer::Done(done)) = parse_answer(whole, with_handle, authorizations) else {
            return Err(self.broken("an answer that does not parse").into());
        };
        let mut parameters = Zeroizing::new(done.parameters.to_vec());
        if let Some(first) = done.acknowledgements.first()
            && accept(first, &mut parameters).is_none()
        {
            return Err(Fault::Failed(KeyError::Tampered {
                device: self.name.clone(),
            }));
        }
        let handle = done.handle;
        self.answer.as_mut_slice().zeroize();
        self.command.zeroize();
        Ok(Reply {
            handle,
            parameters,
            device: self.name.clone(),
        })
    }

    fn failed(&self, source: std::io::Error, waited: Duration) -> Fault {
        let device = self.name.clone();
        Fault::Failed(match source.kind() {
            ErrorKind::TimedOut => KeyError::Silent { device, waited },
            _ => KeyError::Gone { device, source },
        })
    }

    fn broken(&self, what: &'static str) -> KeyError {
        KeyError::Protocol {
            device: self.name.clone(),
            what,
        }
    }
}

/// An authorization by an empty password: `TPM_RS_PW`, no nonce, the session goes on, no password.
const PASSWORD: [u8; 9] = [0x40, 0x00, 0x00, 0x09, 0x00, 0x00, 0x01, 0x00, 0x00];
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
