#![allow(clippy::unwrap_used)]

use super::*;

fn at<'a>(view: View<'a>, path: &str) -> View<'a> {
    path.split('.')
        .fold(view, |view, key| view.get(key).unwrap())
}

#[test]
fn lines_merges_and_aliases() {
    let text = "x-base: &base\n  image: a\n  restart: always\nservices:\n  web:\n    <<: *base\n    image: b\n  copy: *base\n";
    let tree = Tree::read(text).unwrap();
    let root = tree.roots().next().unwrap();
    assert_eq!(at(root, "services.web.image").text(), Some("b"));
    assert_eq!(at(root, "services.web.image").line(), 7);
    assert_eq!(at(root, "services.web.restart").text(), Some("always"));
    assert_eq!(at(root, "services.web.restart").line(), 3);
    assert_eq!(at(root, "services.copy.image").text(), Some("a"));
    assert_eq!(at(root, "services").field("web").unwrap().line, 5);
}

#[test]
fn compose_s_own_tags_are_taken() {
    let tree = Tree::read("a: !reset null\nb: !override [x]\nc: !!str 1\n").unwrap();
    assert_eq!(tree.roots().count(), 1);
}

#[test]
fn scalars_are_null_true_or_text() {
    let tree = Tree::read("a:\nb: ~\nc: \"\"\nd: True\ne: 'yes'\nf: no\n").unwrap();
    let root = tree.roots().next().unwrap();
    assert!(at(root, "a").is_null() && at(root, "b").is_null());
    assert_eq!(at(root, "c").text(), Some(""));
    assert!(at(root, "d").is_true() && at(root, "e").is_true() && !at(root, "f").is_true());
}

#[test]
fn what_is_no_yaml_is_refused_with_its_line() {
    let cases = [
        ("a: [1, 2\nb: 3\n", 2),
        ("a: 1\n  b: 2\n", 2),
        ("a: 1\nb: {\n", 3),
        ("a: *nowhere\n", 1),
        ("a: &a [*a]\n", 1),
        ("? [x, y]\n: 1\n", 1),
        ("a:\n\tb: 1\n", 2),
        ("a: 1\nb: 2 # x\u{2028}c: 3\n", 2),
        ("a: !!binary aGk=\n", 1),
        ("a: !own x\n", 1),
    ];
    for (text, line) in cases {
        let error = Tree::read(text).unwrap_err();
        assert!(
            matches!(error.kind, YamlErrorKind::Syntax(_)),
            "{text:?}: {error:?}"
        );
        assert!(error.line.abs_diff(line) <= 1, "{text:?}: {error:?}");
    }
    let error = Tree::read("a: 1\nb: 2\na: 3\n").unwrap_err();
    assert_eq!(
        error,
        YamlError {
            line: 3,
            kind: YamlErrorKind::DuplicateKey {
                key: "a".into(),
                first: 1
            }
        }
    );
}

#[test]
fn bombs_are_bounded() {
    let mut bomb = String::from("a0: &a0 {x: 1}\n");
    for level in 1..40 {
        let below = level - 1;
        let line = format!("a{level}: &a{level} [*a{below}, *a{below}, *a{below}]\n");
        bomb.push_str(&line);
    }
    // It is small to us, and 3^39 nodes to who unfolds it, as compose does.
    let refused = Tree::read(&bomb).unwrap_err();
    assert!(matches!(refused.kind, YamlErrorKind::Budget(_)));
    assert_eq!(refused.line, 11);
    let keys: Vec<_> = (0..1000).map(|key| format!("k{key}: 1")).collect();
    let copies: Vec<_> = (0..300)
        .map(|copy| format!("n{copy}: {{<<: *m}}\n"))
        .collect();
    let merges = format!("m: &m {{{}}}\n{}", keys.join(", "), copies.concat());
    assert!(matches!(
        Tree::read(&merges).unwrap_err().kind,
        YamlErrorKind::Budget(_)
    ));
    assert!(Tree::read(&"[".repeat(5000)).is_err());
    let deep: String = (0..100).map(|depth| " ".repeat(depth) + "a:\n").collect();
    assert!(matches!(
        Tree::read(&deep).unwrap_err().kind,
        YamlErrorKind::Budget(_)
    ));
    let wide = "- 1\n".repeat(MAX_NODES + 1);
    assert!(matches!(
        Tree::read(&wide).unwrap_err().kind,
        YamlErrorKind::Budget(_)
    ));
}
