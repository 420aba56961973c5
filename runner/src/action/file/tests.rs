//! Files: comparing, changing, taking back.

use std::fs::{self, Permissions};
use std::future::Future;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

/// Nothing on this machine is waited for.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn compare(wish: &Wish) -> Result<Comparison, FileError> {
    now(super::compare(&Here, wish))
}

fn change(wish: &Wish, found: &Found) -> Result<Former, FileError> {
    now(super::change(&Here, wish, found))
}

fn restore(former: &Former) -> Result<(), FileError> {
    now(super::restore(&Here, former))
}

fn wish(path: PathBuf, state: State) -> Wish {
    Wish {
        path,
        state,
        mode: None,
        owner: None,
        group: None,
        backup: true,
    }
}

fn present(content: &str) -> State {
    State::Present(Some(content.as_bytes().to_vec()))
}

/// Changes, checks that all is as wished then, takes it back and checks that all is as before.
fn there_and_back(wish: &Wish) -> Former {
    let before = look(&wish.path).unwrap();
    let comparison = compare(wish).unwrap();
    assert!(comparison.diff.is_some(), "there was something to do");
    let former = change(wish, &comparison.found).unwrap();
    assert_eq!(compare(wish).unwrap().diff, None);
    restore(&former).unwrap();
    assert_eq!(look(&wish.path).unwrap(), before);
    former
}

#[test]
fn a_file_is_made_and_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    there_and_back(&wish(path.clone(), present("hello\n")));
    there_and_back(&wish(path.clone(), State::Present(None)));
    there_and_back(&Wish {
        mode: Some(0o600),
        ..wish(path, present("x"))
    });
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        0,
        "nothing is left"
    );
}

#[test]
fn a_changed_file_keeps_its_mode_and_has_a_backup() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    fs::write(&path, "old\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let wish = wish(path.clone(), present("new\n"));
    let comparison = compare(&wish).unwrap();
    assert!(comparison.diff.as_deref().unwrap().contains("-old\n+new"));
    let former = change(&wish, &comparison.found).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    let backup = former.backup.as_deref().unwrap();
    assert_eq!(backup.file_name().unwrap(), "a.runbook~");
    assert_eq!(fs::read_to_string(backup).unwrap(), "old\n");
    restore(&former).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "old\n");
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        1,
        "the backup is gone"
    );
}

#[test]
fn without_a_backup_the_file_comes_back_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    fs::write(&path, "old\n").unwrap();
    let former = there_and_back(&Wish {
        backup: false,
        ..wish(path, State::Absent)
    });
    assert_eq!(former.backup, None);
}

#[test]
fn a_link_stays_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("file"), directory.path().join("link"));
    fs::write(&file, "old").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let wish = wish(link.clone(), present("new"));
    let found = compare(&wish).unwrap().found;
    change(&wish, &found).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&file).unwrap(), "new");
}

#[test]
fn directories_are_made_with_their_parents_and_only_empty_ones_removed() {
    let directory = tempfile::tempdir().unwrap();
    there_and_back(&wish(directory.path().join("a/b/c"), State::Directory));
    assert!(!directory.path().join("a").exists());
    fs::create_dir(directory.path().join("full")).unwrap();
    fs::write(directory.path().join("full/x"), "").unwrap();
    let error = compare(&wish(directory.path().join("full"), State::Absent)).unwrap_err();
    assert!(
        matches!(error, FileError::NotEmpty { entries: 1, .. }),
        "{error}"
    );
    fs::create_dir(directory.path().join("empty")).unwrap();
    there_and_back(&wish(directory.path().join("empty"), State::Absent));
}

#[test]
fn mode_and_owner_are_compared() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let uid = fs::metadata(&path).unwrap().uid();
    let same = Wish {
        owner: Some(uid.to_string()),
        mode: Some(0o600),
        ..wish(path.clone(), State::Present(None))
    };
    assert_eq!(compare(&same).unwrap().diff, None);
    let other = Wish {
        mode: Some(0o644),
        ..same
    };
    assert!(
        compare(&other)
            .unwrap()
            .diff
            .unwrap()
            .ends_with(": 0600 → 0644")
    );
    there_and_back(&other);
    let nobody = Wish {
        owner: Some("no-such-user".into()),
        ..wish(path, State::Present(None))
    };
    assert_eq!(
        compare(&nobody).unwrap_err().to_string(),
        "this machine has no user `no-such-user`"
    );
}

#[test]
fn what_cannot_become_the_wish_is_an_error_and_nothing_changes() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(matches!(
        compare(&wish(file.clone(), State::Directory)),
        Err(FileError::Kind { is: "a file", .. })
    ));
    assert!(matches!(
        compare(&wish(directory.path().into(), present(""))),
        Err(FileError::Kind {
            is: "a directory",
            ..
        })
    ));
    let below = wish(directory.path().join("none/x"), present(""));
    let error = change(&below, &Found::Absent).unwrap_err();
    assert!(
        error.hint().unwrap().contains("state: directory"),
        "{error}"
    );
    let stale = change(&wish(file.clone(), present("y")), &Found::Absent).unwrap_err();
    assert!(matches!(stale, FileError::Changed { .. }));
    assert_eq!(fs::read_to_string(&file).unwrap(), "x");
}
