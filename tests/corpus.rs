//! The committed corpora of the fuzz targets: each file is a case that must hold, and a crash
//! that fuzzing found once is one of them.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use fuzz::TARGETS;

fn fuzz_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The files of a corpus that have a name by a person; what a fuzzer leaves there has a SHA-1.
fn named_files(target: &str) -> Vec<PathBuf> {
    let directory = fuzz_directory().join("corpus").join(target);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{target}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.file_name().is_some_and(|name| name.len() != 40));
    files.sort();
    files
}

#[test]
fn every_file_of_the_corpora_satisfies_what_fuzzing_asserts() {
    for (target, body) in TARGETS {
        let files = named_files(target);
        assert!(!files.is_empty(), "the corpus of {target} is empty");
        for file in files {
            // Shown when the body panics.
            println!("{}", file.display());
            body(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_target_has_its_program_and_its_dictionary_and_none_is_forgotten() {
    let manifest = fs::read_to_string(fuzz_directory().join("Cargo.toml")).unwrap();
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    for (target, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} in fuzz/Cargo.toml");
        let program = fuzz_directory().join(format!("fuzz_targets/{target}.rs"));
        let program = fs::read_to_string(program).unwrap();
        assert!(program.contains(&format!("fuzz_{target}(bytes)")), "{program}");
        let dictionary = fuzz_directory().join(format!("dictionaries/{target}.dict"));
        assert!(dictionary.exists(), "{}", dictionary.display());
    }
}
