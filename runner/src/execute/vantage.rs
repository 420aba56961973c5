//! Where a probe's question goes in the lab: into the lab's network where it means a machine or a name of the lab, as
//! anywhere else otherwise, and nowhere where the lab serves nothing.
//!
//! Fails closed: what nobody in the lab serves is never asked of the real homelab, and never a failure of the guide.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use runbook::model::Target;
use runbook_lab::hosts::Served;
use tokio::net::{TcpStream, UdpSocket};

use super::context::Cx;
use super::outcome::Outcome;
use crate::action::{Ended, Report};
use crate::probe::{Dial, DialFuture, Network};
use crate::world::LabNetwork;

/// A place that a question goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Goal {
    /// A name or an address.
    pub(super) host: String,
    /// What is reached there.
    pub(super) port: Port,
}

/// What is reached at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    /// A port of TCP.
    Tcp(u16),
    /// A name server; only asking tells whether it answers.
    Names,
    /// Nothing: the name itself is asked for, of the usual server.
    Itself,
}

/// Where a question goes.
pub(super) enum Goes {
    /// As on a real profile.
    Out,
    /// Into the lab's network.
    Lab {
        network: Network,
        /// Whether a stand-in is there, be it off.
        stand_in: bool,
    },
    /// Nowhere.
    Nowhere(Nothing),
}

/// Why nobody is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nothing {
    why: String,
    /// Whether a program may listen there yet.
    may_come: bool,
}

impl Nothing {
    fn ever(why: String) -> Self {
        Self {
            why,
            may_come: false,
        }
    }

    /// How the step ends.
    pub(super) fn report(self) -> Report {
        Report {
            may_come: self.may_come,
            ..Report::of(Ended::Kept(self.why))
        }
    }
}

/// Where the questions of a step on this machine go.
///
/// # Errors
///
/// How the step ends when the lab cannot be started.
pub(super) async fn from_here(cx: &Cx, goals: &[Goal]) -> Result<Goes, Box<Outcome>> {
    if !cx.is_lab() {
        return Ok(Goes::Out);
    }
    let inside = of_the_lab(cx, goals);
    if inside.is_empty() {
        return Ok(Goes::Out);
    }
    let network = match network(cx).await? {
        Ok(network) => network,
        Err(why) => return Ok(Goes::Nowhere(Nothing::ever(why))),
    };
    let mut stand_in = false;
    for goal in &inside {
        match look(&network, goal, None).await {
            Ok(by_stand_in) => stand_in |= by_stand_in,
            Err(why) => return Ok(Goes::Nowhere(why)),
        }
    }
    let noting = Noting {
        network,
        stood_in: Arc::clone(&cx.stood_in),
    };
    Ok(Goes::Lab {
        network: Network::Other(Arc::new(noting)),
        stand_in,
    })
}

/// The lab's network as a step asks into it: a connection to a stand-in is noted, wherever the question was sent on to.
struct Noting {
    network: Arc<LabNetwork>,
    stood_in: Arc<AtomicBool>,
}

impl Dial for Noting {
    fn lookup<'a>(&'a self, host: &'a str) -> DialFuture<'a, Vec<IpAddr>> {
        self.network.lookup(host)
    }

    fn connect(&self, to: SocketAddr, deadline: Duration) -> DialFuture<'_, TcpStream> {
        let is_stand_in = self.network.served(to) == Served::StandIn;
        self.stood_in.fetch_or(is_stand_in, Ordering::Relaxed);
        self.network.connect(to, deadline)
    }

    fn datagrams(&self, to: SocketAddr) -> DialFuture<'_, UdpSocket> {
        self.network.datagrams(to)
    }

    fn servers(&self) -> Vec<SocketAddr> {
        self.network.servers()
    }
}

/// The places that are the lab's.
fn of_the_lab(cx: &Cx, goals: &[Goal]) -> Vec<Goal> {
    let foreign = &cx.run.locals.foreign;
    let is_host = |goal: &&Goal| foreign.is_host(&goal.host);
    goals.iter().filter(is_host).cloned().collect()
}

/// Where the questions of a step on a machine of the lab go: whether a stand-in is there, else why nobody is.
///
/// # Errors
///
/// How the step ends when the lab cannot be started.
pub(super) async fn from_machine(
    cx: &Cx,
    target: &Target,
    goals: &[Goal],
) -> Result<Result<bool, Nothing>, Box<Outcome>> {
    if !cx.is_lab() {
        return Ok(Ok(false));
    }
    let network = match network(cx).await? {
        Ok(network) => network,
        Err(why) => return Ok(Err(Nothing::ever(why))),
    };
    let machine = machine(cx, target);
    let mut stand_in = false;
    for goal in goals {
        match look(&network, goal, Some(&machine)).await {
            Ok(by_stand_in) => stand_in |= by_stand_in,
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(stand_in))
}

/// Why a node of the lab downloads nothing from a URL: it is of a host of the lab, and nobody there serves it. What is
/// elsewhere is none of it.
///
/// # Errors
///
/// How the step ends when the lab cannot be started.
pub(super) async fn no_download(
    cx: &Cx,
    node: &str,
    url: &str,
) -> Result<Option<Report>, Box<Outcome>> {
    let Ok(parsed) = url.parse::<reqwest::Url>() else {
        return Ok(None);
    };
    let (Some(host), Some(port)) = (parsed.host_str(), parsed.port_or_known_default()) else {
        return Ok(None);
    };
    let goals = [Goal {
        host: host.to_owned(),
        port: Port::Tcp(port),
    }];
    if !cx.is_lab() || of_the_lab(cx, &goals).is_empty() {
        return Ok(None);
    }
    if parsed.scheme() != "http" {
        let why =
            format!("the lab's {node} downloads from the lab's hosts by `http` only: `{url}`");
        return Ok(Some(Nothing::ever(why).report()));
    }
    let found = from_machine(cx, &Target::Node(node.to_owned()), &goals).await?;
    Ok(found.err().map(Nothing::report))
}

/// The network of the step's lab, or why there is none.
async fn network(cx: &Cx) -> Result<Result<Arc<LabNetwork>, String>, Box<Outcome>> {
    let world = cx.world().await?;
    // What a cluster publishes follows its objects.
    world.clusters().settle().await;
    Ok(world.network())
}

/// What the lab calls a machine: guests are known by number too.
pub(super) fn machine(cx: &Cx, target: &Target) -> String {
    let (Target::Node(name) | Target::Host(name) | Target::Lxc(name) | Target::Vm(name)) = target
    else {
        return String::new();
    };
    let Ok(vmid) = name.parse::<i64>() else {
        return name.clone();
    };
    let guests = &cx.run.book.inventory.guests;
    guests
        .iter()
        .find(|guest| guest.vmid == Some(vmid))
        .map_or_else(|| format!("guest-{vmid}"), |guest| guest.name.clone())
}

/// Whether a stand-in is there; the error is why nobody is.
async fn look(network: &LabNetwork, goal: &Goal, machine: Option<&str>) -> Result<bool, Nothing> {
    let host = goal.host.trim_matches(['[', ']']);
    let addresses = match host {
        "localhost" => vec![IpAddr::from([127, 0, 0, 1])],
        host => network.addresses(host),
    };
    let port = match goal.port {
        Port::Tcp(port) => port,
        Port::Names => return Ok(false),
        // An address is asked for its name.
        Port::Itself if addresses.is_empty() => return Err(Nothing::ever(nothing(host))),
        Port::Itself => return Ok(false),
    };
    if addresses.is_empty() {
        return Err(Nothing::ever(nothing(host)));
    }
    let place = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    for address in addresses {
        let at = SocketAddr::new(address, port);
        match network.served(at) {
            Served::Own => return Ok(false),
            Served::StandIn => return Ok(true),
            Served::Unable(needs) => {
                return Err(Nothing::ever(format!(
                    "{}: its stand-in needs `{needs}`, which the lab does not have",
                    nothing(&place)
                )));
            }
            Served::Unknown if network.listens(machine, at).await => return Ok(false),
            Served::Unknown => {}
        }
    }
    Err(Nothing {
        why: nothing(&place),
        may_come: true,
    })
}

/// Why nothing is asked.
pub(super) fn nothing(place: &str) -> String {
    format!("the lab serves nothing at `{place}`")
}
