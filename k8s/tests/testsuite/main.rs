//! The client against a server on a real socket that speaks as much of the API as these tests need, with faults on demand; and, where
//! `RUNBOOK_TEST_KUBECONFIG` names one, against a real cluster.

mod apply;
mod connect;
mod live;
mod live_flux;
mod programs;
mod server;
mod waits;
