//! The pages' TypeScript types are made from the API's, and the file in the tree is the one that is made.

use super::model;
use std::path::Path;
use ts_rs::{Config, TS};

macro_rules! declarations {
    ($($type:ident),* $(,)?) => {{
        let config = Config::new().with_large_int("number");
        let mut text = String::from(
            "// Made from the server's types (src/api/model); a test compares. To write it anew:\n\
             // REDAN_WRITE_TYPES=1 cargo test -p redan-console the_pages_types\n",
        );
        $(
            text.push_str("\nexport ");
            text.push_str(&model::$type::decl(&config));
            text.push('\n');
        )*
        text
    }};
}

#[test]
fn the_pages_types_are_the_servers() {
    let made = declarations!(
        ApiKey,
        Appliance,
        Attention,
        AuditEntry,
        AuditPage,
        AuditState,
        AuditedRequest,
        Block,
        Candidate,
        Change,
        ChangeKind,
        Check,
        Commit,
        Confirm,
        Diff,
        DiffKind,
        DiffLine,
        Document,
        Failure,
        IssuedApiKey,
        Level,
        Login,
        Mistake,
        NewApiKey,
        NewBlock,
        NewUser,
        OneTimePassword,
        OpenSession,
        Outcome,
        Overview,
        PasswordChange,
        Pending,
        Protection,
        Refusal,
        Role,
        Rollback,
        Sample,
        Seal,
        SealDetails,
        SealRecovery,
        SealShare,
        Service,
        ServiceState,
        Session,
        State,
        User,
        UserChange,
        Verification,
        Version,
        VersionState,
    );
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/src/api/types.ts");
    if std::env::var_os("REDAN_WRITE_TYPES").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        made,
        "write the file anew with REDAN_WRITE_TYPES=1"
    );
}
