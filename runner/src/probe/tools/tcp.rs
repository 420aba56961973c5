//! Whether a port is open, by `bash`, `nc` or `python3`.

use super::super::tcp::Request;
use super::super::{ProbeError, address};
use super::{Answer, Commands, Printed, is_unknown_name, reason};

const TEXT: &str = "if command -v bash >/dev/null; then echo bash; exec bash -c 'exec 3<>\"/dev/tcp/$RB_HOST/$RB_PORT\"'\n\
elif command -v nc >/dev/null; then echo nc; exec nc -v -z -w \"$RB_SECONDS\" \"$RB_HOST\" \"$RB_PORT\" </dev/null\n\
elif command -v python3 >/dev/null; then echo python3; exec python3 -c 'import os, socket; socket.create_connection((os.environ[\"RB_HOST\"], int(os.environ[\"RB_PORT\"])), float(os.environ[\"RB_SECONDS\"]))'\n\
else echo none; fi";

pub(super) fn commands(request: &Request, seconds: u64) -> Commands {
    Commands {
        text: TEXT.to_owned(),
        env: vec![
            ("RB_HOST", bare(&request.host).to_owned()),
            ("RB_PORT", request.port.to_string()),
            ("RB_SECONDS", seconds.to_string()),
        ],
    }
}

/// An address of IPv6 without its brackets.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

pub(super) fn read(request: &Request, printed: Printed<'_>) -> Result<Answer, ProbeError> {
    if printed.code == 0 {
        return Ok(Answer::Tcp(Ok(())));
    }
    let said = printed.stderr;
    let address = address(&request.host, request.port);
    if said.contains("refused") {
        let refused = ProbeError::Refused { address };
        return Ok(Answer::Tcp(Err(refused.to_string())));
    }
    let reason = reason(printed);
    if is_unknown_name(said) {
        let name = request.host.clone();
        return Err(ProbeError::Name { name, reason });
    }
    let unreachable = ProbeError::Unreachable { address, reason };
    Ok(Answer::Tcp(Err(unreachable.to_string())))
}
