//! What the README and the manuals say of this program and of each other is true.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const README: &str = "README.md";
const OPERATING: &str = "docs/operating.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The README and everything in `docs/`, as paths from the root.
fn documents() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("docs")).expect("docs/ is there");
    let files = folder.map(|entry| PathBuf::from("docs").join(entry.unwrap().file_name()));
    let manuals = files.filter(|path| path.extension().is_some_and(|end| end == "md"));
    std::iter::once(PathBuf::from(README)).chain(manuals).collect()
}

/// A document without what stands between fences.
fn prose(document: &str) -> String {
    let mut fenced = false;
    let lines = document.lines().filter(|line| {
        let fence = line.starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

// ---- Links ----------------------------------------------------------------------------------

/// Where the links of a text lead that leave neither the project nor this machine.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).collect()
}

/// The names that a page gives to its headings: lower case, no punctuation, `-` for blanks.
fn anchors(document: &str) -> BTreeSet<String> {
    let prose = prose(document);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut checked = 0;
    for document in documents() {
        for link in links(&prose(&read(&document))) {
            check_link(&document, link);
            checked += 1;
        }
    }
    assert!(checked > 30, "only {checked} links were found");
}

fn check_link(document: &Path, link: &str) {
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let folder = document.parent().unwrap_or(Path::new(""));
    let target = if file.is_empty() { document.to_owned() } else { folder.join(file) };
    let place = format!("{}: the link {link:?}", document.display());
    assert!(root().join(&target).exists(), "{place} leads to no file");
    let known = heading.is_empty() || anchors(&read(&target)).contains(heading);
    assert!(known, "{place} leads to no heading");
}

// ---- The README -----------------------------------------------------------------------------

#[test]
fn the_driver_in_the_readme_is_the_sample() {
    let readme = read(README);
    let pasted = readme.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(pasted.expect("it has a block of Python"), read("examples/driver.py"));
}

#[test]
fn the_readme_stays_on_one_page() {
    let lines = read(README).lines().count();
    assert!(lines <= 170, "{lines} lines: what is not needed at first goes to docs/");
}

#[test]
fn the_readme_asks_for_the_rust_that_the_project_needs() {
    let version = env!("CARGO_PKG_RUST_VERSION");
    let asked = format!("[Rust](https://rustup.rs) {version} or newer");
    assert!(read(README).contains(&asked), "it does not say {asked:?}");
}

// ---- The manual for operators ---------------------------------------------------------------

fn output(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_dispatch")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
}

fn is_flag(word: &str) -> bool {
    word.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
}

fn is_variable(word: &str) -> bool {
    word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// The names of the subcommands, from the help.
fn subcommands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let rows = lines.take_while(|line| !line.is_empty());
    rows.filter_map(|row| row.split_whitespace().next()).filter(|name| *name != "help").collect()
}

#[test]
fn every_flag_and_variable_of_the_help_is_in_the_manual() {
    let manual = read(OPERATING);
    let known: BTreeSet<_> = words(&manual).collect();
    let help = output(&["--help"]);
    let mut helps = vec![help.clone()];
    helps.extend(subcommands(&help).iter().map(|name| output(&[name, "--help"])));
    let named = helps.iter().flat_map(|help| words(help));
    let missing: BTreeSet<_> = named
        .filter(|word| is_flag(word) || is_variable(word))
        .filter(|word| !known.contains(word))
        .collect();
    assert!(missing.is_empty(), "{OPERATING} does not name {missing:?}");
}

#[test]
fn every_subcommand_is_in_the_manual() {
    let manual = read(OPERATING);
    let help = output(&["--help"]);
    let missing = subcommands(&help).into_iter().find(|name| {
        let command = format!("dispatch {name}");
        !manual.contains(&command)
    });
    assert_eq!(missing, None, "{OPERATING} does not name this subcommand");
}

/// What stands below the headings of a document that name this, in whatever form.
fn chapters(document: &str, name: &str) -> String {
    let chapters = document.split("\n## ").skip(1);
    let named = chapters.filter(|chapter| {
        let heading = chapter.lines().next().unwrap_or_default().to_lowercase();
        heading.contains(name)
    });
    named.collect()
}

#[test]
fn every_flag_of_a_subcommand_is_in_a_chapter_that_names_it() {
    let manual = read(OPERATING);
    for name in subcommands(&output(&["--help"])) {
        let chapters = chapters(&manual, name);
        let known: BTreeSet<_> = words(&chapters).collect();
        let help = output(&[name, "--help"]);
        let flags = words(&help).filter(|word| is_flag(word) && *word != "--help");
        let missing: BTreeSet<_> = flags.filter(|word| !known.contains(word)).collect();
        assert!(missing.is_empty(), "{OPERATING} does not say of {name} what {missing:?} do");
    }
}

#[test]
fn every_subcommand_shows_examples_in_its_help() {
    for name in subcommands(&output(&["--help"])) {
        let help = output(&[name, "--help"]);
        let example = format!("  dispatch {name} ");
        assert!(help.contains(&example), "{name} --help has no line that begins {example:?}");
    }
}

#[test]
fn every_route_is_in_the_manual() {
    let manual = read(OPERATING);
    let routes = output(&["--routes"]);
    for path in routes.lines().filter_map(|line| line.split_whitespace().nth(1)) {
        let bases = ["/api/dispatch/v1", "/api/server"];
        let suffix = bases.iter().find_map(|base| path.strip_prefix(base)).unwrap_or(path);
        // Behind it comes the end of the code, or the query.
        let named = ['`', '?'].iter().any(|end| manual.contains(&format!("| `{suffix}{end}")));
        assert!(suffix.is_empty() || named, "{OPERATING} does not name {path}");
    }
}

/// `RUST_LOG` goes by the modules, which are the folders and files of `src`.
#[test]
fn every_module_that_the_manual_filters_by_is_there() {
    let manual = read(OPERATING);
    let paths = manual.split("`dispatch::").skip(1).filter_map(|rest| rest.split('`').next());
    for path in paths {
        let place = root().join("src").join(path.replace("::", "/"));
        assert!(place.is_dir() || place.with_extension("rs").is_file(), "dispatch::{path}");
    }
}

/// A folder that logs and is not in the manual is one that nobody would filter by.
#[test]
fn every_module_that_logs_is_in_the_manual() {
    let manual = read(OPERATING);
    for folder in fs::read_dir(root().join("src")).unwrap() {
        let folder = folder.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let logs = sources(&folder).iter().any(|source| logs(source));
        let named = manual.contains(&format!("| `dispatch::{name}` |"));
        assert!(!logs || named, "dispatch::{name} logs, and {OPERATING} does not say what");
    }
}

fn logs(source: &str) -> bool {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let macros = ["error!(", "warn!(", "info!(", "debug!(", "trace!("];
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.into_iter().any(|line| macros.iter().any(|name| line.contains(name)))
}

fn sources(path: &Path) -> Vec<String> {
    if path.is_file() {
        return vec![fs::read_to_string(path).unwrap_or_default()];
    }
    let entries = fs::read_dir(path).expect("it is a folder");
    entries.flat_map(|entry| sources(&entry.unwrap().path())).collect()
}
