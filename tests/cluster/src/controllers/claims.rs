//! Claims of storage: bound at once, unless there is no such class of it.

use serde_json::{Value, json};

use crate::{
    controllers::desk::Desk,
    document::{at, put, text},
    store::Key,
};

const CLAIMS: &str = "persistentvolumeclaims";
const CLASSES: &str = "storageclasses.storage.k8s.io";
const DEFAULT: &str = "standard";

pub(super) fn look(desk: &mut Desk, key: &Key) {
    let Some(claim) = desk.get(CLAIMS, key) else {
        release(desk, key);
        return;
    };
    if text(&claim, "status/phase") == "Bound"
        || !text(&claim, "metadata/deletionTimestamp").is_empty()
    {
        return;
    }
    let class = match text(&claim, "spec/storageClassName") {
        "" => DEFAULT,
        class => class,
    };
    if desk
        .get(CLASSES, &(String::new(), class.to_owned()))
        .is_none()
    {
        let message = format!("storageclass.storage.k8s.io {class:?} not found");
        desk.event(
            &claim,
            ("ProvisioningFailed", "Warning"),
            "persistentvolume-controller",
            &message,
        );
        desk.look_again(CLAIMS, key, std::time::Duration::from_millis(500));
        return;
    }
    let volume = format!("pvc-{}", text(&claim, "metadata/uid"));
    let capacity = at(&claim, "spec/resources/requests").clone();
    let made = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
        "spec": {
            "capacity": capacity, "accessModes": claim["spec"]["accessModes"], "storageClassName": class,
            "persistentVolumeReclaimPolicy": "Delete", "volumeMode": "Filesystem", "hostPath": {"path": format!("/var/{volume}"), "type": ""},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": key.1, "namespace": key.0, "uid": claim["metadata"]["uid"]},
        },
    });
    let _ = desk.create("persistentvolumes", made);
    let mut bound: Value = (*claim).clone();
    put(&mut bound, "spec/volumeName", volume.clone());
    put(&mut bound, "spec/storageClassName", class);
    desk.put(CLAIMS, "kube-controller-manager", bound.clone());
    if let Some(written) = desk.get(CLAIMS, key) {
        let mut bound = (*written).clone();
        let status = json!({"phase": "Bound", "accessModes": claim["spec"]["accessModes"], "capacity": capacity});
        put(&mut bound, "status", status);
        desk.put_status(CLAIMS, "kube-controller-manager", bound);
    }
    if let Some(there) = desk.get("persistentvolumes", &(String::new(), volume)) {
        let mut there = (*there).clone();
        put(&mut there, "status", json!({"phase": "Bound"}));
        desk.put_status("persistentvolumes", "kube-controller-manager", there);
    }
}

/// The volume of a claim that is gone goes, too.
fn release(desk: &mut Desk, (namespace, name): &Key) {
    let volumes = desk
        .state
        .store
        .list("persistentvolumes", "")
        .find(|volume| {
            text(volume, "spec/claimRef/name") == name
                && text(volume, "spec/claimRef/namespace") == namespace
        });
    if let Some(volume) = volumes.cloned() {
        desk.delete("persistentvolumes", &crate::store::key_of(&volume));
    }
}
