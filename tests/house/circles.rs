//! Files that import each other, in however many steps.
//!
//! A file may use what the `mod.rs` above it brings together, which is no circle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::sources::{Source, parts, sources};

/// Who imports whom.
pub struct Circles {
    imports: BTreeMap<PathBuf, Vec<PathBuf>>,
}

impl Circles {
    /// All circles below a directory, one of whose files is the root of a crate.
    pub fn in_directory(directory: &str) -> Vec<String> {
        let all: Vec<_> = sources(directory).into_iter().filter(|it| !it.is_test).collect();
        let paths: Vec<_> = all.iter().map(|source| source.path.clone()).collect();
        let of = |source: &Source| (source.path.clone(), imported(source, directory, &paths));
        let circles = Self { imports: all.iter().map(of).collect() };
        paths.iter().filter_map(|path| circles.through(path)).collect()
    }

    /// The way from a file back to itself, if there is one.
    fn through(&self, start: &Path) -> Option<String> {
        let mut came_from: BTreeMap<&Path, &Path> = BTreeMap::new();
        let mut next = vec![start];
        while let Some(path) = next.pop() {
            for to in self.imports.get(path).into_iter().flatten() {
                if to == start {
                    return Some(format!("{} and {}", start.display(), path.display()));
                }
                if came_from.insert(to, path).is_none() {
                    next.push(to);
                }
            }
        }
        None
    }
}

/// The files that a file imports from, the `mod.rs` above it left out.
fn imported(source: &Source, directory: &str, files: &[PathBuf]) -> Vec<PathBuf> {
    let here = module_of(&source.path, directory);
    let named = uses(source).into_iter().filter_map(|path| absolute(&here, &path));
    let found = named.filter_map(|path| file_of(&path, directory, files));
    found.filter(|file| !here.starts_with(&module_of(file, directory))).collect()
}

/// The segments of a file's module, from the root of its crate.
fn module_of(path: &Path, directory: &str) -> Vec<String> {
    let inside = path.strip_prefix(directory).expect("it is below the directory");
    let mut segments: Vec<_> = inside
        .iter()
        .map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned())
        .collect();
    if segments.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        segments.pop();
    }
    segments
}

/// All paths that `use` lines name, with groups in braces taken apart.
fn uses(source: &Source) -> Vec<Vec<String>> {
    let code: Vec<_> = source.lines().into_iter().map(|(_, line)| line).collect();
    let joined = code.join(" ");
    let found = joined.split(';').filter_map(|item| item.rsplit_once("use ")).map(|(_, rest)| rest);
    let mut all = Vec::new();
    found.for_each(|tree| take_apart(&[], tree.trim(), &mut all));
    all
}

fn take_apart(before: &[String], tree: &str, all: &mut Vec<Vec<String>>) {
    let (path, group) = match tree.split_once('{') {
        Some((path, rest)) => (path, rest.rsplit_once('}').map(|(group, _)| group)),
        None => (tree, None),
    };
    let segments = path.split("::").map(str::trim).filter(|segment| !segment.is_empty());
    let path = [before, &segments.map(str::to_owned).collect::<Vec<_>>()].concat();
    let Some(group) = group else { return all.push(path) };
    parts(group).for_each(|part| take_apart(&path, part.trim(), all));
}

/// A path from the root of its crate, or `None` where it leads out of it.
fn absolute(here: &[String], path: &[String]) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([here, rest].concat()),
        "super" => absolute(here.split_last()?.1, &[&["self".to_owned()], rest].concat()),
        _elsewhere => None,
    }
}

/// The file with the longest part of a path.
fn file_of(path: &[String], directory: &str, files: &[PathBuf]) -> Option<PathBuf> {
    let is_part = |file: &&PathBuf| path.starts_with(&module_of(file, directory));
    files.iter().filter(is_part).max_by_key(|file| module_of(file, directory).len()).cloned()
}
