//! `redan block`, `unblock`, `blocklist`, `counters`.

use std::time::SystemTime;

use redan_ipc::messages::manager::{OperatorReply, OperatorRequest};
use redan_ipc::messages::network::{Block, Counter, CounterName, NetworkReply, NetworkRequest};
use redan_types::{Cidr, Timestamp};

use crate::Output;
use crate::appliance::Appliance;
use crate::cli::BlockArguments;
use crate::error::CommandError;
use crate::table::{span, table};

pub(crate) fn block(appliance: &Appliance, arguments: BlockArguments) -> Result<Output, CommandError> {
    let BlockArguments { network, time, reason } = arguments;
    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    done(
        appliance,
        NetworkRequest::Block {
            network,
            seconds,
            reason,
        },
    )?;
    Ok(Output::text(format!("{network} is cut off for {}\n", span(time))))
}

pub(crate) fn unblock(appliance: &Appliance, network: Cidr) -> Result<Output, CommandError> {
    done(appliance, NetworkRequest::Unblock { network })?;
    Ok(Output::text(format!("{network} is let in again\n")))
}

pub(crate) fn blocklist(appliance: &Appliance) -> Result<Output, CommandError> {
    let NetworkReply::Blocklist(blocks) = ask(appliance, NetworkRequest::Blocklist)? else {
        return Err(CommandError::Answer("what came"));
    };
    let now = Timestamp::from_system(SystemTime::now());
    let rows: Vec<Vec<String>> = blocks
        .into_iter()
        .map(|Block { network, until, reason }| {
            let left = until.map_or_else(|| "by configuration".to_owned(), |until| span(until.since(now)));
            vec![network.to_string(), left, reason]
        })
        .collect();
    Ok(Output::text(table(&["NETWORK", "FOR", "REASON"], &rows)))
}

pub(crate) fn counters(appliance: &Appliance) -> Result<Output, CommandError> {
    let NetworkReply::Counters(counters) = ask(appliance, NetworkRequest::Counters)? else {
        return Err(CommandError::Answer("what came"));
    };
    let rows: Vec<Vec<String>> = counters
        .into_iter()
        .map(|Counter { name, packets, bytes }| {
            let (name, kind) = match name {
                CounterName::BuiltIn(name) => (name, "built in"),
                CounterName::Policy(name) => (name.to_string(), "policy"),
            };
            vec![name, kind.to_owned(), packets.to_string(), bytes.to_string()]
        })
        .collect();
    Ok(Output::text(table(&["RULE", "KIND", "PACKETS", "BYTES"], &rows)))
}

fn done(appliance: &Appliance, request: NetworkRequest) -> Result<(), CommandError> {
    match ask(appliance, request)? {
        NetworkReply::Done => Ok(()),
        _ => Err(CommandError::Answer("what came")),
    }
}

fn ask(appliance: &Appliance, request: NetworkRequest) -> Result<NetworkReply, CommandError> {
    match appliance.ask(&OperatorRequest::Network(request))? {
        OperatorReply::Network(NetworkReply::Refused(reason)) => Err(CommandError::Refused(reason)),
        OperatorReply::Network(reply) => Ok(reply),
        _ => Err(CommandError::Answer("what came")),
    }
}
