//! A DNS server on a real socket for the lab's names. It knows its own names and forwards nothing.
//!
//! A name below one of its domains that it does not have does not exist; any other name is a failure of the server, so
//! that nobody takes the lab's ignorance for the world's.

mod server;
mod zone;

pub use server::{Error, Server};
pub use zone::{Answer, More, Zone};
