//! Every shipped example is a good document, and the reference is current.

use redan_config::{Appliance, diff, reference};

#[expect(
    clippy::unwrap_used,
    reason = "a test that cannot read its files should say so and stop"
)]
fn examples() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut found: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    found.sort();
    found
}

#[test]
fn every_shipped_example_is_accepted() {
    let examples = examples();
    assert!(examples.len() >= 3);
    for (name, text) in examples {
        match Appliance::parse_with_warnings(&text, &name) {
            Err(mistakes) => panic!("{mistakes}"),
            Ok((appliance, _)) => assert_eq!(diff(&appliance, &appliance), [], "{name}"),
        }
    }
}

#[test]
fn the_reference_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/REFERENCE.md");
    let made = reference();
    if std::env::var_os("REDAN_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(path, &made).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == made,
        "config/REFERENCE.md is not what the types say; run the tests with REDAN_BLESS=1"
    );
}

#[test]
fn the_commented_example_means_what_it_says() {
    let text = include_str!("../examples/redan.toml");
    let appliance = Appliance::parse(text, "redan.toml").unwrap();
    let (name, shop) = appliance
        .services
        .iter()
        .find(|(name, _)| name.as_str() == "shop")
        .unwrap();
    assert_eq!(name.as_str(), "shop");
    let addresses: Vec<String> = appliance
        .service_addresses(shop)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(addresses, ["203.0.113.10:443", "[2001:db8:1::10]:443"]);
    assert_eq!(appliance.console_address().unwrap().to_string(), "10.30.0.1:9443");
    let hosts: Vec<String> = appliance.console_hosts().iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["10.30.0.1", "redan.example.org", "console.example.org"]);

    let rates = appliance.rates(shop);
    let rate = |role: &str| {
        rates
            .iter()
            .find(|(name, _)| name.as_str() == role)
            .map(|(_, rate)| rate.per_minute())
    };
    assert_eq!(rate("guest"), Some(300));
    // More than its default of 100, since it includes `guest`.
    assert_eq!(rate("user"), Some(300));
    assert_eq!(rate("warehouse"), Some(2000));
    assert_eq!(rate("service"), Some(10_000));
    let login = shop.routes.iter().find(|route| route.name.as_str() == "login").unwrap();
    let rates = appliance.route_rates(shop, login).unwrap();
    assert_eq!(
        rates
            .iter()
            .find(|(name, _)| name.as_str() == "guest")
            .unwrap()
            .1
            .per_minute(),
        20
    );

    let offices = appliance.resolve(&appliance.policies[1]);
    assert_eq!(offices.ports.len(), 4);
    assert_eq!(offices.sources.len(), 2);
    let ping = appliance.resolve(&appliance.policies[4]);
    assert_eq!(ping.to.len(), 4);
    assert_eq!(ping.protocol.unwrap().to_string(), "icmp");

    let roles = appliance.roles();
    let warehouse = roles.iter().find(|(name, _)| name.as_str() == "warehouse").unwrap().1;
    let names: Vec<&str> = warehouse.iter().map(redan_types::RoleName::as_str).collect();
    assert_eq!(names, ["guest", "service", "warehouse"]);
}
