//! Texts as words of a POSIX shell: any bytes but zero, whichever shell reads them.

/// A word in single quotes: whatever stands in it reaches the program as it is.
///
/// Fits where a program is read as a whole; a login shell that is not POSIX never sees it.
pub fn quote(word: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(word.len() + 2);
    quoted.push(b'\'');
    for byte in word {
        match byte {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            other => quoted.push(*other),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// A word in single quotes, of a text.
pub fn quote_str(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// An assignment that stands in one line of plain ASCII and gives a variable any bytes but zero.
pub fn assignment(name: &str, value: &[u8]) -> String {
    use std::fmt::Write as _;
    // A dash is escaped too: at the beginning it would be an option.
    let mut text = format!("{name}=$(printf '");
    for byte in value {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'/' => {
                text.push(char::from(*byte));
            }
            // Writing to a text cannot fail.
            other => drop(write!(text, "\\{other:03o}")),
        }
    }
    // The dot keeps line ends at the end, which a substitution would drop. Before it stands no digit of an escape.
    let _ = write!(text, ".'); {name}=${{{name}%.}}");
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// The shells of this machine that a target may have.
    fn shells() -> Vec<Vec<&'static str>> {
        let mut shells = vec![vec!["sh"], vec!["bash"]];
        if Command::new("busybox").arg("true").output().is_ok() {
            shells.push(vec!["busybox", "sh"]);
        }
        shells
    }

    fn output(shell: &[&str], text: &[u8]) -> Vec<u8> {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg("-c");
        command.arg(std::ffi::OsStr::from_bytes(text));
        command.output().expect("the shell starts").stdout
    }

    fn words() -> impl Strategy<Value = Vec<u8>> {
        let nasty = prop::sample::select(vec![
            &b"'"[..],
            b"\"",
            b"\\",
            b"$(id)",
            b"`id`",
            b"\n",
            b" ",
            b"-",
            b"*",
            b"~",
            b"!",
            b"\x81",
            b"\x88",
            b"\xff",
            b"\xc3\xa4",
            b"${x}",
            b";",
            b"&",
            b"|",
            b"%s",
            b"%",
            b"\\n",
            b"0",
            b"7",
            b"\t",
            b"\r",
            b"#",
        ]);
        let bytes = prop::collection::vec(1u8..=255, 0..12);
        prop_oneof![
            bytes,
            prop::collection::vec(nasty, 0..12).prop_map(|parts| parts.concat())
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn any_word_passes_three_shells_deep(word in words()) {
            for shell in shells() {
                let run: Vec<u8> = shell.join(" ").into_bytes();
                let mut text = [b"printf %s ".to_vec(), quote(&word)].concat();
                for _ in 0..2 {
                    text = [run.clone(), b" -c ".to_vec(), quote(&text)].concat();
                }
                prop_assert_eq!(&output(&shell, &text), &word, "{:?}", shell);
            }
        }

        #[test]
        fn an_assignment_is_one_line_of_ascii_and_gives_any_bytes(word in words()) {
            let text = format!("{}; printf %s \"$x\"", assignment("x", &word));
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", text);
            for shell in shells() {
                prop_assert_eq!(&output(&shell, text.as_bytes()), &word, "{:?}", shell);
            }
        }
    }

    #[test]
    fn a_text_is_quoted_as_its_bytes() {
        assert_eq!(
            quote_str("it's $x").into_bytes(),
            quote("it's $x".as_bytes())
        );
    }
}
