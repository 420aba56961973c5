//! The client against a server on a real socket that speaks as much of the API as these tests need, with faults on demand; against the lab,
//! with faults of a whole cluster; and, where `RUNBOOK_TEST_KUBECONFIG` names one, against a real cluster.

mod apply;
mod connect;
mod faults;
mod lab;
mod live;
mod live_flux;
mod programs;
mod server;
mod waits;
