//! What the TPM will have measured when an image runs, and its maker's approval of that.

use crate::keys::Keys;
use crate::tools::Outcome;
use redan_hal::keys::{PcrSelection, PcrValues};
use redan_image_layout::sha256;
use redan_image_layout::slot::{Approval, IMAGE_PCR, Phase, leaves, reference};

/// The order in which the stub of systemd 252 measures sections, whatever their order in the file.
const ORDER: [&str; 6] = [".linux", ".osrel", ".cmdline", ".initrd", ".splash", ".dtb"];

/// PCR 11 when the kernel starts: for each section its name with a zero at the end, then its content.
pub(crate) fn image(sections: &[(&str, &[u8])]) -> [u8; 32] {
    let mut pcr = [0; 32];
    for name in ORDER {
        if let Some((_, content)) = sections.iter().find(|(known, _)| *known == name) {
            pcr = extend(pcr, &sha256(&[name.as_bytes(), &[0]]));
            pcr = extend(pcr, &sha256(&[content]));
        }
    }
    pcr
}

/// The maker's approvals for an image of this security version that starts with this value: for data sealed under this security version
/// and under every lower one.
pub(crate) fn approvals(keys: &Keys, start: [u8; 32], security: u32) -> Outcome<Vec<Approval>> {
    let service = extend(start, &leaves());
    let mut approvals = Vec::new();
    // Older than that nothing is in use; every approval costs a hundred bytes.
    for lower in security.saturating_sub(KEPT)..=security {
        for (phase, pcr) in [(Phase::Start, start), (Phase::Service, service)] {
            let selection = PcrSelection::new(&[IMAGE_PCR]).ok_or("there is no such PCR")?;
            let values = PcrValues::new(selection, vec![pcr]).ok_or("there is no such PCR")?;
            approvals.push(Approval {
                phase,
                security: lower,
                pcr,
                signature: keys.approve(&values.approval_message(&reference(lower))),
            });
        }
    }
    Ok(approvals)
}

const KEPT: u32 = 64;

fn extend(pcr: [u8; 32], digest: &[u8; 32]) -> [u8; 32] {
    sha256(&[&pcr, digest])
}
