//! The text that a virtual machine's cloud-init reads, and the node where it is written.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::super::context::Cx;
use super::leftover::{drop_volume, shell, stays};
use super::{Read, Stop, World, outcome};
use crate::action::Failure;
use crate::action::pve::guest::keys::Wanted;
use crate::action::pve::guest::{self, State};
use crate::action::pve::life;
use crate::action::pve::pairs::Pairs;
use crate::action::pve::snippet::{self, Snippet};
use crate::action::pve::world::Done;
use crate::action::shell::Shell;

/// A text to be given.
pub(super) struct Given {
    snippet: Snippet,
    /// The node; nothing is written where it is only looked.
    shell: Option<Shell>,
    is_missing: AtomicBool,
    /// What the machine has instead, where that was given by a book too.
    before: Mutex<Option<Snippet>>,
}

impl Given {
    /// Takes the text out of a wish, which then names its volume.
    pub(super) async fn take(
        cx: &Cx,
        world: &World,
        wish: &mut guest::Wish,
        deadline: Instant,
    ) -> Read<Option<Self>> {
        let Some(text) = wish.user_data.take() else {
            return Ok(None);
        };
        if wish.state == Some(State::Absent) {
            return Ok(None);
        }
        let node = match world.see(&wish.subject).await.map_err(outcome)? {
            Some(seen) => seen.guest.node,
            None => life::place(world, wish).await.map_err(outcome)?,
        };
        let owner = match (wish.subject.vmid, &wish.subject.hostname) {
            (Some(vmid), _) => vmid.to_string(),
            (None, name) => name.clone().unwrap_or_default(),
        };
        let snippet = snippet::place(world, &node, &owner, &text).await;
        let snippet = snippet.map_err(outcome)?;
        let pairs = Pairs::new([("user".to_owned(), snippet.volume.clone())]);
        let wanted = Wanted::Pairs { pairs, first: None };
        wish.keys.push(("cicustom".to_owned(), wanted));
        Ok(Some(Self {
            snippet,
            shell: shell(cx, &node, deadline).await?,
            is_missing: AtomicBool::new(false),
            before: Mutex::default(),
        }))
    }

    /// Whether the file is there; what is missing is part of the difference. The one that would go is read meanwhile.
    pub(super) async fn compare(&self, world: &World, found: &mut life::Found) -> Done<()> {
        let is = found
            .seen
            .as_ref()
            .and_then(|seen| seen.config.get("cicustom"));
        if let (Some(shell), Some(is)) = (&self.shell, is) {
            // Once it is changed there is none: what was read before counts.
            if let Some(before) = self.snippet.before(shell, is).await? {
                *self.before() = Some(before);
            }
        }
        let diff = &mut found.diff;
        let is_missing = !snippet::is_there(world, &self.snippet).await?;
        self.is_missing.store(is_missing, Ordering::Relaxed);
        if is_missing {
            let mut lines: Vec<String> = diff.take().into_iter().collect();
            lines.extend(self.snippet.lines());
            *diff = Some(lines.join("\n"));
        }
        Ok(())
    }

    /// The volume that will be made.
    pub(super) fn made(&self) -> Option<String> {
        let is_missing = self.is_missing.load(Ordering::Relaxed);
        is_missing.then(|| self.snippet.volume.clone())
    }

    fn before(&self) -> MutexGuard<'_, Option<Snippet>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the machine had before, which goes.
    pub(super) fn replaced(&self) -> Option<Snippet> {
        self.before().clone()
    }

    /// Removes what the machine had before, where nobody names it any more; why it stays is a remark.
    pub(super) async fn tidy(&self, world: &World) -> Option<String> {
        let before = self.before().clone()?;
        let dropped = self.remove(world, std::iter::once(&before.volume)).await;
        let (volume, stop) = dropped.err()?;
        Some(stays(volume, &before.node, &stop))
    }

    /// Takes a change back, and its text with it.
    pub(super) async fn restore(&self, world: &World, former: &life::Former) -> Done<()> {
        if let Some(before) = &former.snippet_before {
            before.write(self.shell()?).await?;
        }
        let mut goes: BTreeSet<String> = former.snippet.iter().cloned().collect();
        if former.was == life::Was::Absent
            && let Some(vmid) = former.vmid
        {
            // Others than the first may have been given since.
            goes.extend(snippet::given_to(world, vmid).await?);
        }
        life::restore(world, former)
            .await
            .map_err(|message| Stop::from(Failure::new(message)))?;
        let removed = self.remove(world, goes.iter()).await;
        removed
            .map_err(|(volume, stop)| Failure::new(stays(volume, &self.snippet.node, &stop)).into())
    }

    /// Writes it where it is missing.
    pub(super) async fn write(&self) -> Done<()> {
        if self.made().is_none() {
            return Ok(());
        }
        Ok(self.snippet.write(self.shell()?).await?)
    }

    /// Removes files that nobody names any more.
    ///
    /// # Errors
    ///
    /// The first one that stays, and why.
    async fn remove<'a>(
        &self,
        world: &World,
        mut volumes: impl Iterator<Item = &'a String>,
    ) -> Result<(), (&'a str, Stop)> {
        let Some(first) = volumes.next() else {
            return Ok(());
        };
        let named = snippet::named_by_others(world, None).await;
        let named = named.map_err(|stop| (first.as_str(), stop))?;
        for volume in std::iter::once(first).chain(volumes) {
            let dropped = drop_volume(self.shell(), volume, &named).await;
            dropped.map_err(|stop| (volume.as_str(), stop))?;
        }
        Ok(())
    }

    fn shell(&self) -> Done<&Shell> {
        let shell = self.shell.as_ref();
        shell.ok_or_else(|| Stop::from(Failure::new("nothing is written where it is only looked")))
    }
}
