//! Files that a test needs.

use std::path::{Path, PathBuf};

/// A folder of a test's own, which goes with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let name = format!("dispatch-{}", uuid::Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a folder can be made");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its path, as a word of a command.
    pub fn word(&self) -> &str {
        self.0.to_str().expect("the path is text")
    }

    /// The path of a file in it, as a word of a command.
    pub fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.word())
    }

    /// Writes a file; gives its path, as a word of a command.
    pub fn write(&self, name: &str, text: &str) -> String {
        let file = self.file(name);
        std::fs::write(&file, text).expect("a file can be written");
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
