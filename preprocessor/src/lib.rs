//! mdBook preprocessor.
