//! Sends one request again and again through a rule set, on one thread: what `tests/bench/waf` measures.
//!
//! `waf-bench (--seconds S | --count N) REQUEST CONFIGURATION...`: REQUEST is a file with a raw HTTP/1.1 request, CONFIGURATION are rule
//! files in their order, or folders whose `.conf` files are taken in the order of their names. Prints requests per second, the time to
//! compile, resident memory and what matched.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measuring program ends where its assumptions do"
)]

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use redan_types::Timestamp;
use redan_waf::{
    engine::{Connection, Transaction},
    seclang::{Compiler, DEFAULTS, RuleFiles},
};

struct Request {
    line: [Vec<u8>; 3],
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (kind, amount) = (
        arguments.next().expect("--seconds or --count"),
        arguments.next().expect("a number"),
    );
    let request = read_request(&fs::read(arguments.next().expect("a request")).expect("the request can be read"));
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
    let after_compile = resident();
    drop(files);

    let address: IpAddr = [192, 0, 2, 1].into();
    let connection = Connection {
        client: address,
        client_port: 40_000,
        server: address,
        server_port: 443,
    };
    let mut transaction = Transaction::new(Arc::clone(&rules));
    let mut once = |all: bool| {
        transaction.reset(Arc::clone(&rules));
        if all {
            transaction.report_all_matches();
        }
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
        transaction.request_body_end();
        transaction
            .events()
            .iter()
            .filter(|event| event.log)
            .map(|event| event.rule.id)
            .collect::<Vec<_>>()
    };
    let matched = once(false);
    let (limit, most) = match kind.as_str() {
        "--seconds" => (Duration::from_secs_f64(amount.parse().expect("seconds")), u64::MAX),
        _ => (Duration::MAX, amount.parse().expect("a count")),
    };
    let begin = Instant::now();
    let mut count = 0_u64;
    while count < most && begin.elapsed() < limit {
        once(false);
        count += 1;
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "redan {:.0} requests/s, compiled {} rules in {} ms, {} KiB after compiling, {} KiB resident, matched {matched:?}",
        f64::from(u32::try_from(count).expect("fewer requests")) / seconds,
        rules.len(),
        compiled.as_millis(),
        after_compile,
        resident(),
    );
}

fn add(files: &mut RuleFiles, order: &mut Vec<String>, path: &Path) {
    let name = path.to_string_lossy().into_owned();
    if !path.is_dir() {
        files.insert(name.clone(), fs::read(path).expect("a rule file can be read"));
        order.push(name);
        // Rules name data files that stand beside them.
        for entry in fs::read_dir(path.parent().expect("a folder")).expect("the folder can be listed") {
            let data = entry.expect("an entry").path();
            if data.extension().is_some_and(|extension| extension == "data") {
                files.insert(
                    data.to_string_lossy(),
                    fs::read(&data).expect("a data file can be read"),
                );
            }
        }
        return;
    }
    let entries = fs::read_dir(path).expect("the folder can be listed");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        let name = path.to_string_lossy().into_owned();
        files.insert(name.clone(), fs::read(&path).expect("a rule file can be read"));
        if name.ends_with(".conf") {
            order.push(name);
        }
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
    let mut parts = line.split(|byte| *byte == b' ').map(<[u8]>::to_vec);
    let mut part = || parts.next().expect("three parts");
    let line = [part(), part(), part()];
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
