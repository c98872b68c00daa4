//! Programs of the firmware's: putting a unified kernel image together, and signing ("PE Format", Microsoft).

use crate::keys::Keys;
use crate::pkcs7;
use crate::tools::Outcome;
use redan_image_layout::sha256;

/// Where things are in a PE32+ file.
struct Layout {
    /// The COFF header.
    coff: usize,
    /// The optional header.
    optional: usize,
    /// The table of sections.
    table: usize,
    sections: usize,
}

const SECTION: usize = 40;
/// In the optional header: alignment of sections in memory and file, sizes of the image and of the headers, checksum, directory.
const FILE_ALIGNMENT: usize = 36;
const IMAGE_SIZE: usize = 56;
const HEADERS_SIZE: usize = 60;
const CHECKSUM: usize = 64;
const CERTIFICATES: usize = 112 + 4 * 8;
/// Sections begin at pages, whatever the file says is possible.
const PAGE: u32 = 4_096;
/// Initialised data, readable.
const DATA: u32 = 0x4000_0040;

/// Appends sections to a stub. Their order is the file's; the stub finds them by name.
pub(crate) fn unify(stub: &[u8], sections: &[(&str, &[u8])]) -> Outcome<Vec<u8>> {
    let mut file = stub.to_vec();
    let layout = Layout::of(&file)?;
    let alignment = u32_at(&file, layout.optional + FILE_ALIGNMENT)?;
    let (mut memory, mut end) = (0, 0);
    for number in 0..layout.sections {
        let at = layout.table + number * SECTION;
        memory = memory.max(u32_at(&file, at + 12)?.saturating_add(u32_at(&file, at + 8)?));
        end = end.max(u32_at(&file, at + 20)?.saturating_add(u32_at(&file, at + 16)?));
    }
    // Symbols behind the sections are for debuggers.
    file.truncate(size(end));
    put(&mut file, layout.coff + 8, &[0; 8])?;
    let headers = size(u32_at(&file, layout.optional + HEADERS_SIZE)?);
    for (number, (name, content)) in sections.iter().enumerate() {
        let at = layout.table + (layout.sections + number) * SECTION;
        if at + SECTION > headers || name.len() > 8 {
            return Err(format!("the stub's headers have no room for the section {name}").into());
        }
        let length = u32::try_from(content.len())?;
        let address = memory.next_multiple_of(PAGE);
        let raw = u32::try_from(file.len())?.next_multiple_of(alignment);
        file.resize(size(raw), 0);
        file.extend_from_slice(content);
        file.resize(file.len().next_multiple_of(size(alignment)), 0);
        let written = u32::try_from(file.len())? - raw;
        let mut header = [0; SECTION];
        let fields = [length, address, written, raw];
        put(&mut header, 0, name.as_bytes())?;
        for (index, field) in fields.iter().enumerate() {
            put(&mut header, 8 + 4 * index, &field.to_le_bytes())?;
        }
        put(&mut header, 36, &DATA.to_le_bytes())?;
        put(&mut file, at, &header)?;
        memory = address.checked_add(length).ok_or("the kernel image is too large")?;
    }
    let count = u16::try_from(layout.sections + sections.len())?;
    put(&mut file, layout.coff + 2, &count.to_le_bytes())?;
    put(
        &mut file,
        layout.optional + IMAGE_SIZE,
        &memory.next_multiple_of(PAGE).to_le_bytes(),
    )?;
    Ok(file)
}

/// Signs a program, replacing any signature that it has.
pub(crate) fn sign(keys: &Keys, program: &[u8]) -> Outcome<Vec<u8>> {
    let mut file = program.to_vec();
    let layout = Layout::of(&file)?;
    let directory = layout.optional + CERTIFICATES;
    let (old, length) = (u32_at(&file, directory)?, u32_at(&file, directory + 4)?);
    if length > 0 {
        file.truncate(size(old));
    }
    file.resize(file.len().next_multiple_of(8), 0);
    put(&mut file, layout.optional + CHECKSUM, &[0; 4])?;
    put(&mut file, directory, &[0; 8])?;
    let signature = pkcs7::authenticode(keys, &hash(&file, &layout)?)?;
    // WIN_CERTIFICATE: length, revision 2.0, type PKCS#7.
    let mut certificate = [
        &u32::try_from(signature.len() + 8)?.to_le_bytes()[..],
        &[0x00, 0x02, 0x02, 0x00],
        &signature,
    ]
    .concat();
    certificate.resize(certificate.len().next_multiple_of(8), 0);
    let offset = u32::try_from(file.len())?;
    put(&mut file, directory, &offset.to_le_bytes())?;
    put(
        &mut file,
        directory + 4,
        &u32::try_from(certificate.len())?.to_le_bytes(),
    )?;
    file.extend_from_slice(&certificate);
    Ok(file)
}

/// The hash that a signature is over: everything but the checksum and the place of the signature. That is the whole file in its order
/// when nothing lies between the sections, which is so with every file that is signed here, and checked.
fn hash(file: &[u8], layout: &Layout) -> Outcome<[u8; 32]> {
    let mut sections = (0..layout.sections)
        .map(|number| {
            let at = layout.table + number * SECTION;
            Ok((u32_at(file, at + 20)?, u32_at(file, at + 16)?))
        })
        .collect::<Outcome<Vec<_>>>()?;
    sections.retain(|(_, length)| *length > 0);
    sections.sort_unstable();
    let mut end = u32_at(file, layout.optional + HEADERS_SIZE)?;
    for (start, length) in sections {
        if start != end {
            return Err("there is a gap between the sections of a program to be signed".into());
        }
        end = start
            .checked_add(length)
            .ok_or("a section of a program to be signed has no end")?;
    }
    let (checksum, directory) = (layout.optional + CHECKSUM, layout.optional + CERTIFICATES);
    let part = |from, to| file.get(from..to).ok_or("a program to be signed ends in its headers");
    Ok(sha256(&[
        part(0, checksum)?,
        part(checksum + 4, directory)?,
        part(directory + 8, file.len())?,
    ]))
}

impl Layout {
    fn of(file: &[u8]) -> Outcome<Self> {
        let coff = size(u32_at(file, 0x3c)?) + 4;
        let optional = coff + 20;
        let sized = |at: usize| Ok::<_, Box<dyn std::error::Error>>(usize::from(u16_at(file, at)?));
        if file.get(coff - 4..coff) != Some(b"PE\0\0") || u16_at(file, optional)? != 0x20b {
            return Err("this is no program of 64-bit firmware".into());
        }
        Ok(Self {
            coff,
            optional,
            table: optional + sized(coff + 16)?,
            sections: sized(coff + 2)?,
        })
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn u16_at(file: &[u8], at: usize) -> Outcome<u16> {
    let bytes = file.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(u16::from_le_bytes)
        .ok_or_else(|| "a program ends too early".into())
}

fn u32_at(file: &[u8], at: usize) -> Outcome<u32> {
    let bytes = file.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(u32::from_le_bytes)
        .ok_or_else(|| "a program ends too early".into())
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) -> Outcome<()> {
    let place = file.get_mut(at..at + bytes.len()).ok_or("a program ends too early")?;
    place.copy_from_slice(bytes);
    Ok(())
}
