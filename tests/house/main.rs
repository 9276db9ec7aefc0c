//! The rules of the house, read off the sources: what folders there are, which may import which,
//! what the pure ones know nothing of, and how long things are.

mod circles;
mod sources;

use std::fs;

use circles::Circles;
use sources::{entries, folders, name, root, sources};

/// Lines of a file, its tests not counted.
const FILE_MAX_LINES: usize = 400;
/// Lines of a function, from its `fn` to its last brace.
const FUNCTION_MAX_LINES: usize = 60;
/// What half of the functions keep within.
const FUNCTION_MEDIAN_MAX_LINES: usize = 7;

/// Turns bytes into meaning, or keeps things in order, and knows nothing of the world.
const PURE: [&str; 2] = ["protocol", "collections"];

/// Words by which the world comes in: sockets, clocks, logs and what else only the system has.
const WORLD: [&str; 20] = [
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "mio::",
    "socket2::",
    "nix::",
    "signal_hook::",
    "Instant::now",
    "SystemTime",
    ".elapsed()",
    "jiff::",
    "log::",
    "env_logger::",
    "println!",
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
];

#[test]
fn the_drawing_of_the_layers_shows_the_folders_of_src() {
    let mut drawn = layers();
    let mut there: Vec<_> = entries("src".as_ref())
        .filter(|path| path.is_dir())
        .map(|path| name(&path).to_owned())
        .collect();
    drawn.sort();
    there.sort();
    assert_eq!(drawn, there, "the drawing in src/lib.rs, and the folders of src");
    let files = entries("src".as_ref()).filter(|path| path.is_file());
    let mut files: Vec<_> = files.map(|path| name(&path).to_owned()).collect();
    files.sort();
    assert_eq!(files, ["lib.rs", "main.rs"], "everything else in src belongs to a layer");
}

#[test]
fn every_folder_says_in_its_mod_rs_what_belongs_there() {
    let missing = folders("src".as_ref()).into_iter().filter_map(|folder| {
        let text = fs::read_to_string(folder.join("mod.rs")).unwrap_or_default();
        let says = text.starts_with("//! ");
        (!says).then(|| format!("{}: no mod.rs that begins with //!", folder.display()))
    });
    let beside = folders("src".as_ref()).into_iter().filter_map(|folder| {
        let file = folder.with_extension("rs");
        file.exists().then(|| format!("{}: belongs in the folder as mod.rs", file.display()))
    });
    none_of("folders without a word", missing.chain(beside));
}

#[test]
fn imports_point_down_the_list_of_layers() {
    let layers = layers();
    let rank = |layer: &str| layers.iter().position(|one| one == layer);
    let wrong = sources("src").into_iter().filter(|source| !source.is_test).flat_map(|source| {
        let here = source.layer().and_then(|layer| rank(&layer));
        let upward = source.imports().into_iter().filter_map(move |(line, layer)| {
            let (here, there) = (here?, rank(&layer)?);
            (there < here).then_some((line, layer))
        });
        let at = source.path.clone();
        upward.map(move |(line, layer)| format!("{}:{line}: imports {layer}", at.display()))
    });
    none_of("imports that point up", wrong);
}

#[test]
fn no_files_import_each_other() {
    for directory in ["src", "benches/relay", "tests/simulation"] {
        none_of("files that import each other", Circles::in_directory(directory).into_iter());
    }
}

#[test]
fn the_pure_layers_know_no_socket_no_clock_and_no_log() {
    let pure = PURE.iter().flat_map(|layer| sources(&format!("src/{layer}")));
    let wrong = pure.filter(|source| !source.is_test).flat_map(|source| {
        let lines = source.lines().into_iter().filter_map(|(number, line)| {
            let word = WORLD.iter().find(|word| has_word(&line, word))?;
            Some(format!("{}:{number}: {word}", source.path.display()))
        });
        lines.collect::<Vec<_>>()
    });
    none_of("what a pure layer must not know", wrong);
}

#[test]
fn no_file_is_longer_than_one_can_keep_in_mind() {
    let all = ["src", "benches", "fuzz/src", "tests"].into_iter().flat_map(sources);
    let long = all.filter(|source| !source.is_test).filter_map(|source| {
        let lines = source.code().lines().count();
        let path = source.path.display();
        (lines > FILE_MAX_LINES).then(|| format!("{path}: {lines} lines without its tests"))
    });
    none_of("long files", long);
}

#[test]
fn no_function_is_longer_than_a_page_and_most_are_much_shorter() {
    let all = ["src", "benches", "fuzz", "tests"].into_iter().flat_map(sources);
    let long = all.flat_map(|source| {
        let functions = source.functions().into_iter();
        let long = functions.filter(|(_, lines)| *lines > FUNCTION_MAX_LINES);
        let at = source.path.clone();
        long.map(move |(line, lines)| format!("{}:{line}: {lines} lines", at.display()))
            .collect::<Vec<_>>()
    });
    none_of("long functions", long);
    let functions = sources("src").into_iter().flat_map(|source| source.functions());
    let mut lengths: Vec<_> = functions.map(|(_, lines)| lines).collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= FUNCTION_MEDIAN_MAX_LINES, "half of the functions have {median} lines");
}

/// Fails with all that was found, a line each.
#[track_caller]
fn none_of(what: &str, found: impl Iterator<Item = String>) {
    let found: Vec<_> = found.collect();
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

// ---- Layers ----------------------------------------------------------------------------------

/// The layers as the first drawing in `lib.rs` lists them, the uppermost first.
fn layers() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let (_, rest) = text.split_once("//! ```text\n").expect("lib.rs draws the layers");
    let (drawing, _) = rest.split_once("//! ```").expect("the drawing ends");
    let lines = drawing.lines().filter_map(|line| line.strip_prefix("//! "));
    let named = lines.filter(|line| !line.starts_with(' '));
    named.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Whether a line has this word, and not as the end of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        word.starts_with('.') || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}
