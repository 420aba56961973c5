//! The format of executable guides.
