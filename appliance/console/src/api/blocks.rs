//! Addresses that the packet filter drops.

use super::caller::Caller;
use super::extract::{Body, Params};
use super::model::{Block, Failure, NewBlock};
use super::{Act, App};
use crate::error::ApiError;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use redan_ipc::messages::audit::Outcome;
use redan_ipc::messages::network::{NetworkReply, NetworkRequest};
use redan_types::Cidr;
use serde::Deserialize;

/// The longest block: 30 days.
const LONGEST: u32 = 30 * 86_400;

/// All blocks.
#[utoipa::path(get, path = "/api/v1/blocks", tag = "blocks", responses((status = 200, body = [Block])))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Vec<Block>>, ApiError> {
    match app.peers.network.ask(NetworkRequest::Blocklist).await? {
        NetworkReply::Blocklist(blocks) => Ok(Json(blocks.into_iter().map(Into::into).collect())),
        reply => Err(other(reply)),
    }
}

/// Cuts an address or network off; the block ends by itself.
#[utoipa::path(post, path = "/api/v1/blocks", tag = "blocks", request_body = NewBlock,
    responses((status = 204), (status = 422, body = Failure)))]
pub(super) async fn block(
    State(app): State<App>,
    caller: Caller,
    Body(block): Body<NewBlock>,
) -> Result<StatusCode, ApiError> {
    let network = network(&block.address)?;
    if block.seconds == 0 || block.seconds > LONGEST {
        return Err(ApiError::refused("A block lasts from 1 second to 30 days."));
    }
    let reason: String = block.reason.trim().to_owned();
    if reason.is_empty() || reason.chars().count() > 200 {
        return Err(ApiError::refused("Say why, in at most 200 characters."));
    }
    if network.contains(caller.client.address()) {
        return Err(ApiError::refused("That would cut your own address off."));
    }
    let request = NetworkRequest::Block {
        network,
        seconds: block.seconds,
        reason: reason.clone(),
    };
    let message = format!("for {} seconds: {reason}", block.seconds);
    act(&app, &caller, request, "network.blocked", network, message).await
}

/// Which block?
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// The address or network, exactly as blocked.
    address: String,
}

/// Lets an address or network in again.
#[utoipa::path(delete, path = "/api/v1/blocks", tag = "blocks", params(Which), responses((status = 204), (status = 422, body = Failure)))]
pub(super) async fn unblock(
    State(app): State<App>,
    caller: Caller,
    Params(which): Params<Which>,
) -> Result<StatusCode, ApiError> {
    let network = network(&which.address)?;
    act(
        &app,
        &caller,
        NetworkRequest::Unblock { network },
        "network.unblocked",
        network,
        String::new(),
    )
    .await
}

async fn act(
    app: &App,
    caller: &Caller,
    request: NetworkRequest,
    action: &str,
    network: Cidr,
    message: String,
) -> Result<StatusCode, ApiError> {
    let reply = app.peers.network.ask(request).await?;
    let (outcome, message) = match &reply {
        NetworkReply::Refused(reason) => (Outcome::Denied, reason.clone()),
        _ => (Outcome::Succeeded, message),
    };
    app.audit(
        caller,
        Act {
            action,
            resource: format!("address/{network}"),
            outcome,
            message,
        },
    )
    .await?;
    match reply {
        NetworkReply::Done => Ok(StatusCode::NO_CONTENT),
        reply => Err(other(reply)),
    }
}

fn network(text: &str) -> Result<Cidr, ApiError> {
    text.trim()
        .parse()
        .map_err(|error: redan_types::NetError| ApiError::refused(error.to_string()))
}

fn other(reply: NetworkReply) -> ApiError {
    match reply {
        NetworkReply::Refused(reason) => ApiError::refused(reason),
        _ => ApiError::unavailable(
            "The network service does not answer; try again.",
            "it answered another question",
        ),
    }
}
