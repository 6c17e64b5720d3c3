#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::spec::FileMode;

fn file(path: &str, text: &str) -> ProjectFile {
    ProjectFile {
        path: path.into(),
        content: text.into(),
        mode: FileMode::Regular,
    }
}

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  template:\n    spec:\n      containers:\n        - name: app\n          image: nginx:1\n        - name: side\n          image: side:1\n";
const CONFIG: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\ndata:\n  page: '{{ .Title }}'\n";

#[test]
fn manifests_are_found_in_their_folder_or_at_the_top() {
    let compose = file("compose.yaml", "services: {web: {image: nginx}}");
    let top = [
        compose.clone(),
        file("deployment.yaml", WEB),
        file("notes.yaml", "a: 1"),
    ];
    assert_eq!(find_manifests(&top), Some(ENTRY_AT_THE_TOP));
    let found = read(&top, ENTRY_AT_THE_TOP, None);
    assert_eq!((found.objects.len(), &*found.findings), (1, &[][..]));
    let folder = [
        file("deployment.yaml", WEB),
        file("k8s/b/config.yml", CONFIG),
        file("k8s/a.yaml", WEB),
        file("k8s/overlays/live/a.yaml", WEB),
        file("k8s/README.md", "no manifest"),
    ];
    assert_eq!(find_manifests(&folder), Some("k8s"));
    let found = read(&folder, "k8s", None);
    let at: Vec<&str> = found
        .objects
        .iter()
        .map(|manifest| &*manifest.file)
        .collect();
    assert_eq!(at, ["k8s/a.yaml", "k8s/b/config.yml"]);
    assert_eq!(find_manifests(&[compose]), None);
    // What was meant to be one and is broken is named, not passed over.
    let broken = [file("web.yaml", "apiVersion: v1\nkind: Pod\n  x: [\n")];
    assert_eq!(find_manifests(&broken), Some(ENTRY_AT_THE_TOP));
}

#[test]
fn documents_and_lists_are_taken_apart() {
    let text = format!(
        "---\n{CONFIG}---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n  - {{apiVersion: v1, kind: Secret, metadata: {{name: a}}}}\n  - {{apiVersion: v1, kind: Secret, metadata: {{name: b, namespace: x}}}}\n"
    );
    let found = read(&[file("k8s/all.yaml", &text)], "k8s", None);
    assert_eq!(found.findings, []);
    let names: Vec<String> = found
        .objects
        .iter()
        .map(|manifest| manifest.name.to_string())
        .collect();
    assert_eq!(names, ["ConfigMap/web", "Secret/a", "Secret/b in x"]);
    assert_eq!(found.objects[1].line, 14);
}

#[test]
fn an_overlay_is_merged_adds_and_takes_away() {
    let files = [
        file("k8s/web.yaml", WEB),
        file("k8s/config.yaml", CONFIG),
        file(
            "k8s/overlays/live/web.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 5\n  paused: null\n  template:\n    spec:\n      containers:\n        - name: app\n          image: nginx:2\n        - {name: side, $patch: delete}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n$patch: delete\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: new}\n",
        ),
    ];
    let live = read(&files, "k8s", Some("live"));
    assert_eq!(live.findings, []);
    let names: Vec<&str> = live
        .objects
        .iter()
        .map(|manifest| &*manifest.name.name)
        .collect();
    assert_eq!(names, ["web", "new"]);
    assert_eq!(live.objects[0].object["spec"]["replicas"], json!(5));
    assert_eq!(
        live.objects[0].object["spec"]["template"]["spec"]["containers"],
        json!([{"name": "app", "image": "nginx:2"}])
    );
    for other in [None, Some("test")] {
        assert_eq!(
            read(&files, "k8s", other).objects[1].object["spec"]["replicas"],
            json!(2)
        );
    }
}

#[test]
fn what_is_wrong_is_named_by_file_line_and_rule() {
    let head = "apiVersion: v1\nkind: ConfigMap\n";
    let huge = format!(
        "{head}metadata: {{name: a}}\ndata:\n  x: {}\n",
        "y".repeat(1_000_000)
    );
    let table: Vec<(String, Rule, Option<u32>, &str)> = vec![
        ("a: [".into(), Rule::Yaml, Some(2), "no YAML"),
        (
            "a: 1\na: 2\n".into(),
            Rule::DuplicateKey,
            Some(2),
            "line 1 already",
        ),
        ("- 1\n".into(), Rule::Structure, Some(1), "mapping"),
        ("kind: Pod\n".into(), Rule::Structure, Some(1), "apiVersion"),
        (
            "apiVersion: v1\n".into(),
            Rule::Structure,
            Some(1),
            "`kind`",
        ),
        (head.into(), Rule::Structure, Some(1), "metadata.name"),
        (
            format!("{head}metadata: {{generateName: a-}}\n"),
            Rule::Structure,
            Some(1),
            "generateName",
        ),
        (
            format!("{head}metadata: {{name: 7}}\n"),
            Rule::Structure,
            Some(1),
            "no text",
        ),
        (
            format!("{head}metadata:\n  name: {{{{ .Values.name }}}}\n"),
            Rule::Template,
            Some(4),
            "helm template",
        ),
        (
            format!("{head}metadata:\n  name: '{{{{ name }}}}'\n"),
            Rule::Template,
            Some(1),
            "metadata.name",
        ),
        (
            format!("{head}metadata: {{name: a}}\nx: .nan\n"),
            Rule::Yaml,
            Some(4),
            ".nan",
        ),
        (
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a]\n"
                .into(),
            Rule::Structure,
            Some(1),
            "overlays/ENVIRONMENT",
        ),
        (
            format!("{CONFIG}---\n{CONFIG}"),
            Rule::DuplicateObject,
            Some(8),
            "k8s/a.yaml:1 already",
        ),
        (String::new(), Rule::Structure, None, "no object"),
        (
            format!("{huge}{}", "#".repeat(MAX_MANIFEST_BYTES)),
            Rule::Yaml,
            None,
            "split it",
        ),
    ];
    for (text, rule, line, words) in table {
        let found = read(&[file("k8s/a.yaml", &text)], "k8s", None).findings;
        let start: String = text.chars().take(80).collect();
        assert_eq!(found.len(), 1, "{start}: {found:?}");
        assert_eq!(
            (found[0].rule, found[0].line),
            (rule, line),
            "{start}: {}",
            found[0]
        );
        assert!(found[0].message.contains(words), "{start}: {}", found[0]);
    }
    // Data, and what runs in a container, may be templates of their own.
    let command = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b, args: ['{{ x }}']}]}\n";
    for text in [CONFIG, command] {
        assert_eq!(read(&[file("k8s/a.yaml", text)], "k8s", None).findings, []);
    }
}

#[test]
fn an_object_is_judged_before_it_is_queued() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: kube-system}\nspec: {hostPID: true, containers: []}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    let files = [file("k8s/a.yaml", text)];
    let strict = (&HostPolicy::default(), &ClusterPolicy::default());
    let found = examine(&files, "k8s", &ClusterTerms::default(), "shop", strict);
    let rules: Vec<(Rule, Option<u32>)> =
        found.iter().map(|found| (found.rule, found.line)).collect();
    assert_eq!(
        rules,
        [
            (Rule::HostNamespaces, Some(1)),
            (Rule::Namespaces, Some(1)),
            (Rule::ClusterScoped, Some(6)),
        ]
    );
    let elsewhere = ClusterTerms {
        namespace: Some("other".into()),
        ..ClusterTerms::default()
    };
    let files = [file("k8s/a.yaml", CONFIG)];
    assert_eq!(
        examine(&files, "k8s", &ClusterTerms::default(), "shop", strict),
        []
    );
    assert_eq!(
        examine(&files, "k8s", &elsewhere, "shop", strict)[0].rule,
        Rule::Namespaces
    );
}

#[test]
fn names_of_projects_become_names_of_objects() {
    let table = [
        ("shop", "shop"),
        ("7-up", "app-7-up"),
        ("a_b", "a-b"),
        (&*"x".repeat(60), &*"x".repeat(50)),
    ];
    for (project, name) in table {
        assert_eq!(object_name(project), name);
    }
}
