//! What a case is, how one is run, and the words its body uses.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::context::Context;
use crate::report::Outcome;
use crate::server::Server;

/// A case's time where it does not say its own. Generous: a machine may be busy.
pub(crate) const CASE_SECONDS: u64 = 120;

pub(crate) type Run<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

pub(crate) struct Case {
    pub(crate) module: &'static str,
    pub(crate) function: &'static str,
    pub(crate) run: for<'a> fn(&'a Context) -> Run<'a>,
    pub(crate) seconds: u64,
}

impl Case {
    /// `GROUP/CASE`.
    pub(crate) fn name(&self) -> String {
        let group = self.module.rsplit("::").next().unwrap_or(self.module);
        format!("{group}/{}", self.function)
    }
}

/// `cases![one, two for 200]`: the functions of a module as its `CASES`, some with more seconds than usual.
macro_rules! cases {
    ($($function:ident $(for $seconds:literal)?),* $(,)?) => {
        pub(crate) const CASES: &[$crate::case::Case] = &[$($crate::case::Case {
            module: module_path!(),
            function: stringify!($function),
            run: |t| Box::pin($function(t)),
            seconds: cases!(@seconds $($seconds)?),
        }),*];
    };
    (@seconds) => { $crate::case::CASE_SECONDS };
    (@seconds $seconds:literal) => { $seconds };
}
pub(crate) use cases;

/// `same!(ACTUAL, EXPECTED)`, and `same!(ACTUAL, EXPECTED, "text", ...)`: an error that shows both when they differ.
macro_rules! same {
    ($actual:expr, $expected:expr $(,)?) => {
        same!($actual, $expected, "{}", stringify!($actual))
    };
    ($actual:expr, $expected:expr, $($text:tt)+) => {{
        let (actual, expected) = (&$actual, &$expected);
        if actual != expected {
            anyhow::bail!("{}\n  expected: {expected:?}\n  actual:   {actual:?}", format_args!($($text)+));
        }
    }};
}
pub(crate) use same;

/// An error that means "not judged here, and this is why".
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// Ends the case as skipped.
pub(crate) fn skip<T>(reason: impl Into<String>) -> Result<T> {
    Err(Skip(reason.into()).into())
}

/// Runs one case in a namespace of its own, within its time, and removes what it made.
pub(crate) async fn run(case: &'static Case, server: Arc<Server>) -> Outcome {
    let context = Context::new(server, case.function);
    let limit = Duration::from_secs(case.seconds);
    let result = tokio::time::timeout(limit, (case.run)(&context)).await;
    context.clean().await;
    match result {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(error)) => match error.downcast::<Skip>() {
            Ok(skip) => Outcome::Skipped(skip.0),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        },
        Err(_) => Outcome::Failed(format!("not done after {} s", case.seconds)),
    }
}
