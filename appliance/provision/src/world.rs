//! What the menu needs of the rest of the appliance.

use redan_ipc::messages::control::Purpose;
use redan_ipc::messages::machine::{MachineReply, MachineRequest};
use redan_ipc::messages::manager::{ManagerReply, ManagerRequest, OperatorReply, OperatorRequest};
use redan_ipc::messages::update::{UpdateReply, UpdateRequest};
use redan_ipc::messages::{ProvisionManager, ProvisionSupervisor, ProvisionUpdate};
use redan_service::{Peer, Service};
use redan_types::SecretString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Whom the menu asks.
pub trait World {
    /// Asks the manager.
    ///
    /// # Errors
    /// Says why there is no answer.
    fn ask(&mut self, request: &OperatorRequest) -> Result<OperatorReply, String>;

    /// Asks the supervisor.
    ///
    /// # Errors
    /// Says why there is no answer.
    fn machine(&mut self, request: &MachineRequest) -> Result<MachineReply, String>;

    /// The first administrator's one-time password, once the vault has told it.
    fn told_password(&mut self) -> Option<SecretString>;

    /// Asks the update service.
    ///
    /// # Errors
    /// Says why there is no answer.
    fn update(&mut self, request: &UpdateRequest) -> Result<UpdateReply, String>;

    /// A stick that was plugged in since the last question.
    fn stick(&mut self) -> Option<File>;
}

/// The appliance that this process belongs to.
pub struct Appliance {
    manager: Peer<ProvisionManager>,
    supervisor: Peer<ProvisionSupervisor>,
    update: Peer<ProvisionUpdate>,
    told: Option<File>,
    sticks: Arc<dyn Fn() -> Option<OwnedFd> + Send + Sync>,
}

/// Most answers come at once.
const PATIENCE: Duration = Duration::from_secs(15);
/// A commit is prepared by every service.
const LONG_PATIENCE: Duration = Duration::from_secs(120);
/// While services start, the manager has no wire yet; the menu should not seem dead meanwhile.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);
/// The longest password.
const PASSWORD: usize = 256;

impl Appliance {
    /// The appliance that this service belongs to.
    #[must_use]
    pub fn of(service: &Service) -> Self {
        Self {
            manager: service.peer(0),
            supervisor: service.peer(0),
            update: service.peer(0),
            told: service.take_file(Purpose::ToldPassword).map(File::from),
            sticks: service.later_files(Purpose::Stick),
        }
    }
}

impl std::fmt::Debug for Appliance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appliance").finish_non_exhaustive()
    }
}

impl World for Appliance {
    fn ask(&mut self, request: &OperatorRequest) -> Result<OperatorReply, String> {
        let patience = match request {
            OperatorRequest::Manager(
                ManagerRequest::Commit { .. } | ManagerRequest::Confirm { .. } | ManagerRequest::Rollback { .. },
            ) => LONG_PATIENCE,
            OperatorRequest::SerialPin
            | OperatorRequest::Manager(ManagerRequest::Configuration | ManagerRequest::Status) => SHORT_PATIENCE,
            _ => PATIENCE,
        };
        match self.manager.call(request, patience) {
            Ok(OperatorReply::Refused(why)) => Err(why),
            Ok(OperatorReply::Manager(ManagerReply::Refused(reasons))) => Err(reasons.join("; ")),
            Ok(reply) => Ok(reply),
            Err(error) => Err(format!("the manager does not answer: {error}")),
        }
    }

    fn machine(&mut self, request: &MachineRequest) -> Result<MachineReply, String> {
        match self.supervisor.call(request, PATIENCE) {
            Ok(MachineReply::Refused(why)) => Err(why),
            Ok(reply) => Ok(reply),
            Err(error) => Err(format!("the supervisor does not answer: {error}")),
        }
    }

    fn told_password(&mut self) -> Option<SecretString> {
        let mut bytes = Zeroizing::new(vec![0; PASSWORD]);
        // From the beginning, wherever the vault's writing has left the file's position.
        let length = self.told.as_ref()?.read_at(&mut bytes, 0).ok()?;
        let text = std::str::from_utf8(bytes.get(..length)?).ok()?;
        let first = text.lines().next().filter(|line| !line.is_empty())?;
        Some(SecretString::new(first.to_owned()))
    }

    fn update(&mut self, request: &UpdateRequest) -> Result<UpdateReply, String> {
        let patience = match request {
            UpdateRequest::State => SHORT_PATIENCE,
            _ => LONG_PATIENCE,
        };
        match self.update.call(request, patience) {
            Ok(UpdateReply::Refused(why)) => Err(why),
            Ok(reply) => Ok(reply),
            Err(error) => Err(format!("the update service does not answer: {error}")),
        }
    }

    fn stick(&mut self) -> Option<File> {
        (self.sticks)().map(File::from)
    }
}
