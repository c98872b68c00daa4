//! The console's part of a configuration, in two phases, as the manager asks for it.

use crate::settings::Settings;
use crate::tls::{self, Tls};
use redan_ipc::messages::ConsoleSigner;
use redan_ipc::messages::apply::{ApplyReply, ApplyRequest};
use redan_ipc::slice::ConsoleSlice;
use redan_service::Peer;
use redan_types::Generation;
use rustls::ServerConfig;
use std::sync::{Arc, Mutex, PoisonError};

/// What is in force and what is prepared; clones share both.
#[derive(Clone, Debug)]
pub struct Apply {
    settings: Settings,
    tls: Tls,
    signer: Peer<ConsoleSigner>,
    state: Arc<Mutex<Generations>>,
}

#[derive(Debug, Default)]
struct Generations {
    current: Option<Generation>,
    prepared: Option<(Generation, Arc<ConsoleSlice>, Arc<ServerConfig>)>,
}

impl Apply {
    /// Nothing in force yet.
    #[must_use]
    pub fn new(settings: Settings, tls: Tls, signer: Peer<ConsoleSigner>) -> Self {
        Self {
            settings,
            tls,
            signer,
            state: Arc::default(),
        }
    }

    /// Takes one step. Listeners come separately, from the supervisor.
    pub fn step(&self, request: ApplyRequest<ConsoleSlice>) -> ApplyReply {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match request {
            ApplyRequest::Prepare { generation, slice } => match tls::config(&slice.certificate, self.signer.clone()) {
                Ok(config) => {
                    state.prepared = Some((generation, Arc::new(slice), config));
                    ApplyReply::Done
                }
                Err(error) => ApplyReply::Refused {
                    reasons: vec![format!("console: {error}")],
                },
            },
            ApplyRequest::Commit { generation } => match state.prepared.take() {
                Some((prepared, slice, config)) if prepared == generation => {
                    self.settings.replace(slice);
                    self.tls.replace(config);
                    state.current = Some(generation);
                    ApplyReply::Done
                }
                other => {
                    state.prepared = other;
                    ApplyReply::NotPrepared
                }
            },
            ApplyRequest::Abort { generation } => {
                if state
                    .prepared
                    .as_ref()
                    .is_some_and(|(prepared, ..)| *prepared == generation)
                {
                    state.prepared = None;
                }
                ApplyReply::Done
            }
            ApplyRequest::Current => ApplyReply::Current(state.current),
        }
    }
}
