//! Keys that applications use without having them. The vault keeps the keys, decides by the table in the configuration who may do
//! what, counts and records; here JSON becomes messages. Content is standard Base64, since JSON carries no bytes.

use super::App;
use super::caller::Caller;
use super::extract::{Body, Segment};
use super::model::Failure;
use crate::error::ApiError;
use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redan_ipc::messages::transit::{KeyDescription, KeyKind, Plain, Sealed, Signed, TransitReply, TransitRequest};
use redan_types::{KeyName, SecretBytes, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// To be encrypted: at most 1,024 items and a mebibyte.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Plaintexts {
    items: Vec<Plaintext>,
}

/// An item to be encrypted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Plaintext {
    /// In Base64.
    #[schema(value_type = String, format = Byte)]
    plaintext: SecretString,
    /// Text that must be given again to decrypt it: the row, the tenant, the column.
    #[serde(default)]
    context: String,
}

/// To be decrypted, or encrypted anew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ciphertexts {
    items: Vec<Ciphertext>,
}

/// An item to be decrypted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ciphertext {
    /// As it was given out: `redan:v1:…`.
    ciphertext: String,
    /// As it was given when it was encrypted.
    #[serde(default)]
    context: String,
}

/// A data key asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DataKeyRequest {
    /// Bound to the sealed key.
    #[serde(default)]
    context: String,
    /// Whether the key itself is in the answer too; that needs the right to decrypt.
    #[serde(default)]
    reveal: bool,
}

/// To be signed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Inputs {
    /// Each in Base64.
    #[schema(value_type = Vec<String>)]
    items: Vec<SecretString>,
}

/// To be checked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignedInputs {
    items: Vec<SignedInput>,
}

/// A signature and what it is to be of.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignedInput {
    /// In Base64.
    #[schema(value_type = String, format = Byte)]
    input: SecretString,
    /// As it was given out: `redan:v1:…`.
    signature: String,
}

/// Which versions go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Trim {
    /// The oldest version that stays; what older ones sealed is lost for good.
    oldest: u32,
}

/// Answers in the order of the items.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Results {
    items: Vec<ItemResult>,
}

/// An item's answer: a value or an error.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct ItemResult {
    /// `redan:v1:…`; a plaintext in Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    value: Option<SecretString>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Whether each signature is good.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Verdicts {
    items: Vec<bool>,
}

/// A data key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DataKey {
    /// For safe keeping.
    sealed: String,
    /// In Base64, for use now, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    key: Option<SecretString>,
}

/// What is known of a key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Key {
    /// Its name.
    name: String,
    /// `aes256`, `ed25519`, `hmac` or `p256`.
    kind: &'static str,
    /// Whether the same plaintext and context give the same ciphertext.
    convergent: bool,
    /// Oldest first; the newest encrypts and signs.
    versions: Vec<KeyVersion>,
    /// Items since the vault's start.
    used: u64,
}

/// A version of a key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyVersion {
    /// Its number.
    number: u32,
    /// Made when, as RFC 3339 text in UTC.
    created: String,
    /// The `SubjectPublicKeyInfo` in Base64 (DER), of a key that signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
}

/// A key's versions and public halves.
#[utoipa::path(get, path = "/api/v1/transit/{key}", tag = "transit", params(("key" = String, Path)),
    responses((status = 200, body = Key), (status = 403, body = Failure)))]
pub(super) async fn describe(
    State(app): State<App>,
    caller: Caller,
    Segment(key): Segment<String>,
) -> Result<Json<Key>, ApiError> {
    description(ask(&app, &caller, &key, TransitRequest::Describe).await?)
}

/// Encrypts each item with the key's newest version.
#[utoipa::path(post, path = "/api/v1/transit/{key}/encrypt", tag = "transit", params(("key" = String, Path)), request_body = Plaintexts,
    responses((status = 200, body = Results), (status = 403, body = Failure)))]
pub(super) async fn encrypt(
    State(app): State<App>,
    caller: Caller,
    Segment(key): Segment<String>,
    Body(body): Body<Plaintexts>,
) -> Result<Json<Results>, ApiError> {
    let item = |item: Plaintext| {
        Ok(Plain {
            plaintext: bytes(&item.plaintext)?,
            context: item.context.into_bytes(),
        })
    };
    let items = body.items.into_iter().map(item).collect::<Result<_, ApiError>>()?;
    texts(ask(&app, &caller, &key, TransitRequest::Encrypt(items)).await?)
}

/// Decrypts each item.
#[utoipa::path(post, path = "/api/v1/transit/{key}/decrypt", tag = "transit", params(("key" = String, Path)), request_body = Ciphertexts,
    responses((status = 200, body = Results), (status = 403, body = Failure)))]
pub(super) async fn decrypt(
    State(app): State<App>,
    caller: Caller,
    Segment(key): Segment<String>,
    Body(body): Body<Ciphertexts>,
) -> Result<Json<Results>, ApiError> {
    match ask(&app, &caller, &key, TransitRequest::Decrypt(sealed(body))).await? {
        TransitReply::Plaintexts(items) => Ok(Json(Results {
            items: items
                .into_iter()
                .map(|item| result(item.map(|plain| base64(&plain))))
                .collect(),
        })),
        other => Err(refused(other)),
    }
}

/// Encrypts each item anew with the key's newest version; the plaintext stays in the vault.
#[utoipa::path(post, path = "/api/v1/transit/{key}/rewrap", tag = "transit", params(("key" = String, Path)), request_body = Ciphertexts,
    responses((status = 200, body = Results), (status = 403, body = Failure)))]
pub(super) async fn rewrap(
    State(app): State<App>,
    caller: Caller,
    Segment(key): Segment<String>,
    Body(body): Body<Ciphertexts>,
) -> Result<Json<Results>, ApiError> {
    texts(ask(&app, &caller, &key, TransitRequest::Rewrap(sealed(body))).await?)
}

/// Makes a key for the application's own use, sealed by this one.
#[utoipa::path(post, path = "/api/v1/transit/{key}/data-key", tag = "transit", params(("key" = String, Path)),
    request_body = DataKeyRequest, responses((status = 200, body = DataKey), (status = 403, body = Failure)))]
pub(super) async fn data_key(
    State(app): State<App>,
    caller: Caller,
    Segment(key): Segment<String>,
    Body(body): Body<DataKeyRequest>,
) -> Result<Json<DataKey>, ApiError> {
    let request = TransitRequest::DataKey {
        context: body.context.into_bytes(),
        reveal: body.reveal,
    };
    match ask(&app, &caller, &key, request).await? {
        TransitReply::DataKey { sealed, key } => Ok(Json(DataKey {
            sealed,
            key: key.map(|key| base64(&key)),
        })),
        other => Err(refused(other)),
    }
}

/// Signs each item, or authenticates it with a key of kind `hmac`.
#[utoipa::path(post, path = "/api/v1/transit/{key}/sign", tag = "transit", params(("key" = String, Path)), request_body = Inputs,
    responses((status = 200, body = Results), (status = 403, body = Failure)))]
pub(super) async fn sign(
    State(app): State<App>,
    caller: Caller,
    Segment(key): Segment<String>,
    Body(body): Body<Inputs>,
) -> Result<Json<Results>, ApiError> {
    let items = body.items.iter().map(bytes).collect::<Result<_, _>>()?;
    texts(ask(&app, &caller, &key, TransitRequest::Sign(items)).await?)
}

/// Checks each signature.
#[utoipa::path(post, path = "/api/v1/transit/{key}/verify", tag = "transit", params(("key" = String, Path)), request_body = SignedInputs,
    responses((status = 200, body = Verdicts), (status = 403, body = Failure)))]
pub(super) async fn verify(
    State(app): State<App>,
    caller: Caller,
    Segment(key): Segment<String>,
    Body(body): Body<SignedInputs>,
) -> Result<Json<Verdicts>, ApiError> {
    let item = |item: SignedInput| {
        Ok(Signed {
            input: bytes(&item.input)?,
            signature: item.signature,
        })
    };
    let items = body.items.into_iter().map(item).collect::<Result<_, ApiError>>()?;
    match ask(&app, &caller, &key, TransitRequest::Verify(items)).await? {
        TransitReply::Verified(items) => Ok(Json(Verdicts { items })),
        other => Err(refused(other)),
    }
}

/// Makes a new version of the key.
#[utoipa::path(post, path = "/api/v1/transit/{key}/rotate", tag = "transit", params(("key" = String, Path)),
    responses((status = 200, body = Key), (status = 403, body = Failure)))]
pub(super) async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Segment(key): Segment<String>,
) -> Result<Json<Key>, ApiError> {
    description(ask(&app, &caller, &key, TransitRequest::Rotate).await?)
}

/// Destroys old versions of the key, for good.
#[utoipa::path(post, path = "/api/v1/transit/{key}/trim", tag = "transit", params(("key" = String, Path)), request_body = Trim,
    responses((status = 200, body = Key), (status = 403, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn trim(
    State(app): State<App>,
    caller: Caller,
    Segment(key): Segment<String>,
    Body(body): Body<Trim>,
) -> Result<Json<Key>, ApiError> {
    description(ask(&app, &caller, &key, TransitRequest::Trim { oldest: body.oldest }).await?)
}

async fn ask(app: &App, caller: &Caller, key: &str, request: TransitRequest) -> Result<TransitReply, ApiError> {
    // A name that no key can have is a key that is not there.
    let key = KeyName::parse(key).map_err(|_| ApiError::not_authorised())?;
    Ok(app.peers.vault.transit(caller.actor(), key, request).await?)
}

fn texts(reply: TransitReply) -> Result<Json<Results>, ApiError> {
    match reply {
        TransitReply::Texts(items) => Ok(Json(Results {
            items: items
                .into_iter()
                .map(|item| result(item.map(SecretString::new)))
                .collect(),
        })),
        other => Err(refused(other)),
    }
}

fn result(item: Result<SecretString, String>) -> ItemResult {
    match item {
        Ok(value) => ItemResult {
            value: Some(value),
            error: None,
        },
        Err(error) => ItemResult {
            value: None,
            error: Some(error),
        },
    }
}

fn description(reply: TransitReply) -> Result<Json<Key>, ApiError> {
    match reply {
        TransitReply::Key(key) => Ok(Json(key.into())),
        other => Err(refused(other)),
    }
}

fn refused(reply: TransitReply) -> ApiError {
    match reply {
        TransitReply::Forbidden => ApiError::not_authorised(),
        TransitReply::Refused(why) => ApiError::refused(why),
        TransitReply::TooMany { wait } => ApiError::too_many(
            "This caller asks too often of this key.",
            u32::try_from(wait.div_ceil(1_000)).unwrap_or(u32::MAX),
        ),
        _ => ApiError::unavailable("The vault does not answer; try again.", "it answered another question"),
    }
}

fn sealed(body: Ciphertexts) -> Vec<Sealed> {
    let sealed = |item: Ciphertext| Sealed {
        ciphertext: item.ciphertext,
        context: item.context.into_bytes(),
    };
    body.items.into_iter().map(sealed).collect()
}

fn bytes(text: &SecretString) -> Result<SecretBytes, ApiError> {
    STANDARD
        .decode(text.expose())
        .map(SecretBytes::new)
        .map_err(|_| ApiError::malformed("An item is not standard Base64."))
}

fn base64(bytes: &SecretBytes) -> SecretString {
    SecretString::new(STANDARD.encode(bytes.expose()))
}

impl From<KeyDescription> for Key {
    fn from(key: KeyDescription) -> Self {
        Self {
            name: key.name.to_string(),
            kind: match key.kind {
                KeyKind::Aes256 => "aes256",
                KeyKind::Ed25519 => "ed25519",
                KeyKind::Hmac => "hmac",
                KeyKind::P256 => "p256",
            },
            convergent: key.convergent,
            versions: key
                .versions
                .into_iter()
                .map(|version| KeyVersion {
                    number: version.number,
                    created: version.created.to_string(),
                    public_key: version.public.map(|spki| STANDARD.encode(spki)),
                })
                .collect(),
            used: key.used,
        }
    }
}
