//! `redan vault`.

use redan_ipc::messages::manager::{OperatorReply, OperatorRequest};

use crate::Output;
use crate::appliance::Appliance;
use crate::error::CommandError;

pub(crate) fn rotate(appliance: &Appliance) -> Result<Output, CommandError> {
    match appliance.ask(&OperatorRequest::RotateKeys)? {
        OperatorReply::KeysRotated => Ok(Output::text(
            "new keys are in use; what is stored is being encrypted anew, then the old keys are destroyed\n",
        )),
        _ => Err(CommandError::Answer("what came")),
    }
}
