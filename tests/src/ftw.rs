//! The regression tests of the OWASP Core Rule Set, in the format of go-ftw, run through the rule engine.
//!
//! In engine mode the requests that the tests describe go into the library as a server would have parsed them: chunked bodies put
//! together, `Content-Length` dropped beside `Transfer-Encoding` (RFC 9112, section 6.3). Where a test expects that the server refuses
//! the request with 400, and the appliance's own HTTP codec does, no rule sees it; all other requests go through the rules.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use redan_types::Timestamp;
use redan_waf::{
    engine::{Connection, Event, RuleSet, Transaction},
    seclang::{Compiler, DEFAULTS, RuleFiles},
};
use regex::Regex;
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

/// The settings that the tests expect on top of the rule set's example configuration.
const SETTINGS: &str = r#"
SecAction "id:7100100,phase:1,nolog,pass,t:none,setvar:tx.blocking_paranoia_level=4,setvar:tx.crs_validate_utf8_encoding=1,\
    setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,\
    setvar:tx.max_file_size=64100,setvar:tx.combined_file_sizes=65535"
"#;

/// What running a folder of tests came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many tests did what they expect.
    pub passed: usize,
    /// The others: their names (`920100-4`) with what was wrong.
    pub failed: Vec<(String, String)>,
}

/// A request as the tests describe it.
#[derive(Debug, Default)]
struct Request {
    method: Vec<u8>,
    target: Vec<u8>,
    protocol: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

/// What came of a request.
struct Answer {
    status: u16,
    ids: Vec<u64>,
    log: String,
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
pub fn run(rules: &Arc<RuleSet>, tests: &Path) -> Outcome {
    let mut files = Vec::new();
    collect(tests, &mut files);
    files.sort();
    let mut outcome = Outcome::default();
    let mut transaction = Transaction::new(Arc::clone(rules));
    for file in files {
        let text = fs::read_to_string(&file).expect("a test file can be read");
        let documents = YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for document in &documents {
            let rule = document["rule_id"].as_i64().unwrap_or_default();
            for test in document["tests"].as_vec().map_or(&[][..], Vec::as_slice) {
                let name = format!("{rule}-{}", test["test_id"].as_i64().unwrap_or_default());
                let stages = test["stages"].as_vec().map_or(&[][..], Vec::as_slice);
                let wrong: Vec<String> = stages
                    .iter()
                    .filter_map(|stage| run_stage(&mut transaction, rules, stage).err())
                    .collect();
                if wrong.is_empty() && !stages.is_empty() {
                    outcome.passed += 1;
                } else {
                    outcome.failed.push((name, wrong.join("; ")));
                }
            }
        }
    }
    outcome
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the tests can be listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
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

fn check(output: &Yaml, answer: &Answer, may_fail: bool) -> Result<(), String> {
    let log = &output["log"];
    let ids = |key: &str| -> Vec<u64> {
        let list = log[key].as_vec().map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|id| u64::try_from(id.as_i64()?).ok()).collect()
    };
    let mut wrong = Vec::new();
    for id in ids("expect_ids") {
        if !answer.ids.contains(&id) && !may_fail {
            wrong.push(format!("{id} is not logged"));
        }
    }
    for id in ids("no_expect_ids") {
        if answer.ids.contains(&id) {
            wrong.push(format!("{id} is logged"));
        }
    }
    for (key, wanted) in [("match_regex", true), ("no_match_regex", false)] {
        if let Some(pattern) = log[key].as_str() {
            let regex = Regex::new(pattern).map_err(|error| error.to_string())?;
            if regex.is_match(&answer.log) != wanted {
                wrong.push(format!("{key} {pattern:?} fails on {:?}", answer.log));
            }
        }
    }
    if let Some(status) = output["status"].as_i64()
        && status != i64::from(answer.status)
    {
        wrong.push(format!("status {} instead of {status}", answer.status));
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join(", "))
    }
}

/// The bytes that a test sends.
fn raw_request(input: &Yaml) -> Vec<u8> {
    if let Some(encoded) = input["encoded_request"].as_str() {
        let compact: String = encoded.split_whitespace().collect();
        return BASE64_STANDARD.decode(compact).unwrap_or_default();
    }
    let text = |key: &str, default: &str| input[key].as_str().unwrap_or(default).to_owned();
    let complete = input["autocomplete_headers"].as_bool().unwrap_or(true);
    let body = text("data", "");
    let mut headers: Vec<(String, String)> = Vec::new();
    if let Some(map) = input["headers"].as_hash() {
        for (name, value) in map {
            let value = match value {
                Yaml::String(value) | Yaml::Real(value) => value.clone(),
                Yaml::Integer(number) => number.to_string(),
                Yaml::Boolean(value) => value.to_string(),
                _ => String::new(),
            };
            let name = match name {
                Yaml::Integer(number) => number.to_string(),
                other => other.as_str().unwrap_or_default().to_owned(),
            };
            headers.push((name, value));
        }
    }
    let has =
        |headers: &[(String, String)], name: &str| headers.iter().any(|(have, _)| have.eq_ignore_ascii_case(name));
    if complete {
        if !has(&headers, "Connection") {
            headers.push(("Connection".to_owned(), "close".to_owned()));
        }
        if !body.is_empty() {
            if !has(&headers, "Content-Length") {
                headers.push(("Content-Length".to_owned(), body.len().to_string()));
            }
            if !has(&headers, "Content-Type") {
                headers.push((
                    "Content-Type".to_owned(),
                    "application/x-www-form-urlencoded".to_owned(),
                ));
            }
        }
    }
    let version = text("version", "HTTP/1.1");
    let line = [text("method", "GET"), text("uri", "/"), version].join(" ");
    let mut raw = line.trim_end().as_bytes().to_vec();
    raw.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        raw.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    raw.extend_from_slice(b"\r\n");
    raw.extend_from_slice(body.as_bytes());
    raw
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
    let (status, headers, body) = upstream(request);
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
        log: logged.iter().map(|event| log_line(event)).collect(),
    }
}

/// A match as ModSecurity writes it into a server's error log.
fn log_line(event: &Event) -> String {
    let line = format!(
        "ModSecurity: Warning. [id \"{}\"] [msg \"{}\"] [data \"{}\"] [matched \"{}\"]",
        event.rule.id, event.message, event.data, event.matched.name
    );
    let mut escaped: String = String::new();
    for character in line.chars() {
        if character.is_control() {
            escaped.push_str(&format!("\\x{:02x}", u32::from(character)));
        } else {
            escaped.push(character);
        }
    }
    escaped.push('\n');
    escaped
}

/// What the upstream that the tests expect answers.
fn upstream(request: &Request) -> (u16, Vec<(String, String)>, Vec<u8>) {
    if !request.target.starts_with(b"/reflect") {
        return (200, Vec::new(), Vec::new());
    }
    let Ok(answer) = serde_json::from_slice::<Value>(&request.body) else {
        return (400, Vec::new(), Vec::new());
    };
    let status = answer["status"]
        .as_u64()
        .and_then(|status| u16::try_from(status).ok())
        .unwrap_or(200);
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        headers.push((name.clone(), value.as_str().unwrap_or_default().to_owned()));
    }
    let body = match (answer["body"].as_str(), answer["encodedBody"].as_str()) {
        (Some(body), _) => body.as_bytes().to_vec(),
        (None, Some(encoded)) => BASE64_STANDARD.decode(encoded).unwrap_or_default(),
        (None, None) => Vec::new(),
    };
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
    {
        headers.push(("Content-Type".to_owned(), "text/html; charset=utf-8".to_owned()));
    }
    (status, headers, body)
}
