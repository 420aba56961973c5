//! What a client can rely on, and the proof that these cases see it when the lab has a defect.
//!
//! `cases` is the behaviour of the API as a client sees it over a real TLS socket. `seeded` leaves one error, state change
//! or answer out at a time; each such defect must turn its case red. A case that nothing can turn red would prove nothing.

#![allow(clippy::print_stdout)]

mod cases;
mod seeded;
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;

use cases::{Case, Lab, Verdict};
use wire::{Api, Real};

/// What the issue asks for; there are more.
const CASES_MIN: usize = 40;
const DEFECTS_MIN: usize = 20;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts")
}

async fn run(case: &Case, api: Arc<dyn Api>) -> Verdict {
    (case.run)(Lab(api)).await
}

#[test]
fn every_case_is_green_on_the_real_lab() {
    let all = cases::all();
    let names: BTreeSet<&str> = all.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), all.len(), "two cases have one name");
    assert!(all.len() >= CASES_MIN, "there are {} cases", all.len());
    let red = runtime().block_on(async {
        let mut red = Vec::new();
        for case in all {
            if let Err(why) = run(case, Arc::new(Real::start().await)).await {
                red.push(format!("{}: {why}", case.name));
            }
        }
        red
    });
    assert!(red.is_empty(), "red:\n{}", red.join("\n"));
}

#[test]
fn every_defect_turns_its_case_red() {
    let (cases, defects) = (cases::all(), seeded::all());
    let names: BTreeSet<&str> = defects.iter().map(|defect| defect.name).collect();
    assert_eq!(names.len(), defects.len(), "two defects have one name");
    assert!(
        defects.len() >= DEFECTS_MIN,
        "there are {} defects",
        defects.len()
    );
    let unseen = runtime().block_on(async {
        let mut unseen = Vec::new();
        for defect in defects {
            let case = cases.iter().find(|case| case.name == defect.seen_by);
            let case = case.unwrap_or_else(|| panic!("no case `{}`", defect.seen_by));
            let lab = seeded::Defective::new(Real::start().await, defect);
            match run(case, Arc::new(lab)).await {
                Err(why) => println!("{}: red, as it must be: {why:.200}", defect.name),
                Ok(()) => unseen.push(format!("{}: `{}` stays green", defect.name, case.name)),
            }
        }
        unseen
    });
    assert!(unseen.is_empty(), "not seen:\n{}", unseen.join("\n"));
}
