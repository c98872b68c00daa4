//! The manager's questions, answered.

use crate::proxy::{CommitError, Proxy};
use redan_ipc::messages::apply::{ApplyReply, ApplyRequest};
use redan_ipc::slice::ProxySlice;

/// Takes one step of a configuration's transaction.
#[must_use]
pub fn answer(proxy: &Proxy, request: ApplyRequest<ProxySlice>) -> ApplyReply {
    match request {
        ApplyRequest::Prepare { generation, slice } => match proxy.prepare(generation, &slice) {
            Ok(()) => ApplyReply::Done,
            Err(reasons) => ApplyReply::Refused { reasons },
        },
        ApplyRequest::Commit { generation } => match proxy.commit(generation) {
            Ok(()) => ApplyReply::Done,
            Err(CommitError::NotPrepared) => ApplyReply::NotPrepared,
            Err(error @ CommitError::Thread) => ApplyReply::Refused {
                reasons: vec![error.to_string()],
            },
        },
        ApplyRequest::Abort { generation } => {
            proxy.abort(generation);
            ApplyReply::Done
        }
        ApplyRequest::Current => ApplyReply::Current(proxy.current()),
    }
}
