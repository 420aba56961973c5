//! One connection: who may log in, and which requests a channel may make.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use russh::keys::PublicKey;
use russh::server::{
    Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, Sig};
use tokio::sync::mpsc;

use super::channel::{self, Request};
use super::{Machine, Start};

/// Sessions of one connection at a time, as sshd has it (`MaxSessions`).
const SESSIONS_MAX: usize = 10;
/// Variables a client may set for one command.
const ENV_MAX: usize = 64;

/// The server's side of a connection.
pub(super) struct Connection {
    machine: Arc<dyn Machine>,
    key: PublicKey,
    user: String,
    logged_in: Arc<AtomicBool>,
    open: Arc<AtomicUsize>,
    channels: HashMap<ChannelId, Pending>,
}

/// A channel before and after its command started.
struct Pending {
    env: Vec<(String, String)>,
    requests: mpsc::UnboundedSender<Request>,
    started: bool,
}

impl Connection {
    pub(super) fn new(
        machine: Arc<dyn Machine>,
        key: PublicKey,
        logged_in: Arc<AtomicBool>,
    ) -> Self {
        Self {
            machine,
            key,
            user: String::new(),
            logged_in,
            open: Arc::default(),
            channels: HashMap::new(),
        }
    }

    fn may(&self, user: &str, key: &PublicKey) -> Auth {
        if key.key_data() == self.key.key_data() && self.machine.has_user(user) {
            Auth::Accept
        } else {
            Auth::reject()
        }
    }

    fn begin(
        &mut self,
        id: ChannelId,
        command: Option<Vec<u8>>,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(pending) = self
            .channels
            .get_mut(&id)
            .filter(|pending| !pending.started)
        else {
            return session.channel_failure(id);
        };
        pending.started = true;
        let start = Start {
            user: self.user.clone(),
            command,
            env: std::mem::take(&mut pending.env),
        };
        session.channel_success(id)?;
        let _ = pending.requests.send(Request::Start(start));
        Ok(())
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        Ok(self.may(user, offer.public_key))
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        let auth = self.may(user, key.public_key);
        if matches!(auth, Auth::Accept) {
            user.clone_into(&mut self.user);
        }
        Ok(auth)
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), russh::Error> {
        self.logged_in.store(true, Ordering::Release);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.open.fetch_add(1, Ordering::AcqRel) >= SESSIONS_MAX {
            self.open.fetch_sub(1, Ordering::AcqRel);
            return Ok(()); // a reply that is dropped refuses the channel
        }
        let (requests, inbox) = mpsc::unbounded_channel();
        self.channels.insert(
            channel.id(),
            Pending {
                env: Vec::new(),
                requests,
                started: false,
            },
        );
        reply.accept().await;
        let (machine, handle, open) = (self.machine.clone(), session.handle(), self.open.clone());
        tokio::spawn(async move {
            channel::serve(channel, inbox, machine, handle).await;
            open.fetch_sub(1, Ordering::AcqRel);
        });
        Ok(())
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let accepted = name == "LANG" || name.starts_with("LC_");
        match self.channels.get_mut(&id) {
            Some(pending) if accepted && pending.env.len() < ENV_MAX => {
                pending.env.push((name.to_owned(), value.to_owned()));
                session.channel_success(id)
            }
            _ => session.channel_failure(id),
        }
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.begin(id, Some(command.to_vec()), session)
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.begin(id, None, session)
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(russh::Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_failure(id) // the client says so and goes on without a terminal
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        match self.machine.subsystem(name) {
            Some(command) => self.begin(id, Some(command), session),
            None => {
                tracing::info!(subsystem = name, "refused: the lab's machine has none");
                session.channel_failure(id)
            }
        }
    }

    async fn signal(
        &mut self,
        id: ChannelId,
        signal: Sig,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        if let Some(pending) = self.channels.get(&id) {
            let _ = pending
                .requests
                .send(Request::Signal(channel::name(&signal)));
        }
        Ok(())
    }

    async fn channel_close(
        &mut self,
        id: ChannelId,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channels.remove(&id);
        Ok(())
    }
}
