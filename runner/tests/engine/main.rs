//! The engine on real books: each test writes chapters, runs them, and looks at how the steps ended.

mod book_test;
mod cancel;
mod keys;
mod lab;
mod needs;
mod planned;
mod probes;
mod secrets;
mod table;
