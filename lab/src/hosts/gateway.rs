//! Addresses that a cluster gives to its services, in the lab's own network: what stands in for a cluster answers there.
//!
//! Which addresses there are, and whether something serves behind them, is told from outside: nothing here knows a cluster.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::machine::Machine;
use super::ports::{Answers, Net};
use super::{Error, Hosts, Inner, Role, Spec, StandIn};
use crate::stand_in::Listen;

/// A port at an address of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    /// The address.
    pub address: IpAddr,
    /// The port, which is a stand-in's.
    pub port: u16,
    /// Whether something serves behind it.
    pub is_served: bool,
}

/// The stand-ins of a cluster. Nothing answers any more when it is dropped.
pub struct Gateway {
    /// It has their programs, and no address of its own.
    machine: Arc<Machine>,
    addresses: Mutex<BTreeSet<IpAddr>>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gateway({})", self.machine.spec.name)
    }
}

impl Hosts {
    /// Makes the stand-ins of a cluster; they answer nowhere yet. What each needs is somebody else's to know.
    ///
    /// # Errors
    ///
    /// When the files of their programs cannot be made.
    pub async fn gateway(&self, cluster: &str, stand_ins: Vec<StandIn>) -> Result<Gateway, Error> {
        let name = format!("cluster-{cluster}");
        let has_programs = stand_ins
            .iter()
            .any(|stand_in| matches!(stand_in.answers, Answers::Program(_)));
        let spec = Spec {
            stand_ins: stand_ins
                .into_iter()
                .map(|stand_in| StandIn {
                    needs: None,
                    ..stand_in
                })
                .collect(),
            up: false,
            ..Spec::new(name.clone(), Role::Host)
        };
        let failed = |source| Error::Root { name, source };
        let machine = match Machine::new(spec, &self.0, "") {
            Ok(machine) => machine,
            Err(error) => return Err(failed(error)),
        };
        if has_programs {
            machine.start().await.map_err(failed)?;
        }
        let mut gateways = self.0.gateways();
        gateways.retain(|gateway| gateway.strong_count() > 0);
        gateways.push(Arc::downgrade(&machine));
        drop(gateways);
        Ok(Gateway {
            machine,
            addresses: Mutex::default(),
        })
    }

    /// Tells whether an object of a cluster that stand-ins of machines need is there and ready; before it is told once the lab
    /// does not have it.
    pub async fn set_object(&self, needs: &str, is_ready: bool) {
        let before = self.0.objects().insert(needs.to_owned(), is_ready);
        if before != Some(is_ready) {
            self.0.refresh().await;
        }
    }
}

impl Gateway {
    /// Answers at these places and at no other; when this returns it is so.
    pub async fn publish(&self, places: &[Published]) {
        let Some(lab) = self.machine.lab.upgrade() else {
            return;
        };
        let _one = lab.refreshing.lock().await;
        let net: Arc<dyn Listen> = Arc::new(Net(Arc::downgrade(&lab)));
        let wanted: BTreeSet<IpAddr> = places.iter().map(|place| place.address).collect();
        let had = {
            let mut addresses = self
                .addresses
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *addresses, wanted.clone())
        };
        for offer in self.machine.offers() {
            let is_served = |address| {
                places.contains(&Published {
                    address,
                    port: offer.port(),
                    is_served: true,
                })
            };
            for (address, service) in offer.known() {
                if !is_served(address) {
                    // Turning off does not fail.
                    let _ = service.set(false).await;
                }
            }
        }
        for address in had.difference(&wanted) {
            if !lab
                .of_address(*address)
                .iter()
                .any(|machine| machine.is_up())
                && let Err(error) = lab.sandbox.remove_address(*address).await
            {
                tracing::debug!(%error, %address, "an address of a lab's cluster stays");
            }
        }
        for address in wanted.difference(&had) {
            if let Err(error) = lab.sandbox.add_address(*address).await {
                tracing::warn!(%error, %address, "a lab's cluster cannot have its address");
            }
        }
        for offer in self.machine.offers() {
            for place in places.iter().filter(|place| place.port == offer.port()) {
                let service = offer.service(place.address, &lab, &net);
                if place.is_served
                    && let Err(error) = service.set(true).await
                {
                    tracing::warn!(%error, address = %place.address, port = place.port, "nothing answers there in the lab");
                }
            }
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // The machine knows what it offers, and that has its sockets.
        self.machine.offer_nothing();
    }
}

impl Inner {
    fn gateways(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Machine>>> {
        self.gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn objects(
        &self,
    ) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<String, bool>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has the stand-ins of clusters.
    pub(super) fn of_clusters(&self) -> Vec<Arc<Machine>> {
        self.gateways().iter().filter_map(Weak::upgrade).collect()
    }
}
