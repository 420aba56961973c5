use super::*;
use crate::id::Id;

mod books;
mod pass;
mod properties;
mod rules;

/// Files of the tests.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        match path {
            "src/guides/hello.sh" => Ok(b"echo hello\n".to_vec()),
            "src/guides/step.txt" => Ok(b"```bash runbook\n#| id: b\ntrue\n```\n".to_vec()),
            "src/guides/vars.sh" => Ok(b"echo {{ vars.x }}\n".to_vec()),
            _ => Err(FileError::Missing),
        }
    }
}

const INVENTORY: &str = "\
nodes:
  pve1: {address: 192.168.4.11, facts: {lab: {ha: true}, zone: a}}
guests:
  ollama: {kind: lxc, vmid: 130, node: pve1}
  win: {kind: vm, vmid: 131, node: pve1}
hosts:
  nas: {address: 192.168.4.20}
clusters:
  home: {}
vars:
  domain: example.org
secrets:
  grafana-token: {env: GRAFANA_TOKEN}
profiles:
  home: {vars: {only-home: 1}}
";

fn input(chapters: &[(&str, &str)]) -> Input {
    Input {
        chapters: chapters
            .iter()
            .map(|(id, text)| ChapterInput {
                path: format!("src/{id}.md"),
                id: (*id).to_owned(),
                name: "Name".into(),
                text: (*text).to_owned(),
            })
            .collect(),
        inventory: Some(Source::new("inventory.yaml", INVENTORY)),
        ..Input::default()
    }
}

fn loaded(chapters: &[(&str, &str)]) -> Loaded {
    load(input(chapters), &Disk)
}

/// One chapter with these fences under one heading.
fn guide(text: &str) -> Loaded {
    loaded(&[("guides/a", text)])
}

fn shown(loaded: &Loaded) -> Vec<String> {
    loaded
        .diagnostics
        .iter()
        .map(|d| {
            format!(
                "{} {}:{} {} ({})",
                d.rule,
                d.line,
                d.column,
                d.message,
                d.hint.as_deref().unwrap_or("no hint")
            )
        })
        .collect()
}

#[test]
fn a_valid_guide_becomes_a_model() {
    let text = r##"---
title: A guide
vars: {port: 8080}
---
# Top

## Install

```runbook
id: write
file: {path: a.txt, content: "{{ vars.port }}"}
```

```bash runbook read
#| id: look
#| expect: {stdout: {contains: "8080"}, json: {$.a: 1}, table: {row: {COL: up}, gone: absent}}
#| capture: {port: {stdout: '(\d+)'}}
cat a.txt
```

### Deeper

```runbook
id: probe
http: {url: "http://127.0.0.1:{{ steps.look.port }}/{{ vars.domain }}"}
expect: {status: 200, header: {content-type: {contains: text}}}
unless: 'test -e x'
```
"##;
    let loaded = guide(text);
    assert_eq!(shown(&loaded), [""; 0]);
    let guide = &loaded.book.guides[0];
    assert_eq!(guide.title, "A guide");
    let ids: Vec<String> = guide.steps.iter().map(|step| step.id.to_string()).collect();
    assert_eq!(
        ids,
        [
            "guides/a#install/write",
            "guides/a#install/look",
            "guides/a#deeper/probe"
        ]
    );
    let look = &guide.steps[1];
    assert_eq!(look.effect, crate::outcome::Effect::Read);
    assert_eq!(look.args.as_text(), Some("cat a.txt\n"));
    assert_eq!(look.keys.expect.len(), 4);
    assert_eq!(look.keys.capture[0].name, "port");
    assert_eq!(guide.on(look), "local");
    assert_eq!(guide.steps[0].title, "write");
    let probe = &guide.steps[2];
    assert_eq!(probe.uses.steps[0].id, look.id);
    assert_eq!(probe.uses.steps[0].field.as_deref(), Some("port"));
    assert_eq!(probe.uses.vars[0].0, "domain");
    assert_eq!(
        loaded
            .book
            .select(&[Id::section("guides/a", "install")])
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        loaded
            .book
            .select(&[Id::section("guides/a", "deeper")])
            .unwrap()
            .len(),
        1
    );
}
