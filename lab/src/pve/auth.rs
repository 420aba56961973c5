//! Tickets, CSRF tokens and API tokens: made, signed by the cluster's secret and checked.
//!
//! The secret never leaves the cluster; what is compared is compared in constant time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use sha2::{Digest, Sha256};

use super::access::{Access, ROOT, split_token};
use super::cluster::{Caller, Cluster};
use super::uploads::is_upload;

/// How long a ticket is good, in seconds.
pub const TICKET_SECONDS: i64 = 7200;
/// How far the clocks may differ, in seconds.
const SKEW_SECONDS: i64 = 300;
const BLOCK_BYTES: usize = 64;

/// What a request brought along.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    /// The ticket of the cookie or of the header.
    pub(crate) ticket: Option<String>,
    /// `USER@REALM!TOKEN=SECRET`.
    pub(crate) token: Option<String>,
    pub(crate) csrf: Option<String>,
}

/// Bytes nobody can guess.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // ring's generator fails only where the system has none; a lab without secrets must not start.
    if rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .is_err()
    {
        panic!("the system gives no random numbers");
    }
    bytes
}

/// A random UUID.
pub(crate) fn uuid() -> String {
    let mut bytes: [u8; 16] = random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

impl Cluster {
    /// Who calls, or the reason phrase of the 401.
    pub(crate) fn authenticate(
        &self,
        verb: &str,
        path: &str,
        brought: &Credentials,
    ) -> Result<Caller, String> {
        let open = matches!(
            (verb, path),
            ("GET", "/access/domains")
                | ("GET" | "POST", "/access/ticket")
                | ("POST", "/access/openid/auth-url" | "/access/openid/login")
        );
        if let Some(token) = brought
            .token
            .as_deref()
            .filter(|_| brought.ticket.is_none())
        {
            return self
                .verify_token(token)
                .map(Caller::named)
                .ok_or_else(|| "Authentication failed!".to_owned());
        }
        if open {
            return Ok(Caller::nobody());
        }
        let ticket = brought
            .ticket
            .as_deref()
            .filter(|ticket| !ticket.is_empty())
            .ok_or("No ticket")?;
        let user = self.verify_ticket(ticket).ok_or("Authentication failed!")?;
        // Forms of browsers cannot send the header with a file (pve-manager, `HTTPServer.pm`).
        if verb != "GET"
            && !is_upload(verb, path)
            && !brought
                .csrf
                .as_deref()
                .is_some_and(|csrf| self.verify_csrf(csrf, &user))
        {
            return Err("Permission denied - invalid csrf token".into());
        }
        Ok(Caller::named(user))
    }

    /// A ticket for a user, with its CSRF token.
    pub(crate) fn make_ticket(&self, user: &str) -> (String, String) {
        let plain = format!("PVE:{user}:{:08X}", self.now());
        // As long as the real one's RSA signature.
        let signature: Vec<u8> = (0u8..8)
            .flat_map(|round| self.sign(&format!("{round}:{plain}")))
            .collect();
        let stamp = format!("{:08X}", self.now());
        let csrf = format!(
            "{stamp}:{}",
            BASE64.encode(self.sign(&format!("csrf:{stamp}:{user}")))
        );
        (
            format!(
                "{plain}::{}",
                base64::engine::general_purpose::STANDARD.encode(signature)
            ),
            csrf,
        )
    }

    /// The user of a good ticket.
    pub(crate) fn verify_ticket(&self, ticket: &str) -> Option<String> {
        let (plain, signature) = ticket.rsplit_once("::")?;
        let given = base64::engine::general_purpose::STANDARD
            .decode(signature)
            .ok()?;
        let good: Vec<u8> = (0u8..8)
            .flat_map(|round| self.sign(&format!("{round}:{plain}")))
            .collect();
        let (rest, stamp) = plain.rsplit_once(':')?;
        let user = rest.strip_prefix("PVE:")?;
        let age = self.now() - i64::from_str_radix(stamp, 16).ok()?;
        let fresh = (-SKEW_SECONDS..TICKET_SECONDS).contains(&age);
        (same(&given, &good) && fresh && is_active(&self.lock().access, user, self.now()))
            .then(|| user.to_owned())
    }

    fn verify_csrf(&self, csrf: &str, user: &str) -> bool {
        let Some((stamp, given)) = csrf.split_once(':') else {
            return false;
        };
        let Ok(time) = i64::from_str_radix(stamp, 16) else {
            return false;
        };
        let good = BASE64.encode(self.sign(&format!("csrf:{stamp}:{user}")));
        (-SKEW_SECONDS..TICKET_SECONDS).contains(&(self.now() - time))
            && same(good.as_bytes(), given.as_bytes())
    }

    fn verify_token(&self, text: &str) -> Option<String> {
        let (authid, secret) = text.rsplit_once('=')?;
        let (user, _) = split_token(authid)?;
        let now = self.now();
        let state = self.lock();
        let token = state.access.token(authid)?;
        let alive = token.expire == 0 || token.expire > now;
        (alive
            && is_active(&state.access, user, now)
            && same(token.secret.as_bytes(), secret.as_bytes()))
        .then(|| authid.to_owned())
    }

    /// Whether the password (or a good ticket of the user or of root@pam) is right.
    pub(crate) fn verify_password(&self, user: &str, password: &str) -> bool {
        if password.starts_with("PVE:") {
            return self
                .verify_ticket(password)
                .is_some_and(|owner| owner == user || owner == ROOT)
                && is_active(&self.lock().access, user, self.now());
        }
        let state = self.lock();
        let known = state
            .access
            .users
            .get(user)
            .and_then(|user| user.password.as_deref());
        is_active(&state.access, user, self.now())
            && known.is_some_and(|known| same(known.as_bytes(), password.as_bytes()))
    }

    /// HMAC-SHA-256 with the cluster's secret.
    fn sign(&self, text: &str) -> [u8; 32] {
        let mut key = [0u8; BLOCK_BYTES];
        key[..32].copy_from_slice(&self.secret);
        let pad = |with: u8| key.map(|byte| byte ^ with);
        let inner = Sha256::new()
            .chain_update(pad(0x36))
            .chain_update(text)
            .finalize();
        Sha256::new()
            .chain_update(pad(0x5c))
            .chain_update(inner)
            .finalize()
            .into()
    }
}

/// Whether the user exists, is enabled and has not expired.
fn is_active(access: &Access, user: &str, now: i64) -> bool {
    access
        .users
        .get(user)
        .is_some_and(|user| user.enable && (user.expire == 0 || user.expire > now))
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixture::Fixture;

    fn cluster() -> std::sync::Arc<Cluster> {
        let text = r#"{"users":[{"userid":"bob@pve","password":"secretpw"}]}"#;
        Cluster::new(&Fixture::parse(text).expect("the fixture is good"))
    }

    #[tokio::test]
    async fn a_ticket_is_good_for_two_hours_and_renews_itself() {
        let cluster = cluster();
        let (ticket, csrf) = cluster.make_ticket("bob@pve");
        assert_eq!(cluster.verify_ticket(&ticket).as_deref(), Some("bob@pve"));
        assert!(cluster.verify_csrf(&csrf, "bob@pve") && !cluster.verify_csrf(&csrf, "root@pam"));
        assert!(cluster.verify_password("bob@pve", &ticket));
        cluster.advance(Duration::from_secs(7300));
        assert_eq!(cluster.verify_ticket(&ticket), None);
        assert!(!cluster.verify_password("bob@pve", &ticket));
    }

    #[tokio::test]
    async fn a_changed_ticket_is_refused() {
        let cluster = cluster();
        let (ticket, _) = cluster.make_ticket("bob@pve");
        assert_eq!(
            cluster.verify_ticket(&ticket.replace("bob@pve", "root@pam")),
            None
        );
        assert_eq!(cluster.verify_ticket("PVE:bob@pve:00000000::xx"), None);
    }

    #[test]
    fn a_uuid_is_of_the_fourth_kind() {
        let id = uuid();
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert_ne!(id, uuid());
    }
}
