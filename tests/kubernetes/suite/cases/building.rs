//! Flux: what Kustomize makes of manifests: names and who follows them, labels, images, patches, generators.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::flux::{World, kustomization, ready};
use super::workloads::condition;
use crate::case::{cases, same};
use crate::context::Context;

cases![
    names_are_followed for 240,
    generated_names_have_hashes for 240,
    labels_go_into_selectors_when_asked for 240,
    images_are_changed for 240,
    patches_are_merged_and_applied for 240,
    overlays_stand_on_bases for 240,
    components_work_on_what_is_there for 240,
    the_spec_adds_to_the_kustomization for 240,
    variables_are_substituted for 240,
    accounts_are_followed_into_the_namespace for 240,
    what_cannot_be_built_is_told for 240,
];

pub(super) const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      imagePullSecrets: [{name: registry}]
      initContainers:
      - {name: first, image: 'registry.lab/tools:1', env: [{name: A, valueFrom: {configMapKeyRef: {name: settings, key: A}}}]}
      containers:
      - name: main
        image: registry.lab/web:1
        envFrom: [{configMapRef: {name: settings}}, {secretRef: {name: login}}]
        env: [{name: P, valueFrom: {secretKeyRef: {name: login, key: P}}}]
        volumeMounts: [{name: all, mountPath: /all}]
      volumes:
      - {name: settings, configMap: {name: settings}}
      - {name: login, secret: {secretName: login}}
      - {name: data, persistentVolumeClaim: {claimName: data}}
      - name: all
        projected: {sources: [{configMap: {name: settings}}, {secret: {name: login}}]}
";
const ACCOUNT: &str = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\nimagePullSecrets: [{name: registry}]\n";
const CLAIM: &str = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n";
const INGRESS: &str = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  tls: [{hosts: [web.lab], secretName: login}]
  defaultBackend: {service: {name: web, port: {number: 80}}}
  rules: [{host: web.lab, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
";

/// Commits files below `app/`, in which NAMESPACE is the case's, and makes a Kustomization of them with more in its spec.
pub(super) async fn apply(t: &Context, files: &[(&str, &str)], more: Value) -> Result<World> {
    let world = World::new(t).await?;
    let namespace = t.namespace().await?;
    world.repository.remove("app/a.yaml").await.ok();
    let files: Vec<(String, String)> = files
        .iter()
        .map(|(path, text)| (format!("app/{path}"), text.replace("NAMESPACE", namespace)))
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let commit = world.repository.commit(&files).await?;
    world.fetch(t, &commit).await?;
    let mut object = kustomization("app", "./app");
    object["spec"]["wait"] = json!(false);
    for (key, value) in more.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    t.create(&world.kustomizations, &object).await?;
    Ok(world)
}

/// As `apply`, until it is ready; gives the ids of the inventory.
pub(super) async fn built(
    t: &Context,
    files: &[(&str, &str)],
    more: Value,
) -> Result<(World, Vec<String>)> {
    let world = apply(t, files, more).await?;
    let settled =
        |object: &Value| ready(object, "True") || condition(object, "Ready")["status"] == "False";
    let object = t
        .admin()
        .until(&world.path(), "it has an end", settled)
        .await?;
    ensure!(ready(&object, "True"), "{}", condition(&object, "Ready"));
    let ids = object["status"]["inventory"]["entries"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| {
            entry["id"]
                .as_str()
                .unwrap_or_default()
                .replace(t.unique(), "NS")
        })
        .collect();
    Ok((world, ids))
}

async fn read(t: &Context, api: &str, plural: &str, name: &str) -> Result<Value> {
    let path = format!("{}/{name}", t.resource(api, plural).await?);
    t.admin().get(&path).await?.status(200)
}

async fn names_are_followed(t: &Context) -> Result<()> {
    let files = [
        ("web.yaml", WEB),
        ("account.yaml", ACCOUNT),
        ("claim.yaml", CLAIM),
        ("service.yaml", SERVICE),
        ("ingress.yaml", INGRESS),
        (
            "kustomization.yaml",
            "
resources: [web.yaml, account.yaml, claim.yaml, service.yaml, ingress.yaml]
namespace: NAMESPACE
namePrefix: my-
nameSuffix: -one
configMapGenerator: [{name: settings, literals: [A=1]}]
secretGenerator: [{name: login, literals: [P=2]}]
",
        ),
    ];
    let (_world, ids) = built(t, &files, json!({})).await?;
    same!(
        ids,
        [
            "NS_my-web-one__ServiceAccount",
            "NS_my-settings-one-89g4tffbfk__ConfigMap",
            "NS_my-login-one-m4t46fg628__Secret",
            "NS_my-web-one__Service",
            "NS_my-web-one_apps_Deployment",
            "NS_my-data-one__PersistentVolumeClaim",
            "NS_my-web-one_networking.k8s.io_Ingress",
        ]
    );
    let (settings, login) = ("my-settings-one-89g4tffbfk", "my-login-one-m4t46fg628");
    let web = read(t, "apps/v1", "deployments", "my-web-one").await?;
    let pod = &web["spec"]["template"]["spec"];
    same!(pod["serviceAccountName"], "my-web-one");
    // What is no resource here keeps its name.
    same!(pod["imagePullSecrets"][0]["name"], "registry");
    same!(
        pod["initContainers"][0]["env"][0]["valueFrom"]["configMapKeyRef"]["name"],
        settings
    );
    let main = &pod["containers"][0];
    same!(main["envFrom"][0]["configMapRef"]["name"], settings);
    same!(main["envFrom"][1]["secretRef"]["name"], login);
    same!(main["env"][0]["valueFrom"]["secretKeyRef"]["name"], login);
    same!(pod["volumes"][0]["configMap"]["name"], settings);
    same!(pod["volumes"][1]["secret"]["secretName"], login);
    same!(
        pod["volumes"][2]["persistentVolumeClaim"]["claimName"],
        "my-data-one"
    );
    same!(
        pod["volumes"][3]["projected"]["sources"][0]["configMap"]["name"],
        settings
    );
    same!(
        pod["volumes"][3]["projected"]["sources"][1]["secret"]["name"],
        login
    );
    let ingress = read(t, "networking.k8s.io/v1", "ingresses", "my-web-one").await?;
    same!(ingress["spec"]["tls"][0]["secretName"], login);
    same!(
        ingress["spec"]["defaultBackend"]["service"]["name"],
        "my-web-one"
    );
    same!(
        ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"],
        "my-web-one"
    );
    same!(
        read(t, "v1", "serviceaccounts", "my-web-one").await?["imagePullSecrets"][0]["name"],
        "registry"
    );
    Ok(())
}

async fn generated_names_have_hashes(t: &Context) -> Result<()> {
    let files = [
        (
            "kustomization.yaml",
            "
namespace: NAMESPACE
generatorOptions: {labels: {team: lab}, annotations: {note: made}}
configMapGenerator:
- {name: plain, literals: ['A=1', 'B=\"quoted\"', 'C=a=b', 'D=<x> & y']}
- {name: files, files: [page.html, other=data/blob.txt]}
- {name: vars, envs: [some.env]}
- {name: empty}
- {name: fixed, literals: [A=1], options: {disableNameSuffixHash: true, labels: {more: 'yes'}}}
- {name: still, literals: [A=1], options: {immutable: true}}
secretGenerator:
- {name: short, literals: [A=1]}
- {name: long, literals: [A=0123456789012345678901234567890123456789012345678901234567890123456789]}
- {name: typed, type: example.com/kind, literals: [A=1]}
",
        ),
        ("page.html", "<p>one</p>\n<p>two</p>\n"),
        ("data/blob.txt", "any text\n"),
        (
            "some.env",
            "# a comment\nONE=1\n\n  TWO=two words\nTHREE=\n",
        ),
    ];
    let (_world, ids) = built(t, &files, json!({})).await?;
    same!(
        ids,
        [
            "NS_empty-6ct58987ht__ConfigMap",
            "NS_files-ff4fdd4567__ConfigMap",
            "NS_fixed__ConfigMap",
            "NS_plain-mdf75h76t4__ConfigMap",
            "NS_still-89g4tffbfk__ConfigMap",
            "NS_vars-kkhmcm4bb5__ConfigMap",
            "NS_long-fc4kkc9k5h__Secret",
            "NS_short-526mcbf5c2__Secret",
            "NS_typed-m5dmf9fkkt__Secret",
        ]
    );
    let name = |start: &str| {
        let found = ids.iter().find_map(|id| {
            id.strip_prefix("NS_")?
                .split("__")
                .next()
                .filter(|own| own.starts_with(start))
        });
        found.unwrap_or_default().to_owned()
    };
    same!(
        read(t, "v1", "configmaps", &name("plain-")).await?["data"],
        json!({"A": "1", "B": "quoted", "C": "a=b", "D": "<x> & y"})
    );
    same!(
        read(t, "v1", "configmaps", &name("files-")).await?["data"],
        json!({"page.html": "<p>one</p>\n<p>two</p>\n", "other": "any text\n"})
    );
    same!(
        read(t, "v1", "configmaps", &name("vars-")).await?["data"],
        json!({"ONE": "1", "TWO": "two words", "THREE": ""})
    );
    let fixed = read(t, "v1", "configmaps", "fixed").await?;
    same!(fixed["metadata"]["labels"]["team"], "lab");
    same!(fixed["metadata"]["labels"]["more"], "yes");
    same!(fixed["metadata"]["annotations"]["note"], "made");
    same!(
        read(t, "v1", "configmaps", &name("still-")).await?["immutable"],
        true
    );
    let long = read(t, "v1", "secrets", &name("long-")).await?;
    same!(
        long["data"]["A"],
        "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OQ=="
    );
    same!(
        read(t, "v1", "secrets", &name("typed-")).await?["type"],
        "example.com/kind"
    );
    Ok(())
}

async fn labels_go_into_selectors_when_asked(t: &Context) -> Result<()> {
    let cron = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: night}\nspec:\n  schedule: '0 3 * * *'\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          restartPolicy: Never\n          containers: [{name: main, image: registry.lab/tools:1}]\n";
    let budget = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web}\nspec: {minAvailable: 1, selector: {matchLabels: {app: web}}}\n";
    let plain = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 0\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: web}}}]\n      containers: [{name: main, image: registry.lab/web:1}]\n";
    let files = [
        ("web.yaml", plain),
        ("service.yaml", SERVICE),
        ("night.yaml", cron),
        ("budget.yaml", budget),
        (
            "kustomization.yaml",
            "
resources: [web.yaml, service.yaml, night.yaml, budget.yaml]
namespace: NAMESPACE
labels:
- {pairs: {everywhere: 'yes'}, includeSelectors: true}
- {pairs: {templates: 'yes'}, includeTemplates: true}
- {pairs: {top: 'yes'}}
commonAnnotations: {note: made}
",
        ),
    ];
    built(t, &files, json!({})).await?;
    let web = read(t, "apps/v1", "deployments", "web").await?;
    let labels = &web["metadata"]["labels"];
    for key in ["everywhere", "templates", "top"] {
        same!(labels[key], "yes");
    }
    same!(
        web["spec"]["selector"]["matchLabels"],
        json!({"app": "web", "everywhere": "yes"})
    );
    same!(
        web["spec"]["template"]["metadata"]["labels"],
        json!({"app": "web", "everywhere": "yes", "templates": "yes"})
    );
    same!(
        web["spec"]["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
        json!({"app": "web", "everywhere": "yes"})
    );
    same!(
        web["spec"]["template"]["metadata"]["annotations"],
        json!({"note": "made"})
    );
    same!(
        read(t, "v1", "services", "web").await?["spec"]["selector"],
        json!({"app": "web", "everywhere": "yes"})
    );
    let night = read(t, "batch/v1", "cronjobs", "night").await?;
    let template = &night["spec"]["jobTemplate"];
    same!(
        template["metadata"]["labels"],
        json!({"everywhere": "yes", "templates": "yes"})
    );
    same!(
        template["spec"]["template"]["metadata"]["labels"],
        json!({"everywhere": "yes", "templates": "yes"})
    );
    ensure!(template["spec"]["selector"].is_null(), "{template}");
    same!(
        template["spec"]["template"]["metadata"]["annotations"],
        json!({"note": "made"})
    );
    same!(
        read(t, "policy/v1", "poddisruptionbudgets", "web").await?["spec"]["selector"]["matchLabels"],
        json!({"app": "web", "everywhere": "yes"})
    );
    Ok(())
}

async fn images_are_changed(t: &Context) -> Result<()> {
    let files = [
        ("web.yaml", WEB),
        ("kustomization.yaml", "
resources: [web.yaml]
namespace: NAMESPACE
images:
- {name: registry.lab/web, newName: other.lab:5000/web, newTag: '2'}
- {name: registry.lab/tools, digest: 'sha256:0123456789012345678901234567890123456789012345678901234567890123'}
"),
    ];
    built(t, &files, json!({})).await?;
    let web = read(t, "apps/v1", "deployments", "web").await?;
    let pod = &web["spec"]["template"]["spec"];
    same!(pod["containers"][0]["image"], "other.lab:5000/web:2");
    same!(
        pod["initContainers"][0]["image"],
        "registry.lab/tools@sha256:0123456789012345678901234567890123456789012345678901234567890123"
    );
    Ok(())
}

async fn patches_are_merged_and_applied(t: &Context) -> Result<()> {
    let files = [
        ("web.yaml", WEB),
        ("service.yaml", SERVICE),
        (
            "extra.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra, labels: {tier: back}}\ndata: {k: '1'}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: gone}\n",
        ),
        (
            "patches/side.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, annotations: {patched: 'yes'}}\nspec:\n  template:\n    spec:\n      serviceAccountName: null\n      containers:\n      - {name: main, env: [{name: Q, value: '3'}]}\n      - {name: side, image: 'registry.lab/side:1'}\n",
        ),
        (
            "kustomization.yaml",
            "
resources: [web.yaml, service.yaml, extra.yaml]
namespace: NAMESPACE
namePrefix: my-
patches:
- path: patches/side.yaml
- target: {kind: Service, name: w.*}
  patch: |-
    - {op: add, path: /spec/ports/0/name, value: http}
    - {op: replace, path: /spec/ports/0/port, value: 8080}
- target: {kind: ConfigMap, labelSelector: tier=back}
  patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: any}, data: {more: \"2\"}}'
- patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: gone}, $patch: delete}'
",
        ),
    ];
    let (_world, ids) = built(t, &files, json!({})).await?;
    same!(
        ids,
        [
            "NS_my-extra__ConfigMap",
            "NS_my-web__Service",
            "NS_my-web_apps_Deployment"
        ]
    );
    let web = read(t, "apps/v1", "deployments", "my-web").await?;
    same!(web["metadata"]["annotations"]["patched"], "yes");
    let pod = &web["spec"]["template"]["spec"];
    ensure!(pod["serviceAccountName"].is_null(), "{pod}");
    let containers = pod["containers"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<_> = containers
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    names.sort_unstable();
    same!(names, ["main", "side"]);
    let main = containers
        .iter()
        .find(|one| one["name"] == "main")
        .cloned()
        .unwrap_or_default();
    same!(main["image"], "registry.lab/web:1");
    let mut variables: Vec<_> = main["env"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["name"].as_str())
        .collect();
    variables.sort_unstable();
    same!(variables, ["P", "Q"]);
    let service = read(t, "v1", "services", "my-web").await?;
    same!(service["spec"]["ports"][0]["name"], "http");
    same!(service["spec"]["ports"][0]["port"], 8080);
    same!(
        read(t, "v1", "configmaps", "my-extra").await?["data"],
        json!({"k": "1", "more": "2"})
    );
    Ok(())
}

async fn overlays_stand_on_bases(t: &Context) -> Result<()> {
    let files = [
        ("base/web.yaml", WEB),
        (
            "base/kustomization.yaml",
            "resources: [web.yaml]\nconfigMapGenerator: [{name: settings, literals: [A=1, B=2]}]\nlabels: [{pairs: {base: 'yes'}}]\n",
        ),
        (
            "one/kustomization.yaml",
            "resources: [../base]\nnamePrefix: one-\nconfigMapGenerator: [{name: settings, behavior: merge, literals: [B=3, C=4]}]\n",
        ),
        (
            "two/kustomization.yaml",
            "resources: [../base]\nnamePrefix: two-\nconfigMapGenerator: [{name: settings, behavior: replace, literals: [Z=9]}]\n",
        ),
        (
            "kustomization.yaml",
            "resources: [one, two]\nnamespace: NAMESPACE\n",
        ),
    ];
    let (_world, ids) = built(t, &files, json!({})).await?;
    same!(
        ids,
        [
            "NS_one-settings-k45267997d__ConfigMap",
            "NS_two-settings-fb46dc7kcc__ConfigMap",
            "NS_one-web_apps_Deployment",
            "NS_two-web_apps_Deployment",
        ]
    );
    for (name, data) in [
        ("one", json!({"A": "1", "B": "3", "C": "4"})),
        ("two", json!({"Z": "9"})),
    ] {
        let web = read(t, "apps/v1", "deployments", &format!("{name}-web")).await?;
        same!(web["metadata"]["labels"]["base"], "yes");
        let settings =
            web["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
        ensure!(
            settings.starts_with(&format!("{name}-settings-")),
            "{settings}"
        );
        same!(read(t, "v1", "configmaps", &settings).await?["data"], data);
    }
    Ok(())
}

async fn components_work_on_what_is_there(t: &Context) -> Result<()> {
    let files = [
        ("base/web.yaml", WEB),
        ("base/kustomization.yaml", "resources: [web.yaml]\n"),
        (
            "many/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [more.yaml]\npatches:\n- target: {kind: Deployment}\n  patch: '[{\"op\": \"replace\", \"path\": \"/spec/replicas\", \"value\": 0}]'\n",
        ),
        (
            "many/more.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\n",
        ),
        (
            "kustomization.yaml",
            "resources: [base]\ncomponents: [many]\nnamespace: NAMESPACE\nnameSuffix: -x\n",
        ),
    ];
    let (_world, ids) = built(t, &files, json!({})).await?;
    same!(ids, ["NS_more-x__ConfigMap", "NS_web-x_apps_Deployment"]);
    same!(
        read(t, "apps/v1", "deployments", "web-x").await?["spec"]["replicas"],
        0
    );
    Ok(())
}

async fn the_spec_adds_to_the_kustomization(t: &Context) -> Result<()> {
    let files = [
        ("web.yaml", WEB),
        (
            "map.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {A: '1'}\n",
        ),
    ];
    let spec = json!({
        "targetNamespace": t.unique(), "namePrefix": "my-", "nameSuffix": "-one",
        "images": [{"name": "registry.lab/web", "newTag": "7"}],
        "patches": [{"target": {"kind": "Deployment"}, "patch": "- {op: replace, path: /spec/replicas, value: 0}"}],
        "commonMetadata": {"labels": {"team": "lab"}, "annotations": {"note": "made"}},
    });
    let (_world, ids) = built(t, &files, spec).await?;
    same!(
        ids,
        [
            "NS_my-settings-one__ConfigMap",
            "NS_my-web-one_apps_Deployment"
        ]
    );
    let web = read(t, "apps/v1", "deployments", "my-web-one").await?;
    same!(web["spec"]["replicas"], 0);
    same!(web["metadata"]["labels"]["team"], "lab");
    same!(web["metadata"]["annotations"]["note"], "made");
    let pod = &web["spec"]["template"];
    ensure!(pod["metadata"]["labels"]["team"].is_null(), "{pod}");
    same!(pod["spec"]["containers"][0]["image"], "registry.lab/web:7");
    same!(
        pod["spec"]["volumes"][0]["configMap"]["name"],
        "my-settings-one"
    );
    Ok(())
}

async fn variables_are_substituted(t: &Context) -> Result<()> {
    let maps = t.configmaps().await?;
    let vars = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "vars"}, "data": {"WORD": "of the map", "SIZE": "2"}});
    t.create(&maps, &vars).await?;
    let files = [
        (
            "map.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: text, namespace: NAMESPACE}\ndata:\n  word: a ${WORD}\n  default: '${NONE:=fallback}'\n  kept: $${WORD}\n  bare: $WORD\n",
        ),
        (
            "kept.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, namespace: NAMESPACE, annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}}\ndata: {word: '${WORD}'}\n",
        ),
        (
            "web.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: NAMESPACE}\nspec:\n  replicas: ${SIZE}\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: main, image: 'registry.lab/web:${SIZE}'}]}\n",
        ),
    ];
    let spec = json!({"postBuild": {
        "substitute": {"WORD": "word"},
        "substituteFrom": [{"kind": "ConfigMap", "name": "vars"}, {"kind": "Secret", "name": "nowhere", "optional": true}],
    }});
    built(t, &files, spec).await?;
    same!(
        read(t, "v1", "configmaps", "text").await?["data"],
        json!({"word": "a word", "default": "fallback", "kept": "${WORD}", "bare": "$WORD"})
    );
    same!(
        read(t, "v1", "configmaps", "kept").await?["data"]["word"],
        "${WORD}"
    );
    let web = read(t, "apps/v1", "deployments", "web").await?;
    same!(web["spec"]["replicas"], 2);
    same!(
        web["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.lab/web:2"
    );
    Ok(())
}

async fn accounts_are_followed_into_the_namespace(t: &Context) -> Result<()> {
    let rights = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [''], resources: [configmaps], resourceNames: [settings], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects:
- {kind: ServiceAccount, name: web, namespace: elsewhere}
- {kind: ServiceAccount, name: default, namespace: elsewhere}
- {kind: ServiceAccount, name: stranger, namespace: elsewhere}
";
    let files = [
        ("rights.yaml", rights),
        (
            "account.yaml",
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web, namespace: elsewhere}\n",
        ),
        (
            "map.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n",
        ),
        (
            "kustomization.yaml",
            "resources: [rights.yaml, account.yaml, map.yaml]\nnamespace: NAMESPACE\nnamePrefix: my-\n",
        ),
    ];
    built(t, &files, json!({})).await?;
    let binding = read(
        t,
        "rbac.authorization.k8s.io/v1",
        "rolebindings",
        "my-reader",
    )
    .await?;
    let namespace = t.namespace().await?;
    same!(binding["roleRef"]["name"], "my-reader");
    same!(
        binding["subjects"],
        json!([
            {"kind": "ServiceAccount", "name": "my-web", "namespace": namespace},
            {"kind": "ServiceAccount", "name": "default", "namespace": namespace},
            {"kind": "ServiceAccount", "name": "stranger", "namespace": "elsewhere"},
        ])
    );
    let role = read(t, "rbac.authorization.k8s.io/v1", "roles", "my-reader").await?;
    same!(role["rules"][0]["resourceNames"], json!(["my-settings"]));
    Ok(())
}

async fn what_cannot_be_built_is_told(t: &Context) -> Result<()> {
    let world = World::new(t).await?;
    let namespace = t.namespace().await?;
    let map = |name: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        )
    };
    let same_twice = map("same");
    let commit = world
        .repository
        .commit(&[
            ("yaml/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a\n"),
            ("missing/kustomization.yaml", "resources: [nowhere.yaml]\n"),
            ("twice/a.yaml", &same_twice),
            ("twice/b.yaml", &same_twice),
            ("patch/a.yaml", &same_twice),
            ("patch/kustomization.yaml", "resources: [a.yaml]\npatches: [{patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: other}}'}]\n"),
            (
                "strict/a.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: strict}\ndata: {k: 'x${NONE}x'}\n",
            ),
            ("json/a.yaml", &same_twice),
            (
                "json/kustomization.yaml",
                "resources: [a.yaml]\npatches: [{target: {kind: ConfigMap}, patch: '[{op: add, path: /data, value: 1}]'}]\n",
            ),
            ("vars/a.yaml", &same_twice),
            ("none/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"),
            ("kind/a.yaml", &format!("apiVersion: example.com/v1\nkind: Widget\nmetadata: {{name: w, namespace: {namespace}}}\n")),
        ])
        .await?;
    world.fetch(t, &commit).await?;
    let id = format!("ConfigMap.v1.[noGrp]/same.{namespace}");
    let vars = json!({"postBuild": {"substituteFrom": [{"kind": "ConfigMap", "name": "nowhere"}]}});
    let strict = json!({"postBuild": {"substitute": {"OTHER": "1"}}});
    for (name, reason, text, more) in [
        (
            "strict",
            "BuildFailed",
            "post build failed for 'ConfigMap.v1.[noGrp]/strict': envsubst error: variable substitution failed: variable not set (strict mode): \"NONE\"",
            strict,
        ),
        (
            "json",
            "BuildFailed",
            "unable to parse SM or JSON patch from [patch: \"[{op: add, path: /data, value: 1}]\"]",
            json!({}),
        ),
        (
            "yaml",
            "BuildFailed",
            "failed to decode Kubernetes YAML from ",
            json!({}),
        ),
        (
            "missing",
            "BuildFailed",
            "no such file or directory",
            json!({}),
        ),
        (
            "twice",
            "BuildFailed",
            &format!("may not add resource with an already registered id: {id}"),
            json!({}),
        ),
        (
            "patch",
            "BuildFailed",
            "no matches for Id ConfigMap.v1.[noGrp]/other.[noNs]; failed to find unique target for patch ConfigMap.v1.[noGrp]/other.[noNs]",
            json!({}),
        ),
        (
            "vars",
            "BuildFailed",
            "post build failed for 'ConfigMap.v1.[noGrp]/same': substitute from 'ConfigMap/nowhere' error: configmaps \"nowhere\" not found",
            vars,
        ),
        (
            "none",
            "ReconciliationFailed",
            "ConfigMap/a namespace not specified: the server could not find the requested resource",
            json!({}),
        ),
        (
            "kind",
            "ReconciliationFailed",
            &format!(
                "Widget/{namespace}/w dry-run failed: no matches for kind \"Widget\" in version \"example.com/v1\""
            ),
            json!({}),
        ),
    ] {
        let mut object = kustomization(name, name);
        for (key, value) in more.as_object().into_iter().flatten() {
            object["spec"][key] = value.clone();
        }
        t.create(&world.kustomizations, &object).await?;
        let path = format!("{}/{name}", world.kustomizations);
        let told = |one: &Value| condition(one, "Ready")["status"] == "False";
        let failed = t.admin().until(&path, "it says so", told).await?;
        let message = condition(&failed, "Ready")["message"]
            .as_str()
            .unwrap_or_default();
        ensure!(message.contains(text), "{name}: {message}");
        same!(condition(&failed, "Ready")["reason"], reason);
        same!(
            condition(&failed, "Reconciling")["reason"],
            "ProgressingWithRetry"
        );
        let phase = if reason == "BuildFailed" {
            "Building manifests"
        } else {
            "Detecting drift"
        };
        same!(
            condition(&failed, "Reconciling")["message"],
            format!("{phase} for revision main@sha1:{commit} with a timeout of 30s")
        );
        same!(
            failed["status"]["lastAttemptedRevision"],
            format!("main@sha1:{commit}")
        );
        same!(failed["status"]["observedGeneration"], -1);
    }
    Ok(())
}
