//! The keys that sign an image.
//!
//! | key | signs | who checks |
//! |---|---|---|
//! | `image` (RSA 2048, certificate) | boot loader, kernel image, root hash, execution policy | firmware (db), kernel (platform keyring) |
//! | `PK`, `KEK` (certificates) | the firmware's lists of keys | firmware |
//! | `approver` (P-256) | states of the machine that the image may open its data in | TPM |
//! | `update` (Ed25519) | update bundles | the appliance |
//!
//! Development keys are made on first use in a folder outside of the repository, readable by their owner only. A release keeps `image`
//! in a PKCS#11 token: with `--pkcs11-uri` the token signs, through OpenSSL's engine, and only the certificate is a file. All
//! signatures are deterministic (PKCS#1 v1.5, RFC 6979, RFC 8032), so that the same inputs give the same image.

use crate::tools::{Context, Outcome, folder_at, program, read, run, run_command, text, write};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The keys.
pub(crate) struct Keys {
    /// Who signs what the firmware and the kernel check.
    signer: Signer,
    /// Its certificate, DER.
    pub(crate) certificate: Vec<u8>,
    approver: p256::ecdsa::SigningKey,
    update: ed25519_dalek::SigningKey,
}

enum Signer {
    File(Box<KeyPair>),
    /// A PKCS#11 URI (RFC 7512).
    Token(String),
}

/// The certificates of the firmware's lists.
pub(crate) const CERTIFICATES: [&str; 3] = ["PK", "KEK", "image"];
/// Twenty years: the firmware does not look at it, and nobody replaces keys in the field for a date.
const DAYS: &str = "7300";

impl Keys {
    /// Opens the folder, making what is missing.
    pub(crate) fn open(folder: &Path, token: Option<&str>) -> Outcome<Self> {
        folder_at(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        for name in CERTIFICATES {
            make_certificate(folder, name)?;
        }
        make(
            folder,
            "approver",
            &[
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-pkeyopt",
                "ec_param_enc:named_curve",
            ],
        )?;
        make(folder, "update", &["-algorithm", "ed25519"])?;
        let certificate = run(
            "openssl",
            &["x509", "-in", text(&folder.join("image.crt"))?, "-outform", "DER"],
        )?;
        let approver = p256::pkcs8::DecodePrivateKey::from_pkcs8_der(&pkcs8(folder, "approver")?);
        let approver: p256::SecretKey = approver.map_err(|error| format!("cannot read the key approver: {error}"))?;
        let update = ed25519_dalek::SigningKey::from_pkcs8_der(&pkcs8(folder, "update")?);
        Ok(Self {
            signer: match token {
                Some(uri) => Signer::Token(uri.to_owned()),
                None => {
                    let pair = KeyPair::from_pkcs8(&pkcs8(folder, "image")?);
                    Signer::File(Box::new(
                        pair.map_err(|error| format!("cannot read the key image: {error}"))?,
                    ))
                }
            },
            certificate,
            approver: approver.into(),
            update: update.map_err(|error| format!("cannot read the key update: {error}"))?,
        })
    }

    /// RSA PKCS#1 v1.5 with SHA-256 by the key `image`.
    pub(crate) fn sign(&self, message: &[u8]) -> Outcome<Vec<u8>> {
        match &self.signer {
            Signer::File(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(|error| format!("cannot sign: {error}"))?;
                Ok(signature)
            }
            Signer::Token(uri) => {
                let folder = tempfile::tempdir()?;
                let file = folder.path().join("message");
                write(&file, message)?;
                let arguments = [
                    "dgst", "-sha256", "-engine", "pkcs11", "-keyform", "engine", "-sign", uri,
                ];
                run_command(program("openssl").args(arguments).arg(&file))
                    .context(|| "the token does not sign".to_owned())
            }
        }
    }

    /// The public half of `approver`: the uncompressed point.
    pub(crate) fn approver(&self) -> Vec<u8> {
        self.approver.verifying_key().to_sec1_point(false).as_bytes().to_vec()
    }

    /// ECDSA with SHA-256 by the key `approver`, DER.
    pub(crate) fn approve(&self, message: &[u8]) -> Vec<u8> {
        let signature: p256::ecdsa::DerSignature = self.approver.sign(message);
        signature.as_bytes().to_vec()
    }

    /// The public half of `update`.
    pub(crate) fn update(&self) -> [u8; 32] {
        self.update.verifying_key().to_bytes()
    }

    /// Ed25519 by the key `update`.
    pub(crate) fn sign_update(&self, message: &[u8]) -> [u8; 64] {
        self.update.sign(message).to_bytes()
    }
}

/// Where development keys are, unless another folder is given.
pub(crate) fn folder() -> Outcome<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share"));
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
    let data = data.ok_or("neither XDG_DATA_HOME nor HOME is set: say with --keys where the keys are")?;
    Ok(data.join("redan/image-keys"))
}

fn make_certificate(folder: &Path, name: &str) -> Outcome<()> {
    let certificate = folder.join(format!("{name}.crt"));
    if certificate.exists() {
        return Ok(());
    }
    let key = folder.join(format!("{name}.key"));
    let subject = format!("/CN=Redan development, {name}/");
    let mut command = program("openssl");
    command.args([
        "req", "-x509", "-newkey", "rsa:2048", "-sha256", "-nodes", "-days", DAYS, "-subj", &subject,
    ]);
    command
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key);
    run_command(command.arg("-out").arg(&certificate))?;
    private(&key)
}

fn make(folder: &Path, name: &str, how: &[&str]) -> Outcome<()> {
    let key = folder.join(format!("{name}.key"));
    if key.exists() {
        return Ok(());
    }
    run_command(program("openssl").arg("genpkey").args(how).arg("-out").arg(&key))?;
    private(&key)
}

fn private(key: &Path) -> Outcome<()> {
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).context(|| format!("cannot protect {}", key.display()))
}

fn pkcs8(folder: &Path, name: &str) -> Outcome<Vec<u8>> {
    let key = folder.join(format!("{name}.key"));
    // Read first: OpenSSL's own message does not name the file.
    read(&key)?;
    run(
        "openssl",
        &["pkcs8", "-topk8", "-nocrypt", "-in", text(&key)?, "-outform", "DER"],
    )
}
