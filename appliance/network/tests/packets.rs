//! Real packets through the kernel's filter as this crate sets it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::io::ErrorKind;

use redan_ipc::slice::Action;
use redan_network::Firewall;
use world::{
    CLIENT, CLIENT6, INNER, OUTER, OUTER6, PATIENCE, SERVER, SERVER6, SILENCE, World, carries, counted, host, local,
    now, policy, slice,
};

#[test]
fn before_any_configuration_nothing_passes() {
    let Some(world) = World::new() else { return };
    let _listener = world.appliance.listen(&format!("{OUTER}:8443"));
    assert!(
        world.client.connect(&format!("{OUTER}:8443"), PATIENCE).is_ok(),
        "the world itself works"
    );
    let mut firewall = world.firewall();
    assert_eq!(
        world
            .client
            .connect(&format!("{OUTER}:8443"), SILENCE)
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    assert!(counted(&mut firewall, "default-drop-input") > 0);
    let _inside = world.server.listen(&format!("{SERVER}:80"));
    assert_eq!(
        world
            .client
            .connect(&format!("{SERVER}:80"), SILENCE)
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    assert!(counted(&mut firewall, "default-drop-forward") > 0);
    let own = world.appliance.listen("127.0.0.1:7000");
    assert!(
        world
            .appliance
            .connect(&own.local_addr().unwrap().to_string(), PATIENCE)
            .is_ok(),
        "loopback passes"
    );
}

#[test]
fn a_published_port_is_open_on_its_address_and_nothing_else_is() {
    let Some(world) = World::new() else { return };
    let listeners = [
        format!("{OUTER}:8443"),
        format!("{OUTER}:8444"),
        format!("{INNER}:8443"),
        format!("[{OUTER6}]:8443"),
    ];
    let _listeners = listeners.map(|address| world.appliance.listen(&address));
    let mut firewall = world.firewall();
    let mut slice = slice();
    slice.local = vec![
        local("service-shop", &format!("{OUTER}:8443"), "public"),
        local("service-shop", &format!("[{OUTER6}]:8443"), "public"),
    ];
    firewall.apply(&slice, now()).unwrap();
    assert!(world.client.connect(&format!("{OUTER}:8443"), PATIENCE).is_ok());
    assert!(
        world.client.connect(&format!("[{OUTER6}]:8443"), PATIENCE).is_ok(),
        "neighbour discovery works"
    );
    for closed in [
        format!("{OUTER}:8444"),
        format!("{INNER}:8443"),
        format!("[{OUTER6}]:8444"),
    ] {
        assert!(world.client.connect(&closed, SILENCE).is_err(), "{closed}");
    }
    // From the other zone it is not published.
    assert!(world.server.connect(&format!("{OUTER}:8443"), SILENCE).is_err());
    assert_eq!(counted(&mut firewall, "service-shop"), 2);
}

#[test]
fn a_policy_lets_its_direction_pass_and_not_the_other() {
    let Some(world) = World::new() else { return };
    let inside = [
        format!("{SERVER}:80"),
        format!("{SERVER}:81"),
        format!("[{SERVER6}]:80"),
    ]
    .map(|a| world.server.listen(&a));
    let _outside = world.client.listen(&format!("{CLIENT}:80"));
    let mut firewall = world.firewall();
    let mut slice = slice();
    slice.policies = vec![
        policy("web", "public", "private", 80, Action::Allow),
        policy("no", "public", "private", 81, Action::Reject),
    ];
    firewall.apply(&slice, now()).unwrap();
    let mut stream = world.client.connect(&format!("{SERVER}:80"), PATIENCE).unwrap();
    let (mut accepted, _) = inside[0].accept().unwrap();
    assert!(
        carries(&mut stream, &mut accepted) && carries(&mut accepted, &mut stream),
        "both ways within a connection"
    );
    assert!(world.client.connect(&format!("[{SERVER6}]:80"), PATIENCE).is_ok());
    let refused = world.client.connect(&format!("{SERVER}:81"), PATIENCE).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "rejected, not swallowed");
    assert!(world.server.connect(&format!("{CLIENT}:80"), SILENCE).is_err());
    assert_eq!(counted(&mut firewall, "web"), 2);
    assert_eq!(counted(&mut firewall, "no"), 1);
}

#[test]
fn the_appliance_itself_reaches_its_upstreams_and_nothing_else() {
    let Some(world) = World::new() else { return };
    let _listeners = ["80", "81"].map(|port| world.server.listen(&format!("{SERVER}:{port}")));
    let mut firewall = world.firewall();
    let mut slice = slice();
    slice.upstreams = vec![format!("{SERVER}:80").parse().unwrap()];
    firewall.apply(&slice, now()).unwrap();
    assert!(world.appliance.connect(&format!("{SERVER}:80"), PATIENCE).is_ok());
    let started = std::time::Instant::now();
    assert!(world.appliance.connect(&format!("{SERVER}:81"), PATIENCE).is_err());
    assert!(started.elapsed() < PATIENCE / 2, "refused at once, without a timeout");
    assert!(counted(&mut firewall, "default-reject-output") > 0);
}

#[test]
fn a_blocked_address_is_cut_off_within_its_connection_and_let_in_again_by_its_end() {
    let Some(world) = World::new() else { return };
    let listener = world.appliance.listen(&format!("{OUTER}:8443"));
    let listener6 = world.appliance.listen(&format!("[{OUTER6}]:8443"));
    let mut firewall = world.firewall();
    let mut slice = slice();
    slice.local = vec![
        local("service-shop", &format!("{OUTER}:8443"), "public"),
        local("service-shop", &format!("[{OUTER6}]:8443"), "public"),
    ];
    firewall.apply(&slice, now()).unwrap();
    for (address, source, listener) in [
        (format!("{OUTER}:8443"), CLIENT, &listener),
        (format!("[{OUTER6}]:8443"), CLIENT6, &listener6),
    ] {
        let mut stream = world.client.connect(&address, PATIENCE).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        assert!(carries(&mut stream, &mut accepted));
        firewall.block(host(source), 2, "a test", now()).unwrap();
        assert!(!carries(&mut stream, &mut accepted), "cut off within the connection");
        assert!(world.client.connect(&address, SILENCE).is_err());
        // What was sent meanwhile arrives by TCP's own repetition once the block has ended.
        accepted.set_read_timeout(Some(PATIENCE * 2)).unwrap();
        let mut late = [0; 4];
        std::io::Read::read_exact(&mut accepted, &mut late).unwrap();
        assert!(world.client.connect(&address, PATIENCE).is_ok());
    }
    assert!(counted(&mut firewall, "blocked-in") > 0);
    assert!(firewall.blocks(now()).is_empty());
}

#[test]
fn unblocking_lets_in_again() {
    let Some(world) = World::new() else { return };
    let _listener = world.appliance.listen(&format!("{OUTER}:8443"));
    let mut firewall = world.firewall();
    let mut slice = slice();
    slice.local = vec![local("service-shop", &format!("{OUTER}:8443"), "public")];
    firewall.apply(&slice, now()).unwrap();
    firewall.block("192.0.2.0/24".parse().unwrap(), 600, "", now()).unwrap();
    firewall.block(host(CLIENT), 300, "within the other", now()).unwrap();
    assert!(world.client.connect(&format!("{OUTER}:8443"), SILENCE).is_err());
    firewall.unblock("192.0.2.0/24".parse().unwrap(), now()).unwrap();
    assert!(
        world.client.connect(&format!("{OUTER}:8443"), SILENCE).is_err(),
        "the narrower block goes on"
    );
    firewall.unblock(host(CLIENT), now()).unwrap();
    assert!(world.client.connect(&format!("{OUTER}:8443"), PATIENCE).is_ok());
}

#[test]
fn what_the_configuration_protects_is_never_blocked() {
    let Some(world) = World::new() else { return };
    let mut firewall = world.firewall();
    let mut slice = slice();
    firewall.block(host(CLIENT), 600, "", now()).unwrap();
    slice.never_block = vec![host(CLIENT)];
    firewall.apply(&slice, now()).unwrap();
    assert!(firewall.blocks(now()).is_empty(), "an earlier block is let go");
    assert!(!world.appliance.nft("list set inet redan blocked4").contains(CLIENT));
    let error = firewall
        .block("192.0.0.0/16".parse().unwrap(), 60, "", now())
        .unwrap_err()
        .to_string();
    assert!(error.contains(CLIENT), "{error}");
}

#[test]
fn counts_and_blocks_survive_a_new_configuration_and_a_new_process() {
    let Some(world) = World::new() else { return };
    let _listener = world.server.listen(&format!("{SERVER}:80"));
    let mut firewall = world.firewall();
    let mut slice = slice();
    slice.policies = vec![policy("web", "public", "private", 80, Action::Allow)];
    firewall.apply(&slice, now()).unwrap();
    assert!(world.client.connect(&format!("{SERVER}:80"), PATIENCE).is_ok());
    assert_eq!(counted(&mut firewall, "web"), 1);
    firewall.block(host("203.0.113.9"), 600, "a scan", now()).unwrap();
    slice
        .policies
        .push(policy("other", "public", "private", 81, Action::Allow));
    firewall.apply(&slice, now()).unwrap();
    assert_eq!(counted(&mut firewall, "web"), 1);
    assert_eq!(firewall.blocks(now()).len(), 1);
    drop(firewall);
    assert!(
        world.client.connect(&format!("{SERVER}:80"), PATIENCE).is_ok(),
        "without the process the rules go on"
    );
    let mut firewall = world.firewall();
    assert!(
        world.client.connect(&format!("{SERVER}:80"), PATIENCE).is_ok(),
        "a new process changes nothing by starting"
    );
    assert_eq!(counted(&mut firewall, "web"), 3);
    let blocks = firewall.blocks(now());
    assert_eq!(
        (blocks.len(), blocks[0].network, blocks[0].reason.as_str()),
        (1, host("203.0.113.9"), "a scan")
    );
    firewall.apply(&slice, now()).unwrap();
    assert_eq!(counted(&mut firewall, "web"), 3);
    assert!(
        world
            .appliance
            .nft("list set inet redan blocked4")
            .contains("203.0.113.9")
    );
}

#[test]
fn an_established_connection_loses_nothing_by_new_configurations() {
    let Some(world) = World::new() else { return };
    let listener = world.server.listen(&format!("{SERVER}:80"));
    let mut firewall = world.firewall();
    let mut slice = slice();
    slice.policies = vec![policy("web", "public", "private", 80, Action::Allow)];
    firewall.apply(&slice, now()).unwrap();
    let mut stream = world.client.connect(&format!("{SERVER}:80"), PATIENCE).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    let before = counted(&mut firewall, "default-drop-forward");
    for round in 0..50 {
        slice.policies.truncate(1);
        slice.policies.push(policy(
            &format!("p{round}"),
            "public",
            "private",
            1_000 + round,
            Action::Allow,
        ));
        firewall.apply(&slice, now()).unwrap();
        assert!(carries(&mut stream, &mut accepted));
    }
    assert_eq!(counted(&mut firewall, "default-drop-forward"), before);
}

#[test]
fn a_configuration_that_is_refused_changes_nothing() {
    let Some(world) = World::new() else { return };
    let _listener = world.server.listen(&format!("{SERVER}:80"));
    let mut firewall = world.firewall();
    let mut slice = slice();
    slice.policies = vec![policy("web", "public", "private", 80, Action::Allow)];
    firewall.apply(&slice, now()).unwrap();
    let before = world.appliance.nft("-s list ruleset");
    slice.policies = vec![
        policy("web", "public", "nowhere", 80, Action::Allow),
        policy("web", "public", "private", 90, Action::Allow),
    ];
    let error = firewall.apply(&slice, now()).unwrap_err().to_string();
    assert!(
        error.contains("policy web: there is no zone nowhere") && error.contains("policy-web"),
        "{error}"
    );
    slice.policies = vec![policy("web", "public", "private", 443, Action::Allow)];
    firewall.check(&slice, now()).unwrap();
    assert_eq!(
        world.appliance.nft("-s list ruleset"),
        before,
        "checking applies nothing"
    );
    assert!(world.client.connect(&format!("{SERVER}:80"), PATIENCE).is_ok());
}

#[test]
fn without_the_right_the_error_says_which_one() {
    let Some(world) = World::new() else { return };
    let error = world.appliance.run(|| {
        // On this thread only, which is where the namespace's jobs run.
        let uid = nix::unistd::Uid::from_raw(65_534);
        let _ = nix::unistd::setresuid(uid, uid, uid);
        Firewall::open(now()).map(drop).unwrap_err().to_string()
    });
    assert!(error.contains("CAP_NET_ADMIN"), "{error}");
}
