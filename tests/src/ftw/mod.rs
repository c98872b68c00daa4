//! The regression tests of the OWASP Core Rule Set, in the format of go-ftw, run through the rule engine or a whole appliance.
//!
//! [`engine`]: the requests that the tests describe go into the library as a server would have parsed them. [`proxy`]: their bytes go
//! over TLS to an appliance, and what it recorded is compared. [`overrides`]: where an appliance answers differently, and why, in the
//! rule set's own format.

pub mod engine;
pub mod overrides;
pub mod proxy;
mod reflect;

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use regex::Regex;
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

/// What came of a request.
#[derive(Clone, Debug, Default)]
struct Answer {
    status: u16,
    ids: Vec<u64>,
    log: String,
}

/// One test.
struct Test {
    /// `920100-4`
    name: String,
    stages: Vec<Yaml>,
}

/// All tests under a folder.
fn tests(folder: &Path) -> Vec<Test> {
    let mut files = Vec::new();
    collect(folder, &mut files);
    files.sort();
    let mut tests = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a test file can be read");
        let documents = YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for document in &documents {
            let rule = document["rule_id"].as_i64().unwrap_or_default();
            for test in document["tests"].as_vec().map_or(&[][..], Vec::as_slice) {
                tests.push(Test {
                    name: format!("{rule}-{}", test["test_id"].as_i64().unwrap_or_default()),
                    stages: test["stages"].as_vec().cloned().unwrap_or_default(),
                });
            }
        }
    }
    tests
}

impl Outcome {
    fn add(&mut self, test: &Test, wrong: &[String]) {
        if wrong.is_empty() && !test.stages.is_empty() {
            self.passed += 1;
        } else {
            self.failed.push((test.name.clone(), wrong.join("; ")));
        }
    }
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

/// A match as ModSecurity writes it into a server's error log.
fn log_line(id: u64, message: &str, data: &str, matched: &str) -> String {
    let line =
        format!("ModSecurity: Warning. [id \"{id}\"] [msg \"{message}\"] [data \"{data}\"] [matched \"{matched}\"]");
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
