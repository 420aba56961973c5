//! The engine on real books: each test writes chapters, runs them, and looks at how the steps ended.

mod book_test;
mod keys;
mod planned;
mod table;
