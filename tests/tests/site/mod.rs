//! A published witness: the whole appliance in front of an upstream that writes down what it is sent.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use redan_tests::appliance::Appliance;
use redan_tests::slow::resident;
use redan_tests::wire::Target;
use redan_tests::witness::Witness;
use tempfile::TempDir;

/// The name of the published service.
pub const HOST: &str = "shop.test";

/// A published witness. Deadlines are as short as the configuration allows, and nobody is stopped for asking too often.
pub struct Site {
    pub appliance: Appliance,
    pub witness: Witness,
    pub target: Target,
}

impl Site {
    pub fn start() -> Self {
        let witness = Witness::start().unwrap();
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("attacked.toml");
        std::fs::write(&file, configuration(witness.address().port())).unwrap();
        let appliance = Appliance::start_in(folder, &["--config", file.to_str().unwrap()]);
        let target = Target::new(appliance.published().parse().unwrap(), HOST).unwrap();
        // The health check of the upstream, and the pools' first buffers.
        assert!(target.serves().is_some());
        witness.take();
        Self {
            appliance,
            witness,
            target,
        }
    }

    pub fn proxy_memory(&self) -> u64 {
        resident(&[self.appliance.pid("proxy")]).unwrap()
    }
}

fn configuration(upstream: u16) -> String {
    format!(
        r#"schema = 1

[zones.public]
[zones.management]

[interfaces.public0]
zone = "public"
addresses = ["10.77.1.1/24"]

[interfaces.mgmt0]
zone = "management"
addresses = ["10.77.3.1/24"]

[services.shop]
listen = [{{ interface = "public0", port = 8443 }}]
hosts = ["{HOST}"]
upstreams.main = {{ servers = ["127.0.0.1:{upstream}"], response-timeout = "5s" }}
routes = [{{ name = "all", upstream = "main" }}]
rates = {{ guest = 1000000 }}
limits = {{ head-timeout = "2s", write-stall = "2s", idle-timeout = "3s" }}

[limits]
connections-per-source = 20000

[[identity.users]]
name = "admin"
roles = ["admin"]

[console]
listen = {{ interface = "mgmt0", port = 9443 }}
"#
    )
}
