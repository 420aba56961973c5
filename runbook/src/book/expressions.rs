//! Expressions of templates, understood once: the same one stands in many steps.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::template::{self, Path, TemplateError};

/// What an expression uses, or what is wrong with it.
pub(super) type Understood = Rc<Result<Vec<Path>, TemplateError>>;

/// The expressions understood so far.
#[derive(Default)]
pub(super) struct Expressions {
    known: RefCell<HashMap<String, Understood>>,
}

impl Expressions {
    /// Understands the text between the braces.
    pub(super) fn understand(&self, source: &str) -> Understood {
        if let Some(known) = self.known.borrow().get(source) {
            return Rc::clone(known);
        }
        let understood =
            Rc::new(template::check_expression(source).map(|()| template::names(source)));
        self.known
            .borrow_mut()
            .insert(source.to_owned(), Rc::clone(&understood));
        understood
    }
}
