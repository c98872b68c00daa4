//! The ruleset as the kernel holds it, read by `nft`, and its size.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use redan_ipc::slice::{Action, NetworkSlice};
use redan_types::{Cidr, Port};
use serde_json::Value;
use world::{CLIENT, OUTER, PATIENCE, SERVER, SILENCE, World, counted, host, local, now, policy, slice};

fn objects(world: &World, kind: &str) -> Vec<Value> {
    let ruleset: Value = serde_json::from_str(&world.appliance.nft("-j list ruleset")).unwrap();
    let all = ruleset["nftables"].as_array().unwrap();
    all.iter().filter_map(|object| object.get(kind)).cloned().collect()
}

/// The rules of a chain in `nft`'s words.
fn chain(world: &World, name: &str) -> Vec<String> {
    let text = world.appliance.nft(&format!("list chain inet redan {name}"));
    let frame = ["table ", "chain ", "type ", "}"];
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !frame.iter().any(|start| line.starts_with(start)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn nft_reads_the_default_as_it_is_meant() {
    let Some(world) = World::new() else { return };
    let _firewall = world.firewall();
    let tables = objects(&world, "table");
    assert_eq!(tables.len(), 1, "{tables:?}");
    assert_eq!(
        (tables[0]["family"].as_str(), tables[0]["name"].as_str()),
        (Some("inet"), Some("redan"))
    );
    let hooked: Vec<_> = objects(&world, "chain")
        .into_iter()
        .filter(|chain| !chain["hook"].is_null())
        .map(|chain| {
            (
                chain["hook"].to_string(),
                chain["prio"].as_i64().unwrap(),
                chain["policy"].to_string(),
            )
        })
        .collect();
    let expected = [
        ("prerouting", -300, "accept"),
        ("input", 0, "drop"),
        ("forward", 0, "drop"),
        ("output", 0, "drop"),
    ];
    for (hook, priority, policy) in expected {
        assert!(
            hooked.contains(&(format!("{hook:?}"), priority, format!("{policy:?}"))),
            "{hook} in {hooked:?}"
        );
    }
    assert_eq!(hooked.len(), 4);
    assert_eq!(
        chain(&world, "prerouting"),
        [
            "iifname \"lo\" accept comment \"loopback\"",
            "ip saddr @blocked4 counter name \"blocked-in\" drop comment \"blocklist\"",
            "ip6 saddr @blocked6 counter name \"blocked-in\" drop comment \"blocklist\"",
        ]
    );
    assert_eq!(
        chain(&world, "input"),
        [
            "iifname \"lo\" accept comment \"loopback\"",
            "ct state established,related accept comment \"known connections\"",
            "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept comment \"neighbour discovery\"",
            "icmpv6 type mld-listener-query ip6 hoplimit 1 accept comment \"multicast listeners\"",
            "ct state invalid counter name \"invalid\" drop comment \"invalid\"",
            "counter name \"default-drop-input\" drop comment \"default\"",
        ]
    );
    for set in ["blocked4", "blocked6"] {
        let found = objects(&world, "set")
            .into_iter()
            .find(|object| object["name"] == set)
            .unwrap();
        assert_eq!(found["flags"], serde_json::json!(["interval", "timeout"]), "{found}");
    }
}

#[test]
fn nft_reads_policies_and_services_as_they_are_meant() {
    let Some(world) = World::new() else { return };
    let mut firewall = world.firewall();
    let mut slice = slice();
    let mut shop = local("service-shop", &format!("{OUTER}:8443"), "public");
    shop.sources = vec!["192.0.2.0/24".parse().unwrap()];
    slice.local = vec![shop];
    slice.upstreams = vec![format!("{SERVER}:80").parse().unwrap()];
    let mut web = policy("web", "public", "private", 80, Action::Allow);
    web.ports.push((Port::new(8_000).unwrap(), Port::new(8_099).unwrap()));
    web.comment = "the shop's web servers".into();
    web.log = true;
    let mut mail = policy("mail", "private", "public", 25, Action::Drop);
    mail.sources = vec!["198.51.100.0/25".parse().unwrap(), "2001:db8:2::/64".parse().unwrap()];
    slice.policies = vec![web, mail];
    slice.blocked = vec!["203.0.113.0/24".parse().unwrap(), "2001:db8:bad::/48".parse().unwrap()];
    firewall.apply(&slice, now()).unwrap();
    firewall.block(host("203.0.113.128"), 60, "within", now()).unwrap();
    let through = chain(&world, "through-1");
    assert_eq!(
        through,
        [
            "iifname \"public0\" oifname \"private0\" tcp dport { 80, 8000-8099 } goto policy-web",
            "iifname \"private0\" oifname \"public0\" tcp dport 25 ip saddr 198.51.100.0-198.51.100.127 goto policy-mail",
            "iifname \"private0\" oifname \"public0\" tcp dport 25 ip6 saddr 2001:db8:2::-2001:db8:2:0:ffff:ffff:ffff:ffff goto policy-mail",
        ]
    );
    assert_eq!(
        chain(&world, "policy-web"),
        [
            "limit rate 5/second log prefix \"redan policy-web: \" level info comment \"the shop's web servers\"",
            "counter name \"policy-web\" accept comment \"the shop's web servers\"",
        ]
    );
    assert_eq!(
        chain(&world, "in-1"),
        [format!(
            "iifname \"public0\" tcp dport 8443 ip daddr {OUTER} ip saddr 192.0.2.0-192.0.2.255 goto local-service-shop"
        )]
    );
    assert_eq!(
        chain(&world, "out-1"),
        [format!("tcp dport 80 ip daddr {SERVER} goto upstreams")]
    );
    let blocked = world.appliance.nft("list set inet redan blocked4");
    assert!(
        blocked.contains("203.0.113.0/24") || blocked.contains("203.0.113.0-203.0.113.255"),
        "{blocked}"
    );
    assert!(
        world
            .appliance
            .nft("list set inet redan blocked6")
            .contains("2001:db8:bad::/48")
    );
}

#[test]
fn a_foreign_table_is_left_alone() {
    let Some(world) = World::new() else { return };
    world.appliance.nft("add table inet other");
    let mut firewall = world.firewall();
    firewall.apply(&slice(), now()).unwrap();
    assert_eq!(objects(&world, "table").len(), 2);
}

#[test]
fn a_table_that_somebody_spoilt_is_made_anew() {
    let Some(world) = World::new() else { return };
    let _listener = world.appliance.listen(&format!("{OUTER}:8443"));
    let mut firewall = world.firewall();
    firewall.block(host("203.0.113.9"), 600, "", now()).unwrap();
    let mut slice = slice();
    slice.local = vec![local("service-shop", &format!("{OUTER}:8443"), "public")];
    for damage in [
        "flush ruleset",
        "delete chain inet redan input",
        "add chain inet redan policy-x",
        "add rule inet redan input accept",
    ] {
        world.appliance.nft(damage);
        firewall.apply(&slice, now()).unwrap();
        assert!(
            world.client.connect(&format!("{OUTER}:8443"), PATIENCE).is_ok(),
            "{damage}"
        );
        assert!(
            world.client.connect(&format!("{OUTER}:22"), SILENCE).is_err(),
            "{damage}"
        );
        assert!(
            world
                .appliance
                .nft("list set inet redan blocked4")
                .contains("203.0.113.9"),
            "{damage}"
        );
        assert!(!world.appliance.nft("list ruleset").contains("policy-x"), "{damage}");
    }
}

/// A thousand policies for as many servers, with ports of their own each.
fn thousand() -> NetworkSlice {
    let mut slice = slice();
    for number in 0..1_000_u16 {
        let mut one = policy(
            &format!("p{number}"),
            "public",
            "private",
            1_000 + number % 250,
            Action::Allow,
        );
        let [high, low] = number.to_be_bytes();
        one.destinations = vec![Cidr::host(Ipv4Addr::new(198, 51, 100 + high, low).into())];
        one.sources = vec![
            Cidr::containing(Ipv4Addr::new(192, 0, 2, 0).into(), 24),
            Cidr::containing(Ipv4Addr::new(10, high, low, 0).into(), 24),
        ];
        slice.policies.push(one);
    }
    slice
        .policies
        .push(policy("last", "public", "private", 80, Action::Allow));
    slice
}

#[test]
fn a_thousand_policies_and_ten_thousand_blocks_apply_in_one_bounded_transaction_each() {
    let Some(world) = World::new() else { return };
    let _listener = world.server.listen(&format!("{SERVER}:80"));
    let mut firewall = world.firewall();
    let slice = thousand();
    let begin = Instant::now();
    let size = firewall.apply(&slice, now()).unwrap();
    let applied = begin.elapsed();
    let begin = Instant::now();
    firewall.apply(&slice, now()).unwrap();
    let again = begin.elapsed();
    let address = |number: u32| match number % 2 {
        0 => Cidr::host(Ipv4Addr::from_bits(0x0a00_0000 + number).into()),
        _ => Cidr::host(Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) + (u128::from(number) << 32)).into()),
    };
    let blocks: Vec<_> = (0..10_000).map(|number| (address(number), 600, "a feed")).collect();
    let begin = Instant::now();
    firewall.block_all(&blocks, now()).unwrap();
    let blocked = begin.elapsed();
    let begin = Instant::now();
    firewall.block(host("203.0.113.9"), 600, "one more", now()).unwrap();
    let one = begin.elapsed();
    let begin = Instant::now();
    firewall.unblock(host("203.0.113.9"), now()).unwrap();
    let removed = begin.elapsed();
    let begin = Instant::now();
    firewall.apply(&slice, now()).unwrap();
    let with_blocks = begin.elapsed();
    eprintln!(
        "{size:?}: applied in {applied:?}, again in {again:?}, with 10,000 blocks {with_blocks:?}; \
         10,000 blocks in {blocked:?}, one more in {one:?}, unblocked in {removed:?}"
    );
    assert_eq!(firewall.blocks(now()).len(), 10_000);
    for duration in [applied, again, blocked, one, removed, with_blocks] {
        assert!(duration < Duration::from_secs(5), "{duration:?}");
    }
    assert!(world.client.connect(&format!("{SERVER}:80"), PATIENCE).is_ok());
    assert!(world.client.connect(&format!("{SERVER}:81"), SILENCE).is_err());
    assert_eq!(counted(&mut firewall, "last"), 1);
    drop(firewall);
    let begin = Instant::now();
    let firewall = world.firewall();
    eprintln!("a new process takes the blocks over in {:?}", begin.elapsed());
    assert_eq!(firewall.blocks(now()).len(), 10_000);
}

#[test]
fn a_blocked_network_of_the_configuration_is_cut_off() {
    let Some(world) = World::new() else { return };
    let _listener = world.appliance.listen(&format!("{OUTER}:8443"));
    let mut firewall = world.firewall();
    let mut slice = slice();
    slice.local = vec![local("service-shop", &format!("{OUTER}:8443"), "public")];
    slice.blocked = vec![host(CLIENT)];
    firewall.apply(&slice, now()).unwrap();
    assert!(world.client.connect(&format!("{OUTER}:8443"), SILENCE).is_err());
    slice.blocked.clear();
    firewall.apply(&slice, now()).unwrap();
    assert!(world.client.connect(&format!("{OUTER}:8443"), PATIENCE).is_ok());
}

#[test]
fn a_new_process_takes_over_the_blocks_of_the_configuration_until_the_next_one() {
    let Some(world) = World::new() else { return };
    let mut firewall = world.firewall();
    let mut slice = slice();
    slice.blocked = vec!["203.0.113.0/24".parse().unwrap()];
    firewall.apply(&slice, now()).unwrap();
    firewall.block(host("203.0.113.77"), 600, "within", now()).unwrap();
    drop(firewall);
    let mut firewall = world.firewall();
    firewall.block(host("192.0.2.200"), 600, "another", now()).unwrap();
    let set = || world.appliance.nft("list set inet redan blocked4");
    assert!(
        set().contains("203.0.113.0") && set().contains("192.0.2.200"),
        "{}",
        set()
    );
    slice.blocked.clear();
    firewall.apply(&slice, now()).unwrap();
    assert!(
        !set().contains("203.0.113.0") && set().contains("192.0.2.200"),
        "{}",
        set()
    );
}
