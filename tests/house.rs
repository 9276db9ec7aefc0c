//! The rules of the house, read off the sources: what folders there are, which may import which,
//! what the pure ones know nothing of, and how long things are.
//!
//! The sources are read as text that rustfmt has laid out, which is enough for these rules: an
//! item ends with a brace as far to the right as it began.

use std::fs;
use std::path::{Path, PathBuf};

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

// ---- Sources ---------------------------------------------------------------------------------

/// A file of Rust, by its path from the project's directory.
struct Source {
    path: PathBuf,
    text: String,
    /// It is compiled for tests only.
    is_test: bool,
}

impl Source {
    /// What is above the file's own tests.
    fn code(&self) -> &str {
        let tests = self.text.find("\n#[cfg(test)]\nmod tests {");
        &self.text[..tests.map_or(self.text.len(), |at| at + 1)]
    }

    /// The code's lines that are not comments, with their numbers.
    fn lines(&self) -> Vec<(usize, String)> {
        let lines = self.code().lines().enumerate();
        let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
        code.map(|(index, line)| (index + 1, line.to_owned())).collect()
    }

    /// The folder of `src` that it is in.
    fn layer(&self) -> Option<String> {
        let mut parts = self.path.strip_prefix("src").ok()?.iter();
        let first = parts.next()?.to_str()?;
        parts.next().map(|_| first.to_owned())
    }

    /// The layers that it names, with the lines that do so: `crate::…` and `crate::{…, …}`, and
    /// `super` where it leads out of the layer.
    fn imports(&self) -> Vec<(usize, String)> {
        let supers =
            self.path.components().count() - 1 - usize::from(self.path.ends_with("mod.rs"));
        let out = "super::".repeat(supers);
        let mut found = Vec::new();
        for (number, line) in self.lines() {
            for prefix in ["crate::", out.as_str()] {
                for (at, _) in line.match_indices(prefix) {
                    let named = names_at(&line[at + prefix.len()..]);
                    found.extend(named.into_iter().map(|name| (number, name)));
                }
            }
        }
        found
    }

    /// Where its functions begin, and how many lines each has.
    fn functions(&self) -> Vec<(usize, usize)> {
        let lines: Vec<_> = self.text.lines().collect();
        let begins = lines.iter().enumerate().filter(|(_, line)| begins_function(line));
        begins
            .map(|(begin, line)| {
                let indent = &line[..line.len() - line.trim_start().len()];
                let brace = format!("{indent}}}");
                let ends_at_once = line.ends_with('}') || line.ends_with(';');
                let end = lines[begin..].iter().position(|line| {
                    ends_at_once
                        || *line == brace
                        || line.starts_with(&format!("{indent})")) && line.ends_with(';')
                });
                (begin + 1, end.unwrap_or(0) + 1)
            })
            .collect()
    }
}

/// The first names of what follows `crate::`: one, or those of a group in braces.
fn names_at(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    match rest.strip_prefix('{') {
        None => vec![word(rest)],
        Some(group) => {
            let mut depth = 0;
            let apart = |c: char| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                c == ',' && depth == 0
            };
            group.split(apart).map(word).collect()
        }
    }
}

fn begins_function(line: &str) -> bool {
    let words = line.trim_start().split(' ');
    let mut words = words.skip_while(|word| {
        ["const", "async", "unsafe", "extern", "\"C\""].contains(word)
            || word.starts_with("pub")
            || ["super)", "crate)"].contains(word)
    });
    words.next() == Some("fn")
}

/// All Rust files below a directory of the project; none where there is none.
fn sources(directory: &str) -> Vec<Source> {
    let mut paths: Vec<_> = files(directory.as_ref());
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        Source { is_test: is_test(&path), path, text }
    };
    paths.into_iter().map(read).collect()
}

/// Whether a file, or a folder above it, is declared as a module of tests.
fn is_test(path: &Path) -> bool {
    path.ancestors().any(|path| {
        let module = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let Some(folder) = path.parent() else { return false };
        let parent = fs::read_to_string(root().join(folder).join("mod.rs")).unwrap_or_default();
        ["", "pub ", "pub(crate) ", "pub(super) "]
            .iter()
            .any(|visible| parent.contains(&format!("#[cfg(test)]\n{visible}mod {module};")))
    })
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in entries(directory) {
        if root().join(&path).is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn folders(directory: &Path) -> Vec<PathBuf> {
    let here = entries(directory).filter(|path| path.is_dir());
    here.flat_map(|path| [vec![path.clone()], folders(&path)].concat()).collect()
}

/// What is in a directory of the project, by its path from there. What was built is no source.
fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let read = fs::read_dir(root().join(directory)).into_iter().flatten();
    let mut paths: Vec<_> = read.map(|entry| directory.join(entry.unwrap().file_name())).collect();
    paths.retain(|path| !path.ends_with("target"));
    paths.sort();
    paths.into_iter()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("our names are UTF-8")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
