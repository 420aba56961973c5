//! One bad snippet per rule and message: what is found, where, and what it says.

use super::{guide, shown};

/// A chapter with one step at line 3, and what is found in it.
fn check(fence: &str, expected: &[&str]) {
    let text = format!("# Top\n\n{fence}\n");
    assert_eq!(shown(&guide(&text)), expected, "\n{text}");
}

#[test]
fn fences() {
    check(
        "```bash runbook raed\n#| id: a\necho\n```",
        &["fence-info 3:17 unknown word `raed` in the info string (did you mean `read`?)"],
    );
    check(
        "```rust runbook\nfn main() {}\n```",
        &[
            "fence-info 3:4 `rust` is no language of steps (the languages are `bash`, `sh`, `python` and `yaml`; without `runbook` the fence is only shown)",
        ],
    );
    check(
        "```bash runbook\n#| id: a\n#| effect: read\necho\n#| title: b\n```",
        &[
            "option-place 7:1 a `#|` line stands below the top of the fence (move it up to the others: options are one unbroken run of lines at the very top)",
        ],
    );
    check(
        "```bash runbook read\n#| id: a\n#| effect: read\necho\n```",
        &[
            "effect-twice 3:17 the effect is given in the info string and in the options (keep one of them)",
        ],
    );
    check(
        "```runbook\n#| id: a\nbash: echo\n```",
        &[
            "fence-info 3:4 a `runbook` fence has no `#|` lines: its body is YAML (remove `#|`, or name the language: `bash runbook`)",
        ],
    );
    check(
        "```bash runbook\n//| id: a\necho\n```",
        &["option-comment 4:1 options are not written with `//|` (write `#| id: a`)"],
    );
    check(
        "```bash runbook\n#| id: a\n#| id: b\necho\n```",
        &["invalid-yaml 5:4 duplicate key `id` (keep one of them)"],
    );
    check(
        "```bash runbook\n#| id: a\n#| title: #5\necho\n```",
        &[
            "invalid-yaml 5:4 key `title` has no value (an unquoted `#…` is a comment: quote it: `'#5'`)",
        ],
    );
    check(
        "```runbook\n- a\n```",
        &["invalid-yaml 4:1 a step is a map of keys (write `id: NAME` and one action)"],
    );
    check(
        "```runbook\n```",
        &[
            "missing-id 3:4 a step has no `id` (add `id: NAME`, unique in its section)",
            "no-action 3:4 a step has no action (add one, such as `bash: …`, `file: {…}` or `http: {…}`)",
        ],
    );
    check(
        "```bash runbook\n#| id: a\n```",
        &["no-action 3:4 the script of `bash` is empty (write what it does)"],
    );
    check(
        "```bash runbook\n#| id: a\necho\n",
        &[
            "unclosed-fence 3:1 this fence is not closed (close it with a line `````, indented as its first line is)",
        ],
    );
    check(
        "```yaml runbook\n#| id: a\n#| http: {url: 'http://x'}\nkind: A\n```",
        &[
            "two-actions 5:4 `http` does not take the manifests of a `yaml` fence (write `apply`, `job`, `absent` or `ready`, or a `runbook` fence)",
        ],
    );
    check(
        "```yaml runbook\n#| id: a\n#| on: cluster/home\n#| apply: {manifest: b}\napiVersion: v1\nkind: A\n```",
        &["keys-together 6:12 the body and `manifest` both give the manifests (keep one of them)"],
    );
}

#[test]
fn identity_and_actions() {
    check(
        "```bash runbook\n#| title: b\necho\n```",
        &["missing-id 3:4 a step has no `id` (add `id: NAME`, unique in its section)"],
    );
    check(
        "```bash runbook\n#| id: Install It\necho\n```",
        &["invalid-id 4:8 `Install It` is not an `id` (write `install-it`)"],
    );
    check(
        "```bash runbook\n#| id: '{{ vars.domain }}'\necho\n```",
        &["invalid-id 4:8 `{{ vars.domain }}` is not an `id` (write `vars-domain`)"],
    );
    check(
        "```bash runbook\n#| id: a\necho\n```\n\n```bash runbook\n#| id: a\necho\n```",
        &["duplicate-id 8:4 the section has a step `a` already, at line 3 (give it another `id`)"],
    );
    check(
        "```runbook\nid: a\n```",
        &[
            "no-action 3:4 a step has no action (add one, such as `bash: …`, `file: {…}` or `http: {…}`)",
        ],
    );
    check(
        "```runbook\nid: a\nhtpp: {url: 'http://x'}\n```",
        &["unknown-key 5:1 a step has no key `htpp` (did you mean `http`?)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nhttp: {url: 'http://x'}\n```",
        &["two-actions 6:1 a step has two actions: `bash` and `http` (make two steps of it)"],
    );
    check(
        "```bash runbook\n#| id: a\n#| http: {url: 'http://x'}\necho\n```",
        &[
            "two-actions 5:4 a step has two actions: `bash` and `http` (the language of the fence is the action: take this key out)",
        ],
    );
    check(
        "```runbook\nid: a\nexpct: {exit: 0}\nbash: echo\n```",
        &["unknown-key 5:1 a step has no key `expct` (did you mean `expect`?)"],
    );
    check(
        "```runbook\nid: a\nlxc: {vmid: 130, state: runing}\n```",
        &[
            "wrong-type 5:25 `runing` is not one of `running`, `stopped`, `absent`, `template` (did you mean `running`?)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: ' '\n```",
        &["no-action 5:7 the script of `bash` is empty (write what it does)"],
    );
    check(
        "```runbook\nid: a\nhttp: '{{ vars.domain }}'\n```",
        &[
            "fixed-key 5:7 `http` is a map, not one template (write its fields; each may be a template)",
        ],
    );
}

#[test]
fn fields() {
    check(
        "```runbook\nid: a\nhttp: {ulr: 'http://x'}\n```",
        &[
            "missing-key 5:7 `http` has no `url` (add `url`: the URL)",
            "unknown-key 5:8 `http` has no key `ulr` (did you mean `url`?)",
        ],
    );
    check(
        "```runbook\nid: a\nhttp: {url: 'http://x', json: {a: 1}, body: b}\n```",
        &[
            "keys-together 5:39 `http` has both `json` and `body` (keep one of `json`, `form`, `body`)",
        ],
    );
    check(
        "```runbook\nid: a\nhttp: {url: x, method: get, follow: yes}\n```",
        &["wrong-type 5:37 `yes` is not a bool (write `true`)"],
    );
    check(
        "```runbook\nid: a\nhttp: {url: x, method: get}\n```",
        &[
            "wrong-type 5:13 `x` is not a URL (write `http://…` or `https://…`)",
            "wrong-type 5:24 `get` is not a method (write `GET`)",
        ],
    );
    check(
        "```runbook\nid: a\ntcp: {host: a, port: 99999}\n```",
        &["wrong-type 5:22 `99999` is not a port (write 1 to 65535)"],
    );
    check(
        "```runbook\nid: a\ntcp: {host: a, port: http}\n```",
        &["wrong-type 5:22 `http` is not a whole number (write digits, such as `22`)"],
    );
    check(
        "```runbook\nid: a\nfile: {path: a, mode: rw}\n```",
        &["wrong-type 5:23 `rw` is not a mode (write three or four octal digits, `\"0644\"`)"],
    );
    check(
        "```runbook\nid: a\nfile: {path: a, from: no.txt}\n```",
        &[
            "missing-file 5:23 cannot read `no.txt`: there is no such file (`src/guides/no.txt`) (the path is relative to the chapter and stays in the repository)",
        ],
    );
    check(
        "```runbook\nid: a\nline: {path: a, line: b, match: '(b'}\n```",
        &[
            "wrong-type 5:33 `(b` is not a regular expression: unclosed group (escape what is meant as it stands: `\\.`, `\\[`)",
        ],
    );
    check(
        "```runbook\nid: a\nmanual: {prompt: do it, evidence: photo}\n```",
        &[
            "wrong-type 5:35 `photo` is not one of `none`, `note`, `file` (write `none`, `note` or `file`)",
        ],
    );
    check(
        "```runbook\nid: a\non: node/pve1\nimage: {storage: local, url: 'http://x'}\n```",
        &["keys-together 6:25 `url` is given without `checksum` (add `checksum`)"],
    );
    check(
        "```runbook\nid: a\non: node/pve1\nimage: {storage: local, name: a, checksum: sha256:12}\n```",
        &[
            "keys-together 6:34 `checksum` is given without `url` (add `url`)",
            "wrong-type 6:44 `sha256:12` is not a checksum (write `sha256:` and its 64 hexadecimal digits)",
        ],
    );
    check(
        "```runbook\nid: a\nget: {name: b}\n```",
        &["missing-key 5:6 `get` has no `kind` (add `kind`: the objects' kind)"],
    );
    check(
        "```runbook\nid: a\nlxc: {vmid: 130, net: {bridge: [a]}, mounts: {mp0: {path: /a}}}\n```",
        &[
            "wrong-type 5:32 a list is not text (write text)",
            "keys-together 5:52 `mp0` has none of `source`, `disk` (add one of `source`, `disk`)",
        ],
    );
}

#[test]
fn keys() {
    check(
        "```runbook\nid: a\nbash: echo\ntimeout: 30\n```",
        &["wrong-type 6:10 `30` has no unit (write `30s`, `30m` or `30ms`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nhidden: yes\n```",
        &["wrong-type 6:9 `yes` is not a bool (write `true`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nhidden: '{{ vars.domain }}'\n```",
        &[
            "fixed-key 6:9 `hidden` cannot hold a template (write the value: it is read before anything is rendered)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\neffect: raed\n```",
        &[
            "wrong-type 6:9 `raed` is not one of `read`, `change`, `disrupt`, `destroy` (did you mean `read`?)",
        ],
    );
    check(
        "```runbook\nid: a\nfile: {path: a}\neffect: read\n```",
        &[
            "effect-lowered 6:9 `file` has the effect `change`, it cannot be lowered to `read` (leave `effect` out, or raise it)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\ncleanup: sometimes\n```",
        &[
            "cleanup-without-undo 6:1 nothing takes this step back, so `cleanup` does nothing (add `undo`)",
            "wrong-type 6:10 `sometimes` is not `always` (write `always`)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\nretry: {every: 5s}\n```",
        &["missing-key 6:8 `retry` has no `for` (add `for`: how long it is tried again)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nretry: {for: 5s, evry: 1s}\n```",
        &["unknown-key 6:18 `retry` has no key `evry` (did you mean `every`?)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nneeds: [B c]\n```",
        &[
            "wrong-type 6:9 `B c` is not a reference (write `step`, `'#section'`, `'#section/step'` or `guide#section/step`; a guide at the book's root is `name#`)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\neach: {vars: [a], a-b: [1], a_b: [2]}\n```",
        &[
            "name-collision 6:8 `vars` means something else in a template (choose another name)",
            "name-collision 6:29 `a-b` and `a_b` are one name in a template (choose another name)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\neach: {n: nodes}\n```",
        &[
            "wrong-type 6:11 `each` has no items for `n` (write a list, `nodes.*` or a template that gives a list)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\neach: {}\n```",
        &["wrong-type 6:7 `each` names nothing (write `each: {NAME: [a, b]}`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nenv: {A-B: c}\n```",
        &["invalid-name 6:7 `A-B` is not the name of an environment variable (write `A_B`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nenv: {A: [c]}\n```",
        &["wrong-type 6:10 a list is not text (write text)"],
    );
    check(
        "```runbook\nid: a\nhttp: {url: 'http://x'}\nbackground: true\n```",
        &["scripts-only 6:1 `background` is for scripts, not for `http` (take it out)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nbackground: true\nretry: 5s\nunless: 'true x'\n```",
        &[
            "background-with 7:1 `background` does not go with `retry` (take `retry` out: `background` waits for its own condition)",
            "background-with 8:1 `background` does not go with `unless` (take `unless` out: `background` waits for its own condition)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\nbackground: false\n```",
        &["wrong-type 6:13 `background` is a condition, or `true` (take it out)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nwhen: {http: {url: 'http://x', method: POST}}\n```",
        &[
            "condition-changes 6:7 `when` would change something: `http` has the effect `change` (a condition only reads: look at the state instead)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\nwhen: {on: local}\n```",
        &["no-action 6:7 `when` has no action (add one, such as `bash: …`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nundo: [none]\n```",
        &[
            "wrong-type 6:8 `none` in a list of `undo` (write `undo: none`, or leave it out of the list)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\nundo: '#'\n```",
        &["wrong-type 6:7 `#` is not a reference (write `'#section'` or `'#section/step'`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nundo: {bash: a, sh: b, timeot: 5s}\n```",
        &[
            "two-actions 6:17 `undo` has two actions: `bash` and `sh` (make a list of it)",
            "unknown-key 6:24 an action in `undo` has no key `timeot` (beside its action stand `on`, `env`, `secrets` and `expect`)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\nundo: ''\n```",
        &["wrong-type 6:7 `undo` is empty (write a script, `'#section/step'` or an action)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nrepair: {exit 1: {bsh: a}}\n```",
        &["unknown-key 6:19 an action in `repair` has no key `bsh` (did you mean `bash`?)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nunless: 'true x'\ncapture: {a: stdout}\n```",
        &[
            "capture-unless 7:1 a script with `unless` cannot capture: it may not run (capture in a `read` step below it)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\ntemplate: no\n```",
        &["wrong-type 6:11 `no` is not one of `on`, `off` (did you mean `on`?)"],
    );
}

#[test]
fn results() {
    check(
        "```runbook\nid: a\nbash: echo\nexpect: {stdot: a}\n```",
        &["unknown-field 6:10 the result of `bash` has no field `stdot` (did you mean `stdout`?)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nexpect: {json: {contains: a}}\n```",
        &[
            "invalid-selector 6:17 `json` is looked at by paths, `contains` is a matcher (write `json: {$: {contains: …}}`)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\nexpect: {json: {a.b: 1}}\n```",
        &["invalid-selector 6:17 `a.b` is not a JSONPath (a path begins with `$`: write `$.a.b`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nexpect: {json: 1}\n```",
        &[
            "invalid-selector 6:16 `json` is looked at by its paths (write `json: {$.name: matcher}`)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\nexpect: {table: {row: up}}\n```",
        &[
            "invalid-selector 6:23 a row is looked at by its columns (write `row: {COLUMN: matcher}`, or `absent`)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\nexpect: {stdout: {contans: a}}\n```",
        &["invalid-matcher 6:19 unknown matcher `contans` (did you mean `contains`?)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nexpect: {stdout: {matches: '(a'}}\n```",
        &[
            "invalid-matcher 6:28 `(a` is not a regular expression: unclosed group (write it in single quotes, a `\\` before signs that mean themselves)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\nexpect: {duration: {at-most: soon}}\n```",
        &[
            "invalid-matcher 6:30 `soon` is not a number, a size, a duration or a percentage (write `3`, `8GiB`, `90s` or `80%`)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\ncapture: {a b: stdout}\n```",
        &[
            "invalid-name 6:11 `a b` is not a name (write letters, digits, `_` and `-`, beginning with a letter: `a_b`)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\ncapture: {state: stdout}\n```",
        &[
            "name-collision 6:11 `state` of a step is how it ended, not a capture (choose another name)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\ncapture: {a-b: stdout, a_b: stderr}\n```",
        &["name-collision 6:24 `a-b` and `a_b` are one name in a template (choose another name)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\ncapture: {stderr: stdout}\n```",
        &["name-collision 6:11 `stderr` is a field of the result already (choose another name)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\ncapture: {a: table}\n```",
        &["invalid-selector 6:14 `table` is not one value (write `a: {table: [ROW, COLUMN]}`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\ncapture: {a: {table: [b]}}\n```",
        &["invalid-selector 6:22 `table` has cells (write `table: [ROW, COLUMN]`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\ncapture: {a: {stdout: '(a'}}\n```",
        &[
            "wrong-type 6:23 `(a` is not a regular expression: unclosed group (escape what is meant as it stands: `\\.`, `\\[`)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\ncapture: {a: {json: a}}\n```",
        &["invalid-selector 6:21 `a` is not a JSONPath (a path begins with `$`: write `$.a`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\ncapture: {a: {exit: b}}\n```",
        &["invalid-selector 6:21 `exit` is one value, it has no selector (write `NAME: exit`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\ncapture: {a: {secret: true}}\n```",
        &["missing-key 6:14 a capture names no field (write `{FIELD: SELECTOR}`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\ncapture: {a: {stdout: b, stderr: c}}\n```",
        &[
            "keys-together 6:26 a capture has two fields: `stdout` and `stderr` (make two captures of it)",
        ],
    );
}

#[test]
fn references() {
    check(
        "```runbook\nid: a\nbash: echo\nneeds: b\n```",
        &["unknown-ref 6:8 section `top` of `guides/a` has no step `b` (its steps are: `a`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nneeds: '#tp'\n```",
        &["unknown-ref 6:8 guide `guides/a` has no section `tp` (did you mean `top`?)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nneeds: guides/b\n```",
        &["unknown-ref 6:8 there is no guide `guides/b` (did you mean `guides/a`?)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nundo: '#top/b'\n```",
        &["unknown-ref 6:7 section `top` of `guides/a` has no step `b` (its steps are: `a`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\nneeds: a\n```",
        &[
            "needs-cycle 6:8 nothing can run first: `guides/a#top/a` needs `guides/a#top/a` (take one of these needs out; a step without `needs` needs all steps above it)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\nneeds: [b]\n```\n\n```runbook\nid: b\nbash: echo\n```",
        &[
            "needs-cycle 6:9 nothing can run first: `guides/a#top/a` needs `guides/a#top/b` needs `guides/a#top/a` (take one of these needs out; a step without `needs` needs all steps above it)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\non: lxc/olama\n```",
        &["unknown-target 6:5 `lxc/olama` is not in the inventory (did you mean `lxc/ollama`?)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\non: lxc/win\n```",
        &["unknown-target 6:5 guest `win` is a `vm` (write `vm/win`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\non: pod/default/app=x\n```",
        &[],
    );
    check(
        "```runbook\nid: a\nservice: {name: x}\non: pod/default/app=x\n```",
        &[
            "wrong-target 6:5 `service` cannot run on `pod/default/app=x` (it runs on `local`, `node/N`, `lxc/N`, `vm/N`, `host/N`)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\non: cluster/home\n```",
        &[
            "wrong-target 6:5 `bash` cannot run on `cluster/home` (it runs on `local`, `node/N`, `lxc/N`, `vm/N`, `host/N`, `pod/NS/SELECTOR`)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\non: lcx/ollama\n```",
        &["invalid-target 6:5 `lcx/ollama` is not a target (did you mean `lxc/ollama`?)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\non: [local]\n```",
        &[
            "wrong-type 6:5 a step has one target, not a list (write `each: {on: […]}` to run it on several)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\non: local\neach: {on: nodes.*}\n```",
        &["keys-together 6:5 `on` and `each: {on: …}` both give the target (keep one of them)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\neach: {on: vars.*}\n```",
        &[
            "invalid-target 6:12 `vars.*` has no targets (write `nodes.*`, `guests.*`, `hosts.*`, `clusters.*` or a list of targets)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\neach: {on: [local, node/x]}\n```",
        &[
            "unknown-target 6:20 `node/x` is not in the inventory (add it to the inventory under `nodes`)",
        ],
    );
    check(
        "```runbook\nid: a\nsnapshot: {name: a}\n```",
        &[
            "missing-target 5:1 `snapshot` does not say where it runs (add `on:` with lxc/N, vm/N, node/N)",
        ],
    );
    check(
        "```runbook\nid: a\non: lxc/ollama\nlxc: {vmid: 131, cores: 2}\n```",
        &[
            "wrong-target 6:13 `vmid` of `ollama` is `130` in the inventory, not `131` (take `vmid` out)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\nundo: {reboot: {}}\n```",
        &["missing-target 6:7 `reboot` does not say where it runs (add `on:` beside it)"],
    );
}

#[test]
fn templates() {
    check(
        "```runbook\nid: a\nbash: 'echo {{ vars.domian }}'\n```",
        &["undefined-name 5:16 `vars.domian` is not defined (did you mean `domain`?)"],
    );
    check(
        "```runbook\nid: a\nbash: 'echo {{ vars.only_home }}'\n```",
        &[
            "undefined-name 5:16 `vars.only_home` is not defined (only profile `home` has it: add it to `vars` of the guide or the inventory)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: 'echo {{ inventory.nodes.pve2.address }}'\n```",
        &["undefined-name 5:16 `inventory.nodes.pve2` is not defined (did you mean `pve1`?)"],
    );
    check(
        "```runbook\nid: a\nbash: 'echo {{ domain }}'\n```",
        &[
            "undefined-name 5:16 `domain` is not defined (known are: `inventory`, `profile`, `secret`, `steps`, `vars`; put `template: off` on the step when its body has `{{` of its own)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: 'echo {{ vars.domain | uper }}'\n```",
        &["invalid-template 5:30 unknown filter `uper` (did you mean `upper`?)"],
    );
    check(
        "```runbook\nid: a\nbash: 'echo {{ vars.domain'\n```",
        &[
            "invalid-template 5:13 `{{` is not closed by `}}` (put `template: off` on the step when its body has `{{` of its own)",
        ],
    );
    check(
        "```bash runbook\n#| id: a\necho\necho {{ vars.x }} {{range .Items}}\n```",
        &[
            "undefined-name 6:9 `vars.x` is not defined (there are: `domain`)",
            "undefined-name 6:21 `range` is not defined (put `template: off` on the step when its body has `{{` of its own)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: 'echo {{ steps.b.c }}'\n```",
        &["undefined-name 5:16 there is no step `b` in this guide (there are: `a`)"],
    );
    check(
        "```runbook\nid: a\nbash: 'echo {{ steps.a.c }}'\n```",
        &["undefined-name 5:16 `a` is this step, which has no result yet (use it in a step below)"],
    );
    check(
        "```runbook\nid: one-two\nbash: echo\ncapture: {out: stdout}\n```\n\n```runbook\nid: b\nbash: 'echo {{ steps.one-two.out }}'\n```",
        &[
            "undefined-name 11:16 there is no step `one` in this guide (write `steps.one_two.out`: in a template a name's `-` is `_`)",
        ],
    );
    check(
        "```runbook\nid: one\nbash: echo\ncapture: {out: stdout}\n```\n\n```runbook\nid: b\nbash: 'echo {{ steps.one.oot }}'\n```",
        &["undefined-name 11:16 step `one` captures no `oot` (did you mean `out`?)"],
    );
    check(
        "```runbook\nid: b\nbash: 'echo {{ steps.c.out }}'\nneeds: []\n```\n\n```runbook\nid: c\nbash: echo\ncapture: {out: stdout}\n```",
        &[
            "undefined-name 5:16 step `guides/a#top/c` does not stand above (add it to `needs`: `c`)",
        ],
    );
    check(
        "```runbook\nid: b\nbash: 'echo {{ steps[\"top/x\"].out }}'\n```",
        &["undefined-name 5:16 there is no step `top/x` (did you mean `steps[\"top/b\"]`?)"],
    );
    check(
        "```runbook\nid: b\nbash: echo\nexpect: {json: {'$.{{ vars.x }}': 1}}\n```",
        &["undefined-name 6:23 `vars.x` is not defined (there are: `domain`)"],
    );
    check(
        "```runbook\nid: b\nbash: echo\neach: {n: [1], m: '{{ n }}'}\n```",
        &[
            "undefined-name 6:23 `n` is not defined (known are: `inventory`, `profile`, `secret`, `steps`, `vars`; put `template: off` on the step when its body has `{{` of its own)",
        ],
    );
}

#[test]
fn undo() {
    check(
        "```runbook\nid: a\nbash: echo\nundo: [own, 'rm a']\n```",
        &["own-undo 6:8 `bash` has no undo of its own (write what takes it back, or `none`)"],
    );
    check(
        "```runbook\nid: a\nbash: echo\ncleanup: always\n```",
        &[
            "cleanup-without-undo 6:1 nothing takes this step back, so `cleanup` does nothing (add `undo`)",
        ],
    );
    check(
        "```runbook\nid: a\nfile: {path: a}\nundo: [own, '#top/b']\ncleanup: always\n```\n\n```runbook\nid: b\nbash: echo\n```",
        &[],
    );
}

#[test]
fn manifests() {
    check(
        "```yaml runbook\n#| id: a\n#| on: cluster/home\nkind: A\nspec: {{ vars.x }}\n```",
        &[
            "invalid-yaml 7:7 a value with an unquoted `{{` is read as a map by YAML (quote it: `'{{ vars.x }}'`)",
            "undefined-name 7:10 `vars.x` is not defined (there are: `domain`)",
        ],
    );
    check(
        "```yaml runbook\n#| id: a\n#| on: cluster/home\nkind: A\nkind: B\n---\na: b\n```",
        &["invalid-yaml 7:1 duplicate key `kind` (keep one of them)"],
    );
    check(
        "```yaml runbook\n#| id: a\n#| on: cluster/home\nkind: A\n---\napiVersion: v1\na: b\n```",
        &[
            "invalid-yaml 6:1 a manifest has no `apiVersion` (write `apiVersion`, `kind` and `metadata`)",
            "invalid-yaml 8:1 a manifest has no `kind` (write `apiVersion`, `kind` and `metadata`)",
        ],
    );
    check(
        "```yaml runbook\n#| id: a\n#| on: cluster/home\n---\n# nothing\n---\n```",
        &[
            "invalid-yaml 6:1 the manifest holds no object (write `apiVersion`, `kind` and `metadata`)",
        ],
    );
}

#[test]
fn includes() {
    check(
        "```bash runbook\n#| id: a\necho\n{{#include no.sh}}\n```",
        &[
            "missing-include 6:1 cannot include `no.sh`: there is no such file (`src/guides/no.sh`) (the path is relative to the chapter)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: '{{#include hello.sh:part}}'\n```",
        &[
            "missing-include 5:8 `hello.sh` has no anchor `part` (write `ANCHOR: part` and `ANCHOR_END: part` into it)",
        ],
    );
}

#[test]
fn secrets() {
    check(
        "```runbook\nid: a\nbash: echo\nsecrets: [grafana-tokn]\n```",
        &[
            "unknown-secret 6:11 the inventory has no secret `grafana-tokn` (did you mean `grafana-token`?)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: 'echo {{ secret.grafana_token }}'\nsecrets: [grafana-token]\n```",
        &[
            "secret-in-script 5:16 secret `grafana-token` would stand in the script, where every process list shows it (list it under `secrets` and write `$GRAFANA_TOKEN`)",
        ],
    );
    check(
        "```runbook\nid: a\nhttp: {url: 'http://x', headers: {Authorization: 'Bearer {{ secret.grafana_token }}'}}\n```",
        &[
            "secret-not-listed 5:61 secret `grafana-token` is not listed on the step (add `secrets: [grafana-token]`)",
        ],
    );
    check(
        "```runbook\nid: a\nhttp: {url: 'http://x', headers: {Authorization: 'Bearer {{ secret.nope }}'}}\nsecrets: [grafana-token]\n```",
        &["undefined-name 5:61 the inventory has no secret `nope` (there are: `grafana_token`)"],
    );
    check(
        "```runbook\nid: a\nhttp: {url: 'http://x', headers: {Authorization: 'Bearer abc'}}\n```",
        &[
            "literal-secret 5:50 `Authorization` is written out (name it under `secrets` of the inventory and write `{{ secret.NAME }}`)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\nenv: {DB_PASSWORD: hunter2}\n```",
        &[
            "literal-secret 6:20 `DB_PASSWORD` is written out (name it under `secrets` of the inventory and write `{{ secret.NAME }}`)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo ghp_0123456789abcdefghijABCDEFGHIJ0123456789\n```",
        &[
            "literal-secret 5:12 this looks like a GitHub token (take it out, make it invalid, and name it under `secrets` of the inventory)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\nsecrets: {A: steps.b.c}\n```",
        &["undefined-name 6:14 there is no step `b` in this guide (there are: `a`)"],
    );
    check(
        "```runbook\nid: o\nbash: echo\ncapture: {c: stdout}\n```\n\n```runbook\nid: a\nbash: echo\nsecrets: {A: steps.o.c}\n```",
        &[
            "unknown-secret 12:14 `steps.o.c` is not a captured secret (add `secret: true` to that capture, or pass it with `env`)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\nsecrets: [steps.o.c]\n```",
        &[
            "wrong-type 6:11 `steps.o.c` has no name of its own (write `secrets: {NAME: steps.o.c}`)",
        ],
    );
    check(
        "```runbook\nid: a\nbash: echo\nsecrets: {A-B: grafana-token}\n```",
        &["invalid-name 6:11 `A-B` is not the name of an environment variable (write `A_B`)"],
    );
}

#[test]
fn actions_of_clusters() {
    check(
        "```yaml runbook\n#| id: a\n#| on: cluster/home\napiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  password: hunter2\n  username: me\n  token: '{{ vars.domain }}'\n```",
        &[
            "literal-secret 10:13 `password` of a Secret is written out (name it under `secrets` of the inventory, list it in the step and write `'{{ secret.NAME }}'`)",
        ],
    );
    check(
        "```yaml runbook\n#| id: a\n#| on: cluster/home\napiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {password: 'ENC[AES256_GCM,data:x]'}\nsops: {version: 3.9.0}\n```",
        &[],
    );
    check(
        "```runbook\nid: a\non: cluster/home\napply:\n  manifest: |\n    apiVersion: v1\n```",
        &["invalid-yaml 8:5 a manifest has no `kind` (write `apiVersion`, `kind` and `metadata`)"],
    );
    check(
        "```yaml runbook\n#| id: a\n#| on: cluster/home\n#| apply: {patch: json, prune: true}\napiVersion: v1\nkind: A\n```",
        &[
            "keys-together 6:32 `prune` and `patch` do not go together (a patch changes an object that is there; take one of them out)",
            "missing-key 7:1 a JSON patch has no `patch`, its list of operations (write `apiVersion`, `kind` and `metadata` of the object, and beside them `patch: [{op, path, value}]`)",
        ],
    );
    check(
        "```runbook\nid: a\non: cluster/home\nabsent: {objects: []}\n```\n\n```runbook\nid: b\non: cluster/home\nflux: {suspend: []}\n```",
        &[
            "wrong-type 6:19 `objects` names nothing (a step that is about nothing proves nothing: name what it is about)",
            "wrong-type 12:17 `suspend` names nothing (a step that is about nothing proves nothing: name what it is about)",
        ],
    );
    check(
        "```runbook\nid: a\non: cluster/home\nflux: {reconcile: [Kustomization, all]}\n```\n\n```runbook\nid: b\non: cluster/home\nflux: {ready: all}\n```",
        &[
            "wrong-type 6:20 `Kustomization` is not of the form `KIND/NAME` (write `KIND/NAME`, such as `Kustomization/apps`)",
            "wrong-type 6:35 `all` is not of the form `KIND/NAME` (name each of them; only `ready` takes `all`)",
        ],
    );
}
