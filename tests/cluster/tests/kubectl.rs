//! The real `kubectl`, doing what people do with it.

use crate::stage::Stage;

const WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: 'nginx:1', ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
";

#[tokio::test(flavor = "multi_thread")]
async fn applies_and_sees_no_difference_afterwards() {
    let stage = Stage::new().await;
    let apply = ["apply", "--server-side", "-f", "-"];
    let said = stage.kubectl_with(&apply, WEB);
    assert!(said.success && said.err.is_empty(), "{said:?}");
    assert_eq!(
        said.out,
        "deployment.apps/web serverside-applied\nservice/web serverside-applied\n"
    );
    stage.does(&["rollout", "status", "deployment/web", "--timeout=15s"]);
    let version = || {
        stage.does(&[
            "get",
            "service",
            "web",
            "-o",
            "jsonpath={.metadata.resourceVersion}",
        ])
    };
    let before = version();
    assert!(stage.kubectl_with(&apply, WEB).success);
    assert_eq!(version(), before);
    let diff = ["diff", "--server-side", "-f", "-"];
    let said = stage.kubectl_with(&diff, WEB);
    assert!(said.success && said.out.is_empty(), "{said:?}");
    let said = stage.kubectl_with(&diff, &WEB.replace("nginx:1", "nginx:2"));
    assert!(
        !said.success && said.out.contains("+      - image: nginx:2"),
        "{said:?}"
    );
    let yaml = stage.does(&[
        "get",
        "deployment",
        "web",
        "-o",
        "yaml",
        "--show-managed-fields",
    ]);
    assert!(
        yaml.contains("k:{\"containerPort\":80,\"protocol\":\"TCP\"}:"),
        "{yaml}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn is_told_of_conflicts_and_of_mistakes() {
    let stage = Stage::new().await;
    assert!(
        stage
            .kubectl_with(&["apply", "--server-side", "-f", "-"], WEB)
            .success
    );
    let other = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
    let said = stage.kubectl_with(&other, &WEB.replace("replicas: 2", "replicas: 3"));
    let words = "error: Apply failed with 1 conflict: conflict with \"kubectl\": .spec.replicas\n";
    assert!(!said.success && said.err.starts_with(words), "{said:?}");
    let said = stage.kubectl_with(
        &["apply", "--server-side", "-f", "-"],
        &WEB.replace("replicas: 2", "replica: 2"),
    );
    assert!(
        said.err
            .contains(".spec.replica: field not declared in schema"),
        "{said:?}"
    );
    let said = stage.kubectl_with(
        &["create", "-f", "-"],
        &WEB.replace("name: web", "name: w2")
            .replace("replicas: 2", "replica: 2"),
    );
    assert!(
        said.err
            .contains("strict decoding error: unknown field \"spec.replica\""),
        "{said:?}"
    );
    let said = stage.kubectl(&["get", "deployment", "none"]);
    assert_eq!(
        said.err,
        "Error from server (NotFound): deployments.apps \"none\" not found\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn applies_on_its_own_side_too() {
    let stage = Stage::new().await;
    let apply = ["apply", "-f", "-"];
    let said = stage.kubectl_with(&apply, WEB);
    assert_eq!(
        said.out, "deployment.apps/web created\nservice/web created\n",
        "{said:?}"
    );
    assert_eq!(
        stage.kubectl_with(&apply, WEB).out,
        "deployment.apps/web unchanged\nservice/web unchanged\n"
    );
    let said = stage.kubectl_with(&apply, &WEB.replace("nginx:1", "nginx:2"));
    assert_eq!(
        said.out, "deployment.apps/web configured\nservice/web unchanged\n",
        "{said:?}"
    );
    let image = "jsonpath={.spec.template.spec.containers[*].image}";
    assert_eq!(
        stage.does(&["get", "deployment", "web", "-o", image]),
        "nginx:2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rolls_out_scales_undoes_and_deletes() {
    let stage = Stage::new().await;
    assert!(
        stage
            .kubectl_with(&["apply", "--server-side", "-f", "-"], WEB)
            .success
    );
    let through = || stage.does(&["rollout", "status", "deployment/web", "--timeout=15s"]);
    assert!(through().ends_with("deployment \"web\" successfully rolled out\n"));
    stage.does(&["set", "image", "deployment/web", "web=nginx:2"]);
    through();
    stage.does(&["scale", "deployment/web", "--replicas=4"]);
    through();
    stage.does(&["rollout", "restart", "deployment/web"]);
    through();
    stage.does(&["rollout", "undo", "deployment/web", "--to-revision=1"]);
    through();
    let described = stage.does(&["get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image} {.status.readyReplicas} {.metadata.annotations}"]);
    assert_eq!(
        described,
        "nginx:1 4 {\"deployment.kubernetes.io/revision\":\"4\"}"
    );
    stage.does(&["delete", "deployment", "web", "--wait", "--timeout=15s"]);
    stage.does(&[
        "wait",
        "--for=delete",
        "pod",
        "-l",
        "app=web",
        "--timeout=15s",
    ]);
    assert_eq!(stage.does(&["get", "replicasets,pods", "-o", "name"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_what_it_sends_in_protobuf() {
    let stage = Stage::new().await;
    let table: [(&[&str], &str); 6] = [
        (&["namespace", "shop"], "namespace/shop created\n"),
        (
            &["configmap", "c", "--from-literal=a=b"],
            "configmap/c created\n",
        ),
        (
            &["secret", "generic", "s", "--from-literal=a=b"],
            "secret/s created\n",
        ),
        (
            &["job", "j", "--image=busybox:1", "--", "true"],
            "job.batch/j created\n",
        ),
        (
            &[
                "deployment",
                "d",
                "--image=nginx:1",
                "--port=80",
                "--replicas=0",
            ],
            "deployment.apps/d created\n",
        ),
        (
            &["service", "clusterip", "d", "--tcp=80:8080"],
            "service/d created\n",
        ),
    ];
    for (arguments, words) in table {
        let arguments: Vec<&str> = std::iter::once("create")
            .chain(arguments.iter().copied())
            .collect();
        assert_eq!(stage.does(&arguments), words);
    }
    stage.does(&["wait", "--for=condition=complete", "job/j", "--timeout=15s"]);
    let shown =
        |what: &str, path: &str| stage.does(&["get", what, "-o", &format!("jsonpath={path}")]);
    assert_eq!(shown("secret/s", "{.data}"), "{\"a\":\"Yg==\"}");
    assert_eq!(shown("configmap/c", "{.data}"), "{\"a\":\"b\"}");
    assert_eq!(
        shown("service/d", "{.spec.ports[0].targetPort} {.spec.selector}"),
        "8080 {\"app\":\"d\"}"
    );
    assert_eq!(
        shown(
            "deployment/d",
            "{.spec.replicas} {.spec.template.spec.containers[0].ports}"
        ),
        "0 [{\"containerPort\":80,\"protocol\":\"TCP\"}]"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn knows_the_server() {
    let stage = Stage::new().await;
    assert!(stage.does(&["version"]).contains("Server Version: v1.33"));
    let resources = stage.does(&["api-resources", "--no-headers"]);
    for line in [
        "deployments deploy apps/v1 true Deployment",
        "configmaps cm v1 true ConfigMap",
        "nodes no v1 false Node",
    ] {
        let found = resources
            .lines()
            .any(|there| there.split_whitespace().eq(line.split(' ')));
        assert!(found, "{line}:\n{resources}");
    }
    assert!(stage.does(&["get", "--raw", "/readyz"]).starts_with("ok"));
}
