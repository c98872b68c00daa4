//! The firmware's variables with our keys in them, so that QEMU's firmware starts nothing else (UEFI section 32.3; EDK II,
//! `AuthenticatedVariableFormat.h`).

use crate::keys::CERTIFICATES;
use crate::tools::{Outcome, read, run, text};
use std::path::Path;

/// Who owns our entries in the lists; any identifier does.
const OWNER: &[u8; 16] = b"redan image keys";
/// EFI_GLOBAL_VARIABLE, EFI_IMAGE_SECURITY_DATABASE_GUID, EFI_CERT_X509_GUID, as they are written.
const GLOBAL: [u8; 16] = [
    0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
];
const DATABASE: [u8; 16] = [
    0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f,
];
const X509: [u8; 16] = [
    0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72,
];
/// Kept, visible at boot and afterwards, changed only by who signs with the key above it.
const ATTRIBUTES: u32 = 0x27;
/// Of the store, before its first variable.
const STORE_HEADER: usize = 28;

/// Puts the certificates of a folder of keys into an empty variable store.
pub(crate) fn enrol(empty: &Path, keys: &Path) -> Outcome<Vec<u8>> {
    let mut store = read(empty)?;
    let length = store
        .get(48..50)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_le_bytes);
    let mut at = usize::from(length.ok_or("the variable store is too short")?) + STORE_HEADER;
    if store.get(at..at + 4) != Some(&[0xff; 4]) {
        return Err(format!("{} is no empty variable store", empty.display()).into());
    }
    for name in CERTIFICATES {
        let certificate = run(
            "openssl",
            &[
                "x509",
                "-in",
                text(&keys.join(format!("{name}.crt")))?,
                "-outform",
                "DER",
            ],
        )?;
        let (variable, vendor) = if name == "image" {
            ("db", DATABASE)
        } else {
            (name, GLOBAL)
        };
        let record = record(variable, vendor, &list(&certificate)?)?;
        let place = store
            .get_mut(at..at + record.len())
            .ok_or("the variable store is too small")?;
        place.copy_from_slice(&record);
        at += record.len().next_multiple_of(4);
    }
    Ok(store)
}

/// A list of one certificate (`EFI_SIGNATURE_LIST`).
fn list(certificate: &[u8]) -> Outcome<Vec<u8>> {
    let entry = u32::try_from(certificate.len() + OWNER.len())?;
    let whole = entry + 28;
    Ok([
        &X509[..],
        &whole.to_le_bytes(),
        &[0; 4],
        &entry.to_le_bytes(),
        OWNER,
        certificate,
    ]
    .concat())
}

fn record(name: &str, vendor: [u8; 16], data: &[u8]) -> Outcome<Vec<u8>> {
    let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    // When it was set: a variable with this attribute has a time, and only a later one replaces it.
    let time = [0xea, 0x07, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    Ok([
        // A variable begins here, and it is valid.
        &[0xaa, 0x55, 0x3f, 0][..],
        &ATTRIBUTES.to_le_bytes(),
        &[0; 8],
        &time,
        &[0; 4],
        &u32::try_from(name.len())?.to_le_bytes(),
        &u32::try_from(data.len())?.to_le_bytes(),
        &vendor,
        &name,
        data,
    ]
    .concat())
}
