//! Virtual networks: a cable for each interface, with a namespace at its far end.

use crate::plan::Link;
use futures_util::TryStreamExt;
use nix::sched::{CloneFlags, unshare};
use redan_ipc::IpcError;
use rtnetlink::{Handle, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::channel;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Why the network could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("cannot {0}")]
    System(&'static str, #[source] io::Error),
    #[error("cannot {0} for interface {1}")]
    Netlink(&'static str, String, #[source] rtnetlink::Error),
    #[error("the interface {0} vanished")]
    Vanished(String),
    #[error("the side of {0} ended")]
    Ended(String),
    #[error("the crossing failed")]
    Crossing(#[from] IpcError),
}

/// Something to do on a side's runtime.
pub(crate) type Task = Box<dyn FnOnce() + Send>;

/// A namespace at the far end of a cable, with a thread that lives in it.
pub(crate) struct Side {
    /// As the configuration names the near end.
    pub(crate) interface: String,
    /// A path of the namespace, for `nsenter`.
    pub(crate) path: String,
    namespace: File,
    tasks: UnboundedSender<Task>,
}

impl Side {
    /// Runs `task` on the side's thread, within its runtime.
    pub(crate) fn run(&self, task: impl FnOnce() + Send + 'static) -> Result<(), LinkError> {
        self.tasks
            .send(Box::new(task))
            .map_err(|_| LinkError::Ended(self.interface.clone()))
    }
}

/// A side without a cable: the namespace of the calling process itself.
pub(crate) fn home(name: &str) -> Result<Side, LinkError> {
    side(name, false)
}

/// Makes the cables of all links. To be called in the appliance's own new namespace, by its one thread.
pub(crate) fn make(links: &[Link]) -> Result<Vec<Side>, LinkError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| LinkError::System("start a runtime", source))?;
    runtime.block_on(async {
        let handle = netlink()?;
        set_up(&handle, "lo", &[], &[]).await?;
        let mut sides = Vec::new();
        for link in links {
            sides.push(cable(&handle, link).await?);
        }
        Ok(sides)
    })
}

async fn cable(handle: &Handle, link: &Link) -> Result<Side, LinkError> {
    let interface = &link.interface;
    let failed = |what| move |source| LinkError::Netlink(what, interface.clone(), source);
    let side = side(interface, true)?;
    // The far end is made under a name of its own and renamed in its namespace, where it cannot collide.
    let veth = LinkVeth::new(interface, "far").build();
    handle
        .link()
        .add(veth)
        .execute()
        .await
        .map_err(failed("make a cable"))?;
    let far = index(handle, "far").await?;
    let message = LinkUnspec::new_with_index(far)
        .setns_by_fd(side.namespace.as_raw_fd())
        .build();
    handle
        .link()
        .set(message)
        .execute()
        .await
        .map_err(failed("move the far end"))?;
    let (done, outcome) = channel();
    let (addresses, routers) = (link.addresses.clone(), link.routers.clone());
    side.run(move || {
        tokio::spawn(async move {
            let set = async {
                let handle = netlink()?;
                set_up(&handle, "lo", &[], &[]).await?;
                set_up(&handle, "far", &addresses, &routers).await
            };
            // The receiver waits below.
            let _ = done.send(set.await);
        });
    })?;
    outcome.recv().map_err(|_| LinkError::Ended(interface.clone()))??;
    Ok(side)
}

/// A thread with a runtime, in a namespace of its own where `new`.
fn side(interface: &str, new: bool) -> Result<Side, LinkError> {
    let (started, start) = channel();
    let (tasks, mut arriving) = unbounded_channel::<Task>();
    let body = move || {
        let namespace = || -> io::Result<(File, String)> {
            if new {
                unshare_network()?;
            }
            let thread = rustix::thread::gettid().as_raw_nonzero();
            let path = format!("/proc/{}/task/{thread}/ns/net", std::process::id());
            Ok((File::open(&path)?, path))
        };
        let opened = namespace();
        let failed = opened.is_err();
        if started.send(opened).is_err() || failed {
            return;
        }
        let Ok(runtime) = Builder::new_current_thread().enable_all().build() else {
            return;
        };
        runtime.block_on(async {
            while let Some(task) = arriving.recv().await {
                task();
            }
        });
    };
    std::thread::Builder::new()
        .name(format!("side {interface}"))
        .spawn(body)
        .map_err(|source| LinkError::System("start a thread", source))?;
    let (namespace, path) = start
        .recv()
        .map_err(|_| LinkError::Ended(interface.to_owned()))?
        .map_err(|source| LinkError::System("make a network namespace", source))?;
    Ok(Side {
        interface: interface.to_owned(),
        path,
        namespace,
        tasks,
    })
}

fn netlink() -> Result<Handle, LinkError> {
    let (connection, handle, _) =
        rtnetlink::new_connection().map_err(|source| LinkError::System("open a netlink socket", source))?;
    tokio::spawn(connection);
    Ok(handle)
}

async fn index(handle: &Handle, name: &str) -> Result<u32, LinkError> {
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    let link = links
        .try_next()
        .await
        .map_err(|source| LinkError::Netlink("find the link", name.to_owned(), source))?;
    link.map(|link| link.header.index)
        .ok_or_else(|| LinkError::Vanished(name.to_owned()))
}

async fn set_up(handle: &Handle, name: &str, addresses: &[(IpAddr, u8)], routers: &[IpAddr]) -> Result<(), LinkError> {
    let failed = |what| move |source| LinkError::Netlink(what, name.to_owned(), source);
    let index = index(handle, name).await?;
    for (address, prefix) in addresses {
        let mut request = handle.address().add(index, *address, *prefix);
        if address.is_ipv6() {
            // Nobody else is on the cable: without duplicate address detection the address can be used at once.
            request.message_mut().header.flags |= rtnetlink::packet_route::address::AddressHeaderFlags::Nodad;
        }
        request.execute().await.map_err(failed("set an address"))?;
    }
    let up = LinkUnspec::new_with_index(index).up().build();
    handle
        .link()
        .set(up)
        .execute()
        .await
        .map_err(failed("switch the link on"))?;
    for router in routers {
        let route = match router {
            IpAddr::V4(v4) => RouteMessageBuilder::<Ipv4Addr>::new().gateway(*v4).build(),
            IpAddr::V6(v6) => RouteMessageBuilder::<Ipv6Addr>::new().gateway(*v6).build(),
        };
        handle
            .route()
            .add(route)
            .execute()
            .await
            .map_err(failed("set the default route"))?;
    }
    Ok(())
}

/// Moves the calling thread into a network namespace of its own.
pub(crate) fn unshare_network() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWNET)?)
}

/// A listener on a side, made on its thread so that it belongs there.
pub(crate) fn listen(side: &Side, address: std::net::SocketAddr) -> Result<OwnedFd, LinkError> {
    let (done, outcome) = channel();
    side.run(move || {
        // The receiver waits below.
        let _ = done.send(std::net::TcpListener::bind(address));
    })?;
    let listener = outcome
        .recv()
        .map_err(|_| LinkError::Ended(side.interface.clone()))?
        .map_err(|source| LinkError::System("listen for the appliance's connections to an upstream", source))?;
    Ok(listener.into())
}
