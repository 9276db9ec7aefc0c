//! The project's sources, read as text that rustfmt has laid out, which is enough for the rules: an
//! item ends with a brace as far to the right as it began.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of Rust, by its path from the project's directory.
pub struct Source {
    pub path: PathBuf,
    text: String,
    /// It is compiled for tests only.
    pub is_test: bool,
}

impl Source {
    /// What is above the file's own tests.
    pub fn code(&self) -> &str {
        let tests = self.text.find("\n#[cfg(test)]\nmod tests {");
        &self.text[..tests.map_or(self.text.len(), |at| at + 1)]
    }

    /// The code's lines that are not comments, with their numbers.
    pub fn lines(&self) -> Vec<(usize, String)> {
        let lines = self.code().lines().enumerate();
        let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
        code.map(|(index, line)| (index + 1, line.to_owned())).collect()
    }

    /// The folder of `src` that it is in.
    pub fn layer(&self) -> Option<String> {
        let mut parts = self.path.strip_prefix("src").ok()?.iter();
        let first = parts.next()?.to_str()?;
        parts.next().map(|_| first.to_owned())
    }

    /// The layers that it names, with the lines that do so: `crate::…` and `crate::{…, …}`, and
    /// `super` where it leads out of the layer.
    pub fn imports(&self) -> Vec<(usize, String)> {
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
    pub fn functions(&self) -> Vec<(usize, usize)> {
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
        Some(group) => parts(group).map(word).collect(),
    }
}

/// What stands between the commas of a group, groups inside of it left whole.
pub fn parts(group: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    group.split(move |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    })
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
pub fn sources(directory: &str) -> Vec<Source> {
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

pub fn folders(directory: &Path) -> Vec<PathBuf> {
    let here = entries(directory).filter(|path| path.is_dir());
    here.flat_map(|path| [vec![path.clone()], folders(&path)].concat()).collect()
}

/// What is in a directory of the project, by its path from there. What was built is no source.
pub fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let read = fs::read_dir(root().join(directory)).into_iter().flatten();
    let mut paths: Vec<_> = read.map(|entry| directory.join(entry.unwrap().file_name())).collect();
    paths.retain(|path| !path.ends_with("target"));
    paths.sort();
    paths.into_iter()
}

pub fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("our names are UTF-8")
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
