//! What is kept comes back where its mark stood, and nowhere else.

use super::*;

fn page(kept: &Kept, path: &str, html: &[&str]) -> String {
    let page = kept.page(path);
    let mut text = page.keep_assets("<!----><link href=\"../x.css\">\n");
    for html in html {
        page.keep(&mut text, (*html).to_owned());
        text.push('\n');
    }
    kept.add(page, text)
}

#[test]
fn each_page_gets_its_own_and_the_whole_book_all_with_ids_of_their_own() {
    let kept = Kept::new();
    let a = page(
        &kept,
        "g/a.html",
        &[
            "<p id=\"s/x\"><a href=\"#s/x\">i</a>",
            "</p><a href=\"../runs/r.html\">",
        ],
    );
    let b = page(
        &kept,
        "g/b.html",
        &["<p id=\"s/x\"><a href=\"#s/x\">i</a></p><a href=\"#top\"><img src=\"b.svg\">"],
    );
    assert!(!a.contains("s/x"), "{a}");
    let dest = tempfile::tempdir().unwrap();
    std::fs::create_dir(dest.path().join("g")).unwrap();
    for (path, text) in [
        ("g/a.html", &a),
        ("g/b.html", &b),
        (INDEX, &a),
        (PRINT, &format!("<h1 id=\"s/x-1\">{a}{b}")),
    ] {
        std::fs::write(dest.path().join(path), text).unwrap();
    }
    kept.fill(dest.path()).unwrap();
    let read = |path: &str| std::fs::read_to_string(dest.path().join(path)).unwrap();
    let filled = "<!----><link href=\"../x.css\">\n<p id=\"s/x\"><a href=\"#s/x\">i</a>\n</p><a href=\"../runs/r.html\">\n";
    assert_eq!(read("g/a.html"), filled);
    assert_eq!(read(INDEX), filled);
    assert_eq!(
        read(PRINT),
        "<h1 id=\"s/x-1\"><!----><link href=\"x.css\">\n<p id=\"s/x\"><a href=\"#s/x\">i</a>\n</p><a href=\"runs/r.html\">\n\
         \n<p id=\"s/x-2\"><a href=\"#s/x-2\">i</a></p><a href=\"g/b.html#top\"><img src=\"g/b.svg\">\n"
    );
}

#[test]
fn what_only_looks_like_a_mark_stays() {
    let kept = Kept::new();
    let text = page(&kept, "a.html", &["<b>"]);
    let begin = kept.begin.clone();
    let other = "<!--runbook-0000000000000000-0-0-->";
    let pages = kept.pages.lock().unwrap();
    let filled = kept.filled(
        &pages,
        &format!("{other}{text}{begin}0-9-->{begin}x-->{begin}"),
    );
    assert_eq!(
        filled,
        format!("{other}<!----><link href=\"../x.css\">\n<b>\n{begin}x-->{begin}")
    );
}

#[test]
fn a_page_that_mdbook_did_not_write_is_an_error() {
    let kept = Kept::new();
    page(&kept, "a.html", &["<b>"]);
    let dest = tempfile::tempdir().unwrap();
    let error = kept.fill(dest.path()).unwrap_err();
    assert!(error.to_string().contains("a.html"), "{error}");
}

#[test]
fn headings_are_left_to_mdbook() {
    let kept = Kept::new();
    let page = kept.page("runs/r.html");
    let part = page.keep_part("<div>\n<p>x</p>\n<h2 id=\"log\">Log</h2>\n</div>\n");
    let part = kept.add(page, part);
    assert!(
        part.contains("-->\n\n<h2 id=\"log\">Log</h2>\n\n<!--"),
        "{part}"
    );
    let pages = kept.pages.lock().unwrap();
    assert_eq!(
        kept.filled(&pages, &part),
        "<div>\n<p>x</p>\n\n\n<h2 id=\"log\">Log</h2>\n\n</div>\n\n\n"
    );
}
