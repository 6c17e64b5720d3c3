//! Which pushes are deployed, and why the others are not. Pure.

use towline_shared::git::is_commit;

use super::glob::Glob;
use super::names::InvalidName;
use super::repository::invalid;

/// The most patterns of one kind.
pub const MAX_PATTERNS: usize = 16;
/// The most targets that a push is deployed to.
pub const MAX_TARGETS: usize = 10;
/// How much of the changed paths is compared; of more it is taken that something matters.
pub const MAX_PATHS: usize = 256 * 1024;
/// What in a commit's message keeps it from being deployed, in any letters.
pub const SKIP_MARKS: [&str; 6] = [
    "[skip ci]",
    "[ci skip]",
    "[no ci]",
    "[skip actions]",
    "[skip towline]",
    "[towline skip]",
];

/// The longest name that is kept.
const MAX_NAME: usize = 255;
/// The longest title that is kept.
const MAX_TITLE: usize = 200;
const BRANCH: &str = "refs/heads/";
const TAG: &str = "refs/tags/";

/// A push, as a forge tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// What was moved, as git names it.
    pub reference: String,
    /// Where it leads now; nowhere when it was deleted.
    pub commit: Option<String>,
    /// That commit's message.
    pub message: String,
    /// Whom the forge let push.
    pub sender: Option<String>,
    /// What has changed.
    pub changes: Changes,
    /// The repository's own branch, where the forge says.
    pub default_branch: Option<String>,
}

/// The paths that a push changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// All of them.
    Paths(Vec<String>),
    /// There is no whole list.
    Unknown,
}

/// Which pushes are deployed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushFilter {
    /// To these branches; to the source's own when there is none.
    pub branches: Vec<Glob>,
    /// That change something among these; among all when there is none.
    pub include: Vec<Glob>,
    /// And that is not among these.
    pub exclude: Vec<Glob>,
}

impl Push {
    /// The branch, if it is one.
    pub fn branch(&self) -> Option<&str> {
        self.reference.strip_prefix(BRANCH)
    }

    /// The first line of the message, as much as is kept.
    pub fn title(&self) -> String {
        let first = self.message.lines().next().unwrap_or_default();
        kept(first, MAX_TITLE)
    }

    /// Who pushed, as much as is kept.
    pub fn sender(&self) -> Option<String> {
        self.sender.as_deref().map(|name| kept(name, MAX_NAME))
    }
}

/// Text of a forge as it is kept: short, and nothing that is no text.
pub fn kept(text: &str, most: usize) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(most).collect()
}

/// The paths, unless they are too many to compare.
pub fn paths<'a>(all: impl Iterator<Item = &'a str>) -> Changes {
    let (mut paths, mut size) = (Vec::new(), 0);
    for path in all {
        size += path.len();
        if size > MAX_PATHS {
            return Changes::Unknown;
        }
        paths.push(path.to_owned());
    }
    paths.sort_unstable();
    paths.dedup();
    // An empty list tells nothing: a branch moved back, or a merge whose forge does not look into it.
    if paths.is_empty() {
        Changes::Unknown
    } else {
        Changes::Paths(paths)
    }
}

/// The commit and branch to deploy, or why it is not.
pub fn judge<'a>(
    filter: &PushFilter,
    source_branch: Option<&str>,
    push: &'a Push,
) -> Result<(&'a str, &'a str), String> {
    let Some(branch) = push.branch() else {
        let name = kept(
            push.reference.strip_prefix(TAG).unwrap_or(&push.reference),
            MAX_NAME,
        );
        return Err(if push.reference.starts_with(TAG) {
            format!("the tag {name} is no branch")
        } else {
            format!("{name} is no branch")
        });
    };
    let shown = kept(branch, MAX_NAME);
    let Some(commit) = push.commit.as_deref() else {
        return Err(format!("the branch {shown} was deleted"));
    };
    if !is_commit(commit) {
        return Err("it names no commit by its whole name".to_owned());
    }
    judge_branch(
        filter,
        source_branch.or(push.default_branch.as_deref()),
        branch,
    )?;
    let message = push.message.to_lowercase();
    if let Some(mark) = SKIP_MARKS.iter().find(|mark| message.contains(**mark)) {
        return Err(format!("the message of its last commit says {mark}"));
    }
    judge_paths(filter, &push.changes)?;
    Ok((commit, branch))
}

fn judge_branch(filter: &PushFilter, own: Option<&str>, branch: &str) -> Result<(), String> {
    let wanted: Vec<_> = filter.branches.iter().map(Glob::as_str).collect();
    let matches = if filter.branches.is_empty() {
        let own = own.ok_or_else(|| {
            "the forge does not say which branch is the repository's own; name the branches of the hook".to_owned()
        })?;
        own == branch
    } else {
        filter.branches.iter().any(|glob| glob.matches(branch))
    };
    if matches {
        return Ok(());
    }
    let shown = kept(branch, MAX_NAME);
    let deployed = match (wanted.as_slice(), own) {
        ([], own) => kept(own.unwrap_or_default(), MAX_NAME),
        (wanted, _) => wanted.join(", "),
    };
    Err(format!(
        "the branch {shown} is not deployed, but {deployed}"
    ))
}

fn judge_paths(filter: &PushFilter, changes: &Changes) -> Result<(), String> {
    let Changes::Paths(paths) = changes else {
        return Ok(());
    };
    let among = |globs: &[Glob], path: &str| globs.iter().any(|glob| glob.matches(path));
    let matters = |path: &String| {
        (filter.include.is_empty() || among(&filter.include, path)) && !among(&filter.exclude, path)
    };
    if paths.iter().any(matters) {
        return Ok(());
    }
    let count = paths.len();
    Err(format!(
        "none of the {count} changed paths is among those that matter"
    ))
}

/// Reads patterns of one field.
pub fn patterns(field: &'static str, texts: &[String]) -> Result<Vec<Glob>, InvalidName> {
    if texts.len() > MAX_PATTERNS {
        return Err(invalid(
            field,
            format!("there may be at most {MAX_PATTERNS} patterns"),
        ));
    }
    let read = texts.iter().map(|text| Glob::parse(text));
    read.collect::<Result<_, _>>()
        .map_err(|error| invalid(field, error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn push(reference: &str) -> Push {
        Push {
            reference: reference.to_owned(),
            commit: Some(COMMIT.to_owned()),
            message: "Open the shop".to_owned(),
            sender: Some("ada".to_owned()),
            changes: Changes::Unknown,
            default_branch: Some("trunk".to_owned()),
        }
    }

    fn globs(texts: &[&str]) -> Vec<Glob> {
        texts
            .iter()
            .map(|text| Glob::parse(text).unwrap())
            .collect()
    }

    #[test]
    fn only_wanted_branches_are_deployed() {
        let main = PushFilter {
            branches: globs(&["main", "release/*"]),
            ..PushFilter::default()
        };
        let any = PushFilter::default();
        let table = [
            (&main, None, "refs/heads/main", None),
            (&main, None, "refs/heads/release/2", None),
            (
                &main,
                Some("main"),
                "refs/heads/other",
                Some("the branch other is not deployed, but main, release/*"),
            ),
            (&any, Some("main"), "refs/heads/main", None),
            (
                &any,
                Some("main"),
                "refs/heads/trunk",
                Some("the branch trunk is not deployed, but main"),
            ),
            (&any, None, "refs/heads/trunk", None),
            (
                &any,
                None,
                "refs/heads/main",
                Some("the branch main is not deployed, but trunk"),
            ),
            (&any, None, "refs/tags/v1", Some("the tag v1 is no branch")),
            (
                &any,
                None,
                "refs/notes/x",
                Some("refs/notes/x is no branch"),
            ),
        ];
        for (filter, source, reference, why) in table {
            let push = push(reference);
            let judged = judge(filter, source, &push);
            assert_eq!(judged.err().as_deref(), why, "{reference}");
        }
        let mut unknown = push("refs/heads/main");
        unknown.default_branch = None;
        assert!(
            judge(&any, None, &unknown)
                .unwrap_err()
                .contains("name the branches")
        );
    }

    #[test]
    fn deletions_marks_and_other_names_are_told() {
        let filter = PushFilter::default();
        let judged = |change: &dyn Fn(&mut Push)| {
            let mut push = push("refs/heads/trunk");
            change(&mut push);
            judge(&filter, None, &push).map(|(commit, _)| commit.to_owned())
        };
        assert_eq!(judged(&|_| ()), Ok(COMMIT.to_owned()));
        assert!(
            judged(&|push| push.commit = None)
                .unwrap_err()
                .contains("was deleted")
        );
        for commit in ["main", "0123", "--upload-pack=x"] {
            let judged = judged(&|push| push.commit = Some(commit.to_owned()));
            assert!(judged.unwrap_err().contains("names no commit"), "{commit}");
        }
        for mark in SKIP_MARKS {
            let marked = format!("Mend it\n\nNothing to see. {}", mark.to_uppercase());
            let judged = judged(&|push| marked.clone_into(&mut push.message));
            assert!(judged.unwrap_err().contains(mark), "{mark}");
        }
        assert!(judged(&|push| "skip ci".clone_into(&mut push.message)).is_ok());
    }

    #[test]
    fn paths_that_matter_are_found_and_an_incomplete_list_matters() {
        let filter = |include: &[&str], exclude: &[&str]| PushFilter {
            include: globs(include),
            exclude: globs(exclude),
            ..PushFilter::default()
        };
        let table: [(_, &[&str], bool); 7] = [
            (filter(&[], &[]), &["a"], true),
            (filter(&["apps/web/**"], &[]), &["apps/api/a"], false),
            (
                filter(&["apps/web/**"], &[]),
                &["apps/api/a", "apps/web/b"],
                true,
            ),
            (
                filter(&[], &["**/*.md"]),
                &["README.md", "docs/a.md"],
                false,
            ),
            (filter(&[], &["**/*.md"]), &["README.md", "a.rs"], true),
            (
                filter(&["apps/**"], &["**/*.md"]),
                &["apps/a.md", "b.rs"],
                false,
            ),
            (filter(&["apps/**"], &[]), &[], true),
        ];
        for (filter, changed, expected) in table {
            let mut push = push("refs/heads/trunk");
            push.changes = paths(changed.iter().copied());
            assert_eq!(judge(&filter, None, &push).is_ok(), expected, "{changed:?}");
        }
        let many = "x".repeat(1000);
        let all = std::iter::repeat_n(many.as_str(), MAX_PATHS / 1000 + 1);
        assert_eq!(paths(all), Changes::Unknown);
    }

    #[test]
    fn what_is_kept_is_short_and_plain() {
        let mut push = push("refs/heads/trunk");
        push.message = format!("{}\u{0}\nmore", "t".repeat(300));
        assert_eq!(push.title(), "t".repeat(MAX_TITLE));
        assert!(patterns("branches", &vec!["a".to_owned(); 17]).is_err());
        assert_eq!(
            patterns("branches", &["/a".to_owned()]).unwrap_err().field,
            "branches"
        );
    }
}
