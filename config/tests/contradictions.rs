//! What several keys say together: dangling references, conflicts, things that could never take effect, lock-outs.

mod good;

use good::{GOOD, mistakes, one, one_in};
use redan_config::{Appliance, Kind};

#[test]
fn a_dangling_reference_is_refused_with_the_name_meant() {
    one(
        "zone = \"private\"",
        "zone = \"privat\"",
        Kind::Dangling,
        "\"privat\"",
        "there is no zone `privat`",
        "did you mean `private`?",
    );
    one(
        "to = [\"public\"]",
        "to = [\"internet\"]",
        Kind::Dangling,
        "\"internet\"",
        "there is no zone `internet`",
        "there are `management`, `private`, `public`",
    );
    one(
        "\"@desks\"",
        "\"@desk\"",
        Kind::Dangling,
        "\"@desk\"",
        "there is no group `desk`",
        "did you mean `desks`?",
    );
    one(
        "roles = [\"user\"]",
        "roles = [\"usr\"]",
        Kind::Dangling,
        "\"usr\"",
        "there is no role `usr`",
        "did you mean `user`?",
    );
    one(
        "hosts = [",
        "rates.gest = 5\nhosts = [",
        Kind::Dangling,
        "gest",
        "there is no role `gest`",
        "did you mean `guest`?",
    );
    one(
        "interface = \"eth2\"",
        "interface = \"eht2\"",
        Kind::Dangling,
        "\"eht2\"",
        "there is no interface `eht2`",
        "did you mean `eth2`?",
    );
    one(
        "{ zone = \"public\", port",
        "{ address = \"203.0.113.11\", port",
        Kind::Dangling,
        "\"203.0.113.11\"",
        "nothing to listen on",
        "the appliance's addresses are 203.0.113.10, 10.0.0.1, 10.1.0.1",
    );
    let text = GOOD.replacen("upstream = \"main\"\naccess", "upstream = \"mian\"\naccess", 1);
    one_in(
        &text,
        Kind::Dangling,
        "\"mian\"",
        "there is no upstream of service shop `mian`",
        "did you mean `main`?",
    );
    // A name with a dot is no way around: this is not the key `zone` of interface `eth0`.
    one(
        "interface = \"eth2\"",
        "interface = \"eth0.zone\"",
        Kind::Dangling,
        "\"eth0.zone\"",
        "there is no interface `eth0.zone`",
        "there are",
    );
}

#[test]
fn overlapping_addresses_are_refused() {
    let second = one(
        "addresses = [\"10.0.0.1/24\"]",
        "addresses = [\"10.0.0.1/24\", \"10.0.0.1/16\"]",
        Kind::Conflict,
        "\"10.0.0.1/16\"",
        "the address 10.0.0.1 is given twice",
        "exactly one interface",
    );
    assert_eq!((second.line, second.column), (14, 29));
    let text = GOOD
        .replacen("10.1.0.1/24", "10.0.0.2/25", 1)
        .replacen("networks = [\"10.1.0.0/24\"]", "", 1);
    one_in(
        &text,
        Kind::Conflict,
        "\"10.0.0.2/25\"",
        "the networks of interfaces eth1 and eth2 overlap",
        "overlaps 10.0.0.0/24",
    );
}

#[test]
fn a_gateway_elsewhere_is_refused() {
    one(
        "\"203.0.113.1\"",
        "\"203.0.114.1\"",
        Kind::Value,
        "\"203.0.114.1\"",
        "the gateway 203.0.114.1 cannot be reached through eth0",
        "give an address in 203.0.113.0/24",
    );
    one(
        "\"203.0.113.1\"",
        "\"203.0.113.10\"",
        Kind::Value,
        "\"203.0.113.10\"",
        "the gateway 203.0.113.10 is the appliance itself",
        "router",
    );
    one(
        "addresses = [\"10.0.0.1/24\"]",
        "addresses = [\"10.0.0.1/24\"]\ngateway = \"10.0.0.2\"",
        Kind::Conflict,
        "\"10.0.0.2\"",
        "there are two default routes for IPv4",
        "keep one",
    );
}

#[test]
fn a_port_published_twice_is_refused() {
    let blog = r#"
[services.blog]
listen = [{ interface = "eth0", port = 443 }]
hosts = ["HOST"]
upstreams.main.servers = ["10.0.0.30:8080"]
routes = [{ name = "all", upstream = "main" }]
"#;
    let same = format!("{GOOD}{}", blog.replace("HOST", "Shop.Example.org"));
    one_in(
        &same,
        Kind::Conflict,
        "{ interface = \"eth0\", port = 443 }",
        "203.0.113.10:443 is published twice for host shop.example.org",
        "service shop has it already",
    );
    let other = format!("{GOOD}{}", blog.replace("HOST", "blog.example.org"));
    Appliance::parse(&other, "redan.toml").unwrap();

    one(
        "listen = [{ zone = \"public\", port = 443 }]",
        "listen = [{ zone = \"public\", port = 443 }, { interface = \"eth0\", port = 443 }]",
        Kind::Conflict,
        "{ interface = \"eth0\", port = 443 }",
        "service shop publishes 203.0.113.10:443 twice",
        "remove one",
    );
    one(
        "listen = [{ zone = \"public\", port = 443 }]",
        "listen = [{ zone = \"management\", port = 9443 }]",
        Kind::Conflict,
        "{ zone = \"management\", port = 9443 }",
        "10.1.0.1:9443 is published twice",
        "the console listens there",
    );
}

#[test]
fn listening_needs_exactly_one_place() {
    one(
        "{ zone = \"public\", port = 443 }",
        "{ port = 443 }",
        Kind::Value,
        "{ port = 443 }",
        "exactly one of `interface`, `zone` and `address` says where to listen",
        "none is given",
    );
    one(
        "{ zone = \"public\", port = 443 }",
        "{ zone = \"public\", interface = \"eth0\", port = 443 }",
        Kind::Value,
        "{ zone = \"public\", interface = \"eth0\", port = 443 }",
        "exactly one of `interface`, `zone` and `address` says where to listen",
        "more than one",
    );
}

#[test]
fn a_policy_that_can_never_match_is_refused() {
    let later = |keys: &str| {
        let policy = format!(
            "action = \"allow\"\n\n[[policies]]\nname = \"later\"\nfrom = [\"private\"]\nto = [\"public\"]\n{keys}"
        );
        GOOD.replacen("action = \"allow\"", &policy, 1)
    };
    let same = later("protocol = \"tcp\"\nports = [443]\nsources = [\"10.0.0.200\"]\naction = \"allow\"");
    one_in(
        &same,
        Kind::Unreachable,
        "\"later\"",
        "policy later can never match",
        "remove it: desks-out does the same",
    );
    let other = later("protocol = \"tcp\"\nports = [443]\nsources = [\"10.0.0.200\"]\naction = \"drop\"");
    let mistake = one_in(
        &other,
        Kind::Unreachable,
        "\"later\"",
        "policy later can never match",
        "move it before desks-out",
    );
    assert_eq!(mistake.line, 33);
    assert!(mistake.related.is_some());
    for reachable in [
        "action = \"drop\"",
        "protocol = \"udp\"\nports = [443]\nsources = [\"@desks\"]\naction = \"allow\"",
        "protocol = \"tcp\"\nports = [\"443-444\"]\nsources = [\"@desks\"]\naction = \"allow\"",
        "protocol = \"tcp\"\nports = [443]\nsources = [\"10.0.0.0/24\"]\naction = \"allow\"",
    ] {
        let text = later(reachable);
        Appliance::parse(&text, "redan.toml").unwrap_or_else(|mistakes| panic!("{mistakes}"));
    }

    one(
        "from = [\"private\"]",
        "from = []",
        Kind::Value,
        "[]",
        "policy desks-out can never match: `from` is empty",
        "\"any\"",
    );
    one(
        "\"@desks\"",
        "\"10.9.0.0/16\"",
        Kind::Unreachable,
        "[\"10.9.0.0/16\"]",
        "policy desks-out can never match",
        "the zones' networks are 10.0.0.0/24",
    );
    one(
        "sources = [\"@desks\"]",
        "sources = [\"@desks\"]\ndestinations = [\"2001:db8::/32\"]",
        Kind::Unreachable,
        "[\"2001:db8::/32\"]",
        "policy desks-out can never match",
        "another address family than the sources",
    );
    one(
        "protocol = \"tcp\"",
        "protocol = \"icmp\"",
        Kind::Value,
        "[80, 443]",
        "policy desks-out has ports but protocol \"icmp\"",
        "only TCP and UDP have ports",
    );
    one(
        "ports = [80, 443]",
        "ports = [\"@desks\"]",
        Kind::Unreachable,
        "\"@desks\"",
        "group desks has no ports",
        "it has addresses only",
    );
    one(
        "[zones.private]",
        "[zones.private]\n[zones.guests]\n[[policies]]\nname = \"g\"\nfrom = [\"guests\"]\nto = [\"public\"]\naction = \"allow\"",
        Kind::Unreachable,
        "[\"guests\"]",
        "policy g can never match",
        "no interface is in these zones",
    );
}

#[test]
fn blocked_halves_of_the_operators_network_lock_the_console_out_like_the_whole() {
    let open = GOOD.replacen("networks = [\"10.1.0.0/24\"]", "", 1);
    for halves in [
        "\"10.1.0.0/24\"",
        "\"10.1.0.0/25\", \"10.1.0.128/25\"",
        "\"10.1.0.64/26\", \"10.1.0.128/25\", \"10.1.0.0/26\"",
    ] {
        let text = format!("{open}\n[blocklist]\naddresses = [{halves}]\n");
        let found = mistakes(&text);
        assert!(
            found.errors.iter().any(|mistake| mistake.kind == Kind::LockedOut),
            "{halves}: {found:?}"
        );
    }
    let text = format!("{open}\n[blocklist]\naddresses = [\"10.1.0.0/25\", \"10.1.0.129/32\"]\n");
    Appliance::parse(&text, "redan.toml").unwrap();
}

#[test]
fn a_locked_out_console_is_refused() {
    one(
        "networks = [\"10.1.0.0/24\"]",
        "networks = [\"10.2.0.0/24\"]",
        Kind::LockedOut,
        "[\"10.2.0.0/24\"]",
        "nobody could reach the console",
        "its networks are 10.1.0.0/24",
    );
    one(
        "networks = [\"10.1.0.0/24\"]",
        "\n[blocklist]\naddresses = [\"10.0.0.16/28\"]",
        Kind::Unreachable,
        "\"10.0.0.20:8080\"",
        "10.0.0.20:8080 is on the blocklist",
        "take it off",
    )
    .related
    .unwrap();
    one(
        "networks = [\"10.1.0.0/24\"]",
        "\n[blocklist]\naddresses = [\"10.1.0.0/16\"]",
        Kind::LockedOut,
        "[\"10.1.0.0/16\"]",
        "nobody could reach the console",
        "blocks everybody in zone management",
    );
    let text =
        GOOD.replacen("[zones.management]", "[zones.management]\n[zones.operators]", 1) + "from = [\"operators\"]\n";
    one_in(
        &text,
        Kind::LockedOut,
        "[\"operators\"]",
        "nobody could reach the console",
        "no interface is in these zones",
    );
}

#[test]
fn an_appliance_without_an_administrator_is_refused() {
    let text = GOOD.replacen("roles = [\"admin\"]", "roles = [\"viewer\"]", 1);
    let all = mistakes(&text);
    assert_eq!(all.errors.len(), 1, "{all}");
    let mistake = all.errors.first().unwrap();
    assert_eq!(
        (mistake.kind, mistake.message.as_str()),
        (Kind::LockedOut, "nobody could administer the appliance"),
        "{all}"
    );
    // A role that includes `admin` is enough.
    let text = text.replacen("[\"viewer\"]", "[\"owner\"]", 1) + "\n[identity.roles.owner]\nincludes = [\"admin\"]\n";
    Appliance::parse(&text, "redan.toml").unwrap();
}

#[test]
fn an_upstream_out_of_reach_is_refused() {
    let text = GOOD
        .replacen("gateway = \"203.0.113.1\"\n", "", 1)
        .replacen("10.0.0.20:8080", "10.5.0.20:8080", 1);
    one_in(
        &text,
        Kind::Unreachable,
        "\"10.5.0.20:8080\"",
        "10.5.0.20:8080 cannot be reached",
        "no gateway leads there",
    );
    one(
        "10.0.0.20:8080",
        "203.0.113.10:443",
        Kind::Conflict,
        "\"203.0.113.10:443\"",
        "203.0.113.10:443 is published by this appliance itself",
        "round in a circle",
    );
}

#[test]
fn tls_1_2_needs_a_reason() {
    one(
        "hosts = [",
        "tls.min-version = \"1.2\"\nhosts = [",
        Kind::Value,
        "\"1.2\"",
        "service shop allows TLS 1.2 and does not say why",
        "add reason",
    );
    one(
        "hosts = [",
        "tls.reason = \"old\"\nhosts = [",
        Kind::Value,
        "\"old\"",
        "a reason for TLS 1.2, which is not allowed here",
        "remove it",
    );
    let text = GOOD.replacen(
        "hosts = [",
        "tls = { min-version = \"1.2\", reason = \"old terminals\" }\nhosts = [",
        1,
    );
    let (_, warnings) = Appliance::parse_with_warnings(&text, "redan.toml").unwrap();
    assert_eq!(warnings.warnings.len(), 1, "{warnings}");
}

#[test]
fn routes_and_rules_that_never_match_are_refused() {
    let text = GOOD.replacen("path = \"/api\"\n", "path = \"/\"\n", 1);
    let all = mistakes(&text);
    assert_eq!(
        all.errors.first().map(|one| one.message.as_str()),
        Some("route all can never match"),
        "{all}"
    );
    one(
        "path = \"/api/orders\"",
        "path = \"/orders\"",
        Kind::Unreachable,
        "\"/orders\"",
        "no request of route api has such a path",
        "whole paths",
    );
    one(
        "name = \"all\"",
        "name = \"api\"",
        Kind::Conflict,
        "\"api\"",
        "two routes of service shop are called api",
        "a name of its own",
    );
    one(
        "roles = [\"user\"]",
        "roles = []",
        Kind::Value,
        "[]",
        "a rule that lets nobody in",
        "name roles",
    );
}

#[test]
fn roles_are_no_circles_and_built_in_ones_stay_as_they_are() {
    let text = format!("{GOOD}\n[identity.roles.a]\nincludes = [\"b\"]\n[identity.roles.b]\nincludes = [\"a\"]\n");
    let all = mistakes(&text);
    assert_eq!(all.errors.len(), 2, "{all}");
    assert!(all.errors.iter().all(|mistake| mistake.kind == Kind::Conflict), "{all}");
    let text = format!("{GOOD}\n[identity.roles.guest]\nincludes = [\"admin\"]\n");
    let all = mistakes(&text);
    assert_eq!(
        all.errors.first().unwrap().message,
        "the role guest is built in and cannot be changed",
        "{all}"
    );
}

#[test]
fn fields_of_the_framing_are_left_alone() {
    one(
        "hosts = [",
        "headers.set.Transfer-Encoding = \"chunked\"\nhosts = [",
        Kind::Value,
        "Transfer-Encoding",
        "the field transfer-encoding belongs to the connection",
        "the proxy alone decides",
    );
    one(
        "hosts = [",
        "key-header = \"Host\"\nhosts = [",
        Kind::Value,
        "\"Host\"",
        "host cannot carry API keys",
        "x-api-key",
    );
    one(
        "hosts = [",
        "headers = { set = { x-a = \"1\" }, remove = [\"X-A\"] }\nhosts = [",
        Kind::Value,
        "\"X-A\"",
        "the field x-a is both set and removed",
        "remove it here",
    );
}

#[test]
fn times_that_contradict_are_refused() {
    one(
        "[[identity.users]]",
        "[identity.sessions]\nidle = \"13h\"\n[[identity.users]]",
        Kind::Value,
        "\"13h\"",
        "`idle` of 13h is longer than `absolute` of 12h",
        "at most 12h",
    );
    one(
        "[[identity.users]]",
        "[identity.api-keys]\nlifetime = \"36h\"\n[[identity.users]]",
        Kind::Value,
        "\"36h\"",
        "the lifetime of API keys is counted in whole days",
        "90d",
    );
}

#[test]
fn what_is_not_used_is_a_warning() {
    let text = format!(
        "{GOOD}\n[zones.spare]\n[groups.more]\nports = [1]\n[services.shop.upstreams.old]\nservers = [\"10.0.0.9:80\"]\n"
    );
    let (_, warnings) = Appliance::parse_with_warnings(&text, "redan.toml").unwrap_or_else(|all| panic!("{all}"));
    let said: Vec<&str> = warnings
        .warnings
        .iter()
        .map(|warning| warning.message.as_str())
        .collect();
    assert_eq!(
        said,
        [
            "zone spare has no interface",
            "group more is not used",
            "upstream old of service shop is not used"
        ]
    );
}
