//! The process that a vendor's PKCS#11 module is loaded in.
//!
//! The module is foreign code: it gets a process of its own, without privileges, that may touch the module's files and nothing else
//! ([`confine`]). The vault asks over one wire ([`redan_ipc::messages::VaultPkcs11`]); there is no other way in. The worker decides
//! nothing: it turns questions into calls of the module and the module's codes into refusals. It ends with its wire, and whoever
//! started it starts another.
#![forbid(unsafe_code)]

pub mod confine;
mod mechanisms;
mod objects;
mod refusal;
mod token;

use redan_ipc::messages::VaultPkcs11;
use redan_ipc::messages::pkcs11::{Pkcs11Refusal, Pkcs11Reply, Pkcs11Request};
use redan_ipc::{Channel, IpcError, serve};
use std::path::Path;
use token::Token;

/// Why the worker cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The module cannot be loaded.
    #[error("the module {module} cannot be loaded: {source}")]
    Module {
        /// Its path.
        module: String,
        /// What it says.
        source: cryptoki::error::Error,
    },
}

/// A loaded module.
pub struct Worker {
    module: cryptoki::context::Pkcs11,
    token: Option<Token>,
}

impl Worker {
    /// Loads the module at `path`.
    ///
    /// # Errors
    /// It is no module, or it does not initialise.
    pub fn load(path: &Path) -> Result<Self, WorkerError> {
        use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
        let failed = |source| WorkerError::Module {
            module: path.display().to_string(),
            source,
        };
        let module = Pkcs11::new(path).map_err(failed)?;
        module
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
            .map_err(failed)?;
        Ok(Self { module, token: None })
    }

    /// Answers until the wire ends; returns how it ended.
    pub fn serve(mut self, channel: Channel) -> IpcError {
        serve::<VaultPkcs11>(channel, move |request, responder| {
            responder.reply(&self.answer(request));
        })
    }

    fn answer(&mut self, request: Pkcs11Request) -> Pkcs11Reply {
        let outcome = match request {
            Pkcs11Request::Login { token, pin } => {
                self.token = None;
                Token::open(&self.module, &token, &pin).map(|(token, about)| {
                    self.token = Some(token);
                    Pkcs11Reply::Token(about)
                })
            }
            other => match &self.token {
                Some(token) => token.answer(other),
                None => Err(Pkcs11Refusal::NotLoggedIn),
            },
        };
        outcome.unwrap_or_else(Pkcs11Reply::Refused)
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}
