//! What the supervisor asks about the data partition after the start. Only root can use it, and it says everything in one line.
//!
//! ```text
//! redan-data open      reads the recovery key (a line) from standard input; opens, seals anew for this machine, mounts at /data
//! redan-data raise     after an update was made permanent: from the next start on the data is sealed under the running image's
//!                      security version, and no image of a lower one opens it any more
//! redan-data approve PCR7   reads the recovery key; approves a state of the firmware that is to come (64 hexadecimal digits)
//! redan-data destroy   destroys the keys: what the partition holds cannot be read any more
//! ```
#![forbid(unsafe_code)]

use redan_image_layout::facts::{self, Data, Facts};
use redan_image_layout::slot::Trailer;
use redan_image_layout::{disk, unhex};
use redan_init::data::{self, Held, Image, Open, RecoveryKey, Tpm, filesystem};
use redan_init::{Context, Failure, disks, stages};
use redan_types::{SecretBytes, SecretString};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use zeroize::Zeroizing;

const MOUNTED: &str = "/data";
/// More than any recovery key has, whatever is put between its characters.
const LONGEST: u64 = 256;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["open"] => open(),
        ["raise"] => raise(),
        ["approve", pcr] => approve(pcr),
        ["destroy"] => destroy(),
        _ => Err(Failure::new(
            "usage: redan-data open | raise | approve <PCR 7> | destroy",
        )),
    };
    match outcome {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{}", failure.chain());
            ExitCode::FAILURE
        }
    }
}

fn open() -> Result<String, Failure> {
    let mut facts = told()?;
    let mut open = recovered(&facts)?;
    let device = open.map()?;
    filesystem::attach(&device, Path::new(MOUNTED))?;
    facts.data = Data::Recovered;
    replace(Path::new(facts::PATH), facts.to_string().as_bytes())?;
    match seal(&mut open, &facts) {
        Ok(()) => Ok("open, and sealed to this machine: the next start needs no recovery key".to_owned()),
        Err(failure) => Ok(format!(
            "open, but the next start needs the recovery key again: {}",
            failure.chain()
        )),
    }
}

fn raise() -> Result<String, Failure> {
    let facts = told()?;
    let path = Path::new(MOUNTED).join(stages::RAISING);
    replace(&path, facts.security.to_string().as_bytes())?;
    Ok(format!(
        "sealed under security version {} from the next start on",
        facts.security
    ))
}

fn approve(pcr: &str) -> Result<String, Failure> {
    let pcr = unhex(pcr).ok_or_else(|| Failure::new("PCR 7 is written with 64 hexadecimal digits"))?;
    let mut open = recovered(&told()?)?;
    let path = Path::new(MOUNTED).join(stages::APPROVING);
    let key = fs::read(&path).context(|| format!("cannot read {}", path.display()))?;
    open.approve(&SecretBytes::new(key), pcr)?;
    Ok("approved".to_owned())
}

fn destroy() -> Result<String, Failure> {
    let partition = disks::find_on(&told()?.disk, disk::DATA).ok_or_else(none)?;
    data::destroy(&partition)?;
    Ok("destroyed".to_owned())
}

fn seal(open: &mut Open, facts: &Facts) -> Result<(), Failure> {
    let trailer = fs::read(facts::TRAILER).context(|| "cannot read the slot's trailer".to_owned())?;
    let trailer = Trailer::decode(&trailer).context(|| "cannot read the slot's trailer".to_owned())?;
    let image = Image {
        security: facts.security,
        approver: fs::read(facts::APPROVER).context(|| "cannot read the maker's key".to_owned())?,
        approvals: trailer.approvals,
    };
    let folder = Path::new("/run/redan/tpm");
    fs::create_dir_all(folder).context(|| "cannot make the TPM's folder".to_owned())?;
    let sealed = Tpm::open(Path::new("/dev/tpmrm0"), folder)
        .context(|| "the TPM cannot be used".to_owned())
        .and_then(|tpm| open.seal(&tpm, &image));
    let _ = fs::remove_dir_all(folder);
    stages::write_approver(Path::new(MOUNTED), &sealed?)
}

fn recovered(facts: &Facts) -> Result<Open, Failure> {
    let partition = disks::find_on(&facts.disk, disk::DATA).ok_or_else(none)?;
    let Held::Closed(closed) = data::look(partition)? else {
        return Err(Failure::new("the data partition holds no data of this appliance"));
    };
    let mut typed = Zeroizing::new(String::new());
    std::io::stdin()
        .take(LONGEST)
        .read_to_string(&mut typed)
        .context(|| "cannot read the recovery key".to_owned())?;
    let key = RecoveryKey::parse(&SecretString::new(typed.trim().to_owned()))
        .context(|| "this is no recovery key".to_owned())?;
    closed
        .by_recovery(&key)
        .context(|| "the data partition stays closed".to_owned())
}

fn told() -> Result<Facts, Failure> {
    let text = fs::read_to_string(facts::PATH).context(|| format!("cannot read {}", facts::PATH))?;
    text.parse()
        .context(|| "this machine was not started by redan-init".to_owned())
}

fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(&new)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, path))
        .context(|| format!("cannot write {}", path.display()))
}

fn none() -> Failure {
    Failure::new("there is no data partition")
}
