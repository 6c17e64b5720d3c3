//! What fields a document of a kind may have, and how two authors of one list or map share it.
//!
//! The built-in kinds' stand in `schema.txt`, a line for each structure, `name=shape` for each of its fields: `s` text, `y` bytes, `t` time, `q` quantity,
//! `i` integer, `n` number, `b` boolean, `x` integer or text, `*` anything, or a structure's name (`~` before it: it has one owner as a whole).
//! Before it may stand `<>` for a map (`<!>` with one owner), `[]` for a list with one owner, `{}` for a set, `[name]` for a list whose items are told apart
//! by these fields. The facts are those of the published description of the API at 1.33.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
};

use serde_json::Value;

/// The shape of a value.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Text,
    Bytes,
    Time,
    Integer,
    Number,
    Boolean,
    IntegerOrText,
    Quantity,
    /// Nothing is known of it: maps are shared by their keys, lists have one owner.
    Free,
    Structure(Fields, Sharing),
    Map(Box<Shape>, Sharing),
    List(Box<Shape>, Items),
}

/// Where a structure's fields stand.
#[derive(Clone, Debug)]
pub(crate) enum Fields {
    /// In the table of built-in structures.
    BuiltIn(&'static str),
    /// With the schema of a custom resource; others are dropped, or kept where it says so.
    Custom(Arc<BTreeMap<String, Shape>>, Unknown),
}

/// What becomes of fields that a custom resource's schema does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    Dropped,
    Kept,
}

/// Who owns a map or a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Each field has owners of its own.
    Granular,
    /// It has owners as a whole.
    Atomic,
}

/// How a list's items are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Items {
    Atomic,
    Set,
    Keys(Vec<String>),
}

/// What the shape says of one field.
pub(crate) enum Field<'s> {
    /// A structure's.
    Declared(&'s Shape),
    /// A map's.
    Key(&'s Shape),
    /// None that the structure has.
    Undeclared,
}

static FREE: Shape = Shape::Free;
static METADATA: Shape = Shape::Structure(Fields::BuiltIn("ObjectMeta"), Sharing::Granular);
static TEXT: Shape = Shape::Text;

type Structures = HashMap<&'static str, BTreeMap<&'static str, Shape>>;
static STRUCTURES: LazyLock<Structures> = LazyLock::new(|| {
    let lines = include_str!("schema.txt").lines();
    lines
        .filter_map(|line| {
            let mut words = line.split(' ');
            let name = words.next()?;
            let fields = words.filter_map(|word| word.split_once('='));
            Some((
                name,
                fields.map(|(field, shape)| (field, read(shape))).collect(),
            ))
        })
        .collect()
});

fn read(text: &'static str) -> Shape {
    let boxed = |rest| Box::new(read(rest));
    if let Some(rest) = text.strip_prefix("<>") {
        return Shape::Map(boxed(rest), Sharing::Granular);
    }
    if let Some(rest) = text.strip_prefix("<!>") {
        return Shape::Map(boxed(rest), Sharing::Atomic);
    }
    if let Some(rest) = text.strip_prefix("{}") {
        return Shape::List(boxed(rest), Items::Set);
    }
    if let Some((keys, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let items = match keys {
            "" => Items::Atomic,
            keys => Items::Keys(keys.split(',').map(str::to_owned).collect()),
        };
        return Shape::List(boxed(rest), items);
    }
    match text {
        "s" => Shape::Text,
        "y" => Shape::Bytes,
        "t" => Shape::Time,
        "q" => Shape::Quantity,
        "i" => Shape::Integer,
        "n" => Shape::Number,
        "b" => Shape::Boolean,
        "x" => Shape::IntegerOrText,
        "*" => Shape::Free,
        name => match name.strip_prefix('~') {
            Some(name) => Shape::Structure(Fields::BuiltIn(name), Sharing::Atomic),
            None => Shape::Structure(Fields::BuiltIn(name), Sharing::Granular),
        },
    }
}

/// What a value is to those who share it.
pub(crate) enum Node {
    /// It has owners as a whole.
    Leaf,
    Map,
    Set,
    Keyed(Vec<String>),
}

impl Shape {
    /// A built-in kind's, by its name.
    pub(crate) fn built_in(kind: &'static str) -> Self {
        Self::Structure(Fields::BuiltIn(kind), Sharing::Granular)
    }

    /// A custom resource's, by its schema.
    pub(crate) fn custom(schema: &Value) -> Self {
        let shape = of_schema(schema);
        let Self::Structure(Fields::Custom(fields, unknown), sharing) = shape else {
            return Self::Free;
        };
        let mut fields = (*fields).clone();
        fields.insert("metadata".to_owned(), METADATA.clone());
        for name in ["apiVersion", "kind"] {
            fields.insert(name.to_owned(), TEXT.clone());
        }
        Self::Structure(Fields::Custom(Arc::new(fields), unknown), sharing)
    }

    /// What it says of a field.
    pub(crate) fn field(&self, name: &str) -> Field<'_> {
        match self {
            Self::Structure(Fields::BuiltIn(structure), _) => STRUCTURES
                .get(structure)
                .and_then(|fields| fields.get(name))
                .map_or(Field::Undeclared, Field::Declared),
            Self::Structure(Fields::Custom(fields, unknown), _) => match fields.get(name) {
                Some(shape) => Field::Declared(shape),
                None if *unknown == Unknown::Kept => Field::Key(&FREE),
                None => Field::Undeclared,
            },
            Self::Map(shape, _) => Field::Key(shape),
            _ => Field::Key(&FREE),
        }
    }

    /// The shape of a field, free where nothing is known.
    pub(crate) fn below(&self, name: &str) -> &Self {
        match self.field(name) {
            Field::Declared(shape) | Field::Key(shape) => shape,
            Field::Undeclared => &FREE,
        }
    }

    /// The shape of a list's items.
    pub(crate) fn item(&self) -> &Self {
        match self {
            Self::List(shape, _) => shape,
            _ => &FREE,
        }
    }

    /// What a value of this shape is to those who share it.
    pub(crate) fn node(&self, value: &Value) -> Node {
        match (self, value) {
            (
                Self::Free
                | Self::Structure(_, Sharing::Granular)
                | Self::Map(_, Sharing::Granular),
                Value::Object(_),
            ) => Node::Map,
            (Self::List(_, Items::Set), Value::Array(_)) => Node::Set,
            (Self::List(_, Items::Keys(keys)), Value::Array(_)) => Node::Keyed(keys.clone()),
            _ => Node::Leaf,
        }
    }

    /// The name of a built-in structure.
    pub(crate) fn structure(&self) -> &'static str {
        match self {
            Self::Structure(Fields::BuiltIn(name), _) => name,
            _ => "",
        }
    }
}

fn of_schema(schema: &Value) -> Shape {
    let extension = |name: &str| schema[format!("x-kubernetes-{name}")].clone();
    if extension("int-or-string") == true {
        return Shape::IntegerOrText;
    }
    let sharing = match extension("map-type").as_str() {
        Some("atomic") => Sharing::Atomic,
        _ => Sharing::Granular,
    };
    match schema["type"].as_str().unwrap_or_default() {
        "string" => Shape::Text,
        "integer" => Shape::Integer,
        "number" => Shape::Number,
        "boolean" => Shape::Boolean,
        "array" => {
            let items = match extension("list-type").as_str() {
                Some("set") => Items::Set,
                Some("map") => {
                    let keys = extension("list-map-keys");
                    let keys = keys.as_array().into_iter().flatten();
                    Items::Keys(
                        keys.filter_map(|key| Some(key.as_str()?.to_owned()))
                            .collect(),
                    )
                }
                _ => Items::Atomic,
            };
            Shape::List(Box::new(of_schema(&schema["items"])), items)
        }
        "object" if schema["additionalProperties"].is_object() => Shape::Map(
            Box::new(of_schema(&schema["additionalProperties"])),
            sharing,
        ),
        "object" => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let fields = properties.map(|(name, schema)| (name.clone(), of_schema(schema)));
            let unknown = if extension("preserve-unknown-fields") == true {
                Unknown::Kept
            } else {
                Unknown::Dropped
            };
            Shape::Structure(Fields::Custom(Arc::new(fields.collect()), unknown), sharing)
        }
        _ => Shape::Free,
    }
}
