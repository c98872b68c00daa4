//! The web application firewall on the whole appliance: what the rules refuse never reaches the application, what is found is told
//! without secrets, and new rules cost no request.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its assumptions do")]

use redan_tests::appliance::{Appliance, Response, curl};
use redan_tests::wire::{Alpn, End, Target, Wire};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const ATTACK: &str = "?q=%3Cscript%3Ealert(1)%3C/script%3E";
const PATIENCE: Duration = Duration::from_secs(20);

/// An application: answers everything, leaks an error message of its database on one path, and remembers what it was asked.
struct Application {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Application {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&all);
                std::thread::spawn(move || serve(stream, &seen));
            }
        });
        Self { port, seen }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<String>>) {
    let mut unread = Vec::new();
    let mut piece = [0; 16_384];
    loop {
        let end = loop {
            if let Some(at) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut piece) {
                Ok(count) if count > 0 => unread.extend_from_slice(&piece[..count]),
                _ => return,
            }
        };
        let head = String::from_utf8_lossy(&unread[..end]).into_owned();
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.trim().parse::<usize>().unwrap());
        while unread.len() < end + length {
            match stream.read(&mut piece) {
                Ok(count) if count > 0 => unread.extend_from_slice(&piece[..count]),
                _ => return,
            }
        }
        unread.drain(..end + length);
        let line = head.lines().next().unwrap_or_default().to_owned();
        let body = if line.contains("/leak") {
            "<p>You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version</p>"
        } else {
            "<p>fine</p>"
        };
        seen.lock().unwrap().push(format!("{line} {length}"));
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

struct Shop {
    appliance: Appliance,
    application: Application,
}

impl Shop {
    /// A published application with these tables about its web application firewall.
    fn start(waf: &str) -> Self {
        let application = Application::start();
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("shop.toml");
        std::fs::write(&file, document(application.port, waf)).unwrap();
        let appliance = Appliance::start_in(folder, &["--config", file.to_str().unwrap()]);
        Self { appliance, application }
    }

    fn url(&self, path: &str) -> String {
        let port = self.appliance.published().rsplit_once(':').unwrap().1;
        format!("https://shop.test:{port}/{path}")
    }

    /// A request, with further arguments of curl.
    fn ask(&self, path: &str, more: &[&str]) -> Response {
        let port = self.appliance.published().rsplit_once(':').unwrap().1;
        let resolve = format!("shop.test:{port}:127.0.0.1");
        let url = self.url(path);
        let mut arguments = vec!["--globoff", "--resolve", &resolve, &url];
        arguments.extend(more);
        curl(&arguments)
    }

    /// Commits other tables; gives whether they were taken, and what was said.
    fn commit(&self, waf: &str) -> (bool, String) {
        let path = self.appliance.folder().join("candidate.toml");
        std::fs::write(&path, document(self.application.port, waf)).unwrap();
        let path = path.to_str().unwrap();
        let applied = self
            .appliance
            .redan(&["config", "apply", path, "--confirm-within", "60s", "--comment", "rules"]);
        let said = String::from_utf8_lossy(&[applied.stdout, applied.stderr].concat()).into_owned();
        if applied.status.success() {
            let _ = self.appliance.redan_ok(&["config", "confirm"]);
        }
        (applied.status.success(), said)
    }

    fn committed(&self, waf: &str) {
        let (taken, said) = self.commit(waf);
        assert!(taken, "{said}");
    }

    fn key(&self) -> String {
        let appliance = &self.appliance;
        let created = appliance.redan_ok(&["key", "create", "admin", "--role", "viewer", "--comment", "events"]);
        let word = created.split_whitespace().find(|word| word.starts_with("redan_"));
        word.unwrap_or_else(|| panic!("no key in {created}")).to_owned()
    }

    fn api(&self, key: &str, path: &str) -> Value {
        let authorization = format!("authorization: Bearer {key}");
        let url = format!("{}api/v1/{path}", self.appliance.text("console_url"));
        let response = curl(&["--header", &authorization, &url]);
        serde_json::from_str(&response.body).unwrap_or_else(|_| panic!("{response:?}"))
    }

    /// Events with this filter, once there are as many.
    fn events(&self, key: &str, filter: &str, count: usize) -> Vec<Value> {
        let mut found = Vec::new();
        self.appliance.until("the events are kept", PATIENCE, |_| {
            let page = self.api(key, &format!("waf/events?{filter}"));
            found = page["events"].as_array().cloned().unwrap_or_else(|| panic!("{page}"));
            found.len() >= count
        });
        found
    }
}

fn document(upstream: u16, waf: &str) -> String {
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
hosts = ["shop.test"]
upstreams.main = {{ servers = ["127.0.0.1:{upstream}"] }}
routes = [{{ name = "all", upstream = "main" }}]
rates = {{ guest = 1000000 }}
limits = {{ body = "8MiB" }}

[[identity.users]]
name = "admin"
roles = ["admin"]

[console]
listen = {{ interface = "mgmt0", port = 9443 }}
hosts = ["127.0.0.1"]

{waf}
"#
    )
}

/// Whether the Core Rule Set is there; what needs it says so and passes otherwise.
fn has_rules(test: &str) -> bool {
    let there = Path::new("/usr/share/modsecurity-crs/rules").is_dir();
    assert!(
        there || std::env::var_os("REDAN_REQUIRE_DATA").is_none(),
        "modsecurity-crs is not installed"
    );
    if !there {
        eprintln!("SKIPPED {test}: needs Debian's modsecurity-crs");
    }
    there
}

const BLOCK: &str = "[services.shop.waf]\nmode = \"block\"\n";

#[test]
fn an_attack_is_refused_over_both_protocols_and_told_without_secrets() {
    if !has_rules("an_attack_is_refused_over_both_protocols_and_told_without_secrets") {
        return;
    }
    let shop = Shop::start(BLOCK);
    let key = shop.key();
    for (protocol, path) in [("--http1.1", "one"), ("--http2", "two")] {
        assert_eq!(shop.ask(path, &[protocol]).status, 200);
        assert_eq!(shop.application.take().len(), 1);
        let secrets = [
            protocol,
            "--header",
            "Authorization: Bearer sesame-open-1",
            "--cookie",
            "id=biscuit-77",
        ];
        let refused = shop.ask(&format!("{path}{ATTACK}&password=hunter2hunter2"), &secrets);
        assert_eq!(refused.status, 403, "{refused:?}");
        let posted = shop.ask(
            path,
            &[protocol, "--data", "a=1&b=' or 1=1 -- -&password=hunter2hunter2"],
        );
        assert_eq!(posted.status, 403, "{posted:?}");
        let json = r#"{"password":"hunter2hunter2","file":"../../../../etc/passwd"}"#;
        let body = [protocol, "--header", "Content-Type: application/json", "--data", json];
        assert_eq!(shop.ask(path, &body).status, 403);
        assert!(shop.application.take().is_empty(), "no attack reaches the application");

        let incident = refused.field("x-request-id").unwrap();
        assert!(refused.body.contains(incident), "{}", refused.body);
        let events = shop.events(&key, &format!("incident={incident}"), 1);
        let event = &events[0];
        assert_eq!(event["blocked"], true);
        assert_eq!(event["path"], format!("/{path}"));
        assert_eq!(event["service"], "shop");
        assert_eq!(event["route"], "all");
        assert!(
            event["inbound_score"].as_u64() >= event["inbound_threshold"].as_u64(),
            "{event}"
        );
        let matched = event["matches"].as_array().unwrap();
        assert!(
            matched
                .iter()
                .any(|one| one["rule"] == 941_100 && one["variable"] == "ARGS:q" && one["score"] == 5),
            "{event}"
        );
        // Refusals are gathered for some seconds.
        shop.appliance
            .until("the refusal is in the log", PATIENCE, |appliance| {
                let log = appliance.redan_ok(&["audit", "search", "--action", "request.attack"]);
                log.contains("request.attack")
            });
    }
    let all = shop.events(&key, "path=/&limit=100", 6);
    let mut told = serde_json::to_string(&all).unwrap();
    for event in &all {
        let one = shop.api(&key, &format!("waf/events/{}", event["id"]));
        let audit: Value = serde_json::from_str(one["audit"].as_str().unwrap()).unwrap();
        let transaction = &audit["transaction"];
        assert!(
            transaction["messages"]
                .as_array()
                .is_some_and(|messages| !messages.is_empty())
        );
        assert!(transaction["request"]["headers"].is_object(), "{audit}");
        told.push_str(&audit.to_string());
    }
    told.push_str(&shop.appliance.redan_ok(&["audit", "search"]));
    for secret in ["hunter2", "sesame-open-1", "biscuit-77"] {
        assert!(!told.contains(secret), "{secret} was told: {told}");
    }
}

#[test]
fn what_is_found_passes_where_it_is_only_to_be_recorded_and_thresholds_and_levels_decide() {
    if !has_rules("what_is_found_passes_where_it_is_only_to_be_recorded_and_thresholds_and_levels_decide") {
        return;
    }
    let shop = Shop::start("[services.shop.waf]\nmode = \"detect\"\n");
    let key = shop.key();
    assert_eq!(shop.ask(&format!("found{ATTACK}"), &[]).status, 200);
    let events = shop.events(&key, "path=/found", 1);
    assert_eq!(events[0]["blocked"], false);
    assert_eq!(events[0]["status"], 200);
    assert!(events[0]["inbound_score"].as_u64() >= Some(5), "{}", events[0]);

    shop.committed("[services.shop.waf]\nmode = \"block\"\ninbound-threshold = 1000\n");
    assert_eq!(shop.ask(&format!("below{ATTACK}"), &[]).status, 200);
    // A missing Accept is a notice of level 2 (rule 920300): 2 or 3 points.
    let bare = ["--header", "Accept:"];
    shop.committed("[services.shop.waf]\nmode = \"block\"\ninbound-threshold = 2\n");
    assert_eq!(shop.ask("level", &bare).status, 200);
    shop.committed("[services.shop.waf]\nmode = \"block\"\ninbound-threshold = 2\nparanoia = 3\n");
    assert_eq!(shop.ask("level", &bare).status, 403);
    shop.committed("[services.shop.waf]\nmode = \"off\"\n");
    assert_eq!(shop.ask(&format!("off{ATTACK}"), &[]).status, 200);
}

#[test]
fn an_exception_holds_where_it_says_and_ends_by_itself() {
    if !has_rules("an_exception_holds_where_it_says_and_ends_by_itself") {
        return;
    }
    let shop = Shop::start(BLOCK);
    let attack = ATTACK;
    let end = SystemTime::now() + Duration::from_secs(15);
    let end = redan_types::Timestamp::from_system(end);
    shop.committed(&format!(
        "{BLOCK}\n[[services.shop.waf.exceptions]]\nrule = [\"941100-941999\"]\npath = \"/editor/*\"\nparameter = \"ARGS:q\"\n\
         expires = {end}\nreason = \"the editor sends markup\"\n"
    ));
    assert_eq!(shop.ask(&format!("editor/page{attack}"), &[]).status, 200);
    assert_eq!(shop.ask(&format!("other{attack}"), &[]).status, 403);
    assert_eq!(
        shop.ask("editor/page?p=%3Cscript%3Ealert(1)%3C/script%3E", &[]).status,
        403
    );
    shop.appliance
        .until("the exception has ended", Duration::from_secs(40), |_| {
            shop.ask(&format!("editor/page{attack}"), &[]).status == 403
        });
    shop.appliance.until("the log says so", PATIENCE, |appliance| {
        let log = appliance.redan_ok(&["audit", "search", "--action", "waf.exception-ended"]);
        log.contains("the editor sends markup")
    });
}

#[test]
fn own_rules_work_and_a_mistake_in_them_refuses_the_commit_and_leaves_the_old_ones() {
    let folder = TempDir::new().unwrap();
    let small = |text: &str| {
        std::fs::write(folder.path().join("small.conf"), text).unwrap();
        format!("[rule-sets.small]\ndirectory = \"{}\"\n", folder.path().display())
    };
    let set = small("SecRule ARGS \"@contains evil\" \"id:10,phase:2,deny,status:403,log,msg:'evil'\"\n");
    let waf = "[services.shop.waf]\nmode = \"block\"\nrules = \"small\"\n";
    let shop = Shop::start(&format!("{set}\n{waf}"));
    assert_eq!(shop.ask("?a=evil", &[]).status, 403);
    assert_eq!(shop.ask("?a=good", &[]).status, 200);

    let custom = |rule: &str| format!("{set}\n{waf}\n[services.shop.waf.custom]\nbefore = ['''{rule}''']\n");
    let rule = "# one\nSecRule REQUEST_HEADERS:X-Odd \"@streq 1\" \"id:11,phase:1,deny,status:429,log,msg:'odd'\"";
    shop.committed(&custom(rule));
    assert_eq!(shop.ask("", &["--header", "X-Odd: 1"]).status, 429);
    let away = "SecRule REQUEST_HEADERS:X-Odd \"@streq 1\" \"id:11,phase:1,redirect:https://shop.test/away,log\"";
    shop.committed(&custom(away));
    let sent = shop.ask("", &["--header", "X-Odd: 1"]);
    assert_eq!(
        (sent.status, sent.field("location")),
        (302, Some("https://shop.test/away"))
    );

    let (taken, said) = shop.commit(&custom("# one\n# two\nSecRuul ARGS \"@rx x\" \"id:12\""));
    assert!(!taken);
    assert!(
        said.contains("waf.custom.before[0]:3") && said.contains("SecRuul"),
        "{said}"
    );
    assert_eq!(
        shop.ask("", &["--header", "X-Odd: 1"]).status,
        302,
        "the old rules still run"
    );

    let (taken, said) = shop.commit(&format!(
        "[rule-sets.none]\ndirectory = \"/nonexistent/rules\"\n{}",
        waf.replace("small", "none")
    ));
    assert!(!taken && said.contains("/nonexistent/rules"), "{said}");
    drop(small("SecRule ARGS \"@rx (\" \"id:10,phase:2,deny\"\n"));
    let (taken, said) = shop.commit(&custom(rule));
    assert!(!taken && said.contains("small.conf:1"), "{said}");
    assert_eq!(shop.ask("?a=evil", &[]).status, 403, "the old rules still run");
}

#[test]
fn new_rules_drop_no_request() {
    if !has_rules("new_rules_drop_no_request") {
        return;
    }
    let shop = Shop::start(BLOCK);
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let target = Target::new(shop.appliance.published().parse().unwrap(), "shop.test").unwrap();
    std::thread::scope(|scope| {
        let (shop, stop, sent, target) = (&shop, &stop, &sent, &target);
        // Over one connection each: a machine that is busy with other things may keep a signature waiting for too long, and that is
        // not what is looked at.
        let first = scope.spawn(move || {
            let mut wire = target.connect(Alpn::Http1).unwrap();
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(status(&mut wire, "/good"), "200");
                assert_eq!(status(&mut wire, &format!("/{ATTACK}")), "403");
                sent.fetch_add(2, Ordering::Relaxed);
            }
        });
        let (stream, again) = (shop.url("again"), 3_000);
        let second = scope.spawn(move || {
            let mut arguments = vec!["--http2", "--max-time", "300"];
            arguments.extend(vec![stream.as_str(); again]);
            let many = shop.ask("good", &arguments);
            let answers = many.head.lines().filter(|line| line.starts_with("HTTP/2 200")).count();
            assert_eq!((many.status, answers), (200, again + 1));
        });
        for paranoia in [2, 1, 2] {
            shop.committed(&format!("{BLOCK}paranoia = {paranoia}\n"));
        }
        stop.store(true, Ordering::Relaxed);
        first.join().unwrap();
        second.join().unwrap();
    });
    assert!(sent.load(Ordering::Relaxed) >= 20);
}

/// Asks over a connection that stays open; gives the status.
fn status(wire: &mut Wire, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n");
    wire.send(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    loop {
        let end = wire.receive(&mut bytes, PATIENCE);
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(end, End::Open, "{text}");
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.trim().parse::<usize>().unwrap());
        if body.len() >= length {
            return head.get(9..12).unwrap_or_default().to_owned();
        }
    }
}

#[test]
fn a_body_that_is_longer_than_what_is_inspected_is_refused_or_passes_as_configured() {
    let folder = TempDir::new().unwrap();
    std::fs::write(
        folder.path().join("small.conf"),
        "SecRule ARGS \"@contains evil\" \"id:10,phase:2,deny,status:403,log,msg:'evil'\"\n",
    )
    .unwrap();
    let set = format!("[rule-sets.small]\ndirectory = \"{}\"\n", folder.path().display());
    let waf = format!("{set}\n[services.shop.waf]\nmode = \"block\"\nrules = \"small\"\nrequest-body = \"64KiB\"\n");
    let shop = Shop::start(&waf);
    let send = |name: &str, content: String, protocol: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let data = format!("@{}", path.display());
        shop.ask("upload", &[protocol, "--header", "Expect:", "--data-binary", &data])
            .status
    };
    for protocol in ["--http1.1", "--http2"] {
        let padding = |length: usize| "x".repeat(length);
        assert_eq!(send("fits", format!("a={}", padding(60_000)), protocol), 200);
        assert_eq!(send("evil", format!("a={}&b=evil", padding(60_000)), protocol), 403);
        assert_eq!(send("long", format!("a={}", padding(200_000)), protocol), 413);
        let seen = shop.application.take();
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert!(seen[0].ends_with(" 60002"), "{seen:?}");
    }
    shop.committed(&format!("{waf}request-body-beyond = \"pass\"\n"));
    for protocol in ["--http1.1", "--http2"] {
        assert_eq!(send("long", format!("a={}", "x".repeat(200_000)), protocol), 200);
        assert_eq!(
            send("early", format!("b=evil&a={}", "x".repeat(200_000)), protocol),
            403
        );
        let seen = shop.application.take();
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert!(seen[0].ends_with(" 200002"), "all of the body arrives: {seen:?}");
    }
}

#[test]
fn a_response_that_leaks_is_held_back_where_responses_are_inspected() {
    if !has_rules("a_response_that_leaks_is_held_back_where_responses_are_inspected") {
        return;
    }
    let shop = Shop::start(BLOCK);
    let key = shop.key();
    let leak = shop.ask("leak", &[]);
    assert!(leak.status == 200 && leak.body.contains("SQL syntax"), "{leak:?}");
    shop.committed(&format!("{BLOCK}response-bodies = true\n"));
    for protocol in ["--http1.1", "--http2"] {
        let good = shop.ask("good", &[protocol, "--compressed"]);
        assert_eq!((good.status, good.body.as_str()), (200, "<p>fine</p>"));
        let leak = shop.ask("leak", &[protocol]);
        assert_eq!(leak.status, 403, "{leak:?}");
        assert!(!leak.body.contains("SQL syntax"), "{leak:?}");
    }
    let events = shop.events(&key, "path=/leak&blocked=true", 2);
    assert!(events[0]["outbound_score"].as_u64() >= Some(4), "{}", events[0]);
}

#[test]
fn code_injection_is_found_where_it_is_looked_for() {
    if !has_rules("code_injection_is_found_where_it_is_looked_for") {
        return;
    }
    let shop = Shop::start(&format!("{BLOCK}code-injection = true\n"));
    let key = shop.key();
    let refused = shop.ask("run", &["--data-urlencode", "job=__import__('os').system('id')"]);
    assert_eq!(refused.status, 403);
    let events = shop.events(&key, "path=/run", 1);
    let text = events[0].to_string();
    assert!(text.contains("code-injection"), "{text}");
}
