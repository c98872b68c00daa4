//! The OpenAPI document, made from the handlers and types themselves.

use super::{accounts, audit, blocks, configuration, model, overview, seal, session, system, transit, waf};
use axum::Json;
use utoipa::OpenApi;

/// The whole API.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Redan console",
        description = "Everything that the console's pages do, for scripts: send an API key as `Authorization: Bearer redan_…`."
    ),
    paths(
        session::login,
        session::logout,
        session::password,
        session::current,
        seal::state,
        seal::seal,
        seal::details,
        seal::unseal,
        session::list,
        session::end,
        overview::overview,
        overview::services,
        overview::events,
        audit::search,
        audit::verify,
        audit::export,
        configuration::running,
        configuration::versions,
        configuration::version,
        configuration::diff,
        configuration::check,
        configuration::commit,
        configuration::confirm,
        configuration::rollback,
        accounts::users,
        accounts::create_user,
        accounts::change_user,
        accounts::reset_user,
        accounts::keys,
        accounts::create_key,
        accounts::rotate_key,
        accounts::revoke_key,
        blocks::list,
        blocks::block,
        blocks::unblock,
        system::versions,
        system::install,
        transit::describe,
        transit::encrypt,
        transit::decrypt,
        transit::rewrap,
        transit::data_key,
        transit::sign,
        transit::verify,
        transit::rotate,
        transit::trim,
        waf::events,
        waf::one,
        waf::preview,
    ),
    components(schemas(model::Sample, model::State, model::Refusal))
)]
pub struct Api;

/// The document.
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Api::openapi())
}
