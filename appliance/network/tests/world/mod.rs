//! Three network namespaces with real interfaces: a client, the appliance with its filter, a server behind it.
//!
//! Each namespace is a thread that left the others' network; sockets made on it belong there for good. Nothing has a name, so that
//! nothing is left behind. Interfaces are made with `ip` and the ruleset is read with `nft`, which know nothing of this crate.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot set up its world fails"
)]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use nix::sched::{CloneFlags, unshare};
use redan_ipc::slice::{Action, Interface, LocalService, NetworkSlice, Policy, Zone};
use redan_network::Firewall;
use redan_types::{Port, Protocol, Timestamp};

pub const CLIENT: &str = "192.0.2.2";
pub const CLIENT6: &str = "2001:db8:1::2";
pub const OUTER: &str = "192.0.2.1";
pub const OUTER6: &str = "2001:db8:1::1";
pub const INNER: &str = "198.51.100.1";
pub const SERVER: &str = "198.51.100.2";
pub const SERVER6: &str = "2001:db8:2::2";
/// How long a packet may take that is expected to arrive.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long is waited for a packet that must not arrive.
pub const SILENCE: Duration = Duration::from_millis(250);

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace.
pub struct Namespace {
    jobs: mpsc::Sender<Job>,
    path: String,
}

impl Namespace {
    /// `None` where this process may not make one.
    pub fn new() -> Option<Self> {
        let (jobs, work) = mpsc::channel::<Job>();
        let (report, ready) = mpsc::channel();
        std::thread::spawn(move || {
            let made = unshare(CloneFlags::CLONE_NEWNET).is_ok();
            report
                .send(made.then(|| format!("/proc/self/task/{}/ns/net", nix::unistd::gettid())))
                .unwrap();
            if made {
                work.into_iter().for_each(|job| job());
            }
        });
        let path = ready.recv().unwrap()?.replace("self", &std::process::id().to_string());
        let namespace = Self { jobs, path };
        namespace.ip("link set lo up");
        Some(namespace)
    }

    /// Runs something in the namespace.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, result) = mpsc::channel();
        self.jobs.send(Box::new(move || drop(answer.send(job())))).unwrap();
        result
            .recv_timeout(Duration::from_secs(60))
            .expect("a job in a namespace ends")
    }

    pub fn ip(&self, arguments: &str) {
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        self.run(move || {
            let output = Command::new("ip").args(&arguments).output().unwrap();
            assert!(
                output.status.success(),
                "ip {arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        });
    }

    /// What `nft` prints.
    pub fn nft(&self, arguments: &str) -> String {
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        self.run(move || {
            let output = Command::new("nft").args(&arguments).output().unwrap();
            assert!(
                output.status.success(),
                "nft {arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8(output.stdout).unwrap()
        })
    }

    pub fn listen(&self, address: &str) -> TcpListener {
        let address: SocketAddr = address.parse().unwrap();
        self.run(move || TcpListener::bind(address).unwrap())
    }

    /// A connection, or why there is none within the time.
    pub fn connect(&self, address: &str, within: Duration) -> std::io::Result<TcpStream> {
        let address: SocketAddr = address.parse().unwrap();
        self.run(move || TcpStream::connect_timeout(&address, within))
    }

    pub fn udp(&self, address: &str) -> UdpSocket {
        let address: SocketAddr = address.parse().unwrap();
        let socket = self.run(move || UdpSocket::bind(address).unwrap());
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        socket
    }
}

/// The three of them.
pub struct World {
    pub client: Namespace,
    pub appliance: Namespace,
    pub server: Namespace,
}

impl World {
    /// Says so and gives `None` where namespaces cannot be made.
    pub fn new() -> Option<Self> {
        let (Some(client), Some(appliance), Some(server)) = (Namespace::new(), Namespace::new(), Namespace::new())
        else {
            eprintln!("SKIPPED: this test needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN) to make network namespaces");
            return None;
        };
        for (peer, outer, inner) in [(&client, "outer0", "public0"), (&server, "inner0", "private0")] {
            appliance.ip(&format!("link add {inner} type veth peer name {outer}"));
            appliance.ip(&format!("link set {outer} netns {}", peer.path));
        }
        for (place, name, addresses) in [
            (&client, "outer0", [format!("{CLIENT}/24"), format!("{CLIENT6}/64")]),
            (&appliance, "public0", [format!("{OUTER}/24"), format!("{OUTER6}/64")]),
            (
                &appliance,
                "private0",
                [format!("{INNER}/24"), "2001:db8:2::1/64".into()],
            ),
            (&server, "inner0", [format!("{SERVER}/24"), format!("{SERVER6}/64")]),
        ] {
            // Without duplicate address detection, which takes a second.
            for address in addresses {
                let nodad = if address.contains(':') { "nodad" } else { "" };
                place.ip(&format!("address add {address} dev {name} {nodad}"));
            }
            place.ip(&format!("link set {name} up"));
        }
        for (place, gateway, gateway6) in [(&client, OUTER, OUTER6), (&server, INNER, "2001:db8:2::1")] {
            place.ip(&format!("route add default via {gateway}"));
            place.ip(&format!("-6 route add default via {gateway6}"));
        }
        appliance.run(|| {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
            std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        });
        let world = Self {
            client,
            appliance,
            server,
        };
        world.await_links();
        Some(world)
    }

    /// Interfaces come up a while after they are told to, and the first packets ask for neighbours: sends until a packet comes through,
    /// so that no test counts a repetition.
    fn await_links(&self) {
        for (from, to) in [(CLIENT, SERVER), (CLIENT6, SERVER6)] {
            let bracket = |address: &str| {
                if address.contains(':') {
                    format!("[{address}]:9")
                } else {
                    format!("{address}:9")
                }
            };
            let (sender, receiver) = (self.client.udp(&bracket(from)), self.server.udp(&bracket(to)));
            receiver.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            // Sending fails while the address is not usable yet.
            let through = (0..250).any(|_| {
                drop(sender.send_to(b"?", bracket(to)));
                receiver.recv(&mut [0; 1]).is_ok()
            });
            assert!(through, "the links come up");
        }
    }

    /// The filter, as the service starts it.
    pub fn firewall(&self) -> Firewall {
        self.appliance.run(|| Firewall::open(now()).unwrap())
    }
}

pub fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// Sends a word and waits for it at the other end.
pub fn carries(from: &mut TcpStream, to: &mut TcpStream) -> bool {
    to.set_read_timeout(Some(SILENCE)).unwrap();
    from.write_all(b"word").unwrap();
    let mut word = [0; 4];
    to.read_exact(&mut word).is_ok() && word == *b"word"
}

/// Interfaces and zones of the world, and nothing allowed.
pub fn slice() -> NetworkSlice {
    let zone = |name: &str, interface: &str| Zone {
        name: name.parse().unwrap(),
        interfaces: vec![interface.parse().unwrap()],
    };
    let interface = |name: &str, addresses: [(&str, u8); 2]| Interface {
        name: name.parse().unwrap(),
        addresses: addresses
            .map(|(address, prefix)| (address.parse().unwrap(), prefix))
            .into(),
        mtu: None,
        gateway: None,
    };
    NetworkSlice {
        interfaces: vec![
            interface("public0", [(OUTER, 24), (OUTER6, 64)]),
            interface("private0", [(INNER, 24), ("2001:db8:2::1", 64)]),
        ],
        zones: vec![zone("public", "public0"), zone("private", "private0")],
        policies: Vec::new(),
        local: Vec::new(),
        upstreams: Vec::new(),
        blocked: Vec::new(),
        never_block: Vec::new(),
    }
}

pub fn local(name: &str, address: &str, zone: &str) -> LocalService {
    LocalService {
        name: name.into(),
        address: address.parse().unwrap(),
        zones: vec![zone.parse().unwrap()],
        sources: Vec::new(),
    }
}

/// TCP from zone to zone.
pub fn policy(name: &str, from: &str, to: &str, port: u16, action: Action) -> Policy {
    let port = Port::new(port).unwrap();
    Policy {
        name: name.parse().unwrap(),
        from: vec![from.parse().unwrap()],
        to: vec![to.parse().unwrap()],
        protocol: Some(Protocol::Tcp),
        ports: vec![(port, port)],
        sources: Vec::new(),
        destinations: Vec::new(),
        action,
        log: false,
        comment: String::new(),
    }
}

/// Packets that the counter of this name has seen.
pub fn counted(firewall: &mut Firewall, name: &str) -> u64 {
    let named = |counter: &redan_ipc::messages::network::Counter| match &counter.name {
        redan_ipc::messages::network::CounterName::BuiltIn(text) => text == name,
        redan_ipc::messages::network::CounterName::Policy(policy) => policy.as_str() == name,
    };
    firewall
        .counters()
        .unwrap()
        .iter()
        .find(|counter| named(counter))
        .expect("a counter of this name")
        .packets
}

pub fn host(address: &str) -> redan_types::Cidr {
    redan_types::Cidr::host(address.parse::<IpAddr>().unwrap())
}
