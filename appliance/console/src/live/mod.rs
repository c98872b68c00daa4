//! The live picture of the appliance. One task asks the other services once a second while somebody looks, keeps the last 15
//! minutes, and tells every page that follows; with nobody looking, nothing is asked.

mod attention;
mod sessions;
mod traffic;

pub use sessions::Sessions;

use crate::api::model::{Appliance, AuditEntry, AuditState, Overview, Sample, State, Verification};
use crate::peers::Peers;
use crate::settings::Settings;
use redan_ipc::messages::audit::AuditQuery;
use redan_ipc::messages::status::ApplianceStatus;
use redan_ipc::messages::vault::VaultHealth;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::{Instant, MissedTickBehavior};
use traffic::Traffic;

/// Pages that may follow at once.
const FOLLOWERS: usize = 64;

/// Events that a page may be behind before it has to begin anew.
const BEHIND: usize = 64;

/// Seconds told in one go, at most.
const BURST: usize = 16;

/// A picture younger than this is shown as it is.
const FRESH: Duration = Duration::from_millis(900);

/// Audit entries that the overview shows.
const RECENT: u16 = 8;

/// Something told to every page that follows.
#[derive(Debug)]
pub struct Told {
    /// The event's name.
    pub name: &'static str,
    /// Its data.
    pub json: String,
}

/// The live picture.
#[derive(Debug)]
pub struct Live {
    peers: Peers,
    settings: Settings,
    sessions: Sessions,
    picture: Mutex<Picture>,
    followers: broadcast::Sender<Arc<Told>>,
    places: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Picture {
    asked: Option<Instant>,
    turn: u64,
    traffic: Traffic,
    status: Option<ApplianceStatus>,
    health: Option<VaultHealth>,
    verified: Option<Verification>,
    state: State,
    recent: Vec<AuditEntry>,
    recent_size: Option<u64>,
}

impl Live {
    /// A picture of nothing yet.
    #[must_use]
    pub fn new(peers: Peers, settings: Settings) -> Self {
        Self {
            peers,
            settings,
            sessions: Sessions::default(),
            picture: Mutex::default(),
            followers: broadcast::Sender::new(BEHIND),
            places: Arc::new(Semaphore::new(FOLLOWERS)),
        }
    }

    /// Sessions of those who look.
    pub const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// A place for one more follower, if there is one.
    #[must_use]
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// What is told from now on.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Arc<Told>> {
        self.followers.subscribe()
    }

    /// Asks once a second while anybody follows; ends never.
    pub async fn run(&self) {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            second.tick().await;
            if self.followers.receiver_count() > 0 {
                let mut picture = self.picture.lock().await;
                self.ask(&mut picture).await;
            }
        }
    }

    /// The whole picture, at most a second old.
    pub async fn overview(&self) -> Overview {
        let mut picture = self.picture.lock().await;
        if picture.asked.is_none_or(|asked| asked.elapsed() > FRESH) {
            // A first look, or the first after a pause, needs everything at once.
            if picture.asked.is_none_or(|asked| asked.elapsed() > 3 * FRESH) {
                picture.turn = 0;
            }
            self.ask(&mut picture).await;
        }
        Overview {
            appliance: self.appliance(&picture),
            state: picture.state.clone(),
            traffic: picture.traffic.samples(),
            refusals: picture.traffic.refusals(),
            recent: picture.recent.clone(),
        }
    }

    /// Asks for the state at the next turn, and before the next overview: something has changed it.
    pub async fn stale(&self) {
        let mut picture = self.picture.lock().await;
        picture.asked = None;
        self.ask(&mut picture).await;
    }

    /// Keeps the outcome of a verification.
    pub async fn verified(&self, found: Verification) {
        self.picture.lock().await.verified = Some(found);
        self.stale().await;
    }

    async fn ask(&self, picture: &mut Picture) {
        let whole = picture.asked.is_none() || picture.turn.is_multiple_of(2);
        picture.turn = picture.turn.wrapping_add(1);
        let now = crate::now();
        match self.peers.vault.traffic(picture.traffic.after(now)).await {
            Ok(samples) => {
                let fresh = picture.traffic.take(samples, now);
                let refused = fresh.iter().any(|sample| sample.refused > 0);
                // After a pause there are many at once: the overview has them all, and a follower's queue has not room for them.
                let newest = fresh.iter().skip(fresh.len().saturating_sub(BURST));
                newest.for_each(|sample: &Sample| self.tell("traffic", sample));
                if refused {
                    self.tell("refusals", &picture.traffic.refusals());
                }
            }
            Err(error) => eprintln!("no traffic figures: {error}"),
        }
        if whole {
            self.ask_state(picture).await;
        }
        picture.asked = Some(Instant::now());
    }

    async fn ask_state(&self, picture: &mut Picture) {
        let (status, configuration, health) = tokio::join!(
            self.peers.manager.status(),
            self.peers.manager.configuration(),
            self.peers.vault.health()
        );
        picture.status = status.ok();
        picture.health = health.ok();
        let size = picture.health.as_ref().map(|health| health.audit_size);
        if size.is_some() && size != picture.recent_size {
            let query = AuditQuery {
                limit: RECENT,
                ..AuditQuery::default()
            };
            if let Ok(page) = self.peers.vault.audit_search(query).await {
                picture.recent = page.entries.into_iter().map(Into::into).collect();
                picture.recent_size = size;
                self.tell("recent", &picture.recent);
            }
        }
        let state = self.state(picture, configuration.ok());
        if state != picture.state {
            self.tell("state", &state);
            picture.state = state;
        }
    }

    fn state(
        &self,
        picture: &Picture,
        configuration: Option<redan_ipc::messages::manager::ConfigurationState>,
    ) -> State {
        use crate::api::{pending, version};
        let attention = attention::list(
            picture.status.as_ref(),
            picture.health.as_ref(),
            picture.verified.as_ref(),
            configuration.is_some(),
            self.settings.current().map(|slice| slice.certificate.until),
            crate::now(),
        );
        let services = picture
            .status
            .as_ref()
            .map(|status| status.services.clone())
            .unwrap_or_default();
        let waiting = configuration.as_ref().and_then(|now| {
            let waiting = now.state.pending.as_ref()?;
            Some(pending(waiting, now.state.confirmed, now.now))
        });
        State {
            configuration: configuration.and_then(|now| Some(version(now.running?.info, &now.state))),
            pending: waiting,
            services: services.into_iter().map(Into::into).collect(),
            audit: picture.health.as_ref().map(|health| AuditState {
                size: health.audit_size,
                device: health.device.clone(),
                verified: picture.verified.clone(),
            }),
            attention,
        }
    }

    fn appliance(&self, picture: &Picture) -> Appliance {
        let name = self
            .settings
            .current()
            .and_then(|slice| slice.hosts.first().map(ToString::to_string));
        let mode = picture.status.as_ref().map(|status| status.mode);
        Appliance {
            name: name.unwrap_or_else(|| "Redan".to_owned()),
            mode: mode.map_or("unknown", redan_types::Mode::name).to_owned(),
            evaluation: mode.is_some_and(redan_types::Mode::is_evaluation),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn tell(&self, name: &'static str, value: &impl Serialize) {
        if self.followers.receiver_count() == 0 {
            return;
        }
        match serde_json::to_string(value) {
            // Nobody may be following any more.
            Ok(json) => drop(self.followers.send(Arc::new(Told { name, json }))),
            Err(error) => eprintln!("an event could not be written: {error}"),
        }
    }
}
