//! What makes an agent in a cluster: taken by `kubectl`, and with no more rights than it names.

use crate::stage::Stage;

const AGENT: &str = include_str!("../../../install/kubernetes/agent.yaml");
const CLUSTER_WIDE: &str = include_str!("../../../install/kubernetes/cluster-wide.yaml");
const USER: &str = "system:serviceaccount:towline:towline-agent";

fn agent() -> String {
    AGENT
        .replace("@NAMESPACE@", "shop")
        .replace("@IMAGE@", "towline-agent:0.1.0")
        .replace("@TOKEN@", "twl1_x")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_has_the_rights_that_jobs_need_and_no_others() {
    let stage = Stage::new().await;
    stage.does(&["create", "namespace", "shop"]);
    let apply = ["apply", "--server-side", "-f", "-"];
    for _ in 0..2 {
        let said = stage.kubectl_with(&apply, &agent());
        assert!(said.success && said.err.is_empty(), "{said:?}");
    }
    let may = |asked: &str| {
        let words = asked.split(' ');
        let question: Vec<&str> = ["auth", "can-i"].into_iter().chain(words).collect();
        let said = stage.kubectl_with(&[&question[..], &["--as", USER]].concat(), "");
        said.out.trim() == "yes"
    };
    for yes in [
        "create secrets -n towline",
        "update secrets/towline-agent-identity -n towline",
        "create leases.coordination.k8s.io -n towline",
        "update leases.coordination.k8s.io/towline-agent -n towline",
        "patch deployments.apps -n shop",
        "delete persistentvolumeclaims -n shop",
        "watch configmaps -n shop",
        "list events -n shop",
        "get pods --subresource=log -n shop",
    ] {
        assert!(may(yes), "{yes}");
    }
    for no in [
        "get secrets/towline-agent-enrolment -n towline",
        "list secrets -n towline",
        "create pods -n towline",
        "update leases.coordination.k8s.io/other -n towline",
        "patch deployments.apps -n default",
        "create rolebindings.rbac.authorization.k8s.io -n shop",
        "create pods --subresource=exec -n shop",
        "create namespaces",
        "get nodes",
    ] {
        assert!(!may(no), "{no}");
    }
    assert!(stage.kubectl_with(&apply, CLUSTER_WIDE).success);
    assert!(may("create namespaces") && may("patch deployments.apps -n default"));
    for no in [
        "create clusterroles.rbac.authorization.k8s.io",
        "impersonate users",
        "create validatingwebhookconfigurations.admissionregistration.k8s.io",
        "update nodes",
    ] {
        assert!(!may(no), "{no}");
    }
}
