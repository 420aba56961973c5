//! The domains of a home: names below them are the lab's there, and nobody else's.

use runbook::model::Book;
use runbook::read;
use runbook::template::has_template;

/// The variable that names the home's own domain.
const VARIABLE: &str = "domain";
/// The profile of the lab.
const LAB: &str = "lab";

/// Domains that only a home's own name server knows.
const OF_HOMES: [&str; 7] = [
    "lan",
    "local",
    "localdomain",
    "home",
    "internal",
    "home.arpa",
    "intranet",
];

/// The domains of a book's lab: the one of `vars.domain` first, as a variable given for the run or the profile or the
/// inventory says it.
pub fn domains(book: &Book, given: Option<&str>) -> Vec<String> {
    let inventory = &book.inventory;
    let profile = inventory.profile(LAB).map(|profile| &profile.vars);
    let written = profile.into_iter().chain([&inventory.vars]);
    let written = written
        .flat_map(|vars| vars.iter())
        .filter(|(name, _)| name == VARIABLE)
        .find_map(|(_, value)| read::text(value).ok())
        .filter(|text| !has_template(text));
    let own = given.map(str::to_owned).or(written);
    let own = own.map(|domain| domain.trim_matches('.').to_ascii_lowercase());
    let mut domains: Vec<String> = own
        .into_iter()
        .filter(|domain| !domain.is_empty())
        .collect();
    for domain in OF_HOMES {
        if !domains.iter().any(|known| known == domain) {
            domains.push(domain.to_owned());
        }
    }
    domains
}

/// What `--var domain=…` says.
pub fn given(vars: &runbook::model::Vars) -> Option<&str> {
    vars.get(VARIABLE).and_then(|value| value.as_str())
}
