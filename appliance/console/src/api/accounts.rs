//! Users and API keys. The vault keeps them, decides and records; secrets pass through here once, on their way to who asked.

use super::App;
use super::caller::Caller;
use super::extract::{Body, Segment};
use super::model::{ApiKey, Failure, IssuedApiKey, NewApiKey, NewUser, OneTimePassword, User, UserChange};
use crate::error::ApiError;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use redan_ipc::messages::accounts::{AccountReply, AccountRequest};
use redan_types::{RecordId, RoleName, SecretString, UserName};

/// All users.
#[utoipa::path(get, path = "/api/v1/users", tag = "access", responses((status = 200, body = [User])))]
pub(super) async fn users(State(app): State<App>, caller: Caller) -> Result<Json<Vec<User>>, ApiError> {
    match app.peers.vault.accounts(caller.actor(), AccountRequest::Users).await? {
        AccountReply::Users(users) => Ok(Json(users.into_iter().map(Into::into).collect())),
        reply => Err(other(reply)),
    }
}

/// Makes a user with a one-time password, which is in the answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/users", tag = "access", request_body = NewUser,
    responses((status = 200, body = OneTimePassword), (status = 422, body = Failure)))]
pub(super) async fn create_user(
    State(app): State<App>,
    caller: Caller,
    Body(user): Body<NewUser>,
) -> Result<Json<OneTimePassword>, ApiError> {
    let name = user_name(&user.name)?;
    let password = one_time()?;
    let roles = roles(&user.roles)?;
    let request = AccountRequest::CreateUser {
        name: name.clone(),
        roles,
        password: password.clone(),
    };
    done(app.peers.vault.accounts(caller.actor(), request).await?)?;
    Ok(Json(OneTimePassword {
        name: name.to_string(),
        password,
    }))
}

/// Changes a user's roles, or switches a user off or on.
#[utoipa::path(patch, path = "/api/v1/users/{name}", tag = "access", params(("name" = String, Path)), request_body = UserChange,
    responses((status = 204), (status = 422, body = Failure)))]
pub(super) async fn change_user(
    State(app): State<App>,
    caller: Caller,
    Segment(name): Segment<String>,
    Body(change): Body<UserChange>,
) -> Result<StatusCode, ApiError> {
    let name = user_name(&name)?;
    if let Some(wanted) = &change.roles {
        let request = AccountRequest::SetRoles {
            name: name.clone(),
            roles: roles(wanted)?,
        };
        done(app.peers.vault.accounts(caller.actor(), request).await?)?;
    }
    if let Some(enabled) = change.enabled {
        let request = AccountRequest::SetEnabled {
            name: name.clone(),
            enabled,
        };
        done(app.peers.vault.accounts(caller.actor(), request).await?)?;
        if !enabled {
            app.live.sessions().ended_of(&name, None);
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a user a new one-time password; the user's sessions end.
#[utoipa::path(post, path = "/api/v1/users/{name}/reset", tag = "access", params(("name" = String, Path)),
    responses((status = 200, body = OneTimePassword)))]
pub(super) async fn reset_user(
    State(app): State<App>,
    caller: Caller,
    Segment(name): Segment<String>,
) -> Result<Json<OneTimePassword>, ApiError> {
    let name = user_name(&name)?;
    let request = AccountRequest::ResetPassword { name: name.clone() };
    let (_, password) = secret(app.peers.vault.accounts(caller.actor(), request).await?)?;
    app.live.sessions().ended_of(&name, None);
    Ok(Json(OneTimePassword {
        name: name.to_string(),
        password,
    }))
}

/// All API keys, without their secrets.
#[utoipa::path(get, path = "/api/v1/keys", tag = "access", responses((status = 200, body = [ApiKey])))]
pub(super) async fn keys(State(app): State<App>, caller: Caller) -> Result<Json<Vec<ApiKey>>, ApiError> {
    match app.peers.vault.accounts(caller.actor(), AccountRequest::Keys).await? {
        AccountReply::Keys(keys) => Ok(Json(keys.into_iter().map(Into::into).collect())),
        reply => Err(other(reply)),
    }
}

/// Makes an API key, which is in the answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/keys", tag = "access", request_body = NewApiKey,
    responses((status = 200, body = IssuedApiKey), (status = 422, body = Failure)))]
pub(super) async fn create_key(
    State(app): State<App>,
    caller: Caller,
    Body(key): Body<NewApiKey>,
) -> Result<Json<IssuedApiKey>, ApiError> {
    if key.comment.chars().count() > 200 {
        return Err(ApiError::refused("What a key is for fits in 200 characters."));
    }
    let request = AccountRequest::CreateKey {
        owner: user_name(&key.owner)?,
        roles: roles(&key.roles)?,
        comment: key.comment,
    };
    issued(app.peers.vault.accounts(caller.actor(), request).await?).map(Json)
}

/// Gives a key a new secret; the one before works for 24 hours more.
#[utoipa::path(post, path = "/api/v1/keys/{id}/rotate", tag = "access", params(("id" = String, Path)),
    responses((status = 200, body = IssuedApiKey)))]
pub(super) async fn rotate_key(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment<String>,
) -> Result<Json<IssuedApiKey>, ApiError> {
    let request = AccountRequest::RotateKey { id: key_id(&id)? };
    let issued = issued(app.peers.vault.accounts(caller.actor(), request).await?)?;
    Ok(Json(IssuedApiKey { id, ..issued }))
}

/// Ends a key at once.
#[utoipa::path(delete, path = "/api/v1/keys/{id}", tag = "access", params(("id" = String, Path)), responses((status = 204)))]
pub(super) async fn revoke_key(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment<String>,
) -> Result<StatusCode, ApiError> {
    let request = AccountRequest::RevokeKey { id: key_id(&id)? };
    done(app.peers.vault.accounts(caller.actor(), request).await?)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The answer to a change without a secret.
pub(super) fn done(reply: AccountReply) -> Result<(), ApiError> {
    match reply {
        AccountReply::Done { .. } => Ok(()),
        reply => Err(other(reply)),
    }
}

/// The error for a reply that is not the one expected.
pub(super) fn other(reply: AccountReply) -> ApiError {
    match reply {
        AccountReply::Refused(reason) => ApiError::refused(reason),
        _ => ApiError::unavailable(
            "The vault does not answer; try again.",
            "the vault answered another question",
        ),
    }
}

fn secret(reply: AccountReply) -> Result<(Option<RecordId>, SecretString), ApiError> {
    match reply {
        AccountReply::Done {
            id,
            secret: Some(secret),
        } => Ok((id, secret)),
        reply => Err(other(reply)),
    }
}

fn issued(reply: AccountReply) -> Result<IssuedApiKey, ApiError> {
    let (id, key) = secret(reply)?;
    Ok(IssuedApiKey {
        id: id.map(|id| id.to_string()).unwrap_or_default(),
        key,
    })
}

fn user_name(text: &str) -> Result<UserName, ApiError> {
    UserName::parse(text).map_err(|error| ApiError::refused(error.to_string()))
}

fn roles(names: &[String]) -> Result<Vec<RoleName>, ApiError> {
    if names.is_empty() || names.len() > 32 {
        return Err(ApiError::refused("Between 1 and 32 roles are needed."));
    }
    let parsed = names.iter().map(|name| RoleName::parse(name));
    parsed
        .collect::<Result<_, _>>()
        .map_err(|error| ApiError::refused(error.to_string()))
}

fn key_id(text: &str) -> Result<RecordId, ApiError> {
    RecordId::parse(text).ok_or_else(|| ApiError::missing("There is no such key."))
}

/// A one-time password: 100 bits in five groups of letters and digits that are told apart easily.
fn one_time() -> Result<SecretString, ApiError> {
    // Without l, o, 0 and 1: 32 letters of 5 bits.
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0_u8; 20];
    getrandom::fill(&mut bytes).map_err(|error| ApiError::unavailable("No random numbers.", error.to_string()))?;
    let mut text = String::with_capacity(24);
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 && i % 4 == 0 {
            text.push('-');
        }
        if let Some(letter) = LETTERS.get(usize::from(byte & 31)) {
            text.push(char::from(*letter));
        }
    }
    Ok(SecretString::new(text))
}

#[cfg(test)]
mod tests {
    use super::one_time;

    #[test]
    fn one_time_passwords_have_five_groups_and_differ() {
        let (a, b) = (one_time().unwrap(), one_time().unwrap());
        assert_eq!(a.expose().split('-').map(str::len).collect::<Vec<_>>(), [4, 4, 4, 4, 4]);
        assert_ne!(a.expose(), b.expose());
    }
}
