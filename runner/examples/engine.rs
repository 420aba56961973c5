//! Measures what a `bash` step of a run costs over a bare `bash -c true` loop, with every sink that a run has, and what
//! planning many steps takes: `cargo run --release --example engine [STEPS]`.
//!
//! Prints CPU seconds (own and children's) and the most memory that was resident.

use std::fmt::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use runbook::book::{self, ChapterInput, NoFiles};
use runbook::event::Event;
use runbook::model::Book;
use runbook_runner::execute::{self, Cancel, Purpose, RunRequest};
use runbook_runner::journal::Journal;
use runbook_runner::report::json::JsonLines;
use runbook_runner::report::junit::Junit;
use runbook_runner::report::terminal::{Look, Terminal};
use runbook_runner::sink::{Sink, SinkError, Sinks};

#[expect(clippy::print_stdout, reason = "a measurement")]
fn main() {
    let count: usize = std::env::args()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(500);
    for round in 0..3 {
        let bare = measure(|| {
            for _ in 0..count {
                let mut command = std::process::Command::new("/bin/bash");
                command.args(["-c", "true"]).stdin(Stdio::null());
                command.status().expect("bash starts");
            }
        });
        let book = book(count);
        let ours = measure(|| run(&book));
        let more = (ours.0 - bare.0) * 1000.0 / count as f64;
        println!(
            "round {round}: bare {:.0} ms CPU, ours {:.0} ms CPU ({:.0} ms wall): {more:.3} ms CPU more a step",
            bare.0 * 1000.0,
            ours.0 * 1000.0,
            ours.1 * 1000.0,
        );
    }
    let book = book(10_000);
    let planned = measure(|| {
        let request = RunRequest::new("plan", Purpose::Run, std::env::temp_dir());
        let plan = runtime()
            .block_on(execute::plan(Arc::clone(&book), request, Cancel::new()))
            .expect("a plan");
        assert_eq!(plan.steps.len(), 10_000);
    });
    println!(
        "10,000 steps planned: {:.0} ms CPU, {:.0} ms wall",
        planned.0 * 1000.0,
        planned.1 * 1000.0
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!(
        "{}",
        status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap_or_default()
    );
}

fn book(count: usize) -> Arc<Book> {
    let chapters = (0..count.div_ceil(100)).map(|chapter| {
        let mut text = format!("# Chapter {chapter}\n\n");
        for step in 0..100.min(count - chapter * 100) {
            let _ = write!(text, "```bash runbook\n#| id: step-{step}\ntrue\n```\n\n");
        }
        let id = format!("c{chapter}");
        ChapterInput {
            path: format!("src/{id}.md"),
            name: id.clone(),
            id,
            text,
        }
    });
    let input = book::Input {
        chapters: chapters.collect(),
        ..book::Input::default()
    };
    let loaded = book::load(input, &NoFiles);
    assert!(loaded.is_valid(), "{:?}", loaded.diagnostics.first());
    Arc::new(loaded.book)
}

fn run(book: &Arc<Book>) {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::create(folder.path(), "run").expect("a journal");
    let mut request = RunRequest::new("run", Purpose::Run, folder.path());
    request.directory = Some(journal.dir().to_owned());
    request.jobs = 1;
    let look = Look {
        color: false,
        bars: false,
        every_step: true,
    };
    let json = std::fs::File::create(folder.path().join("json")).expect("a file");
    let sinks: Vec<Box<dyn Sink>> = vec![
        Box::new(Each(journal, |journal: &mut Journal, event: &Event| {
            journal.append(event).expect("a disk")
        })),
        Box::new(Each(
            JsonLines::new(json),
            |json: &mut JsonLines<_>, event: &Event| json.event(event).expect("a disk"),
        )),
        Box::new(Each(
            Junit::default(),
            |junit: &mut Junit, event: &Event| junit.event(event),
        )),
        Box::new(Each(
            Terminal::new(std::io::sink(), look),
            |terminal: &mut Terminal<_>, event: &Event| {
                terminal.event(event).expect("a terminal");
            },
        )),
    ];
    let result = runtime().block_on(execute::run(
        Arc::clone(book),
        request,
        Sinks::new(sinks),
        Cancel::new(),
    ));
    assert_eq!(result.expect("a run").exit_code, 0);
}

struct Each<T, F>(T, F);

impl<T: Send, F: FnMut(&mut T, &Event) + Send> Sink for Each<T, F> {
    fn event(&mut self, event: &Event) -> Result<(), SinkError> {
        (self.1)(&mut self.0, event);
        Ok(())
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// CPU seconds of this process and its children, and wall seconds.
fn measure(work: impl FnOnce()) -> (f64, f64) {
    let (cpu, wall) = (cpu(), Instant::now());
    work();
    (self::cpu() - cpu, wall.elapsed().as_secs_f64())
}

fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("procfs");
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|field| field.parse().ok())
        .collect();
    // Clock ticks, 100 a second.
    fields.iter().sum::<f64>() / 100.0
}
