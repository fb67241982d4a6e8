//! Figures, and how they are shown.

use serde_json::{Value, json};

/// One figure.
#[derive(Clone, Debug)]
pub struct Figure {
    pub name: String,
    /// How large the cluster was: owners.
    pub n: usize,
    pub value: f64,
    pub unit: &'static str,
    /// The most it may be.
    pub goal: Option<f64>,
}

impl Figure {
    pub fn new(name: impl Into<String>, n: usize, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), n, value, unit, goal: None }
    }

    pub fn goal(self, goal: f64) -> Self {
        Self { goal: Some(goal), ..self }
    }

    fn json(&self) -> Value {
        let Self { name, n, value, unit, goal } = self;
        json!({ "name": name, "n": n, "value": value, "unit": unit, "goal": goal })
    }

    fn line(&self) -> String {
        let goal = match self.goal {
            None => String::new(),
            Some(goal) if self.value <= goal => format!("at most {}", short(goal)),
            Some(goal) => format!("at most {}  MISSED", short(goal)),
        };
        let Self { name, n, unit, .. } = self;
        format!("{name:<28} {n:>7} {:>13} {unit:<10} {goal}", short(self.value)).trim_end().to_owned()
    }
}

/// Prints all figures as JSON.
pub fn print_json(figures: &[Figure]) {
    println!("{:#}", figures.iter().map(Figure::json).collect::<Value>());
}

/// Prints the table's head.
pub fn print_head() {
    println!("{:<28} {:>7} {:>13} {:<10} goal", "figure", "owners", "value", "unit");
}

/// Prints a line of the table.
pub fn print_line(figure: &Figure) {
    println!("{}", figure.line());
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// With as many decimals as matter.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        value if value >= 1000.0 || value.fract() == 0.0 => 0,
        value if value >= 100.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}
