//! New versions of the image. The bundle streams through; who checks and writes it is the update service.

use super::caller::Caller;
use super::extract::Params;
use super::model::{Failure, InstalledVersion, SystemVersions};
use super::{Act, App};
use crate::error::ApiError;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use futures_util::StreamExt as _;
use redan_ipc::messages::audit::Outcome;
use redan_ipc::messages::update::{PORTION, UpdateReply, UpdateRequest};
use serde::Deserialize;

/// Which versions there are.
#[utoipa::path(get, path = "/api/v1/system/update", tag = "system", responses((status = 200, body = SystemVersions)))]
pub(super) async fn versions(State(app): State<App>) -> Result<Json<SystemVersions>, ApiError> {
    match app.peers.update.ask(UpdateRequest::State).await? {
        UpdateReply::State(state) => Ok(Json(SystemVersions {
            running: state.running,
            security_version: state.security_version,
            on_probation: state.on_probation,
            next: state.next,
        })),
        reply => Err(other(reply)),
    }
}

/// What happens after the upload.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Then {
    /// Restart into the new version at once.
    #[serde(default)]
    restart: bool,
}

/// Installs a new version: the body is the bundle. It is tried once at the next start, and given up by itself if it does not work.
#[utoipa::path(post, path = "/api/v1/system/update", tag = "system", params(Then),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = InstalledVersion), (status = 422, body = Failure)))]
pub(super) async fn install(
    State(app): State<App>,
    caller: Caller,
    Params(then): Params<Then>,
    body: Body,
) -> Result<Json<InstalledVersion>, ApiError> {
    let Ok(_one) = app.updates.try_acquire() else {
        return Err(ApiError::conflict("Another version is being installed."));
    };
    let outcome = upload(&app, &caller, then.restart, body).await;
    let (outcome_word, message) = match &outcome {
        Ok(version) => (Outcome::Succeeded, format!("version {version}")),
        Err(Upload::Refused(why) | Upload::Broken(why)) => (Outcome::Failed, why.clone()),
        Err(Upload::Api(_)) => (Outcome::Failed, "the update service does not answer".to_owned()),
    };
    // Before the restart takes the connection away, or after a refusal: either way it is found in the log.
    app.audit(
        &caller,
        Act {
            action: "system.update",
            resource: "image".to_owned(),
            outcome: outcome_word,
            message,
        },
    )
    .await?;
    match outcome {
        Ok(version) => Ok(Json(InstalledVersion {
            version,
            restarting: then.restart,
        })),
        Err(Upload::Refused(why)) => Err(ApiError::refused(why)),
        Err(Upload::Broken(why)) => Err(ApiError::malformed(why)),
        Err(Upload::Api(error)) => Err(error),
    }
}

/// Why an upload ended.
enum Upload {
    Api(ApiError),
    Broken(String),
    Refused(String),
}

async fn upload(app: &App, caller: &Caller, restart: bool, body: Body) -> Result<String, Upload> {
    let ask = async |request| match app.peers.update.ask(request).await {
        Ok(UpdateReply::Refused(why)) => Err(Upload::Refused(why)),
        Ok(reply) => Ok(reply),
        Err(error) => Err(Upload::Api(error.into())),
    };
    ask(UpdateRequest::Begin {
        by: caller.actor().to_string(),
    })
    .await?;
    let mut stream = body.into_data_stream();
    while let Some(chunk) = stream.next().await {
        let Ok(chunk) = chunk else {
            // What was written so far is of no use to anybody; nothing of it is ever started.
            let _ = ask(UpdateRequest::Abort).await;
            return Err(Upload::Broken("The upload broke off.".to_owned()));
        };
        for portion in chunk.chunks(PORTION) {
            ask(UpdateRequest::Data(portion.to_vec())).await?;
        }
    }
    match ask(UpdateRequest::Finish { restart }).await? {
        UpdateReply::Installed { version } => Ok(version),
        reply => Err(Upload::Api(other(reply))),
    }
}

fn other(reply: UpdateReply) -> ApiError {
    match reply {
        UpdateReply::Refused(why) => ApiError::refused(why),
        _ => ApiError::unavailable(
            "The update service does not answer; try again.",
            "it answered another question",
        ),
    }
}
