//! Files that are read again when they change, without a timer that looks at them.
//!
//! The folders are watched as well as the files: editors and `mv` put another file in the place of
//! the old one, and Kubernetes swaps a link beside it. What has changed is not asked for: whatever
//! happens there, a file is read once it has been left alone for a moment, and compared.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use crate::limits::{FILE_LINKS_MAX, FILE_READS_PER_TURN, FILE_SETTLED, FILE_UNSETTLED_MAX};
use crate::net::files;
use crate::protocol::tokens::Digest;

/// What the kernel tells us of some files.
pub struct Watch {
    inotify: Inotify,
    paths: Vec<PathBuf>,
    watched: BTreeSet<WatchDescriptor>,
    state: State,
}

/// Whether something has happened there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not since the files were read.
    Settled,
    /// They are to be read then, unless more happens before; in the end they are read anyway.
    Changing { read_at: Instant, at_the_latest: Instant },
}

impl Watch {
    /// Watches these files from now on.
    ///
    /// # Errors
    /// The system's reason; it limits how many watches there are.
    pub fn open(paths: Vec<PathBuf>) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let mut watch = Self { inotify, paths, watched: BTreeSet::new(), state: State::Settled };
        watch.follow()?;
        Ok(watch)
    }

    /// What a poll watches for reading.
    pub fn as_raw_fd(&self) -> RawFd {
        self.inotify.as_fd().as_raw_fd()
    }

    /// Something happened beside one of the files.
    ///
    /// # Errors
    /// They can't be watched any longer.
    pub fn handle_event(&mut self, now: Instant) -> io::Result<()> {
        self.forget_events();
        let at_the_latest = match self.state {
            State::Settled => now + FILE_UNSETTLED_MAX,
            State::Changing { at_the_latest, .. } => at_the_latest,
        };
        let read_at = at_the_latest.min(now + FILE_SETTLED);
        self.state = State::Changing { read_at, at_the_latest };
        self.follow()
    }

    /// Whether the files are to be read now.
    pub fn poll_settled(&mut self, now: Instant) -> bool {
        match self.state {
            State::Changing { read_at, .. } if now >= read_at => {
                // What was left of it would raise no event any more.
                self.forget_events();
                self.state = State::Settled;
                true
            }
            State::Changing { .. } | State::Settled => false,
        }
    }

    /// How long until they are to be read.
    pub fn poll_timeout(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Settled => None,
            State::Changing { read_at, .. } => Some(read_at.saturating_duration_since(now)),
        }
    }

    fn forget_events(&self) {
        for _ in 0..FILE_READS_PER_TURN {
            match self.inotify.read_events() {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Watches where the links lead now, and no longer where they led before.
    fn follow(&mut self) -> io::Result<()> {
        let mut watched = BTreeSet::new();
        for path in &self.paths {
            for folder in folders(path) {
                watched.insert(self.inotify.add_watch(&folder, folder_events())?);
            }
            // One that is not there is seen when its folder gets it.
            if let Ok(file) = self.inotify.add_watch(path, file_events()) {
                watched.insert(file);
            }
        }
        for gone in self.watched.difference(&watched) {
            // The kernel forgets those of what was removed by itself.
            let _ = self.inotify.rm_watch(*gone);
        }
        self.watched = watched;
        Ok(())
    }
}

fn folder_events() -> AddWatchFlags {
    AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ATTRIB
}

fn file_events() -> AddWatchFlags {
    AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
}

/// The folders in which something happens when a file or a link on the way to it changes. In the
/// place of one that is not there stands the one in which it would be made.
fn folders(path: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut path = path.to_owned();
    for _ in 0..FILE_LINKS_MAX {
        let Some(folder) = path.parent() else { break };
        let there = folder.ancestors().find(|folder| folder.is_dir());
        folders.extend(there.map(Path::to_owned));
        match path.read_link() {
            Ok(target) => path = folder.join(target),
            Err(_) => break,
        }
    }
    folders
}

/// A file, and what was found in it.
pub struct FollowedFile {
    path: PathBuf,
    max_bytes: usize,
    found: Found,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// Nothing yet: nobody has looked.
    Nothing,
    /// A text.
    Text(Digest),
    /// It can't be read, for this reason.
    Fault(String),
}

impl FollowedFile {
    /// A file that was not read yet, with so many bytes at most.
    pub fn new(path: PathBuf, max_bytes: usize) -> Self {
        // What is relative is so to where we began.
        let path = std::path::absolute(&path).unwrap_or(path);
        Self { path, max_bytes, found: Found::Nothing }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it. `None`: it is as it was.
    ///
    /// # Errors
    /// Why it can't be read, the first time that it is so.
    pub fn poll_changed(&mut self) -> Option<Result<String, String>> {
        let (found, outcome) = self.look();
        if found == self.found {
            return None;
        }
        self.found = found;
        Some(outcome)
    }

    /// Reads it, even if it is as it was.
    ///
    /// # Errors
    /// Why it can't be read.
    pub fn read(&mut self) -> Result<String, String> {
        let (found, outcome) = self.look();
        self.found = found;
        outcome
    }

    fn look(&self) -> (Found, Result<String, String>) {
        let read = files::read(&self.path, self.max_bytes);
        let text = read.and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| io::Error::other("is not UTF-8 text"))
        });
        match text {
            Ok(text) => (Found::Text(Digest::of(&text)), Ok(text)),
            Err(error) => (Found::Fault(error.to_string()), Err(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::thread;

    use uuid::Uuid;

    /// A folder of its own for one test, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("dispatch-watch-{}", Uuid::new_v4()));
            fs::create_dir_all(&path).unwrap();
            Self(path.canonicalize().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Whether anything was told of what `act` did.
    fn is_told(watch: &mut Watch, act: impl FnOnce()) -> bool {
        watch.forget_events();
        act();
        // What happens is told before the call that does it returns.
        watch.inotify.read_events().is_ok()
    }

    #[test]
    fn whatever_becomes_of_a_file_is_told() {
        let folder = Folder::new();
        let file = folder.path("tokens.toml");
        let mut watch = Watch::open(vec![file.clone()]).unwrap();
        let acts: [(&str, &dyn Fn()); 6] = [
            ("made", &|| fs::write(&file, "1").unwrap()),
            ("written", &|| fs::write(&file, "2").unwrap()),
            ("replaced", &|| {
                fs::write(folder.path("new"), "3").unwrap();
                fs::rename(folder.path("new"), &file).unwrap();
            }),
            ("written in its new place", &|| fs::write(&file, "4").unwrap()),
            ("removed", &|| fs::remove_file(&file).unwrap()),
            ("made as a link", &|| symlink(folder.path("target"), &file).unwrap()),
        ];
        for (what, act) in acts {
            assert!(is_told(&mut watch, act), "{what}");
            watch.follow().unwrap();
        }
    }

    #[test]
    fn links_are_followed_as_kubernetes_swaps_them() {
        let folder = Folder::new();
        for version in ["..1", "..2"] {
            fs::create_dir(folder.path(version)).unwrap();
            fs::write(folder.path(version).join("tokens.toml"), version).unwrap();
        }
        symlink("..1", folder.path("..data")).unwrap();
        symlink("..data/tokens.toml", folder.path("tokens.toml")).unwrap();
        let mut watch = Watch::open(vec![folder.path("tokens.toml")]).unwrap();
        let swap = || {
            symlink("..2", folder.path("..data_tmp")).unwrap();
            fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
        };
        assert!(is_told(&mut watch, swap));
        watch.follow().unwrap();
        let elsewhere = || fs::write(folder.path("..1").join("tokens.toml"), "old").unwrap();
        assert!(!is_told(&mut watch, elsewhere), "where the link led before");
        let there = || fs::write(folder.path("..2").join("tokens.toml"), "new").unwrap();
        assert!(is_told(&mut watch, there));
    }

    #[test]
    fn a_folder_that_is_made_later_is_found() {
        let folder = Folder::new();
        let file = folder.path("later/tokens.toml");
        let mut watch = Watch::open(vec![file.clone()]).unwrap();
        assert!(is_told(&mut watch, || fs::create_dir(folder.path("later")).unwrap()));
        watch.follow().unwrap();
        assert!(is_told(&mut watch, || fs::write(&file, "1").unwrap()));
        watch.follow().unwrap();
        assert!(is_told(&mut watch, || fs::remove_dir_all(folder.path("later")).unwrap()));
        watch.follow().unwrap();
        assert!(is_told(&mut watch, || fs::create_dir(folder.path("later")).unwrap()));
    }

    #[test]
    fn links_in_a_circle_end() {
        let folder = Folder::new();
        symlink("b", folder.path("a")).unwrap();
        symlink("a", folder.path("b")).unwrap();
        let mut watch = Watch::open(vec![folder.path("a")]).unwrap();
        assert_eq!(watch.watched.len(), 1);
        assert!(is_told(&mut watch, || fs::remove_file(folder.path("b")).unwrap()));
    }

    #[test]
    fn files_are_read_when_they_are_left_alone_and_in_the_end_even_if_not() {
        let folder = Folder::new();
        let mut watch = Watch::open(vec![folder.path("tokens.toml")]).unwrap();
        let start = Instant::now();
        assert!(!watch.poll_settled(start) && watch.poll_timeout(start).is_none());
        watch.handle_event(start).unwrap();
        assert_eq!(watch.poll_timeout(start), Some(FILE_SETTLED));
        let mut now = start;
        while now < start + FILE_UNSETTLED_MAX {
            assert!(!watch.poll_settled(now), "{:?}", now - start);
            watch.handle_event(now).unwrap();
            now += FILE_SETTLED / 2;
        }
        assert!(watch.poll_settled(now));
        assert!(!watch.poll_settled(now) && watch.poll_timeout(now).is_none());
        watch.handle_event(now).unwrap();
        assert!(watch.poll_settled(now + FILE_SETTLED));
    }

    #[test]
    fn a_file_is_told_when_it_is_another_and_a_fault_once() {
        let folder = Folder::new();
        let mut file = FollowedFile::new(folder.path("f"), 4);
        let absent = file.poll_changed().unwrap().unwrap_err();
        assert!(absent.contains("No such file"), "{absent}");
        assert_eq!(file.poll_changed(), None);
        fs::write(file.path(), "one").unwrap();
        assert_eq!(file.poll_changed(), Some(Ok("one".into())));
        thread::yield_now();
        fs::write(file.path(), "one").unwrap();
        assert_eq!(file.poll_changed(), None);
        assert_eq!(file.read(), Ok("one".into()));
        fs::write(file.path(), "12345").unwrap();
        assert!(file.poll_changed().unwrap().unwrap_err().contains("larger than"));
        fs::write(file.path(), [0xff]).unwrap();
        assert!(file.poll_changed().unwrap().unwrap_err().contains("UTF-8"));
        fs::write(file.path(), "one").unwrap();
        assert_eq!(file.poll_changed(), Some(Ok("one".into())), "it is back");
    }
}
