//! The tests' requests straight into the library: chunked bodies put together, `Content-Length` dropped beside `Transfer-Encoding` (RFC
//! 9112, section 6.3). Where a test expects that the server refuses the request with 400, and the appliance's own HTTP codec does, no
//! rule sees it; all other requests go through the rules.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
};

use redan_types::Timestamp;
use redan_waf::{
    engine::{Connection, Event, RuleSet, Transaction},
    seclang::{Compiler, DEFAULTS, RuleFiles},
};
use yaml_rust2::Yaml;

use super::{Answer, Outcome, SETTINGS, check, log_line, raw_request, reflect::upstream, tests};

/// A request as the tests describe it.
#[derive(Debug, Default)]
struct Request {
    method: Vec<u8>,
    target: Vec<u8>,
    protocol: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

/// Compiles the rule files of a folder with the example configuration and the tests' settings.
///
/// # Panics
///
/// If a file cannot be read or the rule set does not compile.
#[must_use]
pub fn rule_set(rules: &Path, setup: &Path) -> Arc<RuleSet> {
    let mut files = RuleFiles::new();
    files.insert("defaults.conf", DEFAULTS.to_vec());
    files.insert("setup.conf", fs::read(setup).expect("the setup file can be read"));
    files.insert("settings.conf", SETTINGS.as_bytes().to_vec());
    let mut order = vec![
        "defaults.conf".to_owned(),
        "setup.conf".to_owned(),
        "settings.conf".to_owned(),
    ];
    let mut names: Vec<PathBuf> = fs::read_dir(rules)
        .expect("the rules can be listed")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    names.sort();
    for path in names {
        let name = format!("rules/{}", path.file_name().expect("a file").to_string_lossy());
        files.insert(name.clone(), fs::read(&path).expect("a rule file can be read"));
        if name.ends_with(".conf") {
            order.push(name);
        }
    }
    let order: Vec<&str> = order.iter().map(String::as_str).collect();
    Arc::new(
        Compiler::new()
            .compile(&files, &order)
            .unwrap_or_else(|error| panic!("{error}")),
    )
}

/// Runs every test under a folder.
///
/// # Panics
///
/// If a test file cannot be read.
#[must_use]
pub fn run(rules: &Arc<RuleSet>, folder: &Path) -> Outcome {
    let mut outcome = Outcome::default();
    let mut transaction = Transaction::new(Arc::clone(rules));
    for test in tests(folder) {
        let wrong: Vec<_> = test
            .stages
            .iter()
            .filter_map(|stage| run_stage(&mut transaction, rules, stage).err())
            .collect();
        outcome.add(&test, &wrong);
    }
    outcome
}

fn run_stage(transaction: &mut Transaction, rules: &Arc<RuleSet>, stage: &Yaml) -> Result<(), String> {
    let output = &stage["output"];
    let may_fail = output["expect_error"].as_bool().unwrap_or(false);
    let raw = raw_request(&stage["input"]);
    let Some(request) = Request::parse(&raw) else {
        return if may_fail || output["status"].as_i64() == Some(400) {
            Ok(())
        } else {
            Err("no request".to_owned())
        };
    };
    let refused = redan_http1::parse_request(&raw, &redan_http1::Limits::default()).is_err();
    let answer = if refused && output["status"].as_i64() == Some(400) {
        Answer {
            status: 400,
            ids: Vec::new(),
            log: String::new(),
        }
    } else {
        evaluate(transaction, rules, &request)
    };
    check(output, &answer, may_fail)
}

impl Request {
    /// Reads a request as a lenient server would.
    fn parse(raw: &[u8]) -> Option<Self> {
        let mut request = Self::default();
        let mut rest = raw;
        let line = take_line(&mut rest)?;
        let first = line.iter().position(|byte| *byte == b' ')?;
        let last = line
            .iter()
            .rposition(|byte| *byte == b' ')
            .filter(|last| *last > first)?;
        request.method = line[..first].to_vec();
        request.target = line[first + 1..last].to_vec();
        request.protocol = line[last + 1..].to_vec();
        loop {
            let line = take_line(&mut rest)?;
            if line.is_empty() {
                break;
            }
            let colon = line.iter().position(|byte| *byte == b':')?;
            request
                .headers
                .push((line[..colon].to_vec(), line[colon + 1..].trim_ascii().to_vec()));
        }
        request.body = rest.to_vec();
        let is = |name: &[u8], wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        let chunked = request
            .headers
            .iter()
            .any(|(name, value)| is(name, "transfer-encoding") && value.to_ascii_lowercase().ends_with(b"chunked"));
        if chunked {
            request.headers.retain(|(name, _)| !is(name, "content-length"));
            request.body = dechunk(rest);
        }
        Some(request)
    }
}

fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (line, left) = rest.split_at(end);
    *rest = &left[1..];
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line) = take_line(&mut rest) {
        let size = std::str::from_utf8(line)
            .ok()
            .and_then(|line| usize::from_str_radix(line.trim(), 16).ok());
        let Some(size) = size.filter(|size| *size > 0 && *size <= rest.len()) else {
            break;
        };
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size..];
        take_line(&mut rest);
    }
    body
}

fn evaluate(transaction: &mut Transaction, rules: &Arc<RuleSet>, request: &Request) -> Answer {
    transaction.reset(Arc::clone(rules));
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let connection = Connection {
        client,
        client_port: 40_000,
        server: local,
        server_port: 80,
    };
    transaction.connection(&connection, "0123456789abcdef", Timestamp(1_795_000_000_000_000));
    transaction.request_line(&request.method, &request.target, &request.protocol);
    for (name, value) in &request.headers {
        transaction.request_header(name, value);
    }
    let mut verdict = transaction.request_headers_end();
    transaction.request_body(&request.body);
    verdict = transaction.request_body_end().or(verdict);
    let (status, headers, body) = upstream(&request.target, &request.body);
    transaction.response_line(status, b"HTTP/1.1");
    for (name, value) in &headers {
        transaction.response_header(name.as_bytes(), value.as_bytes());
    }
    verdict = transaction.response_headers_end().or(verdict);
    transaction.response_body(&body);
    verdict = transaction.response_body_end().or(verdict);
    transaction.log();
    let logged: Vec<&Event> = transaction.events().iter().filter(|event| event.log).collect();
    Answer {
        status: verdict.map_or(status, |verdict| verdict.status),
        ids: logged.iter().map(|event| event.rule.id).collect(),
        log: logged
            .iter()
            .map(|event| log_line(event.rule.id, &event.message, &event.data, &event.matched.name))
            .collect(),
    }
}
