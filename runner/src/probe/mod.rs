//! Questions to the network: one module per protocol, a request in, an answer out. Knows nothing of runbooks.
