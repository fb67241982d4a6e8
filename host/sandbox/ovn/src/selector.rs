//! Label selectors, as Kubernetes reads them.

use crate::object::{texts, texts_by_name};
use serde_json::Value;
use std::collections::BTreeMap;

/// Which nodes are meant. The empty selector means all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// What every label must be.
    pub labels: BTreeMap<String, String>,
    /// What must hold besides.
    pub expressions: Vec<Expression>,
}

/// One requirement of a [`Selector`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// The key of a label.
    pub key: String,
    /// What must be true of it.
    pub operator: Operator,
}

/// What an [`Expression`] requires of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// It has one of these values.
    In(Vec<String>),
    /// It has none of these values, or is missing.
    NotIn(Vec<String>),
    /// It is there.
    Exists,
    /// It is missing.
    DoesNotExist,
}

impl Selector {
    /// Reads a `LabelSelector` of the API; none if an operator is unknown.
    pub fn from_json(value: &Value) -> Option<Self> {
        value.as_object()?;
        let expressions = value.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            labels: texts_by_name(value.get("matchLabels")),
            expressions: expressions.map(Expression::from_json).collect::<Option<_>>()?,
        })
    }

    /// Whether labels are as they must be.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.expressions.iter().all(|expression| expression.matches(labels))
    }
}

impl Expression {
    fn from_json(value: &Value) -> Option<Self> {
        let values = || texts(value.get("values"));
        let operator = match value.get("operator")?.as_str()? {
            "In" => Operator::In(values()),
            "NotIn" => Operator::NotIn(values()),
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        };
        Some(Self { key: value.get("key")?.as_str()?.to_owned(), operator })
    }

    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}
