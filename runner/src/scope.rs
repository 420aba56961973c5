//! The values that a guide's templates see, made when a step first asks for them.
//!
//! What they are is [`runbook::values`]'s; here each guide's are kept for the run, and a variable without a value is refused
//! before anything runs.

use std::sync::{Arc, OnceLock};

use runbook::model::{Book, Vars};
use runbook::values::GuideValues;

use crate::plan::{InBook as _, Plan};
use crate::request::{RunError, RunRequest};

/// The values of a run, by guide.
#[derive(Debug)]
pub struct Values {
    /// One for each guide of the book.
    guides: Vec<OnceLock<Arc<GuideValues>>>,
    given: Vars,
    profile: String,
}

impl Values {
    /// The values of a run.
    pub fn new(book: &Book, request: &RunRequest) -> Self {
        let guides = book.guides.iter().map(|_| OnceLock::new()).collect();
        Self {
            guides,
            given: request.vars.clone(),
            profile: request.profile.clone(),
        }
    }

    /// The values of a guide.
    pub fn of(&self, book: &Book, guide: usize) -> &Arc<GuideValues> {
        self.guides[guide].get_or_init(|| {
            let values = runbook::values::Values::new(&book.inventory, &self.profile, &self.given);
            Arc::new(values.of(&book.guides[guide]))
        })
    }
}

/// Refuses a run in which a due step uses a variable that was given no value.
///
/// # Errors
///
/// The first such variable.
pub fn refuse_ungiven(book: &Book, plan: &Plan) -> Result<(), RunError> {
    for due in &plan.steps {
        if let Some(name) = book.ungiven(due.at).first() {
            let id = due.at.of(book).id.to_string();
            return Err(RunError::Variable {
                name: (*name).to_owned(),
                id,
            });
        }
    }
    Ok(())
}
