//! A lab of the book's inventory: its credentials, its start, and the clients that know it.

use runbook::model::Book;
use runbook_lab::Homelab;
use runbook_lab::fixture::Fixture;
use runbook_proxmox::{Auth, Client, Endpoint, Trust};
use tokio::sync::OnceCell;

use super::fixture::{Credentials, TOKEN, USER, preconditions};
use super::{Proxmox, World};
use crate::action::Failure;

/// Why the lab's machines run no scripts.
const NO_MACHINES: &str = "the lab has no machines that run scripts yet";

/// What a lab is started from.
pub enum LabState<'a> {
    /// The book's inventory.
    Book(&'a Book),
    /// A fixture in the form of the recorded exchanges' header line.
    File(&'a str),
}

/// Starts a lab.
///
/// # Errors
///
/// A fixture that cannot be read, no port to listen at.
pub async fn start(
    state: LabState<'_>,
    credentials: &Credentials,
) -> Result<(Homelab, Fixture), Failure> {
    let fixture = match state {
        LabState::Book(book) => {
            let value = preconditions(book, credentials);
            serde_json::from_value(value)
                .map_err(|error| Failure::new(format!("the inventory makes no lab: {error}")))?
        }
        LabState::File(text) => {
            Fixture::parse(text).map_err(|error| Failure::new(error.to_string()))?
        }
    };
    let lab = Homelab::start(&fixture).await;
    let lab = lab.map_err(|error| Failure::new(error.to_string()))?;
    Ok((lab, fixture))
}

impl Credentials {
    /// Made up, for one lab only.
    ///
    /// # Errors
    ///
    /// When the system gives no randomness.
    pub fn random() -> Result<Self, Failure> {
        let mut bytes = [0u8; 32];
        let source = rustls::crypto::ring::default_provider().secure_random;
        source
            .fill(&mut bytes)
            .map_err(|_| Failure::new("the system gives no randomness"))?;
        let digits =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        let token = digits(&bytes[..16]);
        let parts = [
            &token[..8],
            &token[8..12],
            &token[12..16],
            &token[16..20],
            &token[20..],
        ];
        Ok(Self {
            password: digits(&bytes[16..]),
            token: parts.join("-"),
        })
    }
}

pub(super) async fn open(book: &Book) -> Result<World, Failure> {
    let credentials = Credentials::random()?;
    let (lab, _) = start(LabState::Book(book), &credentials).await?;
    let client = |auth| {
        Client::new(Endpoint {
            url: lab.url(),
            auth,
            trust: Trust::Ca(lab.ca().to_owned()),
        })
        .map_err(super::failure)
    };
    let proxmox = Proxmox {
        client: client(Auth::token(TOKEN, &credentials.token))?,
        login: Some(client(Auth::login(USER, &credentials.password))?),
    };
    Ok(World {
        proxmox: Ok(proxmox),
        ssh: Err(NO_MACHINES.to_owned()),
        identity: OnceCell::new(),
        _lab: Some(lab),
    })
}
