//! Sends requests through a rule set, on one thread: what `tests/bench/waf` and `tests/bench/corpus` measure.
//!
//! `waf-bench (--seconds S REQUEST | --count N REQUEST | --replay) CONFIGURATION...`
//!
//! REQUEST is a file with a raw HTTP/1.1 request, sent again and again; prints requests per second, the time to compile, resident memory
//! and what matched. `--replay` reads raw requests from standard input, each after a line with its length, and prints a line for each:
//! the status and the ids that matched. CONFIGURATION are rule files in their order, or folders whose `.conf` files are taken in the
//! order of their names.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measuring program ends where its assumptions do"
)]

use std::{
    fs,
    io::{BufRead, Read, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use redan_types::Timestamp;
use redan_waf::{
    engine::{Connection, RuleSet, Transaction},
    seclang::{Compiler, DEFAULTS, RuleFiles},
};

struct Request {
    line: [Vec<u8>; 3],
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    let kind = arguments.next().expect("--seconds, --count or --replay");
    let amount = (kind != "--replay").then(|| arguments.next().expect("a number"));
    let request = amount
        .is_some()
        .then(|| fs::read(arguments.next().expect("a request")).expect("the request can be read"));
    let mut files = RuleFiles::new();
    files.insert("defaults.conf", DEFAULTS.to_vec());
    let mut order = vec!["defaults.conf".to_owned()];
    for path in arguments {
        add(&mut files, &mut order, Path::new(&path));
    }
    let order: Vec<&str> = order.iter().map(String::as_str).collect();
    let begin = Instant::now();
    let rules = Arc::new(Compiler::new().compile(&files, &order).expect("the rules compile"));
    let compiled = begin.elapsed();
    let memory = resident();
    drop(files);
    let mut transaction = Transaction::new(Arc::clone(&rules));
    let Some((amount, request)) = amount.zip(request) else {
        return replay(&mut transaction, &rules);
    };
    let request = read_request(&request);
    let (limit, most) = match kind.as_str() {
        "--seconds" => (Duration::from_secs_f64(amount.parse().expect("seconds")), u64::MAX),
        _ => (Duration::MAX, amount.parse().expect("a count")),
    };
    let (_, matched) = send(&mut transaction, &rules, &request);
    let begin = Instant::now();
    let mut count = 0_u32;
    while u64::from(count) < most && begin.elapsed() < limit {
        send(&mut transaction, &rules, &request);
        count += 1;
    }
    println!(
        "redan {:.0} requests/s, compiled {} rules in {} ms, {memory} KiB after compiling, {} KiB resident, matched {matched:?}",
        f64::from(count) / begin.elapsed().as_secs_f64(),
        rules.len(),
        compiled.as_millis(),
        resident(),
    );
}

/// The request phases of a request: the status that the verdict gives, and what matched.
fn send(transaction: &mut Transaction, rules: &Arc<RuleSet>, request: &Request) -> (u16, Vec<u64>) {
    let address: IpAddr = [192, 0, 2, 1].into();
    let connection = Connection {
        client: address,
        client_port: 40_000,
        server: address,
        server_port: 443,
    };
    transaction.reset(Arc::clone(rules));
    transaction.connection(&connection, "0123456789abcdef", Timestamp(1_795_000_000_000_000));
    let [method, target, protocol] = &request.line;
    transaction.request_line(method, target, protocol);
    for (name, value) in &request.headers {
        transaction.request_header(name, value);
    }
    transaction.request_headers_end();
    if !request.body.is_empty() {
        transaction.request_body(&request.body);
    }
    let verdict = transaction.request_body_end();
    let logged = transaction.events().iter().filter(|event| event.log);
    (
        verdict.map_or(200, |verdict| verdict.status),
        logged.map(|event| event.rule.id).collect(),
    )
}

fn replay(transaction: &mut Transaction, rules: &Arc<RuleSet>) {
    let mut input = std::io::stdin().lock();
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    let mut line = String::new();
    while input.read_line(&mut line).expect("a length") > 0 {
        let mut raw = vec![0; line.trim().parse().expect("a length")];
        line.clear();
        input.read_exact(&mut raw).expect("a whole request");
        let (status, ids) = send(transaction, rules, &read_request(&raw));
        let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
        writeln!(output, "{status} {}", ids.join(",")).expect("standard output takes it");
    }
}

fn add(files: &mut RuleFiles, order: &mut Vec<String>, path: &Path) {
    let name = path.to_string_lossy().into_owned();
    let folder = if path.is_dir() {
        path
    } else {
        path.parent().expect("a folder")
    };
    let entries = fs::read_dir(folder).expect("the folder can be listed");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for file in paths {
        let is = |extension: &str| file.extension().is_some_and(|have| have == extension);
        let wanted = path.is_dir() && is("conf");
        // Rules name data files that stand beside them.
        if wanted || is("data") {
            files.insert(
                file.to_string_lossy(),
                fs::read(&file).expect("a rule file can be read"),
            );
        }
        if wanted {
            order.push(file.to_string_lossy().into_owned());
        }
    }
    if !path.is_dir() {
        files.insert(name.clone(), fs::read(path).expect("a rule file can be read"));
        order.push(name);
    }
}

fn read_request(raw: &[u8]) -> Request {
    let end = raw
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("an end of the head");
    let (head, body) = (&raw[..end], &raw[end + 4..]);
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = lines.next().expect("a request line");
    let first = line.iter().position(|byte| *byte == b' ').expect("a target");
    let last = line.iter().rposition(|byte| *byte == b' ').expect("a protocol");
    let line = [
        line[..first].to_vec(),
        line[first + 1..last].to_vec(),
        line[last + 1..].to_vec(),
    ];
    let headers = lines.map(|line| {
        let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
        (line[..colon].to_vec(), line[colon + 1..].trim_ascii().to_vec())
    });
    Request {
        line,
        headers: headers.collect(),
        body: body.to_vec(),
    }
}

/// Resident memory in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
