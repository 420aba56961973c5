//! Reads what a step wishes for: from its rendered keys to the typed wishes of [`crate::action`].

use std::path::Path;
use std::time::Instant;

use runbook::read::Args;

use super::context::Cx;
use super::desired::{LineWish, Where, Wish, failed, file_failed, unavailable};
use super::outcome::Outcome;
use crate::action::{file, git, line};
use crate::local::Place;

pub(super) fn file_wish(
    cx: &Cx,
    args: &Args<'_>,
    directory: &Path,
    at: Where,
) -> Result<Wish, Box<Outcome>> {
    let read = |error| cx.read(&error);
    let state = args.opt_text("state").map_err(read)?;
    let state = match state.as_deref() {
        Some("absent") => file::State::Absent,
        Some("directory") => file::State::Directory,
        _ => file::State::Present(content(cx, args)?),
    };
    let mode = args.opt_text("mode").map_err(read)?;
    let mode = match mode.as_deref().map(|mode| u32::from_str_radix(mode, 8)) {
        Some(Ok(mode)) if mode <= 0o7777 => Some(mode),
        Some(_) => return Err(failed("`mode` is four octal digits: `\"0644\"`")),
        None => None,
    };
    let wish = file::Wish {
        path: directory.join(args.text("path").map_err(read)?),
        state,
        mode,
        owner: args.opt_text("owner").map_err(read)?,
        group: args.opt_text("group").map_err(read)?,
        backup: args.bool("backup", true).map_err(read)?,
    };
    Ok(Wish::File(wish, at))
}

pub(super) fn line_wish(
    cx: &Cx,
    args: &Args<'_>,
    directory: &Path,
    at: Where,
) -> Result<Wish, Box<Outcome>> {
    let read = |error| cx.read(&error);
    let matching = args
        .get("match")
        .map(runbook::read::regex)
        .transpose()
        .map_err(read)?;
    let line = line::Wish {
        line: args.text("line").map_err(read)?,
        matching,
        present: args.opt_text("state").map_err(read)?.as_deref() != Some("absent"),
    };
    if line.line.contains('\n') {
        return Err(failed("`line` is one line"));
    }
    let wish = LineWish {
        path: directory.join(args.text("path").map_err(read)?),
        line,
        create: args.bool("create", false).map_err(read)?,
        backup: args.bool("backup", true).map_err(read)?,
    };
    Ok(Wish::Line(wish, at))
}

pub(super) fn git_wish(
    cx: &Cx,
    args: &Args<'_>,
    place: &Place,
    deadline: Instant,
) -> Result<Wish, Box<Outcome>> {
    let read = |error| cx.read(&error);
    let content = content(cx, args)?;
    if let Some(error) = &cx.guide.state().clone_error {
        return Err(unavailable(format!(
            "the lab has no clone of the repository: {error}"
        )));
    }
    let wish = git::Wish {
        path: args.text("path").map_err(read)?,
        content,
        commit: args.opt_text("commit").map_err(read)?,
        push: args.bool("push", false).map_err(read)?,
        revision: args.opt_text("revision").map_err(read)?,
    };
    let repository = git::Repository {
        root: place.directory.clone(),
        environment: place.git_environment(),
        deadline,
        cancel: cx.cancel.clone(),
    };
    Ok(Wish::Git(Box::new(wish), Box::new(repository)))
}

/// `content`, or what the file of `from` holds.
fn content(cx: &Cx, args: &Args<'_>) -> Result<Option<Vec<u8>>, Box<Outcome>> {
    let read = |error| cx.read(&error);
    if let Some(content) = args.opt_text("content").map_err(read)? {
        return Ok(Some(content.into_bytes()));
    }
    let Some(from) = args.opt_text("from").map_err(read)? else {
        return Ok(None);
    };
    match file::look(&cx.folder().join(&from)) {
        Ok(file::Found::File(content, _)) if cx.repository_path(&from).is_some() => {
            Ok(Some(content))
        }
        Ok(_) => Err(failed(format!(
            "`from`: `{from}` is no file of the repository"
        ))),
        Err(error) => Err(file_failed(error)),
    }
}
