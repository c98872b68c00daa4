//! The loopback ports that the launcher offers, and where inside each of them leads. A commit may move what is behind a door; the
//! door itself stays where it is, so that what was printed at the start goes on being true.

use crate::crossing::{Message, send};
use crate::plan::{Link, Offer, Plan};
use redan_config::Appliance;
use redan_ipc::Channel;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// All doors; the console's is the last.
pub(crate) struct Doors {
    doors: Vec<Door>,
    channel: Arc<Channel>,
    /// Where doors are made on this host.
    host: IpAddr,
    links: Vec<Link>,
    /// What upstreams can be reached.
    upstreams: Vec<SocketAddr>,
}

struct Door {
    outside: SocketAddr,
    target: Arc<Mutex<Offer>>,
    accepting: JoinHandle<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Doors {
    /// Opens the listeners to what they stand for.
    pub(crate) fn open(
        listeners: Vec<(SocketAddr, TcpListener)>,
        plan: &Plan,
        channel: &Arc<Channel>,
        host: IpAddr,
    ) -> Self {
        let mut doors = Self {
            doors: Vec::new(),
            channel: Arc::clone(channel),
            host,
            links: plan.links.clone(),
            upstreams: plan
                .upstreams
                .iter()
                .chain(&plan.sample)
                .map(|upstream| upstream.address)
                .collect(),
        };
        for ((outside, listener), offer) in listeners.into_iter().zip(&plan.offers) {
            let door = doors.door(outside, listener, offer.clone());
            doors.doors.push(door);
        }
        doors
    }

    /// Leads the doors to what a newly running configuration listens for. Says what changed, for the person who watches.
    pub(crate) async fn follow(&mut self, appliance: &Appliance) -> Vec<String> {
        let plan = match Plan::new(appliance, false) {
            Ok(plan) => plan,
            Err(error) => return vec![format!("the evaluation's network cannot follow: {error}")],
        };
        let mut said = Vec::new();
        let reach = |upstream: &SocketAddr| self.upstreams.contains(upstream);
        for upstream in plan.upstreams.iter().map(|upstream| upstream.address) {
            if !reach(&upstream) {
                said.push(format!("the upstream {upstream} can be reached after a new start only"));
            }
        }
        let mut wanted: Vec<Offer> = plan
            .offers
            .iter()
            .map(|offer| self.linked(offer, &plan.links))
            .collect();
        let console = wanted.pop();
        if let (Some(door), Some(console)) = (self.doors.last(), console) {
            said.extend(door.lead_to(&console));
        }
        let mut published: Vec<Door> = self.doors.drain(..self.doors.len().saturating_sub(1)).collect();
        // Doors whose address is still there stay; the others lead to the new addresses, in order.
        let mut kept = Vec::new();
        wanted.retain(|offer| {
            let found = published.iter().position(|door| door.target().inside == offer.inside);
            if let Some(at) = found {
                let door = published.remove(at);
                said.extend(door.lead_to(offer));
                kept.push(door);
            }
            found.is_none()
        });
        let mut spare = published.into_iter();
        for offer in wanted {
            if let Some(door) = spare.next() {
                said.extend(door.lead_to(&offer));
                kept.push(door);
                continue;
            }
            let outside = SocketAddr::new(self.host, offer.inside.port());
            match TcpListener::bind(outside).await {
                Ok(listener) => {
                    said.push(format!("https://{outside}/ now leads to {}", offer.inside));
                    kept.push(self.door(outside, listener, offer));
                }
                Err(error) => said.push(format!("{} is not offered here: {outside}: {error}", offer.inside)),
            }
        }
        for door in spare {
            said.push(format!(
                "https://{}/ is closed: nothing listens behind it any more",
                door.outside
            ));
        }
        self.doors.splice(0..0, kept);
        said
    }

    /// An offer of another plan, with the links of the network that was made at the start.
    fn linked(&self, offer: &Offer, links: &[Link]) -> Offer {
        let name = offer.link.and_then(|link| links.get(link)).map(|link| &link.interface);
        let link = name.and_then(|name| self.links.iter().position(|link| link.interface == *name));
        Offer { link, ..offer.clone() }
    }

    fn door(&self, outside: SocketAddr, listener: TcpListener, offer: Offer) -> Door {
        let target = Arc::new(Mutex::new(offer));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&target), Arc::clone(&self.channel)));
        Door {
            outside,
            target,
            accepting,
        }
    }
}

impl Door {
    fn target(&self) -> Offer {
        self.target.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lead_to(&self, offer: &Offer) -> Option<String> {
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = target.inside != offer.inside;
        *target = offer.clone();
        moved.then(|| format!("https://{}/ now leads to {}", self.outside, offer.inside))
    }
}

async fn accept(listener: TcpListener, target: Arc<Mutex<Offer>>, channel: Arc<Channel>) {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                if let Ok(connection) = connection.into_std() {
                    let message = {
                        let target = target.lock().unwrap_or_else(PoisonError::into_inner);
                        Message::Client {
                            inside: target.inside,
                            link: target.link,
                        }
                    };
                    // Without the inside the connection is dropped; the launcher learns of its end by itself.
                    let _ = send(&channel, &message, Some(&OwnedFd::from(connection)));
                }
            }
            // Out of descriptors: others must end first.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
