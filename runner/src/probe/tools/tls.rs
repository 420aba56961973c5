//! What certificate a server shows, by `openssl`.

use std::net::IpAddr;

use base64::Engine as _;

use super::super::tls::Request;
use super::super::{Certificate, ProbeError, address};
use super::{Answer, Commands, Printed, is_unknown_name, reason};

const TEXT: &str = "if command -v openssl >/dev/null; then echo openssl\n\
set -- -connect \"$RB_CONNECT\"; if [ -n \"$RB_IP\" ]; then set -- \"$@\" -verify_ip \"$RB_NAME\"; else set -- \"$@\" -servername \"$RB_NAME\" -verify_hostname \"$RB_NAME\"; fi\n\
[ -z \"$RB_CA\" ] || set -- \"$@\" -no-CApath -no-CAstore -CAfile \"$RB_CA\"\n\
exec openssl s_client \"$@\" </dev/null\n\
else echo none; fi";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

pub(super) fn commands(request: &Request) -> Commands {
    let name = request.server_name.as_deref().unwrap_or(&request.host);
    let name = name.trim_matches(['[', ']']);
    let is_ip = name.parse::<IpAddr>().is_ok();
    let ca = request
        .ca
        .as_ref()
        .map(|ca| ca.to_string_lossy().into_owned());
    Commands {
        text: TEXT.to_owned(),
        env: vec![
            ("RB_CONNECT", address(&request.host, request.port)),
            ("RB_NAME", name.to_owned()),
            ("RB_IP", if is_ip { "1".into() } else { String::new() }),
            ("RB_CA", ca.unwrap_or_default()),
        ],
    }
}

pub(super) fn read(request: &Request, printed: Printed<'_>) -> Result<Answer, ProbeError> {
    let address = address(&request.host, request.port);
    let text = printed.stdout;
    let pem = text
        .split_once(BEGIN)
        .and_then(|(_, rest)| rest.split_once(END));
    let Some((pem, _)) = pem else {
        let said = printed.stderr;
        let reason = reason(printed);
        return Err(if said.contains("refused") {
            ProbeError::Refused { address }
        } else if is_unknown_name(said) {
            let name = request.host.clone();
            ProbeError::Name { name, reason }
        } else if text.contains("CONNECTED") {
            ProbeError::Tls { address, reason }
        } else {
            ProbeError::Unreachable { address, reason }
        });
    };
    let verdict = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Verify return code: "))
        .unwrap_or("unknown");
    let untrusted = (!verdict.starts_with("0 ")).then(|| verdict.to_owned());
    let bytes: String = pem.split_whitespace().collect();
    let der = base64::engine::general_purpose::STANDARD
        .decode(bytes)
        .map_err(|error| error.to_string())
        .and_then(|der| Certificate::read(&der, untrusted.is_none()));
    match der {
        Ok(certificate) => Ok(Answer::Tls(certificate, untrusted)),
        Err(reason) => Err(ProbeError::Tls { address, reason }),
    }
}
