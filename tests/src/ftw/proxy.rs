//! The tests' bytes over TLS to a running appliance. What its rules found is told apart by the incident id of each answer.

use std::{
    collections::{BTreeSet, HashMap},
    net::ToSocketAddrs,
    path::Path,
    time::{Duration, Instant},
};

use redan_types::HostName;
use serde_json::Value;
use tempfile::TempDir;
use yaml_rust2::Yaml;

use super::{Answer, Outcome, SETTINGS, Test, check, log_line, overrides::Overrides, raw_request, reflect, tests};
use crate::{
    appliance::{Appliance, curl},
    wire::{Alpn, End, Target},
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long records may be on their way.
const SETTLING: Duration = Duration::from_secs(3);
/// The name under which the tests know the server.
const HOST: &str = "localhost";

/// An appliance under test.
pub struct Tested {
    target: Target,
    console: String,
    key: String,
    /// Ends with the run, where it was started for it.
    _appliance: Option<Appliance>,
}

impl Tested {
    /// An appliance that runs: its published address, its console's URL, a key that may look.
    ///
    /// # Panics
    ///
    /// If the address cannot be found.
    #[must_use]
    pub fn running(address: &str, console: &str, key: &str) -> Self {
        let address = address
            .to_socket_addrs()
            .expect("an address")
            .next()
            .expect("one address");
        Self {
            target: Target::new(address, HOST).expect("a name"),
            console: console.trim_end_matches('/').to_owned(),
            key: key.to_owned(),
            _appliance: None,
        }
    }

    /// Starts one with these rules, before the application that the tests expect.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start(rules: &Path, setup: &Path, folder: &Path) -> Self {
        let place = TempDir::new().expect("a folder");
        let file = place.path().join("tests.toml");
        let text = document(reflect::start(), rules, setup, &hosts(&tests(folder)));
        std::fs::write(&file, text).expect("the configuration can be written");
        let appliance = Appliance::start_in(place, &["--config", file.to_str().expect("a path")]);
        let created = appliance.redan_ok(&["key", "create", "admin", "--role", "viewer", "--comment", "tests"]);
        let key = created
            .split_whitespace()
            .find(|word| word.starts_with("redan_"))
            .expect("a key")
            .to_owned();
        let mut tested = Self::running(appliance.published(), appliance.text("console_url"), &key);
        tested._appliance = Some(appliance);
        tested
    }

    /// Runs every test under a folder.
    ///
    /// # Panics
    ///
    /// If a test file cannot be read, or the appliance goes away.
    #[must_use]
    pub fn run(&self, folder: &Path, overrides: &Overrides) -> Outcome {
        let all = tests(folder);
        let sent: Vec<Vec<Sent>> = all
            .iter()
            .map(|test| {
                test.stages
                    .iter()
                    .map(|stage| self.send(&raw_request(&stage["input"])))
                    .collect()
            })
            .collect();
        let found = self.found();
        let mut outcome = Outcome::default();
        for (test, sent) in all.iter().zip(sent) {
            let stages = test.stages.iter().zip(sent);
            let wrong: Vec<_> = stages
                .filter_map(|(stage, sent)| {
                    let output = overrides.of(&test.name).unwrap_or(&stage["output"]);
                    judge(output, &sent, &found).err()
                })
                .collect();
            outcome.add(test, &wrong);
        }
        outcome
    }

    /// Sends a request as it stands, and reads its answer.
    fn send(&self, raw: &[u8]) -> Sent {
        let mut wire = self
            .target
            .connect(Alpn::Http1)
            .expect("the appliance takes connections");
        if wire.send(raw).is_err() {
            return Sent::default();
        }
        let deadline = Instant::now() + PATIENCE;
        let mut bytes = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || wire.receive(&mut bytes, left) != End::Open || is_complete(raw, &bytes) {
                return Sent::read(&bytes);
            }
        }
    }

    /// What the rules found, by incident.
    fn found(&self) -> HashMap<String, Vec<Value>> {
        let mut kept = 0;
        let until = Instant::now() + PATIENCE * 12;
        loop {
            let now = self.page(None)["kept"].as_u64().unwrap_or_default();
            if now == kept || Instant::now() > until {
                break;
            }
            kept = now;
            // Records come by themselves and nothing tells that there are no more.
            std::thread::sleep(SETTLING);
        }
        let mut found = HashMap::new();
        let mut before = None;
        loop {
            let page = self.page(before);
            for event in page["events"].as_array().map_or(&[][..], Vec::as_slice) {
                let incident = event["incident"].as_str().unwrap_or_default().to_owned();
                found.insert(incident, event["matches"].as_array().cloned().unwrap_or_default());
            }
            before = page["next"].as_u64();
            if before.is_none() {
                return found;
            }
        }
    }

    fn page(&self, before: Option<u64>) -> Value {
        let before = before.map_or_else(String::new, |before| format!("&before={before}"));
        let url = format!("{}/api/v1/waf/events?limit=100{before}", self.console);
        let authorization = format!("authorization: Bearer {}", self.key);
        let answer = curl(&["--header", &authorization, &url]);
        serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"))
    }
}

/// What an answer to a request said.
#[derive(Clone, Debug, Default)]
struct Sent {
    status: u16,
    incident: String,
}

impl Sent {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let incident = text.lines().take_while(|line| !line.is_empty()).find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("x-request-id")
                .then(|| value.trim().to_owned())
        });
        Self {
            status: text.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0),
            incident: incident.unwrap_or_default(),
        }
    }
}

/// Whether an answer has come whole. One without a length ends with its connection.
fn is_complete(request: &[u8], bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    // What an answer to HEAD announces does not come.
    length.is_some_and(|length| request.starts_with(b"HEAD ") || bytes.len() >= end + 4 + length)
}

fn judge(output: &Yaml, sent: &Sent, found: &HashMap<String, Vec<Value>>) -> Result<(), String> {
    let may_fail = output["expect_error"].as_bool().unwrap_or(false);
    let none = Vec::new();
    let matches = found.get(&sent.incident).unwrap_or(&none);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let answer = Answer {
        status: sent.status,
        ids: matches.iter().filter_map(|one| one["rule"].as_u64()).collect(),
        log: matches
            .iter()
            .map(|one| {
                let id = one["rule"].as_u64().unwrap_or_default();
                log_line(id, &text(&one["message"]), &text(&one["data"]), &text(&one["variable"]))
            })
            .collect(),
    };
    check(output, &answer, may_fail).map_err(|wrong| format!("{wrong} (status {})", sent.status))
}

/// The names that the tests' requests ask for and that a service can have.
fn hosts(tests: &[Test]) -> BTreeSet<String> {
    let mut hosts = BTreeSet::from([HOST.to_owned()]);
    for stage in tests.iter().flat_map(|test| &test.stages) {
        let raw = raw_request(&stage["input"]);
        for line in String::from_utf8_lossy(&raw)
            .lines()
            .take_while(|line| !line.is_empty())
        {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let host = value.trim();
            let host = host
                .strip_suffix(":80")
                .or_else(|| host.strip_suffix(":8080"))
                .unwrap_or(host);
            let host = host.trim_start_matches('[').trim_end_matches(']');
            if name.eq_ignore_ascii_case("host") && HostName::parse(host).is_ok() {
                hosts.insert(host.to_owned());
            }
        }
    }
    hosts
}

/// A configuration that detects with everything that the tests expect to be on.
fn document(upstream: u16, rules: &Path, setup: &Path, hosts: &BTreeSet<String>) -> String {
    let hosts: Vec<String> = hosts.iter().map(|host| format!("{host:?}")).collect();
    let folder = rules.canonicalize().expect("the rules are there");
    let setup = setup.canonicalize().expect("the set-up is there");
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

[services.tests]
listen = [{{ interface = "public0", port = 8443 }}]
hosts = [{hosts}]
upstreams.main = {{ servers = ["127.0.0.1:{upstream}"] }}
routes = [{{ name = "all", upstream = "main" }}]
rates = {{ guest = 1000000 }}
limits = {{ body = "8MiB" }}

[services.tests.waf]
mode = "detect"
rules = "tests"
paranoia = 4
response-bodies = true

[services.tests.waf.custom]
before = ['''{SETTINGS}''']

[rule-sets.tests]
directory = "{folder}"
setup = "{setup}"

[[identity.users]]
name = "admin"
roles = ["admin"]

[console]
listen = {{ interface = "mgmt0", port = 9443 }}
hosts = ["127.0.0.1"]
"#,
        hosts = hosts.join(", "),
        folder = folder.display(),
        setup = setup.display(),
    )
}
