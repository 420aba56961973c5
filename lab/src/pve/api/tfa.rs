//! Second factors: nobody in the lab has one, and none can be added here.
//!
//! What is listed without one is that of pve-access-control (`API2/TFA.pm`, `API2/User.pm`: `read_user_tfa_type`).

use serde_json::{Value, json};

use super::{Act, Route};
use crate::pve::answer::{Fail, Outcome};
use crate::pve::cluster::Call;
use crate::pve::state::State;

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/access/tfa", Act::Now(|_, _| Ok(none()))),
    ("GET", "/access/tfa/{userid}", Act::Now(of_user)),
    ("GET", "/access/users/{userid}/tfa", Act::Now(types)),
];

fn none() -> crate::pve::answer::Reply {
    Vec::<Value>::new().into()
}

fn of_user(_: &Call, _: &mut State) -> Outcome {
    Ok(none())
}

fn types(call: &Call, state: &mut State) -> Outcome {
    let user = call.text("userid");
    let realm = user.rsplit('@').next().unwrap_or_default();
    if !state.access.realms.contains_key(realm) {
        return Err(Fail::die(format!("auth domain '{realm}' does not exist")));
    }
    Ok(match call.params.flag("multiple") {
        true => json!({"user": []}).into(),
        false => json!({}).into(),
    })
}
