//! What the launcher asks as the appliance's operator, on the local channel.

use redan_ipc::messages::OperatorManager;
use redan_ipc::messages::accounts::{AccountReply, AccountRequest};
use redan_ipc::messages::manager::{ManagerReply, ManagerRequest, OperatorReply, OperatorRequest};
use redan_ipc::messages::vault::CertificateOwner;
use redan_ipc::{Channel, Client, IpcError};
use redan_types::{Generation, NameError, RoleName, SecretString, UserName};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The user that a new appliance has.
const ADMINISTRATOR: &str = "admin";
/// What the API key of an evaluation is called.
const COMMENT: &str = "evaluation";
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the operators' channel did not give what the launcher needs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperatorError {
    #[error("the operators' channel cannot be reached")]
    Connect(#[source] io::Error),
    #[error("the operators' channel failed")]
    Channel(#[from] IpcError),
    #[error("the appliance refused: {0}")]
    Refused(String),
    #[error("the appliance has no {0}")]
    Missing(&'static str),
    #[error("a built-in name is not one")]
    Name(#[from] NameError),
}

/// What a newcomer needs to log in.
pub(crate) struct Access {
    pub(crate) administrator: String,
    /// One-time; `None` when the administrator has chosen another.
    pub(crate) password: Option<SecretString>,
    pub(crate) api_key: SecretString,
    /// SHA-256 of the console's certificate.
    pub(crate) fingerprint: String,
}

/// The operators' channel, kept open to ask again and again what runs.
pub(crate) struct Running {
    path: PathBuf,
    client: Option<Client<OperatorManager>>,
}

impl Running {
    pub(crate) fn of(state: &Path) -> Self {
        Self {
            path: state.join("run/operator.sock"),
            client: None,
        }
    }

    /// The version that runs with its document. Where the manager does not answer, the next question dials again.
    pub(crate) fn ask(&mut self) -> Result<Option<(Generation, String)>, OperatorError> {
        let client = match self.client.take() {
            Some(client) => client,
            None => dial(&self.path)?,
        };
        let reply = call(&client, &OperatorRequest::Manager(ManagerRequest::Configuration))?;
        self.client = Some(client);
        let OperatorReply::Manager(ManagerReply::Configuration(state)) = reply else {
            return Err(OperatorError::Missing("configuration"));
        };
        Ok(state.running.map(|version| (version.info.generation, version.document)))
    }
}

/// Gets a fresh one-time password (unless the administrator has set one), a fresh API key and the console's fingerprint.
pub(crate) fn access(state: &Path) -> Result<Access, OperatorError> {
    let client = dial(&state.join("run/operator.sock"))?;
    let administrator = UserName::parse(ADMINISTRATOR)?;
    let AccountReply::Users(users) = accounts(&client, AccountRequest::Users)? else {
        return Err(OperatorError::Missing("users"));
    };
    let record = users
        .iter()
        .find(|user| user.name == administrator)
        .ok_or(OperatorError::Missing("administrator"))?;
    let password = if record.must_change {
        secret(accounts(
            &client,
            AccountRequest::ResetPassword {
                name: administrator.clone(),
            },
        )?)
    } else {
        None
    };
    let AccountReply::Keys(keys) = accounts(&client, AccountRequest::Keys)? else {
        return Err(OperatorError::Missing("API keys"));
    };
    for key in keys.iter().filter(|key| key.comment == COMMENT && !key.revoked) {
        accounts(&client, AccountRequest::RevokeKey { id: key.id })?;
    }
    let request = AccountRequest::CreateKey {
        owner: administrator,
        roles: vec![RoleName::parse("user")?],
        comment: COMMENT.to_owned(),
    };
    let api_key = secret(accounts(&client, request)?).ok_or(OperatorError::Missing("API key"))?;
    Ok(Access {
        administrator: ADMINISTRATOR.to_owned(),
        password,
        api_key,
        fingerprint: fingerprint(&client)?,
    })
}

fn fingerprint(client: &Client<OperatorManager>) -> Result<String, OperatorError> {
    let OperatorReply::Certificates(certificates) = call(client, &OperatorRequest::Certificates)? else {
        return Err(OperatorError::Missing("certificates"));
    };
    let chain = certificates
        .iter()
        .find(|(owner, _)| *owner == CertificateOwner::Console)
        .map(|(_, c)| &c.chain);
    let leaf = chain
        .and_then(|chain| chain.first())
        .ok_or(OperatorError::Missing("certificate for its console"))?;
    let digest = Sha256::digest(leaf);
    Ok(digest
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect::<Vec<_>>()
        .join(":"))
}

fn accounts(client: &Client<OperatorManager>, request: AccountRequest) -> Result<AccountReply, OperatorError> {
    match call(client, &OperatorRequest::Accounts(request))? {
        OperatorReply::Accounts(AccountReply::Refused(reason)) => Err(OperatorError::Refused(reason)),
        OperatorReply::Accounts(reply) => Ok(reply),
        _ => Err(OperatorError::Missing("answer about accounts")),
    }
}

fn call(client: &Client<OperatorManager>, request: &OperatorRequest) -> Result<OperatorReply, OperatorError> {
    match client.call(request, PATIENCE)? {
        OperatorReply::Refused(reason) => Err(OperatorError::Refused(reason)),
        reply => Ok(reply),
    }
}

fn secret(reply: AccountReply) -> Option<SecretString> {
    match reply {
        AccountReply::Done { secret, .. } => secret,
        _ => None,
    }
}

fn dial(path: &Path) -> Result<Client<OperatorManager>, OperatorError> {
    let failed = |errno: rustix::io::Errno| OperatorError::Connect(errno.into());
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).map_err(failed)?;
    connect(&socket, &SocketAddrUnix::new(path).map_err(failed)?).map_err(failed)?;
    Ok(Client::new(Channel::from_descriptor(socket)))
}
