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

fn at(project: &str, path: &str) -> String {
    format!("/api/v1/projects/{project}/file?path={path}")
}

#[tokio::test]
async fn one_file_is_read_written_and_deleted_by_itself() {
    let world = World::open().await;
    let ada = world.first().await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let text = "server { listen 80; }\n";
    let written = json!({"content": text, "replaces": ""});
    let file = at(&project, "nginx/site.conf");
    let stored = ada.put(&file, &written).await.expect(200);
    assert_eq!(stored["files"].as_array().unwrap().len(), 2, "{stored}");
    let read = ada.get(&file).await.expect(200);
    assert_eq!(read["content"], text);
    assert_eq!(
        (&read["mode"], &read["is_generated"]),
        (&json!("regular"), &json!(false))
    );
    let etag = &read["etag"];

    // Two people who have read the same: the second one loses nothing of the first one's.
    let change = |content: &str| json!({"content": content, "replaces": etag});
    ada.put(&file, &change("first")).await.expect(200);
    let late = ada.put(&file, &change("second")).await.expect(409);
    assert!(
        late["detail"].as_str().unwrap().contains("has changed"),
        "{late}"
    );
    assert_eq!(ada.get(&file).await.expect(200)["content"], "first");
    ada.put(&file, &written).await.expect(409);
    let old = format!("{file}&replaces={}", etag.as_str().unwrap());
    ada.delete(&old).await.expect(409);
    // Whoever wants to, replaces whatever is there.
    let script = json!({"content_base64": "/wAB", "mode": "executable"});
    ada.put(&file, &script).await.expect(200);
    let read = ada.get(&file).await.expect(200);
    assert_eq!(
        (&read["content"], &read["content_base64"]),
        (&json!(null), &json!("/wAB"))
    );
    assert_eq!(read["mode"], "executable");
    ada.delete(&file).await.expect(200);
    ada.get(&file).await.expect(404);
    ada.delete(&file).await.expect(404);

    // What the files are for is looked at with each.
    let broken = "services:\n  web:\n    imagee: busybox\n";
    let compose = at(&project, "compose.yaml");
    let stored = ada
        .put(&compose, &json!({"content": broken}))
        .await
        .expect(200);
    assert_eq!(stored["findings"][0]["file"], "compose.yaml", "{stored}");
    let emptied = ada.delete(&compose).await.expect(200);
    assert_eq!(
        (&emptied["files"], &emptied["compose_file"]),
        (&json!([]), &json!(null))
    );
    let activity = ada.get("/api/v1/activity").await.expect(200);
    let actions: Vec<_> = activity["items"]
        .as_array()
        .unwrap()
        .iter()
        .take(2)
        .map(|one| one["action"].clone())
        .collect();
    assert_eq!(
        actions,
        ["project.delete_file", "project.write_file"],
        "{activity}"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_is_refused() {
    let world = World::open().await;
    let ada = world.first().await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let plain = json!({"content": "x"});
    for path in [
        "",
        "/etc/passwd",
        "../up",
        "a//b",
        "a%5Cb",
        "a%00b",
        &"a".repeat(256),
    ] {
        let problem = ada.put(&at(&project, path), &plain).await.expect(422);
        assert_eq!(problem["field"], "files", "{path}: {problem}");
    }
    let large = "x".repeat(4 * 1024 * 1024);
    for (body, status) in [
        (json!({}), 422),
        (json!({"content": "x", "content_base64": "eA=="}), 422),
        (json!({"content_base64": "no Base64"}), 422),
        (json!({"content": "x", "mode": "0777"}), 422),
        (json!({"content": "x", "owner": "root"}), 422),
        (json!({"content": large}), 422),
    ] {
        let answer = ada.put(&at(&project, "file"), &body).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{}",
            &body.to_string()[..40.min(body.to_string().len())]
        );
    }
    let listed = ada
        .get(&format!("/api/v1/projects/{project}/files"))
        .await
        .expect(200);
    assert_eq!(
        listed["files"].as_array().unwrap().len(),
        1,
        "nothing was changed"
    );
}
