//! Where a step runs: its `on`, the guide's, what its action means, or `local`; and whether that is there and can be reached.

use crate::findings::Findings;
use crate::inventory::{GuestKind, Inventory};
use crate::model::{Condition, Do, Guide, Inline, Step, Target};
use crate::node::Node;
use crate::read;
use crate::source::Span;
use crate::spec::{ActionSpec, TargetKind};

/// Finds each step's target and checks it.
pub(super) fn check(guide: &mut Guide, inventory: &Inventory, findings: &mut Findings) {
    let front_on = guide.front.on.clone();
    if let Some(on) = &front_on {
        exists(on, inventory, findings);
    }
    let front_on = front_on.as_ref();
    let mut pods: Vec<Span> = front_on
        .filter(|on| is_pod(on))
        .map(|on| on.span)
        .into_iter()
        .collect();
    for step in &mut guide.steps {
        if let Some(target) = of_step(step, front_on, inventory, findings) {
            step.target = target;
        }
        pods.extend(pods_of(step).map(|on| on.span));
        for inline in inlines(step) {
            of_inline(inline, step, front_on, inventory, findings);
        }
    }
    // Of a guide whose target is all template the kind is not known before.
    let is_said =
        front_on.is_some_and(|on| kind_of(on).is_none_or(|kind| kind == TargetKind::Cluster));
    if !is_said && inventory.clusters.len() > 1 {
        for span in pods {
            findings.hinted(
                "missing-target",
                span,
                "which cluster has the pod is not said: the inventory has several",
                "add `on: cluster/NAME` to the front matter",
            );
        }
    }
}

fn is_pod(on: &Node) -> bool {
    kind_of(on) == Some(TargetKind::Pod)
}

/// The pods that a step names as targets, its own and those of what stands inside its keys.
fn pods_of(step: &Step) -> impl Iterator<Item = &Node> {
    let each = step.keys.each.iter().filter(|(name, _)| name == "on");
    let each = each.flat_map(|(_, list)| match list.as_list() {
        Some(items) => items,
        None => std::slice::from_ref(list),
    });
    let inside = inlines(step)
        .into_iter()
        .filter_map(|inline| inline.on.as_ref());
    step.on
        .iter()
        .chain(each)
        .chain(inside)
        .filter(|on| is_pod(on))
}

fn of_step(
    step: &Step,
    front_on: Option<&Node>,
    inventory: &Inventory,
    findings: &mut Findings,
) -> Option<Node> {
    let each_on = step
        .keys
        .each
        .iter()
        .find(|(name, _)| name == "on")
        .map(|(_, node)| node);
    if let Some(each) = each_on {
        if let Some(on) = &step.on {
            findings.hinted(
                "keys-together",
                on.span,
                "`on` and `each: {on: …}` both give the target",
                "keep one of them",
            );
        }
        return Some(of_each(each, step, inventory, findings));
    }
    if let Some(on) = &step.on {
        if checked(on, step.action, inventory, findings)
            && let Ok(target) = read::target(on)
        {
            contradiction(step, &target, inventory, findings);
        }
        return Some(on.clone());
    }
    if let Some(on) = front_on
        && kind_of(on).is_none_or(|kind| step.action.targets.contains(&kind))
    {
        return Some(on.clone());
    }
    match own(step, inventory) {
        Ok(text) => Some(Node::text(step.span, text)),
        Err((message, hint)) => {
            findings.hinted("missing-target", step_place(step), message, hint);
            None
        }
    }
}

/// The place of a step as a whole: its action's key.
fn step_place(step: &Step) -> Span {
    step.node
        .as_map()
        .and_then(|entries| entries.iter().find(|entry| entry.key == step.action.name))
        .map_or(step.span, |entry| entry.key_span)
}

/// The target of a step with `each: {on: …}`: what that says, as one text.
fn of_each(each: &Node, step: &Step, inventory: &Inventory, findings: &mut Findings) -> Node {
    if let Some(map) = each.as_text().and_then(|text| text.strip_suffix(".*")) {
        let kinds: &[TargetKind] = match map {
            "nodes" => &[TargetKind::Node],
            "guests" => &[TargetKind::Lxc, TargetKind::Vm],
            "hosts" => &[TargetKind::Host],
            "clusters" => &[TargetKind::Cluster],
            _ => &[],
        };
        if kinds.is_empty() {
            findings.hinted(
                "invalid-target",
                each.span,
                format!("`{map}.*` has no targets"),
                "write `nodes.*`, `guests.*`, `hosts.*`, `clusters.*` or a list of targets",
            );
        } else if !kinds.iter().any(|kind| step.action.targets.contains(kind)) {
            wrong_target(step.action, each.span, &format!("{map}.*"), findings);
        }
        return each.clone();
    }
    let Some(items) = each.as_list() else {
        return each.clone();
    };
    for item in items {
        checked(item, step.action, inventory, findings);
    }
    let texts: Vec<&str> = items.iter().filter_map(Node::as_text).collect();
    Node::text(each.span, texts.join(", "))
}

/// The kind of a target's text, also where its name is a template.
fn kind_of(node: &Node) -> Option<TargetKind> {
    let text = node.as_text()?;
    let word = text.split('/').next()?;
    TargetKind::ALL
        .iter()
        .copied()
        .find(|kind| kind.word() == word)
}

/// Checks a written target: its form, that the action can run there, that it exists.
fn checked(
    node: &Node,
    action: &ActionSpec,
    inventory: &Inventory,
    findings: &mut Findings,
) -> bool {
    let kind = kind_of(node);
    let shown = node.as_text().unwrap_or("");
    if let Some(kind) = kind
        && !action.targets.contains(&kind)
    {
        wrong_target(action, node.span, shown, findings);
        return false;
    }
    exists(node, inventory, findings)
}

fn exists(node: &Node, inventory: &Inventory, findings: &mut Findings) -> bool {
    if read::deferred(node) {
        return true;
    }
    // Its form is checked where it is read.
    let Ok(target) = read::target(node) else {
        return false;
    };
    if let Err((message, hint)) = inventory.has(&target) {
        findings.maybe_hinted("unknown-target", node.span, message, hint);
        return false;
    }
    true
}

fn wrong_target(action: &ActionSpec, span: Span, shown: &str, findings: &mut Findings) {
    let forms: Vec<String> = action
        .targets
        .iter()
        .map(|kind| format!("`{}`", kind.form()))
        .collect();
    findings.hinted(
        "wrong-target",
        span,
        format!("`{}` cannot run on `{shown}`", action.name),
        format!("it runs on {}", forms.join(", ")),
    );
}

/// The target an action means when nothing is written; the error is a message and a hint.
fn own(step: &Step, inventory: &Inventory) -> Result<String, (String, String)> {
    let action = step.action;
    if action.targets.contains(&TargetKind::Local) {
        return Ok("local".into());
    }
    let missing = |hint: &str| {
        Err((
            format!("`{}` does not say where it runs", action.name),
            hint.to_owned(),
        ))
    };
    if action.targets == [TargetKind::Cluster] {
        return match inventory.clusters.as_slice() {
            [(name, _)] => Ok(format!("cluster/{name}")),
            [] => missing("add a cluster to the inventory, and `on: cluster/NAME`"),
            _ => missing("add `on: cluster/NAME`: the inventory has several clusters"),
        };
    }
    let kind = match action.name {
        "lxc" => Some(GuestKind::Lxc),
        "vm" => Some(GuestKind::Vm),
        _ => None,
    };
    if let Some(kind) = kind {
        if let Some(vmid) = step.args.get("vmid") {
            let known = read::int(vmid).ok().and_then(|vmid| {
                inventory
                    .guests
                    .iter()
                    .find(|guest| guest.vmid == Some(vmid))
            });
            let name = known
                .map(|guest| guest.name.as_str())
                .or(vmid.as_text())
                .unwrap_or_default();
            return Ok(format!("{}/{name}", kind.as_str()));
        }
        let hostname = step.args.get("hostname").and_then(Node::as_text);
        if let Some(guest) = hostname
            .and_then(|name| inventory.guest(name))
            .filter(|guest| guest.kind == kind)
        {
            return Ok(format!("{}/{}", kind.as_str(), guest.name));
        }
    }
    if action.targets.contains(&TargetKind::Node)
        && !matches!(action.name, "snapshot" | "rollback" | "ha" | "reboot")
    {
        if let Some(node) = step.args.get("node").and_then(Node::as_text) {
            return Ok(format!("node/{node}"));
        }
        if let [(name, _)] = inventory.nodes.as_slice() {
            return Ok(format!("node/{name}"));
        }
    }
    let forms: Vec<&str> = action.targets.iter().map(|kind| kind.form()).collect();
    missing(&format!("add `on:` with {}", forms.join(", ")))
}

/// With `on: lxc/N` or `vm/N` what the inventory says of the guest holds; saying otherwise is an error.
fn contradiction(step: &Step, target: &Target, inventory: &Inventory, findings: &mut Findings) {
    let (Target::Lxc(name) | Target::Vm(name)) = target else {
        return;
    };
    if !matches!(step.action.name, "lxc" | "vm") {
        return;
    }
    let Some(guest) = inventory.guest(name) else {
        return;
    };
    let node = guest
        .node
        .get("node")
        .and_then(Node::as_text)
        .map(str::to_owned);
    let known = [
        ("vmid", guest.vmid.map(|vmid| vmid.to_string())),
        ("node", node),
        ("hostname", Some(guest.name.clone())),
    ];
    for (field, known) in known {
        let (Some(written), Some(known)) = (step.args.get(field), known) else {
            continue;
        };
        if !read::deferred(written) && written.as_text() != Some(&known) {
            findings.hinted(
                "wrong-target",
                written.span,
                format!(
                    "`{field}` of `{}` is `{known}` in the inventory, not `{}`",
                    guest.name,
                    written.as_text().unwrap_or_default()
                ),
                format!("take `{field}` out"),
            );
        }
    }
}

/// An action inside a key: on its own target, else where [`default_target`] says.
fn of_inline(
    inline: &Inline,
    step: &Step,
    front_on: Option<&Node>,
    inventory: &Inventory,
    findings: &mut Findings,
) {
    let action = inline.action.0;
    if let Some(on) = &inline.on {
        checked(on, action, inventory, findings);
        return;
    }
    let of_step = kind_of(&step.target).is_none_or(|kind| action.targets.contains(&kind));
    if !of_step && default_target(action, front_on, inventory).is_none() {
        findings.hinted(
            "missing-target",
            inline.span,
            format!("`{}` does not say where it runs", action.name),
            "add `on:` beside it",
        );
    }
}

/// Where an action inside a key of a step runs that neither says it nor can run where the step does: on `local`, else on the
/// guide's target, else on the only cluster.
pub fn default_target(
    action: &ActionSpec,
    front_on: Option<&Node>,
    inventory: &Inventory,
) -> Option<Node> {
    let can = |kind: TargetKind| action.targets.contains(&kind);
    if can(TargetKind::Local) {
        return Some(Node::text(Span::default(), "local"));
    }
    if let Some(on) = front_on
        && kind_of(on).is_some_and(can)
    {
        return Some(on.clone());
    }
    match inventory.clusters.as_slice() {
        [(name, _)] if can(TargetKind::Cluster) => {
            Some(Node::text(Span::default(), format!("cluster/{name}")))
        }
        _ => None,
    }
}

/// Every action that stands inside a key of a step.
pub(super) fn inlines(step: &Step) -> Vec<&Inline> {
    let mut all = Vec::new();
    let keys = &step.keys;
    for condition in [&keys.when, &keys.unless, &keys.background]
        .into_iter()
        .flatten()
    {
        of_condition(condition, &mut all);
    }
    for does in keys
        .undo
        .iter()
        .chain(&keys.diagnose)
        .chain(keys.repair.iter().map(|(_, does)| does))
    {
        of_do(does, &mut all);
    }
    all
}

fn of_condition<'a>(condition: &'a Condition, all: &mut Vec<&'a Inline>) {
    match condition {
        Condition::Action(inline) => all.push(inline),
        Condition::All(conditions) => conditions
            .iter()
            .for_each(|condition| of_condition(condition, all)),
        Condition::Template(_) | Condition::Bool(_) | Condition::Script(_) => {}
    }
}

fn of_do<'a>(does: &'a Do, all: &mut Vec<&'a Inline>) {
    match does {
        Do::Action(inline) => all.push(inline),
        Do::List(list) => list.iter().for_each(|does| of_do(does, all)),
        Do::Script(_) | Do::Steps(..) | Do::Own(_) | Do::None(_) => {}
    }
}
