//! A path of a repository: its content, its commits, its origin.

use super::*;
use std::fs;

async fn repository(directory: &Path) -> Repository {
    let home = directory.join("home");
    fs::create_dir_all(&home).unwrap();
    fs::write(
        home.join(".gitconfig"),
        "[user]\nname=a\nemail=a@b\n[init]\ndefaultBranch=main\n",
    )
    .unwrap();
    let environment = vec![
        ("HOME".into(), home.into_os_string()),
        ("PATH".into(), std::env::var_os("PATH").unwrap()),
        ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
    ];
    let deadline = Instant::now() + Duration::from_secs(60);
    let root = directory.join("work");
    fs::create_dir_all(&root).unwrap();
    let repository = Repository {
        root,
        environment,
        deadline,
        cancel: Cancel::new(),
    };
    repository.git(&["init", "--quiet"]).await.unwrap();
    repository
        .git(&["init", "--quiet", "--bare", "../origin.git"])
        .await
        .unwrap();
    repository
        .git(&["remote", "add", "origin", "../origin.git"])
        .await
        .unwrap();
    fs::write(repository.root.join("README"), "x\n").unwrap();
    repository.git(&["add", "."]).await.unwrap();
    repository
        .git(&["commit", "--quiet", "-m", "first"])
        .await
        .unwrap();
    repository
        .git(&["push", "--quiet", "-u", "origin", "HEAD"])
        .await
        .unwrap();
    repository
}

fn wish(path: &str, content: Option<&str>) -> Wish {
    let content = content.map(|content| content.as_bytes().to_vec());
    Wish {
        path: path.into(),
        content,
        commit: None,
        push: false,
        revision: None,
    }
}

fn former(path: &str) -> Former {
    Former {
        path: path.into(),
        file: None,
        committed: None,
        pushed: false,
    }
}

#[tokio::test]
async fn content_is_written_committed_pushed_and_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let repository = repository(directory.path()).await;
    let wish = Wish {
        commit: Some("add app".into()),
        push: true,
        ..wish("apps/a.yaml", Some("a: 1\n"))
    };
    let found = repository.compare(&wish).await.unwrap();
    let diff = found.diff.as_deref().unwrap();
    assert!(diff.ends_with("+a: 1\n+ commit: add app\n+ push"), "{diff}");
    let mut former = former("apps/a.yaml");
    repository.change(&wish, &found, &mut former).await.unwrap();
    let after = repository.compare(&wish).await.unwrap();
    assert_eq!((after.diff, after.clean), (None, true));
    let there = repository
        .git(&[
            "--git-dir",
            "../origin.git",
            "log",
            "-1",
            "--format=%s",
            "main",
        ])
        .await
        .unwrap();
    assert_eq!(there.trim(), "add app");
    repository.restore(&former).await.unwrap();
    assert!(!repository.root.join("apps").exists());
    let there = repository
        .git(&[
            "--git-dir",
            "../origin.git",
            "log",
            "-1",
            "--format=%s",
            "main",
        ])
        .await
        .unwrap();
    assert_eq!(there.trim(), "Revert: add app");
}

#[tokio::test]
async fn a_path_that_is_only_looked_at_tells_its_state_and_revision() {
    let directory = tempfile::tempdir().unwrap();
    let repository = repository(directory.path()).await;
    let look = wish("README", None);
    let clean = repository.compare(&look).await.unwrap();
    assert!(look.only_looks() && clean.clean && clean.diff.is_none());
    assert_eq!(clean.revision.as_ref().unwrap().len(), 40);
    fs::write(repository.root.join("README"), "y\n").unwrap();
    let differs = repository.compare(&look).await.unwrap();
    assert!(
        !differs.clean && differs.work.contains("-x\n+y"),
        "{}",
        differs.work
    );
    let at = Wish {
        revision: Some("0000".into()),
        ..look
    };
    let found = repository.compare(&at).await.unwrap();
    assert!(found.diff.as_ref().unwrap().contains("→ 0000"));
    let error = repository
        .change(&at, &found, &mut former("README"))
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::Revision { .. }), "{error}");
}

#[tokio::test]
async fn a_clone_has_an_origin_of_its_own_and_a_folder_without_git_is_copied() {
    let directory = tempfile::tempdir().unwrap();
    let source = repository(directory.path()).await;
    let plain = directory.path().join("plain");
    fs::create_dir_all(plain.join("src")).unwrap();
    fs::write(plain.join("src/a.md"), "x").unwrap();
    source
        .git(&["checkout", "--quiet", "--detach"])
        .await
        .unwrap();
    for (name, from) in [("one", &source.root), ("two", &plain)] {
        let own = directory.path().join(name);
        fs::create_dir_all(own.join("home")).unwrap();
        fs::create_dir_all(own.join("work")).unwrap();
        let mut clone = source.clone();
        clone.root = own.join("work");
        clone.environment[0].1 = own.join("home").into_os_string();
        let origin = own.join("origin.git");
        let mut first = clone.clone();
        first.root = own.join("first");
        fs::create_dir_all(&first.root).unwrap();
        write_settings(&own.join("home")).unwrap();
        first.make_origin(from, &origin).await.unwrap();
        clone.clone_of(&origin, &own.join("home")).await.unwrap();
        let wish = Wish {
            commit: Some("b".into()),
            push: true,
            ..wish("b", Some("b"))
        };
        let found = clone.compare(&wish).await.unwrap();
        clone.change(&wish, &found, &mut former("b")).await.unwrap();
        assert_eq!(clone.compare(&wish).await.unwrap().diff, None, "{name}");
        let there = clone
            .git(&[
                "--git-dir",
                "../origin.git",
                "log",
                "-1",
                "--format=%s",
                "HEAD",
            ])
            .await;
        assert_eq!(there.unwrap().trim(), "b", "{name}");
    }
    assert!(!source.root.join("b").exists());
}

#[tokio::test]
async fn paths_outside_the_repository_and_folders_without_git_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let repository = repository(directory.path()).await;
    std::os::unix::fs::symlink("/etc", repository.root.join("out")).unwrap();
    for path in ["../x", "/etc/hosts", "", "out/hosts"] {
        let error = repository.compare(&wish(path, None)).await.unwrap_err();
        assert!(matches!(error, GitError::Outside { .. }), "{path}: {error}");
    }
    let mut none = repository.clone();
    none.root = directory.path().join("home");
    let error = none
        .compare(&wish("x", None))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("not a git repository"), "{error}");
}
