//! Small files that somebody named: certificates, keys, tokens.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc::O_NONBLOCK;

/// All that is in a file, unless that is more than `max_bytes`.
///
/// Regular files only, links to them included: a pipe would keep us waiting for whoever writes to
/// it, and a device may never end.
///
/// # Errors
/// It cannot be opened or read, or is another kind of file, or longer.
pub fn read(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    // Without the flag, opening a pipe would already wait.
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed shows that there is more.
    file.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() > max_bytes {
        true => Err(io::Error::other(format!("is larger than {max_bytes} bytes"))),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("dispatch-files-{name}-{}", std::process::id()))
    }

    #[test]
    fn only_a_regular_file_of_some_size_is_read() {
        let path = scratch("regular");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(read(&path, 4).unwrap_err().to_string().contains("larger than 4"));
        fs::remove_file(&path).unwrap();
        assert!(read(&path, 5).is_err());
        assert!(read(&std::env::temp_dir(), 5).unwrap_err().to_string().contains("regular"));
        assert!(read(Path::new("/dev/zero"), 5).unwrap_err().to_string().contains("regular"));
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let path = scratch("pipe");
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let refused = read(&path, 5);
        fs::remove_file(&path).unwrap();
        assert!(refused.unwrap_err().to_string().contains("regular"));
    }
}
