//! Files that a test needs.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder that belongs to one test and is removed with it.
pub struct TempFolder(PathBuf);

impl TempFolder {
    pub fn new() -> Self {
        let name = format!("dispatch-{}", uuid::Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a folder can be made");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its path, as a word of a command.
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("the path is text")
    }

    /// The path of a file in it, as a word of a command.
    pub fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.as_str())
    }

    /// Writes a file; gives its path, as a word of a command.
    pub fn write(&self, name: &str, text: &str) -> String {
        let file = self.file(name);
        fs::write(&file, text).expect("a file can be written");
        file
    }

    /// Puts another text in the place of a file in one step, so that no reader sees half of it.
    pub fn replace(&self, name: &str, text: &str) {
        let new = self.write(&format!("{name}.new"), text);
        fs::rename(new, self.file(name)).expect("a file can be renamed");
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
