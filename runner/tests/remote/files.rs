//! Files of another machine are compared, changed and taken back as those of this one.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use runbook_runner::action::file::{
    self, BACKUP_SUFFIX, Files as _, Found, Place, State, There, Wish,
};
use runbook_runner::process::Cancel;

use crate::endpoint::{Endpoint, own_endpoint};

fn places(endpoint: &Endpoint) -> [Place; 2] {
    let there = There {
        remote: endpoint.remote(),
        deadline: Instant::now() + Duration::from_secs(120),
        cancel: Cancel::new(),
    };
    [Place::Here, Place::There(there)]
}

fn wish(path: &Path, state: State) -> Wish {
    Wish {
        path: path.to_owned(),
        state,
        mode: None,
        owner: None,
        group: None,
        backup: true,
    }
}

fn present(content: &[u8]) -> State {
    State::Present(Some(content.to_vec()))
}

/// What lies below a folder: paths, modes, contents.
fn below(folder: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("metadata");
            let content = if metadata.is_file() {
                fs::read(&path).expect("content")
            } else {
                Vec::new()
            };
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            let name = path.strip_prefix(folder).expect("below").to_owned();
            all.push((name, metadata.mode() & 0o7777, content));
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn both_places_do_the_same() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let mut seen = Vec::new();
    for place in places(&endpoint) {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let all: Vec<u8> = (0..=255).collect();
        fs::write(at("old"), "a\nb\n").expect("a file");
        fs::set_permissions(at("old"), fs::Permissions::from_mode(0o4750)).expect("a mode");
        fs::write(at("target"), "x").expect("a file");
        symlink("target", at("link")).expect("a link");
        symlink("nowhere", at("dangling")).expect("a link");
        fs::create_dir(at("empty")).expect("a folder");
        fs::create_dir(at("full")).expect("a folder");
        fs::write(at("full/a\nb"), "").expect("a file");
        fs::write(at("full/.c"), "").expect("a file");
        let with = |mode: u32, wish: Wish| Wish {
            mode: Some(mode),
            ..wish
        };
        let owned = Wish {
            owner: Some("root".into()),
            group: Some("0".into()),
            ..wish(&at("old"), State::Present(None))
        };
        let wishes = [
            wish(&at("new"), present(b"hello\n")),
            wish(&at("binary"), present(&all.repeat(3))),
            wish(&at("empty file"), present(b"")),
            wish(&at("it's \"$x\"\nü\\"), present(b"odd\n")),
            wish(&at("-n"), State::Present(None)),
            wish(&at("old"), present(b"a\nB\n")),
            wish(&at("old"), State::Absent),
            with(0o640, wish(&at("old"), State::Present(None))),
            owned,
            wish(&at("link"), present(b"y")),
            wish(&at("dangling"), present(b"y")),
            wish(&at("empty"), State::Absent),
            wish(&at("full"), State::Absent),
            wish(&at("deep/er/still"), State::Directory),
            with(0o2770, wish(&at("deep"), State::Directory)),
            with(0o700, wish(&at("empty"), State::Directory)),
            wish(&at("old"), State::Directory),
            wish(&at("full"), present(b"")),
            wish(&at("none/x"), present(b"x")),
            wish(&at("old/x"), present(b"x")),
            wish(Path::new("/dev/null"), present(b"x")),
            Wish {
                owner: Some("nobody-of-that-name".into()),
                ..wish(&at("old"), State::Present(None))
            },
        ];
        let before = below(folder.path());
        let mut told = Vec::new();
        for wish in wishes {
            let comparison = match file::compare(&place, &wish).await {
                Ok(comparison) => comparison,
                Err(error) => {
                    told.push(format!("compare: {error} {:?}", error.hint()));
                    continue;
                }
            };
            told.push(format!("{:?}", comparison.diff));
            match file::change(&place, &wish, &comparison.found).await {
                Ok(former) => {
                    told.push(format!("{:?} {:?}", former.made, former.backup));
                    told.push(format!("{:?}", below(folder.path())));
                    let again = file::compare(&place, &wish).await.expect("compared");
                    assert_eq!(again.diff, None, "{wish:?}");
                    file::restore(&place, &former).await.expect("taken back");
                }
                Err(error) => told.push(format!("change: {error} {:?}", error.hint())),
            }
            if wish.path.ends_with("dangling") {
                // Either place makes a file of it, and removes that.
                assert!(fs::symlink_metadata(at("dangling")).is_err());
                symlink("nowhere", at("dangling")).expect("a link");
            }
            assert_eq!(below(folder.path()), before, "{wish:?}");
        }
        let name = folder.path().display().to_string();
        seen.push(told.join("\n").replace(&name, "FOLDER"));
    }
    let there = seen[1].replace("host/target has", "this machine has");
    similar_asserts(&seen[0], &there);
}

fn similar_asserts(here: &str, there: &str) {
    let pattern = regex::Regex::new(r#" \(os error \d+\)| at path "[^"]*""#).expect("a pattern");
    for (here, there) in here.lines().zip(there.lines()) {
        // What the system says has a number here, or a path of its own.
        let here = pattern.replace_all(here, "");
        assert_eq!(here, there);
    }
    assert_eq!(here.lines().count(), there.lines().count());
}

#[tokio::test]
async fn a_large_file_goes_both_ways_whole_and_a_change_meanwhile_is_noticed() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let [_, place] = places(&endpoint);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("large");
    let content: Vec<u8> = (0..5u32 << 20).map(|at| (at / 3 % 251) as u8).collect();
    place.write(&path, &content, None).await.expect("written");
    assert_eq!(fs::read(&path).expect("content"), content);
    let Found::File(read, owned) = place.look(&path).await.expect("looked at") else {
        panic!("a file");
    };
    assert!(read == content, "read back");
    assert_eq!(owned.mode, 0o644);
    let wish = wish(&path, present(b"x"));
    let found = file::compare(&place, &wish).await.expect("compared").found;
    fs::write(&path, "somebody else's").expect("written");
    let error = file::change(&place, &wish, &found)
        .await
        .expect_err("changed");
    assert!(
        error.to_string().contains("was changed meanwhile"),
        "{error}"
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    assert!(!path.with_extension(BACKUP_SUFFIX).exists());
}
