//! YAML (and JSON) as a tree that knows its lines, within budgets.
//!
//! Aliases share the node of their anchor, and each counts for all that it stands for: whoever reads the file after us
//! and unfolds them stays within the budget, too. Merge keys (`<<`) are resolved, each copied entry counted.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

/// How deep a file may nest. The Compose Specification itself needs about a dozen.
const MAX_DEPTH: usize = 64;
/// How many nodes and entries a file may have; 1 MiB of ordinary compose files has a tenth.
const MAX_NODES: usize = 200_000;

/// Why a text is no YAML we take.
#[derive(Debug, PartialEq, Eq)]
pub struct YamlError {
    /// 1-based.
    pub line: u32,
    /// What is wrong there.
    pub kind: YamlErrorKind,
}

/// Why.
#[derive(Debug, PartialEq, Eq)]
pub enum YamlErrorKind {
    /// It is no YAML.
    Syntax(String),
    /// A key stands twice in one mapping.
    DuplicateKey {
        /// The key.
        key: String,
        /// The line where it stands first.
        first: u32,
    },
    /// It is larger than we read.
    Budget(&'static str),
}

/// All documents of one text.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
    roots: Vec<usize>,
}

#[derive(Debug)]
struct Node {
    line: u32,
    content: Content,
    /// How many nodes it is when its aliases are unfolded.
    unfolded: usize,
}

#[derive(Debug)]
enum Content {
    /// Not read to its end yet; an alias to it would be a cycle.
    Open,
    Plain(String),
    Quoted(String),
    Sequence(Vec<usize>),
    Mapping(Vec<Entry>),
}

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    line: u32,
    value: usize,
}

/// One node of a tree.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    tree: &'a Tree,
    id: usize,
}

/// A scalar as it is written: whether it is quoted decides what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// Without quotes: it may be a number, a truth or nothing.
    Plain(&'a str),
    /// In quotes, as a block, or with the tag of a text: it is one.
    Quoted(&'a str),
}

/// A key with its value.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// The key.
    pub key: &'a str,
    /// The 1-based line on which the key stands, or 0.
    pub line: u32,
    /// What it has.
    pub value: View<'a>,
}

impl Tree {
    /// Reads a text.
    pub fn read(text: &str) -> Result<Self, YamlError> {
        refuse_foreign_breaks(text)?;
        let mut builder = Builder::default();
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| YamlError {
                line: line_number(error.marker().line()),
                kind: YamlErrorKind::Syntax(error.info().to_owned()),
            })?;
            builder.take(event, span)?;
        }
        Ok(builder.tree)
    }

    /// The same tree of a JSON value; it has no lines.
    pub fn of_json(value: &serde_json::Value) -> Self {
        let mut tree = Self::default();
        let root = tree.add_json(value);
        tree.roots.push(root);
        tree
    }

    /// The root of each document.
    pub fn roots(&self) -> impl Iterator<Item = View<'_>> {
        self.roots.iter().map(|&id| View { tree: self, id })
    }

    fn add(&mut self, line: u32, content: Content) -> usize {
        self.nodes.push(Node {
            line,
            content,
            unfolded: 1,
        });
        self.nodes.len() - 1
    }

    fn add_json(&mut self, value: &serde_json::Value) -> usize {
        use serde_json::Value;
        let content = match value {
            Value::Null => Content::Plain(String::new()),
            Value::Bool(value) => Content::Plain(value.to_string()),
            Value::Number(value) => Content::Plain(value.to_string()),
            Value::String(value) => Content::Quoted(value.clone()),
            Value::Array(items) => {
                Content::Sequence(items.iter().map(|item| self.add_json(item)).collect())
            }
            Value::Object(fields) => {
                let entry = |(key, value): (&String, &Value)| Entry {
                    key: key.clone(),
                    line: 0,
                    value: self.add_json(value),
                };
                Content::Mapping(fields.iter().map(entry).collect())
            }
        };
        self.add(0, content)
    }
}

impl<'a> View<'a> {
    fn node(self) -> &'a Node {
        &self.tree.nodes[self.id]
    }

    /// The 1-based line it starts on, or 0.
    pub fn line(self) -> u32 {
        self.node().line
    }

    /// The text of a scalar that is not null.
    pub fn text(self) -> Option<&'a str> {
        match &self.node().content {
            Content::Quoted(text) => Some(text),
            Content::Plain(text) if !is_null(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is null, or nothing at all.
    pub fn is_null(self) -> bool {
        matches!(&self.node().content, Content::Plain(text) if is_null(text))
    }

    /// The scalar as it is written.
    pub fn scalar(self) -> Option<Scalar<'a>> {
        match &self.node().content {
            Content::Plain(text) => Some(Scalar::Plain(text)),
            Content::Quoted(text) => Some(Scalar::Quoted(text)),
            Content::Open | Content::Sequence(_) | Content::Mapping(_) => None,
        }
    }

    /// Whether it is true, as YAML 1.1 knows it, too.
    pub fn is_true(self) -> bool {
        self.text().is_some_and(|text| {
            ["true", "yes", "on", "y"]
                .iter()
                .any(|word| text.eq_ignore_ascii_case(word))
        })
    }

    /// Whether it is a mapping.
    pub fn is_mapping(self) -> bool {
        matches!(self.node().content, Content::Mapping(_))
    }

    /// The keys of a mapping, with their values; none of anything else.
    pub fn fields(self) -> impl Iterator<Item = Field<'a>> {
        let entries: &'a [Entry] = match &self.node().content {
            Content::Mapping(entries) => entries,
            _ => &[],
        };
        entries.iter().map(move |entry| Field {
            key: &entry.key,
            line: entry.line,
            value: View {
                tree: self.tree,
                id: entry.value,
            },
        })
    }

    /// The value of a key.
    pub fn get(self, key: &str) -> Option<View<'a>> {
        self.field(key).map(|field| field.value)
    }

    /// A key, with its value.
    pub fn field(self, key: &str) -> Option<Field<'a>> {
        self.fields().find(|field| field.key == key)
    }

    /// The items of a list; none of anything else.
    pub fn items(self) -> impl Iterator<Item = View<'a>> {
        let items: &'a [usize] = match &self.node().content {
            Content::Sequence(items) => items,
            _ => &[],
        };
        items.iter().map(move |&id| View {
            tree: self.tree,
            id,
        })
    }

    /// The items of a list, or the one scalar or mapping that stands for a list of one.
    pub fn one_or_many(self) -> impl Iterator<Item = View<'a>> {
        let one = !matches!(self.node().content, Content::Sequence(_)) && !self.is_null();
        one.then_some(self).into_iter().chain(self.items())
    }
}

/// Compose's own reader takes these for line ends (YAML 1.1), this one does not (1.2): what one
/// reads as a comment would be content to the other.
fn refuse_foreign_breaks(text: &str) -> Result<(), YamlError> {
    let foreign = |c: char| matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}') || (c == '\u{feff}');
    let inner = text.strip_prefix('\u{feff}').unwrap_or(text);
    match inner.find(foreign) {
        None => Ok(()),
        Some(at) => {
            let line = line_number(inner[..at].split('\n').count());
            Err(syntax(
                line,
                "it has an invisible Unicode line separator or mark; remove it",
            ))
        }
    }
}

/// Only the core types and compose's own tags: `!!binary` would be decoded by one reader only.
fn refuse_tag(tag: Option<&Tag>, line: u32) -> Result<(), YamlError> {
    const CORE: [&str; 7] = ["str", "int", "float", "bool", "null", "seq", "map"];
    let Some(tag) = tag else { return Ok(()) };
    let is_core = tag.is_yaml_core_schema() && CORE.contains(&tag.suffix.as_str());
    let is_compose = tag.handle == "!" && matches!(tag.suffix.as_str(), "reset" | "override");
    if is_core || is_compose {
        return Ok(());
    }
    Err(syntax(
        line,
        "it has a tag that compose files do not need; remove it",
    ))
}

fn is_text(tag: Option<&Tag>) -> bool {
    tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str")
}

fn is_null(plain: &str) -> bool {
    matches!(plain, "" | "~" | "null" | "Null" | "NULL")
}

fn line_number(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

/// A collection that is being read.
enum Frame {
    Sequence { id: usize, items: Vec<usize> },
    Mapping(OpenMapping),
}

#[derive(Default)]
struct OpenMapping {
    id: usize,
    entries: Vec<Entry>,
    /// The lines of the keys so far.
    seen: HashMap<String, u32>,
    key: Option<(String, u32)>,
    merges: Vec<usize>,
}

#[derive(Default)]
struct Builder {
    tree: Tree,
    stack: Vec<Frame>,
    anchors: HashMap<usize, usize>,
    spent: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let line = line_number(span.start.line());
        self.spend(line, 1)?;
        match event {
            Event::Alias(anchor) => self.alias(anchor, line),
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.as_deref(), line)?;
                let text = text.into_owned();
                let content = if style == ScalarStyle::Plain && !is_text(tag.as_deref()) {
                    Content::Plain(text)
                } else {
                    Content::Quoted(text)
                };
                let id = self.open(line, content, anchor);
                self.attach(id, line)
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), line)?;
                let id = self.open(line, Content::Open, anchor);
                self.push(
                    Frame::Sequence {
                        id,
                        items: Vec::new(),
                    },
                    line,
                )
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), line)?;
                let id = self.open(line, Content::Open, anchor);
                let mapping = OpenMapping {
                    id,
                    ..OpenMapping::default()
                };
                self.push(Frame::Mapping(mapping), line)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(line),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn spend(&mut self, line: u32, nodes: usize) -> Result<(), YamlError> {
        self.spent += nodes;
        if self.spent > MAX_NODES {
            return Err(budget(
                line,
                "it has too many nodes, or aliases unfold into too many",
            ));
        }
        Ok(())
    }

    fn open(&mut self, line: u32, content: Content, anchor: usize) -> usize {
        let id = self.tree.add(line, content);
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        id
    }

    fn push(&mut self, frame: Frame, line: u32) -> Result<(), YamlError> {
        self.stack.push(frame);
        if self.stack.len() > MAX_DEPTH {
            return Err(budget(line, "it nests too deeply"));
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, line: u32) -> Result<(), YamlError> {
        let known = self.anchors.get(&anchor).copied();
        match known {
            Some(id) if !matches!(self.tree.nodes[id].content, Content::Open) => {
                self.spend(line, self.tree.nodes[id].unfolded)?;
                self.attach(id, line)
            }
            _ => Err(syntax(
                line,
                "an alias refers to something that contains it",
            )),
        }
    }

    fn close(&mut self, line: u32) -> Result<(), YamlError> {
        let (id, content) = match self.stack.pop() {
            Some(Frame::Sequence { id, items }) => (id, Content::Sequence(items)),
            Some(Frame::Mapping(mut mapping)) => {
                let mut keys: HashSet<String> = mapping.seen.into_keys().collect();
                for merge in mapping.merges {
                    self.merge(&mut mapping.entries, &mut keys, merge, line)?;
                }
                (mapping.id, Content::Mapping(mapping.entries))
            }
            None => return Err(syntax(line, "a collection ends that never began")),
        };
        self.tree.nodes[id].unfolded = self.unfolded(&content);
        self.tree.nodes[id].content = content;
        let line = self.tree.nodes[id].line;
        self.attach(id, line)
    }

    fn unfolded(&self, content: &Content) -> usize {
        let of = |id: &usize| self.tree.nodes[*id].unfolded;
        let below: usize = match content {
            Content::Sequence(items) => items.iter().map(of).sum(),
            Content::Mapping(entries) => entries.iter().map(|entry| 1 + of(&entry.value)).sum(),
            Content::Open | Content::Plain(_) | Content::Quoted(_) => 0,
        };
        1 + below
    }

    /// Takes the entries of a merged mapping, or of a list of them, that are not there yet.
    fn merge(
        &mut self,
        into: &mut Vec<Entry>,
        keys: &mut HashSet<String>,
        id: usize,
        line: u32,
    ) -> Result<(), YamlError> {
        let count = match &self.tree.nodes[id].content {
            Content::Mapping(merged) => {
                let before = into.len();
                into.extend(
                    merged
                        .iter()
                        .filter(|entry| keys.insert(entry.key.clone()))
                        .cloned(),
                );
                into.len() - before
            }
            Content::Sequence(items) => {
                for item in items.clone() {
                    if !matches!(self.tree.nodes[item].content, Content::Mapping(_)) {
                        return Err(syntax(line, "a merge (<<) takes mappings only"));
                    }
                    self.merge(into, keys, item, line)?;
                }
                0
            }
            _ => return Err(syntax(line, "a merge (<<) takes a mapping")),
        };
        self.spend(line, count)
    }

    /// Gives a node that was read to its end to the collection it stands in.
    fn attach(&mut self, id: usize, line: u32) -> Result<(), YamlError> {
        match self.stack.last_mut() {
            None => self.tree.roots.push(id),
            Some(Frame::Sequence { items, .. }) => items.push(id),
            Some(Frame::Mapping(mapping)) => match mapping.key.take() {
                None => {
                    let (Content::Plain(text) | Content::Quoted(text)) =
                        &self.tree.nodes[id].content
                    else {
                        return Err(syntax(line, "a key must be a text"));
                    };
                    let key = text.clone();
                    if let Some(first) = mapping.seen.insert(key.clone(), line) {
                        return Err(YamlError {
                            line,
                            kind: YamlErrorKind::DuplicateKey { key, first },
                        });
                    }
                    mapping.key = Some((key, line));
                }
                Some((key, _)) if key == "<<" => mapping.merges.push(id),
                Some((key, line)) => mapping.entries.push(Entry {
                    key,
                    line,
                    value: id,
                }),
            },
        }
        Ok(())
    }
}

fn syntax(line: u32, what: &str) -> YamlError {
    YamlError {
        line,
        kind: YamlErrorKind::Syntax(what.to_owned()),
    }
}

const fn budget(line: u32, what: &'static str) -> YamlError {
    YamlError {
        line,
        kind: YamlErrorKind::Budget(what),
    }
}

#[cfg(test)]
mod tests;
