//! What is executed on the other machine, as text for a POSIX shell.
//!
//! A login shell of any kind starts `sh` on a fixed word. That reads one line of its input and evaluates it; what else the
//! program needs (a script with its variables, a file's content) follows as a number of bytes. Then the input stays open:
//! its end means that nobody waits any more, and everything that was started is ended. What belongs to a script is found by a
//! variable that it inherits and by its parents, so what left group and session is found too.

use std::fmt::Write as _;
use std::time::Duration;

use super::marks::MARK;
use super::quote::{assignment, quote};
use super::transport::Way;

/// The longest script that is passed as an argument, as on this machine; a longer one becomes a file.
const SCRIPT_ARGUMENT_BYTES_MAX: usize = crate::process::SCRIPT_ARGUMENT_BYTES_MAX;
/// How much longer than its time a script may run when nobody ends it: the connection's part of it.
const TIME_MARGIN: Duration = Duration::from_secs(10);
/// How long what a detached script printed last may take to its file once it has ended; on a busy machine it takes a while.
const DRAIN_SECONDS_MAX: u32 = 10;
/// Ends the data, so that data that was cut is not executed.
const DATA_END: &str = "#end-of-data";
/// Where programs are looked for beside the login's own `PATH`.
const PATH_MORE: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What the first shell is told: nothing that any login shell reads differently inside single quotes.
pub(super) const BOOT: &str = "IFS= read -r p && eval \"$p\"";

/// A script for another machine.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// `bash`, `sh` or `python`.
    pub language: String,
    /// The script.
    pub text: String,
    /// Whether a failing line ends it.
    pub strict: bool,
    /// Its variables, beside `PATH` and `HOME` of the login.
    pub env: Vec<(String, String)>,
}

/// What is executed.
#[derive(Debug, Clone)]
pub enum Program {
    /// A script with everything it starts, watched.
    Script(Script),
    /// Some lines of ours that start nothing which could outlive them, and the bytes that they read.
    Lines {
        /// For `sh`; with no line end outside quotes it is one line.
        text: String,
        /// What they read.
        input: Vec<u8>,
    },
}

/// Why a script cannot be told to a shell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// A zero byte ends a text for the system.
    #[error("a zero byte in the script or the environment")]
    ZeroByte,
    /// A variable that a shell cannot export.
    #[error("`{0}` is no name of a variable for a shell")]
    Name(String),
}

impl Program {
    /// Some lines that read nothing.
    pub fn lines(text: impl Into<String>) -> Self {
        Self::Lines {
            text: text.into(),
            input: Vec::new(),
        }
    }

    /// What the first shell reads: the line, and the data.
    pub(super) fn input(
        &self,
        way: &Way,
        nonce: &str,
        time: Duration,
    ) -> Result<Vec<u8>, ScriptError> {
        let mut input = home(way).into_bytes();
        match self {
            Self::Script(script) => {
                let data = script.data(nonce)?;
                let is_long = script.text.len() > SCRIPT_ARGUMENT_BYTES_MAX;
                // An agent's program has read its whole input before it begins.
                let is_watched = !matches!(way, Way::Agent(_));
                let seconds = (time + TIME_MARGIN).as_secs() + 1;
                let line = supervise(nonce, data.len(), seconds, is_long, is_watched);
                input.extend_from_slice(line.as_bytes());
                input.push(b'\n');
                input.extend_from_slice(&data);
            }
            Self::Lines {
                text,
                input: content,
            } => {
                input.extend_from_slice(in_line(nonce, text).as_bytes());
                input.push(b'\n');
                input.extend_from_slice(content);
            }
        }
        Ok(input)
    }
}

/// The command for the login shell, or for the node's that goes on into a container.
pub(super) fn command(way: &Way) -> String {
    match way {
        Way::Ssh(login) if login.sudo => {
            format!("exec sudo -n env -i LC_ALL=C \"PATH=$PATH\" HOME=/root sh -c '{BOOT}'")
        }
        Way::Ssh(_) => format!("exec env -i LC_ALL=C \"PATH=$PATH\" \"HOME=$HOME\" sh -c '{BOOT}'"),
        Way::Pct { node, vmid } => {
            let sudo = if node.sudo { "sudo -n " } else { "" };
            format!(
                "exec {sudo}pct exec {vmid} -- env -i LC_ALL=C PATH={PATH_MORE} HOME=/root sh -c '{BOOT}'"
            )
        }
        // Both ways in letters that no server reads differently.
        Way::Container(_) => BOOT.to_owned(),
        Way::Agent(_) => format!(
            "LC_ALL=C; export LC_ALL; exec 3>&1 4>&2; {{ base64 -d | sh -c '{BOOT}' 2>&1 1>&5 3>&- 4>&- 5>&- | base64 >&4; }} 5>&1 | base64 >&3"
        ),
    }
}

/// Makes the environment that a login has where there was none: an agent's or `pct exec`'s has no home.
fn home(way: &Way) -> String {
    let path = format!("PATH=$PATH:{PATH_MORE}; export PATH; ");
    match way {
        Way::Ssh(login) if login.sudo => format!("{path}HOME=~root; "),
        Way::Ssh(_) => path,
        Way::Pct { .. } => {
            "PATH=$PATH:/run/current-system/sw/bin; HOME=~root; cd \"$HOME\" || cd /; ".to_owned()
        }
        // The image's own variables are part of the place.
        Way::Container(_) => format!(
            "LC_ALL=C; export LC_ALL; {path}[ -n \"$HOME\" ] || HOME=/; cd \"$HOME\" 2>/dev/null || cd /; "
        ),
        Way::Agent(_) => format!("{path}HOME=~root; export HOME; cd \"$HOME\" || cd /; "),
    }
}

impl Script {
    /// Variables and the command that replaces the shell that evaluates them.
    pub(super) fn data(&self, nonce: &str) -> Result<Vec<u8>, ScriptError> {
        let zero = |text: &str| text.contains('\0');
        if zero(&self.text) || self.env.iter().any(|(_, value)| zero(value)) {
            return Err(ScriptError::ZeroByte);
        }
        let (program, flags) = match (self.language.as_str(), self.strict) {
            ("python", _) => ("python3", ""),
            ("sh", true) => ("sh", "-eu "),
            ("sh", false) => ("sh", ""),
            (_, true) => ("bash", "-eu -o pipefail "),
            (_, false) => ("bash", ""),
        };
        let mut data = format!(
            "command -v {program} >/dev/null 2>&1 || {{ echo 'sh: 1: {program}: not found' >&2; exit 127; }}\n\
             unset LC_ALL IFS\nexport HOME {MARK}={nonce}\n"
        )
        .into_bytes();
        for (name, value) in &self.env {
            if !is_name(name) {
                return Err(ScriptError::Name(name.clone()));
            }
            data.extend_from_slice(format!("export {name}=").as_bytes());
            data.extend_from_slice(&quote(value.as_bytes()));
            data.push(b'\n');
        }
        let text = quote(self.text.as_bytes());
        if self.text.len() > SCRIPT_ARGUMENT_BYTES_MAX {
            data.extend_from_slice(b"printf %s ");
            data.extend_from_slice(&text);
            data.extend_from_slice(
                format!(" >\"$rb_t/script\" || exit 126\nexec $rb_s {program} {flags}\"$rb_t/script\" 3<&-\n").as_bytes(),
            );
        } else {
            data.extend_from_slice(format!("exec $rb_s {program} {flags}-c ").as_bytes());
            data.extend_from_slice(&text);
            data.extend_from_slice(b" 3<&-\n");
        }
        data.extend_from_slice(DATA_END.as_bytes());
        Ok(data)
    }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|byte| byte == b'_' || byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

/// Prints on both streams that what follows is the program's.
fn begin(nonce: &str) -> String {
    format!("printf '\\036{nonce}\\n'; printf '\\036{nonce}\\n' >&2; ")
}

/// Functions that find and end what belongs to a script: by its mark, and what descends from a shell but for its guards.
fn members(nonce: &str, more: &str) -> String {
    let mut line = String::with_capacity(1024);
    line.push_str(
        "rb_down() { for rb_c in $(cat /proc/$1/task/*/children 2>/dev/null); do \
         case \" $rb_g \" in *\" $rb_c \"*) ;; *) echo $rb_c; rb_down $rb_c;; esac; done; }; ",
    );
    let _ = write!(
        line,
        "rb_all() {{ grep -slF {MARK}={nonce} /proc/[0-9]*/environ 2>/dev/null | \
         while IFS=/ read -r rb_x rb_x rb_c rb_x; do echo $rb_c; done; {more}; }}; "
    );
    line.push_str(
        "rb_kill() { rb_any=1; for rb_p in $(rb_all); do kill -s $1 $rb_p 2>/dev/null && rb_any=0; done; return $rb_any; }; \
         rb_nap() { sleep 0.05 2>/dev/null || sleep 1; }; \
         rb_end() { rb_kill TERM || return 0; rb_n=0; \
         while [ $rb_n -lt 15 ]; do rb_nap; rb_kill 0 || return 0; rb_n=$((rb_n+1)); done; rb_n=0; \
         while [ $rb_n -lt 20 ]; do rb_kill KILL || return 0; rb_nap; rb_n=$((rb_n+1)); done; }; ",
    );
    line
}

/// The script that watches over a detached one, in its directory: keeps what it prints, ends what it leaves and everything when
/// its time is over, and says its exit code at last.
pub(super) fn watch(nonce: &str, seconds: u64, output_bytes_max: u64) -> String {
    let members = members(nonce, "rb_down $$");
    let keep = |pipe: &str, file: &str| {
        format!(
            "{{ head -c {output_bytes_max} >{file}; cat >/dev/null; }} <{pipe} & rb_r=\"$rb_r $!\"; rb_g=$rb_r; "
        )
    };
    format!(
        "LC_ALL=C; {members}rb_s=; command -v setsid >/dev/null 2>&1 && rb_s=setsid; rb_t=$PWD; rb_d=$(cat job); rb_g=; rb_r=; \
         read -r rb_i rb_x </proc/self/stat; read -r rb_x </proc/self/stat; set -- ${{rb_x##*) }}; shift 19; \
         {}{}\
         ( trap '' HUP INT; rb_me() {{ read -r rb_i rb_x </proc/self/stat; }}; rb_me; rb_g=\"$rb_g $rb_i\"; \
         sleep {seconds} & rb_z=$!; trap 'kill $rb_z; exit' TERM; rb_g=\"$rb_g $rb_z\"; wait $rb_z; rb_end ) & rb_u=$!; rb_g=\"$rb_g $rb_u\"; \
         echo $rb_i $1 >pid.new && mv pid.new pid; \
         ( eval \"$rb_d\" ) </dev/null >o 2>e; rb_c=$?; rb_end; kill -s TERM $rb_u; \
         ( sleep {DRAIN_SECONDS_MAX}; kill -s KILL $rb_r ) & rb_k=$!; wait $rb_r; kill -s KILL $rb_k; \
         echo $rb_c >exit.new && mv exit.new exit",
        keep("o", "out"),
        keep("e", "err"),
    )
}

/// A script that ends another one, for those who cannot end its input.
pub(super) fn ending(nonce: &str) -> String {
    format!("LC_ALL=C; export LC_ALL; {}rb_end", members(nonce, ":"))
}

/// The line that runs a script, ends what it leaves behind, and ends everything when its input or its time ends.
fn supervise(nonce: &str, length: usize, seconds: u64, is_long: bool, is_watched: bool) -> String {
    let mut line = String::with_capacity(2048);
    line.push_str(&members(nonce, "rb_down $$"));
    let _ = write!(line, "rb_d=$(head -c {length}; echo .); ");
    let _ = write!(
        line,
        "case $rb_d in *'{DATA_END}.') ;; *) exit 255;; esac; "
    );
    line.push_str(
        "rb_s=; command -v setsid >/dev/null 2>&1 && rb_s=setsid; rb_g=; rb_t=; exec 3<&0 </dev/null 4>&2; ",
    );
    if is_long {
        line.push_str(
            "rb_t=$(umask 077; mktemp -d \"${TMPDIR:-/tmp}/runbook-XXXXXXXX\") || exit 254; ",
        );
    }
    // The two guards. Each knows itself by the number of its shell, which only the system tells.
    line.push_str("rb_w=; rb_me() { read -r rb_i rb_x </proc/self/stat; rb_g=\"$rb_g $rb_i\"; }; ");
    if is_watched {
        line.push_str(
        "( trap '' TERM HUP INT; rb_me; while read -r rb_x <&3; do :; done; rb_end ) >/dev/null 2>&1 4>&- & rb_w=$!; ",
        );
    }
    let _ = write!(
        line,
        "( trap '' HUP INT; rb_me; rb_g=\"$rb_g $rb_w\"; sleep {seconds} 3<&- & rb_z=$!; trap 'kill $rb_z; exit' TERM; \
         rb_g=\"$rb_g $rb_z\"; wait $rb_z; rb_end ) >/dev/null 2>&1 3<&- 4>&- & rb_u=$!; rb_g=\"$rb_w $rb_u\"; "
    );
    line.push_str("exec 3<&-; ");
    line.push_str(&begin(nonce));
    line.push_str("exec 2>/dev/null; ( eval \"$rb_d\" ) 2>&4 4>&-; rb_c=$?; ");
    // What a script left behind may just be ending: a `tee` behind its output.
    line.push_str(
        "rb_n=0; while [ $rb_n -lt 4 ] && rb_kill 0; do rb_nap; rb_n=$((rb_n+1)); done; rb_l=0; \
         if rb_kill 0; then for rb_p in $(rb_all); do kill -s 0 $rb_p && rb_l=$((rb_l+1)); done; rb_end; fi; \
         [ -z \"$rb_t\" ] || rm -rf \"$rb_t\"; ",
    );
    let _ = write!(
        line,
        "printf '\\036{nonce} %s %s\\n' $rb_c $rb_l >&4; exec 4>&- >/dev/null; kill -s TERM $rb_u; [ -z \"$rb_w\" ] || kill -s KILL $rb_w; exit $rb_c"
    );
    line
}

/// The line that runs some lines of ours.
fn in_line(nonce: &str, text: &str) -> String {
    let text = assignment("rb_d", text.as_bytes());
    format!(
        "{text}; exec 4>&2; {}exec 2>/dev/null; ( eval \"$rb_d\" ) 2>&4 4>&-; rb_c=$?; \
         printf '\\036{nonce} %s 0\\n' $rb_c >&4; exit $rb_c",
        begin(nonce)
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Child, Command, Stdio};
    use std::time::Instant;

    use super::super::login::Login;
    use super::*;

    const NONCE: &str = "00112233445566778899aabbccddeeff";

    /// The shells that a machine may have as `sh`, with `setsid` and without.
    fn shells() -> Vec<(Vec<&'static str>, bool)> {
        let mut shells = vec![vec!["dash"], vec!["bash"]];
        if Command::new("busybox").arg("true").output().is_ok() {
            shells.push(vec!["busybox", "sh"]);
        }
        shells.retain(|shell| {
            Command::new(shell[0])
                .args(&shell[1..])
                .args(["-c", ":"])
                .output()
                .is_ok()
        });
        let both = |shell: Vec<&'static str>| [(shell.clone(), true), (shell, false)];
        shells.into_iter().flat_map(both).collect()
    }

    /// A number that no other script of these tests has.
    fn nonce() -> String {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!(
            "{:024x}{:08x}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        )
    }

    fn start((shell, setsid): &(Vec<&str>, bool), text: &str, seconds: u64) -> (Child, String) {
        let nonce = nonce();
        let script = Script {
            language: "sh".into(),
            text: text.into(),
            strict: true,
            env: vec![],
        };
        let data = script.data(&nonce).unwrap();
        let mut line = supervise(&nonce, data.len(), seconds, false, true);
        if !setsid {
            line = line.replace("command -v setsid", "command -v no-setsid-here");
        }
        let mut child = Command::new(shell[0])
            .args(&shell[1..])
            .args(["-c", BOOT])
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin
            .write_all(&[line.as_bytes(), b"\n", &data].concat())
            .unwrap();
        child.stdin = Some(stdin);
        (child, nonce)
    }

    /// What it printed between the marks, its exit code there and how many it left.
    fn end((mut child, nonce): (Child, String), open: bool) -> (String, String, String) {
        let stdin = child.stdin.take();
        if !open {
            drop(stdin);
            let output = child.wait_with_output().unwrap();
            return cut(&output, &nonce);
        }
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        cut(&output, &nonce)
    }

    fn cut(output: &std::process::Output, nonce: &str) -> (String, String, String) {
        let begin = format!("\x1e{nonce}\n");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        let out = out
            .strip_prefix(&begin)
            .unwrap_or_else(|| panic!("{out:?} {err:?}"));
        let err = err
            .strip_prefix(&begin)
            .unwrap_or_else(|| panic!("{err:?}"));
        let (err, end) = err
            .rsplit_once(&format!("\x1e{nonce} "))
            .unwrap_or((err, "none"));
        (out.to_owned(), err.to_owned(), end.trim().to_owned())
    }

    #[test]
    fn every_shell_runs_a_script_and_tells_its_end() {
        for shell in shells() {
            let child = start(&shell, "cat; echo out; echo err >&2; exit 255", 60);
            let told = end(child, true);
            let expected = ("out\n".to_owned(), "err\n".to_owned(), "255 0".to_owned());
            assert_eq!(told, expected, "{shell:?}");
            let child = start(&shell, "sleep 300.5 & exit 3", 60);
            assert_eq!(end(child, true).2, "3 1", "{shell:?}");
        }
    }

    #[test]
    fn every_shell_ends_a_script_whose_input_or_time_ends() {
        for shell in shells() {
            for (open, seconds) in [(false, 60), (true, 3)] {
                let text = "trap '' TERM; echo up; sleep 300.25 & sleep 300.25; sleep 300.25";
                let started = Instant::now();
                let (out, _, code) = end(start(&shell, text, seconds), open);
                let took = started.elapsed();
                // Far less than the script's own time, and than the limit where that is not what ends it.
                assert!(took < Duration::from_secs(30), "{took:?} {shell:?}");
                assert_eq!(
                    (out.as_str(), code.as_str()),
                    ("up\n", "137 0"),
                    "{shell:?}"
                );
            }
        }
    }

    #[test]
    fn data_that_was_cut_is_not_executed() {
        for shell in shells() {
            let script = Script {
                language: "sh".into(),
                text: "echo no".into(),
                strict: true,
                env: vec![],
            };
            let data = script.data(NONCE).unwrap();
            let line = supervise(NONCE, data.len(), 60, false, true);
            for cut in [0, 10, data.len() - 2] {
                let mut child = Command::new(shell.0[0])
                    .args(&shell.0[1..])
                    .args(["-c", BOOT])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap();
                let mut stdin = child.stdin.take().unwrap();
                stdin
                    .write_all(&[line.as_bytes(), b"\n", &data[..cut]].concat())
                    .unwrap();
                drop(stdin);
                let output = child.wait_with_output().unwrap();
                assert_eq!(
                    String::from_utf8_lossy(&output.stdout),
                    "",
                    "{cut} {shell:?}"
                );
            }
        }
    }

    #[test]
    fn a_login_shell_of_any_kind_reads_the_command_alike() {
        let ways = [
            Way::Ssh(Login::new("a")),
            Way::Ssh(Login {
                sudo: true,
                ..Login::new("a")
            }),
            Way::Pct {
                node: Login::new("a"),
                vmid: 104,
            },
        ];
        for way in ways {
            let command = command(&way);
            let outside = command.replace(&format!("'{BOOT}'"), "");
            assert!(!command.contains(['\\', '!', '\n', '`']), "{command}");
            assert!(!outside.contains(['\'', '(', ';', '&', '{']), "{outside}");
        }
    }

    #[test]
    fn what_a_shell_cannot_take_is_refused() {
        let script = |text: &str, name: &str, value: &str| Script {
            text: text.into(),
            env: vec![(name.into(), value.into())],
            ..Script::default()
        };
        assert_eq!(
            script("a\0", "A", "").data(NONCE),
            Err(ScriptError::ZeroByte)
        );
        assert_eq!(
            script("a", "A", "\0").data(NONCE),
            Err(ScriptError::ZeroByte)
        );
        for name in ["A-B", "1A", "", "A B", "A=B", "é"] {
            assert_eq!(
                script("a", name, "").data(NONCE),
                Err(ScriptError::Name(name.into()))
            );
        }
    }
}
