//! Exceptions from what requests say of themselves: whatever a path and a parameter are called, the rule compiles, and it covers what it
//! says and nothing beside it.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use redan_types::Timestamp;
use redan_waf::{
    engine::Transaction,
    exception::{Record, RecordMatch, Sum, ValueClass, propose},
    seclang::{Compiler, EngineMode, RuleFiles},
};

fuzz_target!(|data: (String, String, String, String)| {
    let (path, key, other, excerpt) = data;
    let _ = ValueClass::of(&excerpt);
    let record = Record {
        id: 1,
        time: Timestamp(0),
        service: "shop".to_owned(),
        client: [192, 0, 2, 1].into(),
        path,
        level: 1,
        inbound: Sum { score: 5, threshold: 5 },
        outbound: Sum::default(),
        stopped_by: Some(949_110),
        blocked: true,
        matches: vec![RecordMatch {
            rule: 5,
            phase: 2,
            collection: "ARGS".to_owned(),
            key,
            excerpt,
            points: 5,
            level: 1,
        }],
    };
    let Ok(proposal) = propose(&record, 0, None, "a reason") else { return };
    let exception = proposal.exception;
    let _ = exception.toml();
    let mut files = RuleFiles::new();
    let rule = "SecRule ARGS \"@streq evil\" \"id:5,phase:2,pass\"\n";
    files.insert("r.conf", format!("{}{rule}", exception.seclang(1)).into_bytes());
    let rules = Compiler::new().compile(&files, &["r.conf"]).unwrap_or_else(|error| panic!("{error}: {}", exception.seclang(1)));
    let rules = Arc::new(rules);
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    for name in [&record.matches[0].key, &other] {
        let mut transaction = Transaction::new(Arc::clone(&rules));
        transaction.set_mode(EngineMode::On);
        let target = format!("/{}?{}=evil", encode(&record.path[1..]), encode(name));
        transaction.request_line(b"GET", target.as_bytes(), b"HTTP/1.1");
        transaction.request_headers_end();
        transaction.request_body_end();
        let found = transaction.events().iter().any(|event| event.rule.id == 5);
        assert_eq!(found, !exception.covers("shop", &transaction.path(), 5, "ARGS", name), "{}", exception.seclang(1));
    }
});
