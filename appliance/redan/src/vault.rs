//! `redan vault`: what opens the vault.

use redan_ipc::messages::manager::{OperatorReply, OperatorRequest};
use redan_ipc::messages::seal::{RecoveryShape, SealReply, SealRequest, SealStatus, Unsealing};
use redan_types::SecretString;
use serde_json::json;

use crate::appliance::Appliance;
use crate::cli::VaultCommand;
use crate::error::CommandError;
use crate::table::clean;
use crate::{Output, Verdict, password};

pub(crate) fn run(appliance: &Appliance, command: &VaultCommand) -> Result<Output, CommandError> {
    match command {
        VaultCommand::Status { json } => {
            let status = status(appliance, SealRequest::Status)?;
            Ok(Output {
                text: if *json { object(&status) } else { describe(&status) },
                verdict: Verdict::bad_if(status.sealed.is_some()),
                ..Output::default()
            })
        }
        VaultCommand::Seal => done(&status(appliance, SealRequest::Seal)?),
        VaultCommand::Unseal { forget: true } => done(&status(appliance, SealRequest::Forget)?),
        VaultCommand::Unseal { forget: false } => unseal(appliance),
        VaultCommand::Recovery { shares, threshold } => recovery(
            appliance,
            RecoveryShape {
                shares: *shares,
                threshold: *threshold,
            },
        ),
        VaultCommand::Reseal { manual } => {
            let unsealing = if *manual {
                Unsealing::Manual
            } else {
                Unsealing::Automatic
            };
            done(&status(appliance, SealRequest::Reseal { unsealing })?)
        }
    }
}

fn unseal(appliance: &Appliance) -> Result<Output, CommandError> {
    let mut now = status(appliance, SealRequest::Status)?;
    if now.sealed.is_none() {
        return done(&now);
    }
    let needed = now.recovery.map_or(1, |recovery| recovery.shape.threshold);
    while now.sealed.is_some() && now.gathered < needed {
        let prompt = if needed == 1 {
            "Recovery key: ".to_owned()
        } else {
            format!("Share {} of {needed}: ", now.gathered.saturating_add(1))
        };
        // Each person may bring one share, in a call of its own: the end of what is there is no error.
        let Some(share) = password::one(&prompt)? else { break };
        let before = now.gathered;
        now = status(appliance, SealRequest::Unseal { share })?;
        if now.sealed.is_some() && now.gathered == before {
            return Err(CommandError::PasswordRefused("this share has been brought already"));
        }
    }
    done(&now)
}

fn recovery(appliance: &Appliance, shape: RecoveryShape) -> Result<Output, CommandError> {
    let now = status(appliance, SealRequest::Status)?;
    let mut present: Vec<SecretString> = Vec::new();
    if let Some(old) = now.recovery {
        let needed = old.shape.threshold;
        for number in 1..=needed {
            let prompt = format!("Share {number} of {needed} of the recovery that is replaced: ");
            let Some(share) = password::one(&prompt)? else { break };
            present.push(share);
        }
    }
    let SealReply::Recovery(made) = ask(appliance, SealRequest::Recovery { shape, present })? else {
        return Err(CommandError::Answer("what came"));
    };
    let text = if made.len() == 1 {
        "The recovery key, shown this once. It opens the store without the key device: keep it offline.\n".to_owned()
    } else {
        format!(
            "{} shares, shown this once; {} of them open the store without the key device. Give each to another person.\n",
            shape.shares, shape.threshold
        )
    };
    let lines: Vec<&str> = made.iter().map(SecretString::expose).collect();
    Ok(Output {
        text,
        secret: Some(SecretString::new(lines.join("\n"))),
        ..Output::default()
    })
}

fn status(appliance: &Appliance, request: SealRequest) -> Result<SealStatus, CommandError> {
    match ask(appliance, request)? {
        SealReply::Status(status) => Ok(status),
        SealReply::Recovery(_) => Err(CommandError::Answer("what came")),
    }
}

fn ask(appliance: &Appliance, request: SealRequest) -> Result<SealReply, CommandError> {
    match appliance.ask(&OperatorRequest::Seal(request))? {
        OperatorReply::Seal(reply) => Ok(reply),
        _ => Err(CommandError::Answer("what came")),
    }
}

fn done(status: &SealStatus) -> Result<Output, CommandError> {
    Ok(Output {
        text: describe(status),
        ..Output::default()
    })
}

fn describe(status: &SealStatus) -> String {
    let mut text = match &status.sealed {
        None => "open\n".to_owned(),
        Some(why) => format!("sealed: {}\n", clean(why)),
    };
    if let Some(device) = &status.device {
        text.push_str(&format!("key device  {}\n", clean(device)));
    }
    text.push_str(&format!("sealed to   {}\n", clean(&status.sealed_to)));
    text.push_str(match status.unsealing {
        Unsealing::Automatic => "at a start  opens by itself\n",
        Unsealing::Manual => "at a start  stays closed until the recovery is brought\n",
    });
    match &status.recovery {
        None => text.push_str("recovery    none: if the key device is lost, so is the store (redan vault recovery)\n"),
        Some(recovery) => text.push_str(&format!(
            "recovery    number {}, {} of {} shares, made {}\n",
            recovery.generation, recovery.shape.threshold, recovery.shape.shares, recovery.made
        )),
    }
    if status.gathered > 0 {
        text.push_str(&format!("brought     {} shares\n", status.gathered));
    }
    text
}

fn object(status: &SealStatus) -> String {
    let recovery = status.recovery.map(|recovery| {
        json!({
            "generation": recovery.generation,
            "shares": recovery.shape.shares,
            "threshold": recovery.shape.threshold,
            "made": recovery.made.to_string(),
        })
    });
    let value = json!({
        "sealed": status.sealed,
        "device": status.device,
        "sealed_to": status.sealed_to,
        "automatic": status.unsealing == Unsealing::Automatic,
        "recovery": recovery,
        "gathered": status.gathered,
    });
    format!("{value:#}\n")
}
