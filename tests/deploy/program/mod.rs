//! The program as it is given away: in an image that holds nothing else, and as a download.

mod image;
mod inside;
mod release;

use std::fs;

use crate::parts::{has, report};

use image::Image;
use release::Release;

/// The largest that the program may be.
const PROGRAM_MAX_BYTES: u64 = 6_000_000;

/// Both are built from the same commit, so they say.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const BUILT_AT: &str = "1700000000";

#[test]
#[ignore = "builds the program twice, which takes minutes, and needs root, buildah and cargo-cyclonedx"]
fn it_runs_in_an_image_that_holds_nothing_else_and_is_the_same_wherever_it_is_built() {
    if !has(&["buildah", "unshare", "setpriv", "chroot", "cargo-cyclonedx"]) {
        return;
    }
    let image = Image::build();
    image.expect_settings();
    let program = fs::read(image.root().join("dispatch")).expect("the image has the program");
    report(&format!("the image's program has {} bytes", program.len()));
    assert!(program.len() as u64 <= PROGRAM_MAX_BYTES, "{} bytes", program.len());
    assert_eq!(image.files(), ["dispatch"], "it holds nothing else");
    inside::serves_as_nobody_with_files_that_nobody_can_write(&image);
    inside::takes_tokens_from_a_mounted_file_and_then_needs_no_secret(&image);
    inside::finds_names_and_checks_certificates(&image);

    // In another folder, and with the compiler and the crates in other places.
    let release = Release::make();
    release.expect_sums_to_fit();
    release.expect_manuals_and_completions();
    release.expect_bill_of_materials();
    assert!(release.program() == program, "the download has another program than the image");
}
