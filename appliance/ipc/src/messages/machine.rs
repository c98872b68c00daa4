//! What the provisioning service asks the supervisor about the machine, and has it do.

use redan_types::{SecretString, Timestamp};
use serde::{Deserialize, Serialize};

/// A question about the machine, or something to be done to it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum MachineRequest {
    /// What is known of it.
    Facts,
    /// The last lines of the log, oldest first.
    Log,
    /// The recovery key of a data partition made at this boot, until it was noted.
    RecoveryKey,
    /// It was written down: forget it.
    RecoveryKeyNoted,
    /// Open the data partition with this recovery key.
    Unlock {
        /// As typed.
        key: SecretString,
    },
    /// Stop everything and start again.
    Reboot {
        /// Why, for the log.
        reason: String,
    },
    /// Stop everything and switch off.
    PowerOff {
        /// Why, for the log.
        reason: String,
    },
    /// Destroy the keys of the data, then the data, and start again as new.
    FactoryReset {
        /// Why, for the log.
        reason: String,
    },
}

/// The answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum MachineReply {
    /// To `Facts`.
    Facts(Box<MachineFacts>),
    /// To `Log`.
    Log(Vec<String>),
    /// To `RecoveryKey`: `None` where there is none, or it was noted.
    RecoveryKey(Option<SecretString>),
    /// It is being done.
    Done,
    /// Not done, and why.
    Refused(String),
}

/// What is known of the machine.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct MachineFacts {
    /// Version of the image, as the boot said.
    pub version: String,
    /// The slot that it was started from.
    pub slot: String,
    /// Its security version.
    pub security_version: u32,
    /// Root of the hash tree, in hexadecimal.
    pub root_hash: String,
    /// The machine's serial number, as its firmware tells it.
    pub serial: String,
    /// What became of the data partition.
    pub data: DataState,
    /// When the supervisor started.
    pub started: Timestamp,
    /// Interfaces with hardware behind them, in the kernel's order.
    pub interfaces: Vec<InterfaceFacts>,
    /// Board devices and what they say; what is absent too.
    pub board: Vec<Reading>,
    /// Whether everything has been well for long enough to trust this version.
    pub is_proven: bool,
    /// The built-in configuration that runs while there is no other; empty where no interface was found for it.
    pub built_in: String,
    /// What does not hold or work, in words.
    pub notes: Vec<String>,
}

/// What became of the data partition at boot.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum DataState {
    /// Nothing was said: there is none.
    #[default]
    Absent,
    /// There is no machine of the appliance's own: the data are in a folder.
    Folder,
    /// Made at this boot.
    New,
    /// Opened with the key that the security module released.
    Opened,
    /// Opened with the recovery key.
    Recovered,
    /// Not opened, and why.
    Locked {
        /// Which measurement differs, for instance.
        reason: String,
    },
}

/// An interface with hardware behind it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct InterfaceFacts {
    /// Its name.
    pub name: String,
    /// Its hardware address.
    pub mac: String,
    /// Whether a cable with a living end is in it; `None` while it is down.
    pub carrier: Option<bool>,
}

/// What a board device says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Reading {
    /// Which, for instance `temperature board`.
    pub name: String,
    /// For instance `41.5 °C`, or why there is none.
    pub value: String,
    /// Whether it is there and as it should be.
    pub good: bool,
}
