//! `redan waf events`: what rules found.

use std::time::SystemTime;

use redan_ipc::messages::manager::{OperatorReply, OperatorRequest};
use redan_ipc::messages::waf::{WafLimit, WafMatch, WafPage, WafQuery, WafRecord, WafReply, WafRequest};
use redan_types::Timestamp;
use serde_json::{Value, json};

use super::EventArguments;
use super::page::{value, wrapped};
use crate::Output;
use crate::appliance::Appliance;
use crate::error::CommandError;
use crate::table::{clean, table};

pub(crate) fn run(appliance: &Appliance, arguments: EventArguments) -> Result<Output, CommandError> {
    let json = arguments.json;
    if let Some(number) = arguments.event {
        let record = one(appliance, number)?;
        return Ok(Output::text(if json {
            told(number, &record).to_string()
        } else {
            full(number, &record)
        }));
    }
    let now = Timestamp::from_system(SystemTime::now());
    let query = WafQuery {
        from: arguments.from.map(|from| from.before(now)),
        until: arguments.until.map(|until| until.before(now)),
        service: arguments.service,
        rule: arguments.rule,
        client: arguments.client,
        path: arguments.path,
        blocked: match (arguments.refused, arguments.passed) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        },
        incident: arguments.incident,
        before: None,
        limit: arguments.limit,
    };
    let WafReply::Page(page) = ask(appliance, WafRequest::Search(query))? else {
        return Err(CommandError::Answer("what came"));
    };
    Ok(Output::text(if json {
        let events: Vec<Value> = page
            .records
            .iter()
            .map(|(number, record)| told(*number, record))
            .collect();
        json!({ "events": events, "kept": page.kept }).to_string()
    } else {
        list(&page)
    }))
}

fn ask(appliance: &Appliance, request: WafRequest) -> Result<WafReply, CommandError> {
    match appliance.ask(&OperatorRequest::Waf(request))? {
        OperatorReply::Waf(reply) => Ok(reply),
        _ => Err(CommandError::Answer("what came")),
    }
}

fn one(appliance: &Appliance, number: u64) -> Result<WafRecord, CommandError> {
    match ask(appliance, WafRequest::One(number))? {
        WafReply::One(record) => record.map(|record| *record).ok_or(CommandError::NoEvent(number)),
        WafReply::Page(_) => Err(CommandError::Answer("what came")),
    }
}

fn list(page: &WafPage) -> String {
    let rows: Vec<Vec<String>> = page
        .records
        .iter()
        .map(|(number, record)| {
            let rule = worst(record).map_or_else(String::new, |found| found.rule.to_string());
            vec![
                number.to_string(),
                record.time.to_string().chars().take(19).collect(),
                record.service.to_string(),
                record.client.to_string(),
                verdict(record).to_owned(),
                stopper(record),
                rule,
                format!("{} {}", record.method, record.path),
            ]
        })
        .collect();
    let mut text = table(
        &["EVENT", "TIME", "SERVICE", "CLIENT", "VERDICT", "BY", "RULE", "REQUEST"],
        &rows,
    );
    text.push_str(&format!("{} of {} events", rows.len(), page.kept));
    text.push_str(if page.next.is_some() {
        "; there are more: narrow the search or raise --limit\n"
    } else {
        "\n"
    });
    text
}

/// The match that counted most.
fn worst(record: &WafRecord) -> Option<&WafMatch> {
    record.matches.iter().rev().max_by_key(|found| found.score)
}

/// What refused the request, or would have. The match that counted most tells more, where a rule only sums up; both are shown.
fn stopper(record: &WafRecord) -> String {
    match record.stopped_by {
        Some(0) => "limit".to_owned(),
        Some(rule) => rule.to_string(),
        None => String::new(),
    }
}

fn verdict(record: &WafRecord) -> &'static str {
    match (record.blocked, record.stopped_by) {
        (true, _) => "refused",
        (false, Some(_)) => "would refuse",
        (false, None) => "recorded",
    }
}

fn full(number: u64, record: &WafRecord) -> String {
    let mut text = format!("Event {number}: {}\n\n", verdict(record));
    let mut line = |name: &str, value: &str| text.push_str(&wrapped(&format!("{name:<10}"), value));
    line("time", &record.time.to_string());
    line("service", record.service.as_str());
    line("client", &record.client.to_string());
    line(
        "request",
        &format!(
            "{} {}{} -> {}",
            clean(&record.method),
            clean(&record.host),
            value(&record.path),
            record.status
        ),
    );
    line("incident", &record.incident.to_string());
    line(
        "score",
        &format!(
            "{} of {}; response {} of {}; paranoia level {}",
            record.inbound.score,
            record.inbound.threshold,
            record.outbound.score,
            record.outbound.threshold,
            record.paranoia
        ),
    );
    if let Some(rule) = record.stopped_by.filter(|rule| *rule > 0) {
        line("by", &format!("rule {rule}"));
    }
    if let Some(limit) = record.limit {
        line("limit", limit.says());
    }
    for (place, found) in (1..).zip(&record.matches) {
        text.push('\n');
        text.push_str(&wrapped(
            &format!("match {place:<3} "),
            &format!("rule {}: {}", found.rule, clean(&found.message)),
        ));
        let part = name(found);
        for (name, shown) in [("in", &part), ("value", &found.excerpt), ("data", &found.data)] {
            if !shown.is_empty() {
                text.push_str(&wrapped(&format!("          {name:<6}"), &value(shown)));
            }
        }
        if found.score > 0 {
            text.push_str(&format!("          +{} points\n", found.score));
        }
    }
    if record.more > 0 {
        text.push_str(&format!("\n{} more matches are not kept\n", record.more));
    }
    if !record.audit.is_empty() {
        text.push_str(&format!("\n{}\n", clean(&record.audit)));
    }
    text
}

fn name(found: &WafMatch) -> String {
    if found.key.is_empty() {
        found.collection.clone()
    } else {
        format!("{}:{}", found.collection, found.key)
    }
}

fn told(number: u64, record: &WafRecord) -> Value {
    let matches: Vec<Value> = record
        .matches
        .iter()
        .map(|found| {
            json!({
                "rule": found.rule,
                "phase": found.phase,
                "message": found.message,
                "severity": found.severity,
                "tags": found.tags,
                "variable": name(found),
                "excerpt": found.excerpt,
                "data": found.data,
                "score": found.score,
            })
        })
        .collect();
    json!({
        "event": number,
        "time": record.time.to_string(),
        "service": record.service.as_str(),
        "route": record.route.as_ref().map(ToString::to_string),
        "incident": record.incident.to_string(),
        "client": record.client.to_string(),
        "method": record.method,
        "host": record.host,
        "path": record.path,
        "status": record.status,
        "blocked": record.blocked,
        "stopped_by": record.stopped_by,
        "inbound_score": record.inbound.score,
        "inbound_threshold": record.inbound.threshold,
        "outbound_score": record.outbound.score,
        "outbound_threshold": record.outbound.threshold,
        "matches": matches,
        "more_matches": record.more,
        "limit": record.limit.map(WafLimit::says),
        // It is JSON of its own.
        "audit": serde_json::from_str::<Value>(&record.audit).unwrap_or(Value::Null),
    })
}
