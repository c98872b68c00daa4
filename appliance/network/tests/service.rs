//! The service's answers, with real interfaces and the kernel's filter behind them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use redan_ipc::messages::apply::{ApplyReply, ApplyRequest};
use redan_ipc::messages::network::{NetworkReply, NetworkRequest};
use redan_ipc::slice::{Action, NetworkSlice};
use redan_network::{Links, Network};
use redan_types::Generation;
use world::{CLIENT, OUTER, PATIENCE, SERVER, SILENCE, World, host, local, now, policy, slice};

fn prepare(network: &mut Network, generation: u64, slice: &NetworkSlice) -> ApplyReply {
    let slice = slice.clone();
    network.apply(
        ApplyRequest::Prepare {
            generation: Generation(generation),
            slice,
        },
        now(),
    )
}

fn commit(network: &mut Network, generation: u64) -> ApplyReply {
    network.apply(
        ApplyRequest::Commit {
            generation: Generation(generation),
        },
        now(),
    )
}

#[test]
fn a_configuration_is_in_force_by_its_commit_and_not_before() {
    let Some(world) = World::new() else { return };
    let _listener = world.appliance.listen(&format!("{OUTER}:8443"));
    let mut network = world.appliance.run(|| Network::open(now()).unwrap());
    assert_eq!(network.apply(ApplyRequest::Current, now()), ApplyReply::Current(None));
    assert_eq!(commit(&mut network, 1), ApplyReply::NotPrepared);
    let mut slice = slice();
    slice.local = vec![local("service-shop", &format!("{OUTER}:8443"), "public")];
    assert_eq!(prepare(&mut network, 1, &slice), ApplyReply::Done);
    assert!(world.client.connect(&format!("{OUTER}:8443"), SILENCE).is_err());
    assert_eq!(commit(&mut network, 2), ApplyReply::NotPrepared);
    assert_eq!(commit(&mut network, 1), ApplyReply::Done);
    assert_eq!(
        commit(&mut network, 1),
        ApplyReply::Done,
        "asked again after a lost answer"
    );
    assert!(world.client.connect(&format!("{OUTER}:8443"), PATIENCE).is_ok());
    assert_eq!(
        network.apply(ApplyRequest::Current, now()),
        ApplyReply::Current(Some(Generation(1)))
    );
    slice.local.clear();
    assert_eq!(prepare(&mut network, 2, &slice), ApplyReply::Done);
    assert_eq!(
        network.apply(
            ApplyRequest::Abort {
                generation: Generation(2)
            },
            now()
        ),
        ApplyReply::Done
    );
    assert_eq!(commit(&mut network, 2), ApplyReply::NotPrepared);
}

#[test]
fn a_refused_preparation_names_everything_that_is_wrong() {
    let Some(world) = World::new() else { return };
    let mut network = world.appliance.run(|| Network::open(now()).unwrap());
    let mut slice = slice();
    slice.interfaces[0].name = "absent0".parse().unwrap();
    slice.interfaces[1].gateway = Some("203.0.113.1".parse().unwrap());
    slice.policies = vec![policy("web", "public", "nowhere", 80, Action::Allow)];
    let ApplyReply::Refused { reasons } = prepare(&mut network, 1, &slice) else {
        panic!("refused")
    };
    for part in [
        "there is no interface absent0",
        "gateway 203.0.113.1",
        "no zone nowhere",
    ] {
        assert!(
            reasons.iter().any(|reason| reason.contains(part)),
            "{part} in {reasons:?}"
        );
    }
    assert_eq!(commit(&mut network, 1), ApplyReply::NotPrepared);
}

#[test]
fn blocks_and_counters_are_answered() {
    let Some(world) = World::new() else { return };
    let mut network = world.appliance.run(|| Network::open(now()).unwrap());
    let block = NetworkRequest::Block {
        network: host(CLIENT),
        seconds: 60,
        reason: "a scan".into(),
    };
    assert!(matches!(network.answer(block, now()), NetworkReply::Done));
    let NetworkReply::Blocklist(blocks) = network.answer(NetworkRequest::Blocklist, now()) else {
        panic!("a list")
    };
    assert_eq!((blocks.len(), blocks[0].reason.as_str()), (1, "a scan"));
    assert!(matches!(
        network.answer(NetworkRequest::Unblock { network: host(CLIENT) }, now()),
        NetworkReply::Done
    ));
    let unknown = network.answer(NetworkRequest::Unblock { network: host(CLIENT) }, now());
    assert!(
        matches!(&unknown, NetworkReply::Refused(reason) if reason.contains(CLIENT)),
        "{unknown:?}"
    );
    let NetworkReply::Counters(counters) = network.answer(NetworkRequest::Counters, now()) else {
        panic!("counters")
    };
    assert!(counters.len() >= 6, "{counters:?}");
}

#[test]
fn interfaces_become_as_declared_and_others_are_left_alone() {
    let Some(world) = World::new() else { return };
    let place = &world.appliance;
    place.ip("link add spare0 type veth peer name spare1");
    place.ip("address add 203.0.113.1/24 dev spare0");
    let mut slice = slice();
    slice.interfaces[0].addresses = vec![(OUTER.parse().unwrap(), 24), ("2001:db8:9::1".parse().unwrap(), 64)];
    slice.interfaces[0].gateway = Some(CLIENT.parse().unwrap());
    slice.interfaces[0].mtu = Some(1_400);
    place.ip("link set private0 down");
    let show = || {
        place.run(|| {
            let print = |arguments: &[&str]| {
                let output = std::process::Command::new("ip").args(arguments).output().unwrap();
                String::from_utf8(output.stdout).unwrap()
            };
            print(&["address", "show"]) + &print(&["route", "show"])
        })
    };
    let mut links = place.run(|| Links::open().unwrap());
    assert!(links.check(&slice).unwrap().is_empty());
    links.apply(&slice).unwrap();
    let shown = show();
    for present in [
        OUTER,
        "2001:db8:9::1/64",
        "203.0.113.1/24",
        "mtu 1400",
        &format!("default via {CLIENT} dev public0"),
    ] {
        assert!(shown.contains(present), "{present} in {shown}");
    }
    assert!(
        !shown.contains("2001:db8:1::1"),
        "what is not declared is gone: {shown}"
    );
    assert!(shown.contains("fe80::"), "the kernel's own stay: {shown}");
    assert!(world.server.connect(&format!("{SERVER}:9"), PATIENCE).is_err());
    // Lifetimes count down, and the kernel finds carriers and link-local addresses in its own time: none of that is declared.
    let declared = |text: &str| {
        text.lines()
            .filter(|line| !line.contains("lft") && !line.contains("fe80::"))
            .map(|line| match (line.split_once('<'), line.split_once(" mtu ")) {
                (Some((name, flags)), Some((_, rest))) => {
                    let up = flags.split(['<', ',', '>']).any(|flag| flag == "UP");
                    format!("{name}up {up} mtu {}", rest.split(" state ").next().unwrap())
                }
                _ => line.to_owned(),
            })
            .collect::<Vec<_>>()
    };
    links.apply(&slice).unwrap();
    assert_eq!(declared(&show()), declared(&shown), "a second time changes nothing");
    slice.interfaces[0].gateway = None;
    links.apply(&slice).unwrap();
    assert!(!show().contains("default via"));
}

#[test]
fn an_address_gives_way_to_another_one_in_the_same_network() {
    let Some(world) = World::new() else { return };
    let place = &world.appliance;
    let mut slice = slice();
    let mut links = place.run(|| Links::open().unwrap());
    links.apply(&slice).unwrap();
    // The kernel takes the new one away with the old one, whose secondary it is.
    slice.interfaces[0].addresses = vec![("192.0.2.99".parse().unwrap(), 24)];
    slice.interfaces[0].gateway = Some(CLIENT.parse().unwrap());
    links.apply(&slice).unwrap();
    let shown = place.run(|| {
        let output = std::process::Command::new("ip")
            .args(["-4", "address", "show", "dev", "public0"])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    });
    assert!(shown.contains("192.0.2.99/24") && !shown.contains(OUTER), "{shown}");
}

#[test]
fn a_half_applied_configuration_is_undone() {
    let Some(world) = World::new() else { return };
    let _listener = world.appliance.listen(&format!("{OUTER}:8443"));
    let mut network = world.appliance.run(|| Network::open(now()).unwrap());
    let mut good = slice();
    good.local = vec![local("service-shop", &format!("{OUTER}:8443"), "public")];
    assert_eq!(prepare(&mut network, 1, &good), ApplyReply::Done);
    assert_eq!(commit(&mut network, 1), ApplyReply::Done);
    // The interface goes between the two phases.
    world.appliance.ip("link add brief0 type veth peer name brief1");
    let mut other = slice();
    other.zones[1].interfaces.push("brief0".parse().unwrap());
    other.interfaces.push(redan_ipc::slice::Interface {
        name: "brief0".parse().unwrap(),
        addresses: vec![],
        mtu: None,
        gateway: None,
    });
    assert_eq!(prepare(&mut network, 2, &other), ApplyReply::Done);
    world.appliance.ip("link del brief0");
    let ApplyReply::Refused { reasons } = commit(&mut network, 2) else {
        panic!("refused")
    };
    assert_eq!(reasons, ["there is no interface brief0"]);
    assert!(
        world.client.connect(&format!("{OUTER}:8443"), PATIENCE).is_ok(),
        "what ran before runs"
    );
    assert_eq!(
        network.apply(ApplyRequest::Current, now()),
        ApplyReply::Current(Some(Generation(1)))
    );
}

#[test]
fn without_a_network_of_its_own_configurations_are_checked_and_blocks_refused() {
    let mut network = Network::without_filter();
    let mut slice = slice();
    assert_eq!(prepare(&mut network, 1, &slice), ApplyReply::Done);
    assert_eq!(commit(&mut network, 1), ApplyReply::Done);
    slice.policies = vec![policy("web", "public", "nowhere", 80, Action::Allow)];
    assert!(matches!(prepare(&mut network, 2, &slice), ApplyReply::Refused { .. }));
    let block = NetworkRequest::Block {
        network: host(CLIENT),
        seconds: 60,
        reason: String::new(),
    };
    assert!(matches!(network.answer(block, now()), NetworkReply::Refused(_)));
}
