//! PKCS#7 (RFC 2315) as the kernel and the firmware check it. Without any time in it, so that it is always the same.

use crate::der::{
    self, CONTENT_TYPE, DATA, MESSAGE_DIGEST, RSA_ENCRYPTION, SHA256, SIGNED_DATA, SPC_INDIRECT_DATA,
    SPC_PE_IMAGE_DATA, algorithm, context, octets, oid, sequence, set, small,
};
use crate::keys::Keys;
use crate::tools::Outcome;
use redan_image_layout::sha256;

/// A signature that goes beside what is signed.
pub(crate) fn detached(keys: &Keys, content: &[u8]) -> Outcome<Vec<u8>> {
    let signature = keys.sign(content)?;
    signed(keys, &sequence(&[&oid(DATA)]), &[], &[], &signature)
}

/// A signature that holds what is signed.
pub(crate) fn attached(keys: &Keys, content: &[u8]) -> Outcome<Vec<u8>> {
    let signature = keys.sign(content)?;
    let inside = sequence(&[&oid(DATA), &context(0, &octets(content))]);
    signed(keys, &inside, &[], &[], &signature)
}

/// The signature of a program of the firmware's, whose hash this is ("Windows Authenticode Portable Executable Signature Format").
pub(crate) fn authenticode(keys: &Keys, hash: &[u8; 32]) -> Outcome<Vec<u8>> {
    // An obsolete field that everybody fills with the same words in UTF-16.
    let obsolete: Vec<u8> = "<<<Obsolete>>>".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let link = context(0, &context(2, &der::value(0x80, &obsolete)));
    let image = sequence(&[&oid(SPC_PE_IMAGE_DATA), &sequence(&[&[0x03, 0x01, 0x00], &link])]);
    let content = [image, sequence(&[&algorithm(SHA256), &octets(hash)])].concat();
    let attributes = [
        attribute(CONTENT_TYPE, &oid(SPC_INDIRECT_DATA)),
        attribute(MESSAGE_DIGEST, &octets(&sha256(&[&content]))),
    ]
    .concat();
    // What is signed is the set of attributes; what is written has the tag of the field.
    let signature = keys.sign(&der::value(der::SET, &attributes))?;
    let inside = sequence(&[&oid(SPC_INDIRECT_DATA), &context(0, &sequence(&[&content]))]);
    signed(
        keys,
        &inside,
        &context(0, &keys.certificate),
        &context(0, &attributes),
        &signature,
    )
}

fn attribute(kind: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[&oid(kind), &set(&[value])])
}

fn signed(keys: &Keys, content: &[u8], certificates: &[u8], attributes: &[u8], signature: &[u8]) -> Outcome<Vec<u8>> {
    let (issuer, serial) =
        issuer_and_serial(&keys.certificate).ok_or("the certificate of the key image cannot be read")?;
    let signer = sequence(&[
        &small(1),
        &sequence(&[issuer, serial]),
        &algorithm(SHA256),
        attributes,
        &algorithm(RSA_ENCRYPTION),
        &octets(signature),
    ]);
    let data = sequence(&[
        &small(1),
        &set(&[&algorithm(SHA256)]),
        content,
        certificates,
        &set(&[&signer]),
    ]);
    Ok(sequence(&[&oid(SIGNED_DATA), &context(0, &data)]))
}

/// By which a certificate is named (RFC 5280 section 4.1).
fn issuer_and_serial(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let body = der::split(der::split(certificate)?.content)?.content;
    let first = der::split(body)?;
    // The version, which only certificates of version 1 lack.
    let serial = if first.tag == 0xa0 {
        der::split(first.rest)?
    } else {
        first
    };
    let algorithm = der::split(serial.rest)?;
    let issuer = der::split(algorithm.rest)?;
    Some((issuer.whole, serial.whole))
}
