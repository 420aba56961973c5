//! The command line and the variables. Reads no file.

use std::path::PathBuf;

/// Cases at once where nothing is said: they mostly wait.
const JOBS: usize = 12;

pub(crate) struct Options {
    pub(crate) words: Vec<String>,
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) kubectl: Option<PathBuf>,
    pub(crate) jobs: usize,
    pub(crate) skips: Option<usize>,
    pub(crate) keep: bool,
    pub(crate) list: bool,
    pub(crate) defects: bool,
}

impl Options {
    /// Reads arguments first, then variables. The text is for the person who called.
    pub(crate) fn read() -> Result<Self, String> {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|text| !text.is_empty())
                .map(PathBuf::from)
        };
        let mut options = Self {
            words: Vec::new(),
            kubeconfig: variable("RUNBOOK_TEST_KUBECONFIG"),
            kubectl: variable("RUNBOOK_TEST_KUBECTL"),
            jobs: JOBS,
            skips: None,
            keep: false,
            list: false,
            defects: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("error: `{argument}` needs a value"))
            };
            match argument.as_str() {
                "--kubeconfig" => options.kubeconfig = Some(value()?.into()),
                "--kubectl" => options.kubectl = Some(value()?.into()),
                "--jobs" => options.jobs = number(&argument, &value()?)?.max(1),
                "--skips" => options.skips = Some(number(&argument, &value()?)?),
                "--keep" => options.keep = true,
                "--list" => options.list = true,
                "--defects" => options.defects = true,
                // What cargo and its friends hand to every test program.
                "--nocapture" | "--exact" | "--include-ignored" | "--quiet" | "-q" => {}
                "--test-threads" | "--format" | "--color" => drop(value()?),
                word if word.starts_with('-') => {
                    return Err(format!("error: unknown option `{word}`"));
                }
                word => options.words.push(word.to_owned()),
            }
        }
        Ok(options)
    }

    pub(crate) fn chooses(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| name.contains(word.as_str()))
    }
}

fn number(option: &str, text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| format!("error: `{option}` needs a number, not `{text}`"))
}
