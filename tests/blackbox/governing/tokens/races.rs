//! Files that can't be used: the old tokens stay, and the log says why.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{FILE, driver_entry, replace, start};
use crate::harness::{Dispatch, Tcp, TempFolder, free_port, skipped, test_name};

/// Lets something happen to the file, of which the log must say this, and passes when the token
/// that was known before still is, for drivers that are there and for new ones, and when a good
/// file is taken after it.
#[track_caller]
fn expect_kept(word: &str, spoil: impl FnOnce(&Dispatch)) {
    let dispatch = start(&driver_entry("lifts", "old"));
    let mut driver = dispatch.driver(Tcp, free_port()).token("old").connect();
    spoil(&dispatch);
    let line = dispatch.expect_logged(&["the old tokens stay in use", FILE, word]);
    assert!(line.contains("WARN"), "{line}");
    driver.sync();
    dispatch.driver(Tcp, free_port()).token("old").connect();
    dispatch.signal("HUP");
    dispatch.driver(Tcp, free_port()).token("old").connect();
    let _ = fs::remove_file(dispatch.files().file(FILE));
    let _ = fs::remove_dir(dispatch.files().file(FILE));
    replace(&dispatch, &driver_entry("lifts", "new"));
    driver.expect_close_code(1008);
    dispatch.driver(Tcp, free_port()).token("new").connect();
}

#[test]
fn a_file_that_is_half_written_changes_nothing() {
    expect_kept("line 3", |dispatch| {
        let whole = driver_entry("lifts", "new");
        dispatch.files().write(FILE, &whole[..whole.len() / 2]);
    });
}

#[test]
fn a_file_that_is_empty_changes_nothing() {
    expect_kept("empty", |dispatch| drop(dispatch.files().write(FILE, "")));
}

#[test]
fn a_file_that_is_removed_changes_nothing() {
    expect_kept("No such file", |dispatch| {
        fs::remove_file(dispatch.files().file(FILE)).unwrap();
    });
}

#[test]
fn a_folder_in_its_place_changes_nothing() {
    expect_kept("regular file", |dispatch| {
        fs::remove_file(dispatch.files().file(FILE)).unwrap();
        fs::create_dir(dispatch.files().file(FILE)).unwrap();
    });
}

#[test]
fn a_file_that_we_may_not_read_changes_nothing() {
    let closed = || fs::Permissions::from_mode(0o000);
    let folder = TempFolder::new();
    let file = folder.write("closed", "");
    fs::set_permissions(&file, closed()).unwrap();
    if fs::read(&file).is_ok() {
        return skipped(&test_name(), "root may read every file");
    }
    expect_kept("ermission", |dispatch| {
        fs::set_permissions(dispatch.files().file(FILE), closed()).unwrap();
    });
}

#[test]
fn a_huge_file_changes_nothing() {
    expect_kept("larger than", |dispatch| {
        dispatch.files().replace(FILE, &"# nothing\n".repeat(1 << 18));
    });
}

#[test]
fn a_pipe_in_its_place_is_not_waited_for() {
    expect_kept("regular file", |dispatch| {
        let pipe = dispatch.files().file("pipe");
        mkfifo(pipe.as_str(), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        fs::rename(pipe, dispatch.files().file(FILE)).unwrap();
    });
}

#[test]
fn a_link_to_nowhere_changes_nothing() {
    expect_kept("No such file", |dispatch| {
        let link = dispatch.files().file("link");
        symlink("nowhere", &link).unwrap();
        fs::rename(link, dispatch.files().file(FILE)).unwrap();
    });
}

#[test]
fn a_file_that_is_no_text_changes_nothing() {
    expect_kept("UTF-8", |dispatch| {
        fs::write(dispatch.files().file(FILE), [0xff, 0xfe]).unwrap();
    });
}

#[test]
fn a_fault_is_told_once_and_not_with_each_look() {
    let dispatch = start(&driver_entry("lifts", "old"));
    fs::remove_file(dispatch.files().file(FILE)).unwrap();
    dispatch.expect_logged(&["the old tokens stay in use"]);
    for n in 0..5 {
        dispatch.files().write(&format!("other {n}"), "");
    }
    replace(&dispatch, &driver_entry("lifts", "old"));
    assert_eq!(dispatch.count_logged("the old tokens stay in use"), 1);
}

#[test]
fn a_file_that_is_written_slowly_is_taken_when_it_is_whole() {
    let dispatch = start(&driver_entry("lifts", "old"));
    let mut driver = dispatch.driver(Tcp, free_port()).token("old").connect();
    let whole = driver_entry("lifts", "old") + &driver_entry("doors", "new");
    for end in 0..whole.len() {
        dispatch.files().write(FILE, &whole[..end]);
    }
    replace(&dispatch, &whole);
    driver.sync();
    dispatch.driver(Tcp, free_port()).token("new").connect();
}

#[test]
fn an_empty_list_is_a_list() {
    let dispatch = start(&driver_entry("lifts", "old"));
    let mut driver = dispatch.driver(Tcp, free_port()).token("old").connect();
    replace(&dispatch, "# nobody for now\n");
    driver.expect_close_code(1008);
    dispatch.driver(Tcp, free_port()).token("old").refused().expect_status(401);
}
