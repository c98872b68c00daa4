//! `redan user`, `redan key`, `redan session`.

use redan_ipc::messages::accounts::{AccountReply, AccountRequest, KeyRecord, SessionRecord, UserRecord};
use redan_ipc::messages::manager::{OperatorReply, OperatorRequest};
use redan_types::{RoleName, Timestamp};

use crate::appliance::Appliance;
use crate::cli::{KeyCommand, SessionCommand, UserCommand};
use crate::error::CommandError;
use crate::table::table;
use crate::{Output, Verdict, password};

pub(crate) fn users(appliance: &Appliance, command: UserCommand) -> Result<Output, CommandError> {
    let request = match command {
        UserCommand::List => AccountRequest::Users,
        UserCommand::Create { name, roles } => AccountRequest::CreateUser {
            name,
            roles,
            password: password::ask()?,
        },
        UserCommand::Roles { name, roles } => AccountRequest::SetRoles { name, roles },
        UserCommand::Enable { name } => AccountRequest::SetEnabled { name, enabled: true },
        UserCommand::Disable { name } => AccountRequest::SetEnabled { name, enabled: false },
        UserCommand::Reset { name } => AccountRequest::ResetPassword { name },
    };
    ask(appliance, request)
}

pub(crate) fn keys(appliance: &Appliance, command: KeyCommand) -> Result<Output, CommandError> {
    let request = match command {
        KeyCommand::List => AccountRequest::Keys,
        KeyCommand::Create { owner, roles, comment } => AccountRequest::CreateKey { owner, roles, comment },
        KeyCommand::Rotate { id } => AccountRequest::RotateKey { id },
        KeyCommand::Revoke { id } => AccountRequest::RevokeKey { id },
    };
    ask(appliance, request)
}

pub(crate) fn sessions(appliance: &Appliance, command: SessionCommand) -> Result<Output, CommandError> {
    let request = match command {
        SessionCommand::List => AccountRequest::Sessions,
        SessionCommand::Revoke { id } => AccountRequest::RevokeSession { id },
    };
    ask(appliance, request)
}

fn ask(appliance: &Appliance, request: AccountRequest) -> Result<Output, CommandError> {
    match appliance.ask(&OperatorRequest::Accounts(request))? {
        OperatorReply::Accounts(AccountReply::Refused(reason)) => Err(CommandError::Refused(reason)),
        OperatorReply::Accounts(AccountReply::Users(users)) => Ok(Output::text(user_table(&users))),
        OperatorReply::Accounts(AccountReply::Keys(keys)) => Ok(Output::text(key_table(&keys, now()))),
        OperatorReply::Accounts(AccountReply::Sessions(sessions)) => Ok(Output::text(session_table(&sessions))),
        OperatorReply::Accounts(AccountReply::Done { id, secret }) => {
            let mut text = id.map_or_else(|| "done\n".to_owned(), |id| format!("done: {id}\n"));
            if secret.is_some() {
                text.push_str("Shown once, kept nowhere else:\n");
            }
            Ok(Output {
                text,
                secret,
                verdict: Verdict::Good,
            })
        }
        _ => Err(CommandError::Answer("what came")),
    }
}

fn user_table(users: &[UserRecord]) -> String {
    let rows: Vec<Vec<String>> = users
        .iter()
        .map(|user| {
            let mut state = vec![if user.enabled { "enabled" } else { "disabled" }.to_owned()];
            if user.must_change {
                state.push("must change the password".to_owned());
            }
            state.extend(
                user.locked_until
                    .map(|until| format!("closed to unknown addresses until {until}")),
            );
            vec![
                user.name.to_string(),
                listed(&user.roles),
                state.join(", "),
                time(user.last_login),
                user.created.to_string(),
            ]
        })
        .collect();
    table(&["USER", "ROLES", "STATE", "LAST LOGIN", "CREATED"], &rows)
}

fn key_table(keys: &[KeyRecord], now: Timestamp) -> String {
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|key| {
            let state = match key.previous_until {
                _ if key.revoked => "revoked".to_owned(),
                _ if !key.owner_enabled => format!("does nothing: {} is switched off", key.owner),
                _ if key.until <= now => "expired".to_owned(),
                Some(until) if now < until => format!("rotated; the old secret works until {until}"),
                Some(_) | None => "active".to_owned(),
            };
            vec![
                key.id.to_string(),
                key.owner.to_string(),
                listed(&key.roles),
                state,
                key.until.to_string(),
                time(key.used),
                key.comment.clone(),
            ]
        })
        .collect();
    table(
        &["KEY", "OWNER", "ROLES", "STATE", "UNTIL", "LAST USED", "COMMENT"],
        &rows,
    )
}

fn session_table(sessions: &[SessionRecord]) -> String {
    let rows: Vec<Vec<String>> = sessions
        .iter()
        .map(|session| {
            vec![
                session.id.to_string(),
                session.user.to_string(),
                session
                    .address
                    .map_or_else(|| "–".to_owned(), |address| address.to_string()),
                session.used.to_string(),
                session.until.to_string(),
                session.agent.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table(&["SESSION", "USER", "ADDRESS", "LAST USED", "UNTIL", "AGENT"], &rows)
}

fn now() -> Timestamp {
    Timestamp::from_system(std::time::SystemTime::now())
}

fn listed(roles: &[RoleName]) -> String {
    roles.iter().map(RoleName::as_str).collect::<Vec<_>>().join(", ")
}

fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| time.to_string())
}
