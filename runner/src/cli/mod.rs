//! The command line: reads what was typed, calls the rooms below, and ends with a documented exit code ([`crate::exit`]).
//!
//! Nothing is decided here that another front (a server, an editor) would have to decide again.

mod args;
mod build;
mod commands;
mod consumers;
mod doctor;
mod earlier;
mod failure;
mod init;
mod lab;
mod open;
mod run;
mod serve;
mod shell;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use self::args::{Cli, Command};
use self::failure::Failure;
use self::open::Opened;
use self::shell::Shell;
use crate::exit;

/// Runs the program with the arguments it was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results; nowhere to tell that they could not be written.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() {
                exit::USAGE
            } else {
                exit::OK
            });
        }
    };
    let shell = Shell::new(cli.global.json);
    let code = match catch_unwind(AssertUnwindSafe(|| dispatch(&shell, cli))) {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => failure.tell(&shell),
        Err(_) => {
            shell.error(
                "this is a bug of `runbook`; the lines above say where",
                Some("report it with the command and the chapter"),
            );
            exit::BUG
        }
    };
    // Nothing that was started outlives the program, whatever it did to its parent.
    crate::process::end_orphans();
    ExitCode::from(code)
}

fn dispatch(shell: &Shell, cli: Cli) -> Result<u8, Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Init { dir } => commands::init(shell, &global, dir),
        Command::Doctor => commands::doctor(shell, &global),
        Command::Schema { name } => commands::schema(shell, name.as_deref()),
        Command::Completions { shell: kind } => completions(shell, kind),
        Command::Check => commands::check(shell, &Opened::find(&global)?),
        Command::Fmt { check } => commands::fmt(shell, &Opened::find(&global)?, check),
        Command::List { tag } => commands::list(shell, &Opened::find(&global)?, &tag),
        Command::Show { id } => commands::show(shell, &Opened::find(&global)?, &id),
        Command::Status { tag } => commands::status(shell, &Opened::find(&global)?, &tag),
        Command::History { id, limit, rebuild } => commands::history(
            shell,
            &Opened::find(&global)?,
            id.as_deref(),
            limit,
            rebuild,
        ),
        Command::Build { dest, open } => build::build(shell, &Opened::find(&global)?, dest, open),
        Command::Plan { ids, selection } => {
            run::plan(shell, &Opened::find(&global)?, &ids, &selection)
        }
        Command::Run {
            ids,
            selection,
            running,
            with_needs,
            from,
        } => {
            let asked = run::Asked {
                ids,
                from,
                with_needs,
                selection,
                running,
            };
            run::run(shell, &Opened::find(&global)?, &asked)
        }
        Command::Verify {
            ids,
            selection,
            running,
            site,
            open,
            dest,
            history,
        } => {
            let asked = run::Asked {
                ids,
                from: None,
                with_needs: false,
                selection,
                running,
            };
            let site = site.then_some(run::Site { open, dest });
            run::verify(
                shell,
                &Opened::find(&global)?,
                &asked,
                site,
                history.as_deref(),
            )
        }
        Command::Lab { state } => lab::lab(shell, &global, state),
        Command::Serve { port, host, open } => build::serve(shell, &global, port, &host, open),
    }
}

fn completions(shell: &Shell, kind: clap_complete::Shell) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(kind, &mut Cli::command(), "runbook", &mut script);
    shell.out(&String::from_utf8_lossy(&script))?;
    Ok(exit::OK)
}

/// How long threads that still wait for the system (a name that is looked up) may keep the program from ending.
const RUNTIME_END: Duration = Duration::from_millis(200);

/// Runs what waits for something to its end.
fn wait_for<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::unavailable(format!("cannot start the runtime: {error}"), None)
        })?;
    let result = runtime.block_on(future);
    runtime.shutdown_timeout(RUNTIME_END);
    Ok(result)
}
