//! What opens the vault. While it is sealed nobody can sign in: whoever brings the recovery needs nothing else.

use super::App;
use super::caller::{Caller, Client};
use super::extract::Body;
use super::model::{Failure, Seal, SealDetails, SealRecovery, SealShare};
use crate::error::ApiError;
use axum::Json;
use axum::extract::State;
use redan_ipc::messages::audit::Actor;
use redan_ipc::messages::seal::{SealReply, SealRequest, SealStatus, Unsealing};
use std::time::Duration;

/// The longest share as it may be typed, with all its spaces.
const LONGEST: usize = 512;
/// How long somebody waits for others who bring theirs.
const TURN: Duration = Duration::from_secs(5);

/// Whether the vault is open.
#[utoipa::path(get, path = "/api/v1/seal", tag = "seal", responses((status = 200, body = Seal), (status = 503, body = Failure)))]
pub(super) async fn state(State(app): State<App>, client: Client) -> Result<Json<Seal>, ApiError> {
    let status = ask(&app, Actor::Anonymous, client, SealRequest::Status).await?;
    Ok(Json(brief(status)))
}

/// What opens the vault.
#[utoipa::path(get, path = "/api/v1/seal/details", tag = "seal", responses((status = 200, body = SealDetails), (status = 503, body = Failure)))]
pub(super) async fn details(State(app): State<App>, caller: Caller) -> Result<Json<SealDetails>, ApiError> {
    let status = ask(&app, caller.actor(), caller.client, SealRequest::Status).await?;
    Ok(Json(status.into()))
}

/// Closes the vault: nothing that needs it succeeds until somebody brings the recovery.
#[utoipa::path(post, path = "/api/v1/seal", tag = "seal", responses((status = 200, body = SealDetails), (status = 422, body = Failure)))]
pub(super) async fn seal(State(app): State<App>, caller: Caller) -> Result<Json<SealDetails>, ApiError> {
    let status = ask(&app, caller.actor(), caller.client, SealRequest::Seal).await?;
    Ok(Json(status.into()))
}

/// Brings the recovery key, or one share of it; with enough of them the vault is open when this answers.
#[utoipa::path(post, path = "/api/v1/seal/unseal", tag = "seal", request_body = SealShare,
    responses((status = 200, body = Seal), (status = 422, body = Failure), (status = 429, body = Failure)))]
pub(super) async fn unseal(
    State(app): State<App>,
    client: Client,
    Body(SealShare { share }): Body<SealShare>,
) -> Result<Json<Seal>, ApiError> {
    if share.expose().len() > LONGEST {
        return Err(ApiError::refused("This is not a recovery key or share."));
    }
    let turn = tokio::time::timeout(TURN, app.logins.acquire()).await;
    let _turn = turn.map_err(|_| ApiError::too_many("Others bring their shares at this moment; try again.", 5))?;
    let status = ask(&app, Actor::Anonymous, client, SealRequest::Unseal { share }).await?;
    Ok(Json(brief(status)))
}

async fn ask(app: &App, actor: Actor, client: Client, request: SealRequest) -> Result<SealStatus, ApiError> {
    match app.peers.vault.seal(actor, client.address(), request).await? {
        SealReply::Status(status) => Ok(status),
        SealReply::Recovery(_) => Err(ApiError::unavailable(
            "The vault does not answer; try again.",
            "it answered another question",
        )),
    }
}

fn brief(status: SealStatus) -> Seal {
    Seal {
        sealed: status.sealed,
        threshold: status.recovery.map(|recovery| recovery.shape.threshold),
        gathered: status.gathered,
    }
}

impl From<SealStatus> for SealDetails {
    fn from(status: SealStatus) -> Self {
        Self {
            sealed: status.sealed,
            device: status.device,
            sealed_to: status.sealed_to,
            automatic: status.unsealing == Unsealing::Automatic,
            recovery: status.recovery.map(|recovery| SealRecovery {
                generation: recovery.generation,
                shares: recovery.shape.shares,
                threshold: recovery.shape.threshold,
                made: recovery.made.to_string(),
            }),
            gathered: status.gathered,
        }
    }
}
