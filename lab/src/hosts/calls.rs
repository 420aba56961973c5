//! The lab's side of a machine's programs: a socket in its root, one call a connection.

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::answer::answer;
use super::machine::Machine;
use super::program::{Call, Frame};
use crate::isolate::wire;

/// How long a program may take to say what it wants.
const CALL: Duration = Duration::from_secs(5);
/// Programs of one machine that are answered at a time.
const CALLS_MAX: usize = 256;

/// Answers the programs of a machine while it is up.
pub(super) async fn calls(listener: UnixListener, machine: Weak<Machine>) {
    let mut open = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while open.try_join_next().is_some() {}
        let Some(machine) = machine.upgrade() else {
            return;
        };
        if open.len() >= CALLS_MAX {
            continue;
        }
        open.spawn(async move {
            if let Err(error) = call(stream, &machine).await {
                tracing::debug!(%error, "a program of a lab's machine was not answered");
            }
        });
    }
}

async fn call(stream: UnixStream, machine: &Arc<Machine>) -> io::Result<()> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(CALL))?;
    let reading = tokio::task::spawn_blocking(move || {
        let call = wire::receive::<Call>(&stream)?;
        stream.set_nonblocking(true)?;
        Ok::<_, io::Error>((call, stream))
    });
    let (Some((asked, streams)), stream) = reading.await.map_err(io::Error::other)?? else {
        return Ok(());
    };
    let mut stream = UnixStream::from_std(stream)?;
    let said = {
        let mut byte = [0];
        tokio::select! {
            said = answer(machine, asked, streams) => said,
            // It says nothing more: it was killed, and what it started with it.
            _ = tokio::io::AsyncReadExt::read(&mut stream, &mut byte) => return Ok(()),
        }
    };
    // Before the program ends: what was stopped does not answer any more, what was started does.
    if let Some(lab) = machine.lab.upgrade() {
        lab.refresh().await;
    }
    for frame in [
        Frame::Out(said.out),
        Frame::Err(said.err),
        Frame::Exit(said.code),
    ] {
        let body = serde_json::to_vec(&frame)?;
        let mut bytes = u32::try_from(body.len())
            .map_err(io::Error::other)?
            .to_le_bytes()
            .to_vec();
        bytes.extend_from_slice(&body);
        tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes).await?;
    }
    Ok(())
}
