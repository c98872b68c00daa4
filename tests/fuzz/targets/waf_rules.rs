//! A rule file: it compiles or is refused with a place inside it, and what compiles runs.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use redan_waf::{
    engine::Transaction,
    seclang::{Compiler, EngineMode, RuleFiles},
};

fuzz_target!(|data: &[u8]| {
    let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
    let mut files = RuleFiles::new();
    files.insert("rules/r.conf", data.to_vec());
    files.insert("rules/words.data", b"one\ntwo\n".to_vec());
    match Compiler::new().compile(&files, &["rules/r.conf"]) {
        Err(error) => assert!(error.line <= lines, "{error}"),
        Ok(rules) => {
            let mut transaction = Transaction::new(Arc::new(rules));
            transaction.set_mode(EngineMode::On);
            transaction.request_line(b"GET", b"/a/b.php?one=two&x=%27", b"HTTP/1.1");
            transaction.request_header(b"Cookie", b"a=b; c");
            transaction.request_headers_end();
            transaction.request_body(b"one=two");
            transaction.request_body_end();
            transaction.response_line(200, b"HTTP/1.1");
            transaction.response_headers_end();
            transaction.response_body_end();
            transaction.log();
            let _ = transaction.audit();
        }
    }
});
