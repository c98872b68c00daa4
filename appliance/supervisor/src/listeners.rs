//! The listening sockets. The supervisor binds and keeps them, so that a restart refuses no client.

use redan_ipc::messages::control::{Listener, ToService, WantedListener};
use redan_types::{Generation, Process};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with, sockopt};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Addresses in one configuration. Each needs a descriptor for each thread.
const MOST: usize = 256;
/// Sockets in one message.
const PORTION: usize = 32;

/// A listener that cannot be had.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) address: SocketAddr,
    pub(crate) reason: String,
}

/// Whose the addresses are that are listened on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Addresses {
    /// The host's: one that it does not have cannot be listened on.
    Hosts,
    /// The appliance's own: one that a candidate brings comes to its interface with the commit, after the ports were reserved.
    Ours,
}

type Sockets = BTreeMap<WantedListener, Vec<Rc<OwnedFd>>>;

#[derive(Debug)]
pub(crate) struct Listeners {
    threads: u16,
    addresses: Addresses,
    current: Option<(Generation, Sockets)>,
    prepared: Option<(Generation, Sockets)>,
}

impl Listeners {
    pub(crate) const fn new(threads: u16, addresses: Addresses) -> Self {
        Self {
            threads,
            addresses,
            current: None,
            prepared: None,
        }
    }

    /// Binds what a candidate needs and is not there yet. The ports are reserved, but nobody can connect until the commit.
    pub(crate) fn prepare(&mut self, generation: Generation, wanted: &[WantedListener]) -> Result<(), Refusal> {
        self.prepared = None;
        let mut sockets = Sockets::new();
        for (index, one) in wanted.iter().enumerate() {
            let refuse = |reason: String| Refusal {
                address: one.address,
                reason,
            };
            let threads = match one.process {
                Process::Proxy => self.threads,
                Process::Console => 1,
                other => return Err(refuse(format!("the {other} accepts no connections"))),
            };
            if index >= MOST {
                return Err(refuse(format!("more than {MOST} addresses")));
            }
            if one.port().is_none() {
                return Err(refuse("port 0 cannot be published".to_owned()));
            }
            if sockets.keys().any(|other| other.address == one.address) {
                return Err(refuse("wanted twice".to_owned()));
            }
            let kept = self.current.as_ref().and_then(|(_, current)| current.get(one));
            let group = match kept {
                Some(group) => group.clone(),
                None => self
                    .bind(one.address, threads)
                    .map_err(|errno| refuse(describe(errno)))?,
            };
            sockets.insert(*one, group);
        }
        self.prepared = Some((generation, sockets));
        Ok(())
    }

    /// Makes the prepared set the current one. `Ok(false)`: the generation is not the one prepared.
    pub(crate) fn commit(&mut self, generation: Generation) -> Result<bool, Refusal> {
        let Some((_, sockets)) = self.prepared.take_if(|(prepared, _)| *prepared == generation) else {
            return Ok(false);
        };
        for (wanted, group) in &sockets {
            for socket in group {
                // Listening already is no error for those that were kept.
                let listening = listen(socket, BACKLOG)
                    // Nobody can bind beside a socket that listens; its connections are to linger without hindering a later run.
                    .and_then(|()| sockopt::set_socket_reuseaddr(socket, true));
                listening.map_err(|errno| Refusal {
                    address: wanted.address,
                    reason: describe(errno),
                })?;
            }
        }
        self.current = Some((generation, sockets));
        Ok(true)
    }

    pub(crate) fn abort(&mut self, generation: Generation) {
        self.prepared.take_if(|(prepared, _)| *prepared == generation);
    }

    /// Whether a configuration has been committed.
    pub(crate) const fn is_committed(&self) -> bool {
        self.current.is_some()
    }

    /// The messages that give a service its listeners; none before the first commit.
    pub(crate) fn messages(&self, process: Process) -> Vec<(ToService, Vec<Rc<OwnedFd>>)> {
        let Some((generation, sockets)) = &self.current else {
            return Vec::new();
        };
        let all: Vec<(Listener, Rc<OwnedFd>)> = sockets
            .iter()
            .filter(|(wanted, _)| wanted.process == process)
            .flat_map(|(wanted, group)| {
                (0..).zip(group).map(|(thread, socket)| {
                    (
                        Listener {
                            address: wanted.address,
                            thread,
                        },
                        Rc::clone(socket),
                    )
                })
            })
            .collect();
        if !matches!(process, Process::Console | Process::Proxy) {
            return Vec::new();
        }
        let portions = all.len().div_ceil(PORTION).max(1);
        (1..=portions)
            .map(|number| {
                let portion = all.iter().skip((number - 1) * PORTION).take(PORTION).cloned();
                let (entries, descriptors) = portion.unzip();
                (
                    ToService::Listeners {
                        generation: *generation,
                        entries,
                        complete: number == portions,
                    },
                    descriptors,
                )
            })
            .collect()
    }

    fn bind(&self, address: SocketAddr, threads: u16) -> Result<Vec<Rc<OwnedFd>>, Errno> {
        // With SO_REUSEPORT a second program of the same user could share the port unnoticed, so the first try is without. A port
        // that this appliance listens on itself (on another of the host's addresses) is known not to be a stranger's.
        let own = self.current.iter().flat_map(|(_, sockets)| sockets.keys());
        if !own
            .map(|wanted| wanted.address.port())
            .any(|port| port == address.port())
        {
            drop(socket(address, Share::No, self.addresses)?);
        }
        (0..threads)
            .map(|_| socket(address, Share::Port, self.addresses).map(Rc::new))
            .collect()
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Share {
    No,
    Port,
}

fn socket(address: SocketAddr, share: Share, addresses: Addresses) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    // Connections of an earlier run that linger in TIME_WAIT do not hinder; a program that listens still does.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, share == Share::Port)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if addresses == Addresses::Ours {
        if address.is_ipv4() {
            sockopt::set_ip_freebind(&socket, true)?;
        } else {
            sockopt::set_ipv6_freebind(&socket, true)?;
        }
    }
    bind(&socket, &address)?;
    // From here on nobody else may bind the port, however willing to share.
    sockopt::set_socket_reuseaddr(&socket, false)?;
    Ok(socket)
}

fn describe(errno: Errno) -> String {
    match errno {
        Errno::ADDRINUSE => "another program listens on this port".to_owned(),
        Errno::ADDRNOTAVAIL => "the appliance does not have this address".to_owned(),
        Errno::ACCESS => "ports below 1024 need privileges that an ordinary user's evaluation does not have".to_owned(),
        other => std::io::Error::from(other).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Addresses, Listeners, MOST};
    use redan_ipc::messages::control::{ToService, WantedListener};
    use redan_types::{Generation, Process};
    use std::net::{SocketAddr, TcpListener, TcpStream};

    fn free() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    fn wanted(process: Process, address: SocketAddr) -> WantedListener {
        WantedListener { process, address }
    }

    #[test]
    fn a_prepared_port_takes_connections_only_after_the_commit() {
        let address = free();
        let mut listeners = Listeners::new(2, Addresses::Hosts);
        listeners
            .prepare(Generation(1), &[wanted(Process::Proxy, address)])
            .unwrap();
        assert!(TcpStream::connect(address).is_err());
        assert!(TcpListener::bind(address).is_err());
        assert!(listeners.messages(Process::Proxy).is_empty());
        assert_eq!(listeners.commit(Generation(2)), Ok(false));
        assert_eq!(listeners.commit(Generation(1)), Ok(true));
        TcpStream::connect(address).unwrap();
        let [
            (
                ToService::Listeners {
                    entries,
                    complete: true,
                    ..
                },
                sockets,
            ),
        ] = &listeners.messages(Process::Proxy)[..]
        else {
            panic!("one complete message")
        };
        assert_eq!(entries.iter().map(|entry| entry.thread).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(sockets.len(), 2);
    }

    #[test]
    fn an_address_that_comes_with_the_commit_is_listened_on_where_addresses_are_the_appliances() {
        // For documentation (RFC 5737): no machine has it.
        let coming = [wanted(Process::Proxy, "192.0.2.1:8443".parse().unwrap())];
        assert!(
            Listeners::new(1, Addresses::Hosts)
                .prepare(Generation(1), &coming)
                .is_err()
        );
        assert_eq!(
            Listeners::new(1, Addresses::Ours).prepare(Generation(1), &coming),
            Ok(())
        );
    }

    #[test]
    fn a_port_in_use_is_refused_and_nothing_changes() {
        let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
        let (ours, theirs) = (free(), stranger.local_addr().unwrap());
        let mut listeners = Listeners::new(1, Addresses::Hosts);
        listeners
            .prepare(Generation(1), &[wanted(Process::Proxy, ours)])
            .unwrap();
        listeners.commit(Generation(1)).unwrap();
        let both = [wanted(Process::Proxy, ours), wanted(Process::Console, theirs)];
        let refusal = listeners.prepare(Generation(2), &both).unwrap_err();
        assert_eq!(
            (refusal.address, refusal.reason.as_str()),
            (theirs, "another program listens on this port")
        );
        assert_eq!(listeners.commit(Generation(2)), Ok(false));
        TcpStream::connect(ours).unwrap();
    }

    #[test]
    fn a_listener_that_stays_keeps_its_socket_and_its_waiting_clients() {
        let (stays, goes) = (free(), free());
        let mut listeners = Listeners::new(1, Addresses::Hosts);
        listeners
            .prepare(
                Generation(1),
                &[wanted(Process::Proxy, stays), wanted(Process::Proxy, goes)],
            )
            .unwrap();
        listeners.commit(Generation(1)).unwrap();
        let waiting = TcpStream::connect(stays).unwrap();
        listeners
            .prepare(Generation(2), &[wanted(Process::Proxy, stays)])
            .unwrap();
        listeners.commit(Generation(2)).unwrap();
        assert!(TcpStream::connect(goes).is_err());
        let (_, sockets) = listeners.messages(Process::Proxy).pop().unwrap();
        let (_, peer) = rustix::net::acceptfrom(&sockets[0]).unwrap();
        assert_eq!(
            SocketAddr::try_from(peer.unwrap()).unwrap(),
            waiting.local_addr().unwrap()
        );
    }

    #[test]
    fn connections_that_linger_do_not_hinder_the_next_run() {
        let address = free();
        let one = [wanted(Process::Proxy, address)];
        for generation in [1, 2].map(Generation) {
            let mut listeners = Listeners::new(1, Addresses::Hosts);
            listeners.prepare(generation, &one).unwrap();
            listeners.commit(generation).unwrap();
            let mut client = TcpStream::connect(address).unwrap();
            let (_, sockets) = listeners.messages(Process::Proxy).pop().unwrap();
            // Who closes first keeps the connection's remains.
            drop(rustix::net::accept(&sockets[0]).unwrap());
            assert_eq!(std::io::Read::read(&mut client, &mut [0]).unwrap(), 0);
        }
    }

    #[test]
    fn what_cannot_listen_is_refused() {
        let mut listeners = Listeners::new(1, Addresses::Hosts);
        let address = free();
        for wrong in [
            vec![wanted(Process::Vault, address)],
            vec![wanted(Process::Proxy, "127.0.0.1:0".parse().unwrap())],
            vec![wanted(Process::Proxy, address), wanted(Process::Console, address)],
            (1..=u16::try_from(MOST + 1).unwrap())
                .map(|port| wanted(Process::Proxy, SocketAddr::from(([127, 0, 0, 9], 20_000 + port))))
                .collect(),
        ] {
            assert!(
                listeners.prepare(Generation(1), &wrong).is_err(),
                "{} listeners",
                wrong.len()
            );
        }
    }

    #[test]
    fn an_empty_set_is_a_complete_message() {
        let mut listeners = Listeners::new(1, Addresses::Hosts);
        listeners.prepare(Generation(1), &[]).unwrap();
        listeners.commit(Generation(1)).unwrap();
        assert_eq!(listeners.messages(Process::Console).len(), 1);
        assert!(listeners.messages(Process::Vault).is_empty());
    }
}
