//! The rule language by what it does: small rule sets, whole transactions.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use std::{net::IpAddr, sync::Arc};

use redan_types::Timestamp;
use redan_waf::{
    engine::{Connection, Exceeded, MemoryCollections, RuleSet, Stop, Transaction},
    seclang::{Compiler, RuleFiles},
};

fn compile(text: &str) -> Result<RuleSet, String> {
    let mut files = RuleFiles::new();
    files.insert("r.conf", text.as_bytes().to_vec());
    files.insert("words.data", b"# a comment\nneedle\n".to_vec());
    files.insert("unicode.mapping", b"20127 (US-ASCII)\n00e9:65 2126:4f\n".to_vec());
    Compiler::new()
        .compile(&files, &["r.conf"])
        .map_err(|error| error.to_string())
}

fn rules(text: &str) -> Arc<RuleSet> {
    let text = format!("SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n{text}");
    Arc::new(compile(&text).unwrap_or_else(|error| panic!("{error}")))
}

fn begin(rules: &Arc<RuleSet>) -> Transaction {
    let mut transaction = Transaction::new(Arc::clone(rules));
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let connection = Connection {
        client: address,
        client_port: 1,
        server: address,
        server_port: 443,
    };
    transaction.connection(&connection, "id", Timestamp(1_000_000_000_000_000));
    transaction
}

/// Sends `GET target` with a body if there is one; the ids that matched.
fn ids(rules: &Arc<RuleSet>, target: &str, headers: &[(&str, &str)], body: &str) -> Vec<u64> {
    let mut transaction = begin(rules);
    run(&mut transaction, target, headers, body);
    transaction.events().iter().map(|event| event.rule.id).collect()
}

fn run(transaction: &mut Transaction, target: &str, headers: &[(&str, &str)], body: &str) {
    transaction.request_line(b"GET", target.as_bytes(), b"HTTP/1.1");
    for (name, value) in headers {
        transaction.request_header(name.as_bytes(), value.as_bytes());
    }
    transaction.request_headers_end();
    transaction.request_body(body.as_bytes());
    transaction.request_body_end();
    transaction.log();
}

#[test]
fn a_chain_matches_only_as_a_whole() {
    let rules = rules(
        "SecRule ARGS:a \"@streq x\" \"id:1,phase:1,pass,chain,setvar:tx.seen=1\"\n\
         SecRule ARGS:b \"@streq y\" \"setvar:tx.both=1\"\n\
         SecRule TX:seen \"@eq 1\" \"id:2,phase:1,pass\"\n\
         SecRule TX:both \"@eq 1\" \"id:3,phase:1,pass\"",
    );
    assert_eq!(
        ids(&rules, "/?a=x&b=z", &[], ""),
        [2],
        "actions of the first rule run although the chain fails"
    );
    assert_eq!(ids(&rules, "/?a=x&b=y", &[], ""), [1, 2, 3]);
    assert!(ids(&rules, "/?a=w&b=y", &[], "").is_empty());
}

#[test]
fn markers_and_skips_jump_within_the_phase() {
    let rules = rules(
        "SecRule ARGS:a \"@streq x\" \"id:1,phase:1,pass,skipAfter:END\"\n\
         SecAction \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:2,pass\"\nSecMarker END\n\
         SecRule ARGS:a \"@streq y\" \"id:4,phase:1,pass,skip:1\"\n\
         SecAction \"id:5,phase:1,pass\"\nSecAction \"id:6,phase:1,pass\"",
    );
    assert_eq!(ids(&rules, "/?a=x", &[], ""), [1, 5, 6, 3]);
    assert_eq!(ids(&rules, "/?a=y", &[], ""), [2, 4, 6, 3]);
}

#[test]
fn counts_exceptions_and_patterns_select_targets() {
    let rules = rules(
        "SecRule &ARGS \"@eq 2\" \"id:1,phase:1,pass\"\n\
         SecRule ARGS|!ARGS:b \"@streq v\" \"id:2,phase:1,pass\"\n\
         SecRule ARGS:/^x_/ \"@streq v\" \"id:3,phase:1,pass\"\n\
         SecRule &REQUEST_HEADERS:Host \"@eq 0\" \"id:4,phase:1,pass\"\n\
         SecRule ARGS_NAMES|!ARGS_NAMES:/^[ab]$/ \"@rx .\" \"id:5,phase:1,pass\"",
    );
    assert_eq!(ids(&rules, "/?b=v&a=w", &[("host", "h")], ""), [1]);
    assert_eq!(ids(&rules, "/?X_1=v", &[], ""), [2, 3, 4, 5]);
}

#[test]
fn macros_are_resolved_in_arguments_messages_and_names() {
    let rules = rules(
        "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.limit=3,setvar:'tx.words=a b'\"\n\
         SecRule ARGS \"@gt %{tx.limit}\" \"id:2,phase:1,pass,msg:'%{MATCHED_VAR_NAME} is %{MATCHED_VAR}',\
         setvar:'tx.seen_%{MATCHED_VAR_NAME}=+%{tx.limit}'\"\n\
         SecRule ARGS \"@within %{tx.words}\" \"id:3,phase:1,pass\"\n\
         SecRule TX:/^seen_/ \"@eq 3\" \"id:4,phase:1,pass,msg:'%{MATCHED_VAR_NAME}'\"",
    );
    let mut transaction = begin(&rules);
    run(&mut transaction, "/?n=4&w=b", &[], "");
    let told: Vec<_> = transaction
        .events()
        .iter()
        .map(|event| (event.rule.id, event.message.as_str()))
        .collect();
    assert_eq!(told, [(2, "ARGS:n is 4"), (3, ""), (4, "TX:seen_args:n")]);
    assert_eq!(transaction.tx("seen_args:n").as_deref(), Some("3"));
}

#[test]
fn captures_reach_the_chain_and_the_message() {
    let rules = rules(
        "SecRule ARGS \"@rx ^(\\d+)-(\\d+)$\" \"id:1,phase:1,pass,capture,chain,logdata:'%{tx.1}'\"\n\
         SecRule TX:2 \"@lt %{tx.1}\" \"t:none\"",
    );
    assert_eq!(ids(&rules, "/?a=5-3", &[], ""), [1]);
    assert!(ids(&rules, "/?a=3-5", &[], "").is_empty());
}

#[test]
fn every_matching_value_counts() {
    let rules = rules(
        "SecRule ARGS \"@contains x\" \"id:1,phase:1,pass,setvar:tx.score=+5\"\n\
         SecRule TX:score \"@ge 10\" \"id:2,phase:1,deny,status:418\"",
    );
    let mut transaction = begin(&rules);
    transaction.request_line(b"GET", b"/?a=x&b=xx&c=y", b"HTTP/1.1");
    let verdict = transaction.request_headers_end().unwrap();
    assert_eq!(
        (verdict.status, verdict.stop, verdict.rule, verdict.phase),
        (418, Stop::Deny, 2, 1)
    );
    assert_eq!(transaction.events().len(), 3);
}

#[test]
fn multi_match_looks_at_every_stage() {
    let text = "SecRule ARGS \"@contains A%41\" \"id:1,phase:1,pass,t:urlDecode,t:lowercase,MODE\"";
    assert!(ids(&rules(&text.replace(",MODE", "")), "/?a=A%2541", &[], "").is_empty());
    assert_eq!(
        ids(&rules(&text.replace("MODE", "multiMatch")), "/?a=A%2541", &[], ""),
        [1]
    );
}

#[test]
fn block_does_what_the_default_action_says() {
    let text = "SecDefaultAction \"phase:1,log,auditlog,deny,status:406,t:lowercase\"\n\
                SecRule ARGS \"@streq x\" \"id:1,phase:1,block\"";
    let mut transaction = begin(&rules(text));
    transaction.request_line(b"GET", b"/?a=X", b"HTTP/1.1");
    assert_eq!(transaction.request_headers_end().unwrap().status, 406);
    let passing = text.replace("deny,status:406", "pass");
    assert_eq!(ids(&rules(&passing), "/?a=x", &[], ""), [1]);
}

#[test]
fn redirects_drops_and_allows_are_verdicts() {
    let rules = rules(
        "SecRule ARGS:a \"@streq 1\" \"id:1,phase:1,redirect:'https://x/%{tx.0}'\"\n\
         SecRule ARGS:a \"@streq 2\" \"id:2,phase:1,drop\"\n\
         SecRule ARGS:a \"@streq 3\" \"id:3,phase:1,allow\"\n\
         SecRule ARGS:a \"@streq 4\" \"id:4,phase:1,allow:phase\"\n\
         SecAction \"id:5,phase:1,pass\"\nSecAction \"id:6,phase:2,pass\"",
    );
    let verdict = |target: &str| {
        let mut transaction = begin(&rules);
        transaction.request_line(b"GET", target.as_bytes(), b"HTTP/1.1");
        transaction.request_headers_end()
    };
    let redirect = verdict("/?a=1").unwrap();
    assert_eq!(
        (redirect.status, redirect.stop),
        (302, Stop::Redirect("https://x/".into()))
    );
    assert_eq!(verdict("/?a=2").unwrap().stop, Stop::Drop);
    assert_eq!(ids(&rules, "/?a=3", &[], ""), [3]);
    assert_eq!(ids(&rules, "/?a=4", &[], ""), [4, 6]);
}

#[test]
fn detection_reports_and_never_stops() {
    let rules = rules(
        "SecRuleEngine DetectionOnly\nSecRule ARGS \"@streq x\" \"id:1,phase:1,deny\"\nSecAction \"id:2,phase:1,pass\"",
    );
    let mut transaction = begin(&rules);
    run(&mut transaction, "/?a=x", &[], "");
    assert_eq!(transaction.intervention(), None);
    assert_eq!(transaction.events().len(), 2);
    assert_eq!(transaction.events()[0].stop, Some(Stop::Deny));
}

#[test]
fn ctl_changes_this_transaction_only() {
    let rules = rules(
        "SecRule ARGS:off \"@streq id\" \"id:1,phase:1,pass,nolog,ctl:ruleRemoveById=10-11\"\n\
         SecRule ARGS:off \"@streq tag\" \"id:2,phase:1,pass,nolog,ctl:ruleRemoveByTag=^b$\"\n\
         SecRule ARGS:off \"@streq target\" \"id:3,phase:1,pass,nolog,ctl:ruleRemoveTargetById=10;ARGS:a\"\n\
         SecRule ARGS:off \"@streq targets\" \"id:4,phase:1,pass,nolog,ctl:ruleRemoveTargetById=10;ARGS:a,\
         ctl:ruleRemoveTargetByTag=b;ARGS:/^b/\"\n\
         SecRule ARGS:off \"@streq engine\" \"id:5,phase:1,pass,nolog,ctl:ruleEngine=Off\"\n\
         SecRule ARGS|!ARGS:off \"@contains x\" \"id:10,phase:1,pass,tag:a,tag:b\"\n\
         SecRule ARGS:a \"@contains x\" \"id:11,phase:2,pass,tag:c\"",
    );
    let seen = |target: &str| {
        let mut transaction = begin(&rules);
        transaction.report_all_matches();
        run(&mut transaction, target, &[], "");
        let told = transaction.events().iter().filter(|event| event.rule.id >= 10);
        told.map(|event| event.matched.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(seen("/?a=x&bb=x"), ["ARGS:a", "ARGS:bb", "ARGS:a"]);
    assert!(seen("/?off=id&a=x").is_empty());
    assert_eq!(seen("/?off=tag&a=x&bb=x"), ["ARGS:a"]);
    assert_eq!(seen("/?off=target&a=x&bb=x"), ["ARGS:bb", "ARGS:a"]);
    assert_eq!(seen("/?off=targets&a=x&bb=x"), ["ARGS:a"]);
    assert!(seen("/?off=engine&a=x").is_empty());
}

#[test]
fn rules_are_removed_and_changed_by_directives() {
    let base = "SecRule ARGS \"@contains x\" \"id:1,phase:1,pass,tag:t,msg:'m one'\"\n\
                SecRule ARGS \"@contains x\" \"id:2,phase:1,pass,tag:u,msg:'m two'\"\n";
    let after = |directive: &str, target: &str| ids(&rules(&format!("{base}{directive}")), target, &[], "");
    assert_eq!(after("", "/?a=x"), [1, 2]);
    assert_eq!(after("SecRuleRemoveById 2 7-9", "/?a=x"), [1]);
    assert!(after("SecRuleRemoveById \"1 2\"", "/?a=x").is_empty());
    assert_eq!(after("SecRuleRemoveByTag ^t$", "/?a=x"), [2]);
    assert_eq!(after("SecRuleRemoveByMsg two", "/?a=x"), [1]);
    assert_eq!(after("SecRuleUpdateTargetById 1 \"!ARGS:a\"", "/?a=x"), [2]);
    assert_eq!(
        after("SecRuleUpdateTargetByTag u \"!ARGS:a,REQUEST_URI\"", "/?a=x"),
        [1, 2]
    );
    assert_eq!(
        after("SecRuleUpdateTargetByMsg one \"ARGS_NAMES\" \"ARGS\"", "/?a=x"),
        [2]
    );
    assert_eq!(after("SecRuleUpdateActionById 1 \"nolog\"", "/?a=x"), [2]);
}

#[test]
fn persistent_collections_outlive_the_transaction() {
    let rules = rules(
        "SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.hits=+1\"\n\
         SecRule IP:hits \"@gt 2\" \"id:2,phase:1,deny,status:429\"",
    );
    let kept = Arc::new(MemoryCollections::new(10, 1 << 20));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let mut transaction = begin(&rules);
        transaction.keep_in(Arc::<MemoryCollections>::clone(&kept));
        run(&mut transaction, "/", &[], "");
        statuses.push(transaction.intervention().map(|verdict| verdict.status));
    }
    assert_eq!(statuses, [None, None, Some(429)]);
}

#[test]
fn bodies_are_read_by_their_processor() {
    let rules = rules(
        "SecRule REQUEST_HEADERS:Content-Type \"@contains json\" \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
         SecRule REQUEST_HEADERS:Content-Type \"@contains xml\" \"id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
         SecRule ARGS_POST:a \"@streq x\" \"id:3,phase:2,pass\"\n\
         SecRule ARGS:json.a \"@streq x\" \"id:4,phase:2,pass\"\n\
         SecRule XML:/* \"@streq x\" \"id:5,phase:2,pass\"\n\
         SecRule REQBODY_ERROR \"@eq 1\" \"id:6,phase:2,pass\"\n\
         SecRule FILES \"@streq f.txt\" \"id:7,phase:2,pass,chain\"\nSecRule FILES_SIZES:u \"@eq 2\"",
    );
    let send = |kind: &str, body: &str| ids(&rules, "/", &[("Content-Type", kind)], body);
    assert_eq!(send("application/x-www-form-urlencoded", "a=x"), [3]);
    assert_eq!(send("application/json", "{\"a\":\"x\"}"), [4]);
    assert_eq!(send("application/json", "{\"a\":\"x\""), [4, 6]);
    assert_eq!(send("text/xml", "<r><a>x</a></r>"), [5]);
    let part = "--b\r\nContent-Disposition: form-data; name=\"u\"; filename=\"f.txt\"\r\n\r\nhi\r\n--b--\r\n";
    assert_eq!(send("multipart/form-data; boundary=b", part), [7]);
}

#[test]
fn a_part_with_an_empty_file_name_is_a_field_and_a_file() {
    let rules = rules(
        "SecRule ARGS:a \"@contains <script\" \"id:1,phase:2,pass\"\n\
         SecRule &FILES \"@eq 1\" \"id:2,phase:2,pass\"\n\
         SecRule MULTIPART_STRICT_ERROR|REQBODY_ERROR \"@eq 1\" \"id:3,phase:2,pass\"",
    );
    let send = |headers: &str| {
        let part = format!("--b\r\n{headers}\r\n\r\n<script>alert(1)</script>\r\n--b--\r\n");
        ids(
            &rules,
            "/",
            &[("Content-Type", "multipart/form-data; boundary=b")],
            &part,
        )
    };
    assert_eq!(
        send("Content-Disposition: form-data; name=\"a\"; filename=\"\""),
        [1, 2]
    );
    let field = "Content-Disposition: form-data; name=\"a\"";
    assert_eq!(send(&format!("{field}; filename=\"x\"\r\n{field}")), [3, 3]);
}

#[test]
fn a_document_type_that_hides_text_is_a_body_that_cannot_be_read() {
    let rules = rules(
        "SecRule REQUEST_HEADERS:Content-Type \"@contains xml\" \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
         SecRule REQBODY_ERROR \"@eq 1\" \"id:2,phase:2,pass\"\nSecRule XML:/* \"@contains <script\" \"id:3,phase:2,pass\"",
    );
    let send = |body: &str| ids(&rules, "/", &[("Content-Type", "text/xml")], body);
    assert_eq!(
        send("<!DOCTYPE a [<!ATTLIST a b CDATA \"&#60;script&#62;alert(1)\">]><a/>"),
        [2]
    );
    assert_eq!(
        send("<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>"),
        [2]
    );
    assert_eq!(send("<!DOCTYPE a [<!ENTITY x \"&#60;script>\">]><a>&x;</a>"), [3]);
}

#[test]
fn a_limit_is_noted_where_nothing_is_refused() {
    let rules = rules("SecRuleEngine DetectionOnly\nSecRequestBodyLimit 4\nSecRequestBodyLimitAction Reject");
    let mut transaction = begin(&rules);
    run(&mut transaction, "/", &[], "abcde");
    assert!(transaction.intervention().is_none());
    assert_eq!(transaction.exceeded(), Some(Exceeded::RequestBody));
    transaction.reset(Arc::clone(&rules));
    assert_eq!(transaction.exceeded(), None);
}

#[test]
fn what_macros_made_of_a_text_is_told() {
    let rules = rules(
        "SecRule ARGS:q \"@contains x\" \"id:1,phase:1,pass,msg:'in %{MATCHED_VAR_NAME}',logdata:'a %{MATCHED_VAR} b %{ARGS.q}',\
         tag:'plain',tag:'%{ARGS.q}'\"",
    );
    let mut transaction = begin(&rules);
    run(&mut transaction, "/?q=xy%ff", &[], "");
    let event = &transaction.events()[0];
    let made = |text: &str, made: &[std::ops::Range<usize>]| -> Vec<String> {
        made.iter().map(|range| text[range.clone()].to_owned()).collect()
    };
    assert_eq!(made(&event.message, &event.made.message), ["ARGS:q"]);
    assert_eq!(made(&event.data, &event.made.data), ["xy\u{fffd}", "xy\u{fffd}"]);
    assert_eq!(event.data, "a xy\u{fffd} b xy\u{fffd}");
    assert_eq!(
        (event.made.tags[0].len(), made(&event.tags[1], &event.made.tags[1])),
        (0, vec!["xy\u{fffd}".to_owned()])
    );
}

#[test]
fn a_body_over_its_limit_is_refused_or_passes_in_part() {
    let text = "SecRequestBodyLimit 4\nSecRequestBodyLimitAction ACTION\n\
                SecRule INBOUND_DATA_ERROR \"@eq 1\" \"id:1,phase:2,pass\"\n\
                SecRule REQUEST_BODY \"@streq abcd\" \"id:2,phase:2,pass\"";
    let mut transaction = begin(&rules(&text.replace("ACTION", "Reject")));
    transaction.request_line(b"POST", b"/", b"HTTP/1.1");
    transaction.request_headers_end();
    assert_eq!(transaction.request_body(b"ab"), None);
    assert_eq!(transaction.request_body(b"cde").unwrap().status, 413);
    assert_eq!(
        ids(&rules(&text.replace("ACTION", "ProcessPartial")), "/", &[], "abcde"),
        [1, 2]
    );
}

#[test]
fn responses_are_inspected_if_their_type_is() {
    let rules = rules("SecRule RESPONSE_STATUS|RESPONSE_BODY \"@rx ^(?:500|secret)$\" \"id:1,phase:4,deny\"");
    let send = |kind: &[u8], status| {
        let mut transaction = begin(&rules);
        run(&mut transaction, "/", &[], "");
        transaction.response_line(status, b"HTTP/1.1");
        transaction.response_header(b"Content-Type", kind);
        transaction.response_headers_end();
        transaction.response_body(b"sec");
        transaction.response_body(b"ret");
        transaction.response_body_end().map(|verdict| verdict.phase)
    };
    assert_eq!(send(b"text/html; charset=utf-8", 200), Some(4));
    assert_eq!(send(b"image/png", 200), None);
    assert_eq!(send(b"image/png", 500), Some(4));
}

#[test]
fn mistakes_are_reported_with_their_place() {
    for (text, wanted) in [
        ("SecRule ARGS \"@rx (\" \"id:1\"", "r.conf:1: operator"),
        ("\nSecRule ARGS @nosuch \"id:1\"", "r.conf:2: operator"),
        ("SecNoSuch On", "r.conf:1: unknown directive"),
        (
            "SecAction \"id:1,pass\"\nSecAction \"id:1,pass\"",
            "r.conf:2: rule id 1 is used twice",
        ),
        ("SecAction \"pass\"", "r.conf:1: the rule has no id"),
        (
            "SecAction \"id:1,pass,skipAfter:NOWHERE\"",
            "r.conf:1: no marker or rule",
        ),
        ("SecRule ARGS x \"id:1,chain\"", "r.conf:1: a chain is not continued"),
        (
            "SecRule ARGS x \"id:1,chain\"\nSecMarker A\nSecRule ARGS y",
            "r.conf:2: a chain is not continued",
        ),
        (
            "SecRule ARGS x \"id:1,chain\"\nSecRule ARGS y \"id:2\"",
            "r.conf:2: action \"id\" belongs",
        ),
        (
            "SecRule ARGS \"@pmFromFile nowhere.data\" \"id:1\"",
            "r.conf:1: operator",
        ),
        ("SecRule NOSUCH x \"id:1\"", "r.conf:1: unknown variable"),
        ("SecRule ARGS x \"id:1,t:nosuch\"", "r.conf:1: unknown transformation"),
        ("Include nowhere.conf", "r.conf:1: file"),
        ("Include r.conf", "r.conf:0: files include each other"),
        ("SecRuleEngine Perhaps", "r.conf:1: SecRuleEngine"),
        (
            "SecRule ARGS x \"id:1,msg:'%{nosuch.x}'\"",
            "r.conf:1: unknown variable",
        ),
        ("SecRuleScript x.lua \"id:1\"", "r.conf:1: SecRuleScript"),
    ] {
        let error = compile(text).unwrap_err();
        assert!(error.starts_with(wanted), "{text:?}: {error}");
    }
}

#[test]
fn data_files_are_read_beside_the_rules() {
    let rules = rules("SecRule ARGS \"@pmFromFile words.data\" \"id:1,phase:1,pass\"");
    assert_eq!(ids(&rules, "/?a=a+needle", &[], ""), [1]);
    assert!(ids(&rules, "/?a=a+comment", &[], "").is_empty());
}

#[test]
fn a_transaction_keeps_nothing_of_the_one_before() {
    let rules = rules(
        "SecRule &TX:x \"@eq 1\" \"id:1,phase:1,pass\"\nSecRule ARGS:a \"@streq x\" \"id:2,phase:1,pass,setvar:tx.x=1,setvar:tx.n_%{ARGS.a}=1,ctl:ruleRemoveById=3\"\n\
         SecAction \"id:3,phase:2,pass\"\nSecRule &TX:/^n_/ \"@gt 0\" \"id:4,phase:2,pass\"",
    );
    let mut transaction = begin(&rules);
    run(&mut transaction, "/?a=x", &[], "");
    transaction.reset(Arc::clone(&rules));
    run(&mut transaction, "/?a=y", &[], "");
    let ids: Vec<u64> = transaction.events().iter().map(|event| event.rule.id).collect();
    assert_eq!(ids, [3]);
}

#[test]
fn the_audit_record_masks_what_rules_say() {
    let rules = rules(
        "SecAuditEngine On\nSecAuditLogParts ABCFHZ\n\
         SecAction \"id:1,phase:1,pass,nolog,sanitiseArg:password,sanitiseRequestHeader:Authorization\"\n\
         SecRule ARGS:password \"@contains x\" \"id:2,phase:1,pass,msg:'found',logdata:'%{MATCHED_VAR}',severity:CRITICAL,tag:t\"",
    );
    let mut transaction = begin(&rules);
    run(
        &mut transaction,
        "/login?password=xyzzy",
        &[("Authorization", "Basic c2VjcmV0")],
        "",
    );
    assert!(transaction.wants_audit());
    let record = transaction.audit();
    assert!(!record.contains("xyzzy") && !record.contains("c2VjcmV0"), "{record}");
    assert!(
        record.contains("\"ruleId\":\"2\"") && record.contains("/login?***"),
        "{record}"
    );
}

#[test]
fn the_directives_of_a_stock_configuration_load() {
    let text = r#"
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\+|/)|text/)xml" \
     "id:'100',phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 131072
SecRequestBodyInMemoryLimit 131072
SecRequestBodyLimitAction Reject
SecRequestBodyJsonDepthLimit 512
SecArgumentsLimit 1000
SecRule MULTIPART_STRICT_ERROR "!@eq 0" \
"id:'101',phase:2,t:none,log,deny,status:400, \
msg:'Not strict: \
PE %{REQBODY_PROCESSOR_ERROR}, \
BQ %{MULTIPART_BOUNDARY_QUOTED}, \
FL %{MULTIPART_FILE_LIMIT_EXCEEDED}'"
SecPcreMatchLimit 1000
SecPcreMatchLimitRecursion 1000
SecRule TX:/^MSC_/ "!@streq 0" "id:'102',phase:2,t:none,deny,msg:'internal: %{MATCHED_VAR_NAME}'"
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml
SecResponseBodyLimit 524288
SecResponseBodyLimitAction ProcessPartial
SecTmpDir /tmp/
SecDataDir /tmp/
SecUploadDir /opt/upload/
SecUploadKeepFiles RelevantOnly
SecUploadFileMode 0600
SecDebugLog /var/log/debug.log
SecDebugLogLevel 3
SecAuditEngine RelevantOnly
SecAuditLogRelevantStatus "^(?:5|4(?!04))"
SecAuditLogParts ABIJDEFHZ
SecAuditLogType Serial
SecAuditLogFormat JSON
SecAuditLog /var/log/audit.log
SecAuditLogStorageDir /var/log/audit/
SecArgumentSeparator &
SecCookieFormat 0
SecUnicodeMapFile unicode.mapping 20127
SecStatusEngine On
SecGsbLookupDb GsbMalware.dat
SecHttpBlKey whdkfieyhtnf
SecConnEngine Off
SecHashEngine Off
SecWebAppId "app"
SecSensorId "s"
SecServerSignature "x"
SecCollectionTimeout 600
SecComponentSignature "component/1.0"
SecXmlExternalEntity Off
SecUploadFileLimit 10
SecTmpSaveUploadedFiles Off
SecParseXmlIntoArgs Off
"#;
    let rules = compile(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(rules.len(), 3);
    assert_eq!(rules.settings().request_body_limit, 13_107_200);
    assert_eq!(rules.settings().components, ["component/1.0"]);
}

#[test]
fn what_a_request_makes_grow_is_bounded() {
    let rules = rules(
        "SecRule REQUEST_HEADERS:Content-Type \"@contains json\" \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
         SecRule ARGS \"@unconditionalMatch\" \"id:2,phase:2,pass,setvar:'tx.x=%{tx.x}%{tx.x}xxxxxxxxxxxxxxxx',\
         msg:'%{MATCHED_VAR} %{tx.x}'\"\n\
         SecRule REQBODY_ERROR \"@eq 1\" \"id:3,phase:2,deny\"",
    );
    let mut transaction = begin(&rules);
    let fields: Vec<String> = (0..900).map(|at| format!("\"k{at}\":\"v\"")).collect();
    run(
        &mut transaction,
        "/",
        &[("Content-Type", "application/json")],
        &format!("{{{}}}", fields.join(",")),
    );
    assert!(transaction.tx("x").unwrap().len() <= 1 << 20);
    assert!(transaction.events().len() <= 256);
    assert!(transaction.events().iter().all(|event| event.message.len() < 40_000));

    let long = format!("{{\"{}\":{{{}}}}}", "k".repeat(100_000), fields.join(","));
    assert_eq!(ids(&rules, "/", &[("Content-Type", "application/json")], &long), [3]);
}

#[test]
fn the_map_of_code_points_is_heeded_by_url_decoding() {
    let text = "SecRule ARGS \"@streq cafe O\" \"id:1,phase:1,pass,t:none,t:urlDecodeUni\"";
    let mapped = rules(&format!("SecUnicodeMapFile unicode.mapping 20127\n{text}"));
    // The first decoding is the query string's own.
    assert_eq!(ids(&mapped, "/?a=caf%25u00e9%20%25u2126", &[], ""), [1]);
    assert!(ids(&rules(text), "/?a=caf%25u00e9%20%25u2126", &[], "").is_empty());
    for (text, wrong) in [
        (
            "SecUnicodeMapFile nothing.mapping 20127",
            "file \"nothing.mapping\" is not there",
        ),
        ("SecUnicodeMapFile unicode.mapping 1", "the file has no code page 1"),
        ("SecUnicodeMapFile unicode.mapping x", "is not a number"),
    ] {
        let error = compile(text).unwrap_err();
        assert!(error.contains(wrong), "{error}");
    }
}

#[test]
fn the_match_limit_bounds_backtracking() {
    let text = "SecRule ARGS \"@rx ^(?:(?:a|b|ab)*)(?=c)\" \"id:1,phase:1,pass\"\n\
                SecRule MSC_PCRE_LIMITS_EXCEEDED \"@eq 1\" \"id:2,phase:1,pass\"";
    let value = format!("/?a={}", "ab".repeat(400));
    let hard = format!("{value}dc");
    assert!(ids(&rules(&format!("SecPcreMatchLimit 1\n{text}")), &hard, &[], "").contains(&2));
    assert_eq!(
        ids(&rules(&format!("SecPcreMatchLimit 1\n{text}")), "/?a=abc", &[], ""),
        [1]
    );
    assert!(compile("SecPcreMatchLimit 0").is_err());
}

#[test]
fn an_operator_whose_argument_has_macros_follows_them() {
    let rules = rules(
        "SecAction \"id:1,phase:1,pass,nolog,setvar:'tx.word=%{args.w}'\"\n\
         SecRule ARGS:v \"@rx ^%{tx.word}$\" \"id:2,phase:1,pass\"",
    );
    for (word, value, found) in [
        ("a+", "aaa", true),
        ("b", "aaa", false),
        ("a+", "b", false),
        ("b", "b", true),
    ] {
        let target = format!("/?w={}&v={value}", word.replace('+', "%2b"));
        assert_eq!(!ids(&rules, &target, &[], "").is_empty(), found, "{word} {value}");
    }
}
