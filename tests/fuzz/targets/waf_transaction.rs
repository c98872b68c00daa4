//! A whole transaction: any request and response, in any pieces, has the same matches each time.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use redan_waf::{
    engine::{RuleSet, Transaction},
    seclang::{Compiler, DEFAULTS, RuleFiles},
};

const RULES: &str = r#"
SecRuleEngine On
SecRequestBodyLimit 4096
SecRequestBodyLimitAction ProcessPartial
SecAction "id:1,phase:1,nolog,pass,setvar:tx.limit=3,setvar:'tx.words=a b c'"
SecRule ARGS|ARGS_NAMES|REQUEST_COOKIES|REQUEST_COOKIES_NAMES|REQUEST_HEADERS|XML:/*|XML://@* "@detectSQLi" \
    "id:2,phase:2,block,capture,t:none,t:utf8toUnicode,t:urlDecodeUni,t:removeNulls,multiMatch,msg:'%{TX.0} in %{MATCHED_VAR_NAME}',\
    setvar:'tx.score_%{MATCHED_VAR_NAME}=+%{tx.limit}'"
SecRule ARGS|REQUEST_BODY|REQUEST_HEADERS|!REQUEST_HEADERS:Host "@detectXSS" \
    "id:3,phase:2,pass,t:none,t:urlDecodeUni,t:htmlEntityDecode,t:jsDecode,t:cssDecode"
SecRule ARGS|FILES|REQUEST_URI_RAW "@rx (?i)(\.\./|select\s+.*from|<script)" \
    "id:4,phase:2,pass,capture,t:none,t:normalizePathWin,t:cmdLine,chain"
SecRule MATCHED_VARS "!@within %{tx.words}" "setvar:'tx.seen_%{tx.1}=1'"
SecRule TX:/^s/ "@gt 2" "id:5,phase:2,pass,msg:'%{MATCHED_VAR_NAME}'"
SecRule REQUEST_HEADERS:User-Agent "@pm nikto sqlmap" "id:6,phase:1,deny,status:403"
SecRule &ARGS "@gt 20" "id:7,phase:2,pass"
SecRule ARGS "@validateByteRange 32-126" "id:8,phase:2,pass,t:base64Decode,t:hexEncode,t:length"
SecRule RESPONSE_BODY|RESPONSE_HEADERS "@contains error" "id:9,phase:4,pass"
SecRule MULTIPART_PART_HEADERS "@rx ^content-type:(.*)$" "id:10,phase:2,pass,capture,t:lowercase,logdata:'%{TX.1}'"
"#;

static COMPILED: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
    let mut files = RuleFiles::new();
    files.insert("defaults.conf", DEFAULTS.to_vec());
    files.insert("rules.conf", RULES.as_bytes().to_vec());
    Arc::new(Compiler::new().compile(&files, &["defaults.conf", "rules.conf"]).expect("the rules compile"))
});

/// Parts of the input, separated by a byte that none of them needs.
fn run(transaction: &mut Transaction, data: &[u8], piece: usize) -> Vec<(u64, String)> {
    let mut parts = data.splitn(4, |byte| *byte == 0x1e);
    let mut part = || parts.next().unwrap_or_default();
    let (target, headers, body, response) = (part(), part(), part(), part());
    transaction.request_line(b"POST", target, b"HTTP/1.1");
    for line in headers.split(|byte| *byte == b'\n').take(64) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        transaction.request_header(&line[..colon], line.get(colon + 1..).unwrap_or_default());
    }
    transaction.request_headers_end();
    for chunk in body.chunks(piece) {
        transaction.request_body(chunk);
    }
    transaction.request_body_end();
    transaction.response_line(200, b"HTTP/1.1");
    transaction.response_header(b"Content-Type", b"text/html");
    transaction.response_headers_end();
    for chunk in response.chunks(piece) {
        transaction.response_body(chunk);
    }
    transaction.response_body_end();
    transaction.log();
    let _ = transaction.audit();
    transaction.events().iter().map(|event| (event.rule.id, event.matched.name.clone())).collect()
}

fuzz_target!(|data: &[u8]| {
    let mut transaction = Transaction::new(Arc::clone(&COMPILED));
    let whole = run(&mut transaction, data, usize::MAX);
    transaction.reset(Arc::clone(&COMPILED));
    assert_eq!(run(&mut transaction, data, 7), whole);
});
