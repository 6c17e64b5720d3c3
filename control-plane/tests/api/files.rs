use axum::body::Body;
use http::{Method, header};
use serde_json::json;

use crate::world::{COMPOSE, World, tar};

#[tokio::test]
async fn an_upload_replaces_all_files_and_says_what_it_found() {
    let world = World::open().await;
    let ada = world.first().await;
    let project = ada.project("shop", &[("old.txt", "x")]).await;
    let stored = ada
        .upload(
            &project,
            tar(&[("compose.yaml", COMPOSE), ("web/index.html", "hi")]),
        )
        .await
        .expect(200);
    assert_eq!(stored["compose_file"], "compose.yaml");
    assert_eq!(stored["findings"], json!([]));
    let listed = ada
        .get(&format!("/api/v1/projects/{project}/files"))
        .await
        .expect(200);
    assert_eq!(listed, stored);
    let paths: Vec<_> = listed["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| &file["path"])
        .collect();
    assert_eq!(paths, ["compose.yaml", "web/index.html"]);

    let broken = "services:\n  web:\n    image: busybox\n    imagee: busybox\n";
    let stored = ada
        .upload(&project, tar(&[("compose.yaml", broken)]))
        .await
        .expect(200);
    let finding = &stored["findings"][0];
    assert_eq!(
        (&finding["line"], &finding["rule"]),
        (&json!(4), &json!("unknown_key")),
        "{stored}"
    );
    assert_eq!(finding["file"], "compose.yaml");
    let host_only = "services:\n  web:\n    image: busybox\n    privileged: true\n";
    let stored = ada
        .upload(&project, tar(&[("compose.yaml", host_only)]))
        .await
        .expect(200);
    assert_eq!(
        stored["findings"],
        json!([]),
        "what a host forbids is known when a host is"
    );
}

#[tokio::test]
async fn hostile_and_oversized_archives_are_refused() {
    let world = World::open().await;
    let ada = world.first().await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let mut climbing = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..5].copy_from_slice(b"../up");
    header.set_size(1);
    header.set_mode(0o644);
    header.set_cksum();
    climbing.append(&header, &b"x"[..]).unwrap();
    let mut linking = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    linking
        .append_link(&mut header, "link", "/etc/passwd")
        .unwrap();
    let table = [
        (climbing.into_inner().unwrap(), 422, Some("files.../up")),
        (linking.into_inner().unwrap(), 422, Some("files.link")),
        (b"no archive at all".to_vec(), 400, None),
        (Vec::new(), 400, None),
        (tar(&[("big", &"x".repeat(4 * 1024 * 1024 + 1))]), 413, None),
        (vec![0; 10 * 1024 * 1024], 413, None),
    ];
    for (archive, status, field) in table {
        let problem = ada.upload(&project, archive).await.expect(status);
        assert_eq!(problem["field"].as_str(), field, "{problem}");
    }
    let path = format!("/api/v1/projects/{project}/files");
    let request = ada
        .request(Method::PUT, &path)
        .header(header::CONTENT_TYPE, "application/zip");
    ada.ask(request.body(Body::from("PK")).unwrap())
        .await
        .expect(415);
    let kept = ada.get(&path).await.expect(200);
    assert_eq!(kept["compose_file"], "compose.yaml", "nothing was lost");
}
