//! By whom what Flux applies is applied: by its controllers, who may do all, or by the service account that a spec names.

use serde_json::Value;

use crate::kube::object;
use crate::kube::resource::Resource;
use crate::kube::server::access::{User, permit};
use crate::kube::state::State;
use crate::kube::status::Result;

/// Whether an object of Flux may have this done to what is in a namespace under a name.
///
/// # Errors
///
/// The API's refusal of the account that its spec names.
pub(super) fn check(
    state: &State,
    owner: &Value,
    verb: &str,
    resource: &Resource,
    place: (&str, &str),
) -> Result<()> {
    match object::text(owner, &["spec", "serviceAccountName"]) {
        "" => Ok(()),
        name => {
            let user = User::Account(object::namespace(owner).to_owned(), name.to_owned());
            permit(state, &user, verb, (resource, ""), place)
        }
    }
}
