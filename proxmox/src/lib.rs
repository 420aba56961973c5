//! A client for the Proxmox VE API. Knows no runbooks.
