//! The firmware's system partition.

use crate::settings::LOADER;
use crate::tools::{Outcome, program, read, run, run_command, text, write};
use redan_image_layout::disk::ESP_SIZE;
use std::path::Path;

/// Makes the file system with the signed boot loader and one kernel image under this name.
pub(crate) fn make(work: &Path, loader: &[u8], kernel: (&str, &[u8])) -> Outcome<Vec<u8>> {
    let image = work.join("esp");
    // What an earlier build left would be kept.
    let _ = std::fs::remove_file(&image);
    let sectors = ESP_SIZE / 1_024;
    run(
        "mkfs.vfat",
        &[
            "-C",
            "-F",
            "32",
            "-n",
            "REDAN-ESP",
            "-i",
            "5245444e",
            "--invariant",
            text(&image)?,
            &sectors.to_string(),
        ],
    )?;
    let parts: [(&str, &[u8]); 3] = [
        ("EFI/BOOT/BOOTX64.EFI", loader),
        ("loader/loader.conf", LOADER.as_bytes()),
        (kernel.0, kernel.1),
    ];
    let mtools = |name: &str, arguments: &[&str]| {
        run_command(
            program(name)
                .arg("-i")
                .arg(&image)
                .args(arguments)
                .env("MTOOLS_NO_VFAT", "0"),
        )
        .map(drop)
    };
    mtools("mmd", &["::EFI", "::EFI/BOOT", "::EFI/Linux", "::loader"])?;
    for (path, content) in parts {
        let file = work.join("part");
        write(&file, content)?;
        mtools("mcopy", &[text(&file)?, &format!("::{path}")])?;
    }
    read(&image)
}
