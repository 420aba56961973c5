//! Hides secret values, in all the forms in which they are written, in text, JSON and streams of bytes.
