mod language;

use super::*;
use crate::value;

fn each_type(ty: &Type, visit: &mut dyn FnMut(&Type)) {
    visit(ty);
    match ty {
        Type::List(inner) | Type::Map(inner) | Type::Nullable(inner) => each_type(inner, visit),
        Type::Either(types) => types.iter().for_each(|ty| each_type(ty, visit)),
        Type::Record(fields, _) | Type::Open(fields) => {
            fields.iter().for_each(|field| each_type(&field.ty, visit))
        }
        _ => {}
    }
}

fn fields_of(action: &ActionSpec) -> &'static [FieldSpec] {
    match action.args {
        Args::Script => &[],
        Args::Fields(fields) => fields,
    }
}

#[test]
fn no_name_is_written_twice_and_every_name_has_a_text() {
    let tables = [
        FRONT_KEYS,
        STEP_KEYS,
        INVENTORY_KEYS,
        PROFILE_KEYS,
        NODE_KEYS,
        GUEST_KEYS,
        HOST_KEYS,
        CLUSTER_KEYS,
    ];
    for table in tables.into_iter().chain(ACTIONS.iter().map(fields_of)) {
        let mut names: Vec<&str> = table.iter().map(|field| field.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "{names:?}");
        assert!(table.iter().all(|field| !field.what.is_empty()));
    }
    let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn groups_name_fields_that_are_there() {
    fn check(fields: &[FieldSpec], groups: &[Group], whose: &str) {
        for group in groups {
            let names: Vec<&str> = match group {
                Group::OneOf(names) | Group::AtMostOne(names) => names.to_vec(),
                Group::With(name, others) => others.iter().copied().chain([*name]).collect(),
            };
            for name in names {
                assert!(
                    fields.iter().any(|field| field.name == name),
                    "{whose}: {name}"
                );
            }
        }
    }
    for action in ACTIONS {
        check(fields_of(action), action.groups, action.name);
        for field in fields_of(action) {
            each_type(&field.ty, &mut |ty| {
                if let Type::Record(fields, groups) = ty {
                    check(fields, groups, field.name);
                }
            });
        }
    }
}

#[test]
fn an_action_is_no_key_of_a_step() {
    for action in ACTIONS {
        assert!(
            !STEP_KEYS.iter().any(|key| key.name == action.name),
            "{}",
            action.name
        );
    }
}

#[test]
fn own_timeouts_are_durations() {
    for timeout in ACTIONS.iter().filter_map(|action| action.timeout) {
        assert!(value::duration(timeout).is_ok(), "{timeout}");
    }
}
