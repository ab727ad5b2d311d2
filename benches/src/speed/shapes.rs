//! The graphs that everybody runs, and the answers that everybody must give.

use backlot_work::{Kinds, Outputs, RunSpec, StepSpec, TaskError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Answers stay below this, so that every language counts them alike.
const MODULUS: i64 = 1_000_003;

/// A graph of tasks that do next to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// A list made by a first task, and one task for each item, whose answer is the item.
    Map {
        /// The length of the list.
        tasks: usize,
    },
    /// Layers of single-task steps. A step of the first layer answers its place in the layer; every other one adds
    /// the answers of two steps of the layer before and one: the step at its own place and that step's right neighbour.
    Dag {
        /// How many layers.
        layers: usize,
        /// Steps in each.
        width: usize,
    },
}

impl Shape {
    /// The number of tasks, without the map's first.
    pub fn tasks(self) -> usize {
        match self {
            Shape::Map { tasks } => tasks,
            Shape::Dag { layers, width } => layers * width,
        }
    }

    /// `map` or `dag`.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Map { .. } => "map",
            Shape::Dag { .. } => "dag",
        }
    }

    /// The answers of all tasks in order; a DAG's layer by layer.
    pub fn expected(self) -> Vec<i64> {
        match self {
            Shape::Map { tasks } => (0..tasks as i64).collect(),
            Shape::Dag { layers, width } => {
                let mut all: Vec<i64> = (0..width as i64).collect();
                for layer in 1..layers {
                    let before = (layer - 1) * width;
                    for place in 0..width {
                        let sum = all[before + place] + all[before + (place + 1) % width] + 1;
                        all.push(sum % MODULUS);
                    }
                }
                all
            }
        }
    }

    /// The run. `salt` is part of every input, so that no result of an earlier run is reused.
    pub fn spec(self, salt: &str, reuse: bool) -> RunSpec {
        let mut spec = RunSpec::new(self.name());
        spec.cache = reuse;
        match self {
            Shape::Map { tasks } => {
                spec.steps.push(StepSpec::new("list", "bench.list", json!({"salt": salt, "length": tasks})));
                spec.step(
                    StepSpec::new("map", "bench.noop", json!({"salt": salt, "item": "${item}"}))
                        .map_over(json!("${steps.list.items}"), None),
                )
            }
            Shape::Dag { layers, width } => {
                for layer in 0..layers {
                    for place in 0..width {
                        let input = if layer == 0 {
                            json!({"salt": salt, "item": place})
                        } else {
                            let before = layer - 1;
                            let right = (place + 1) % width;
                            json!({
                                "salt": salt,
                                "a": format!("${{steps.s{before}-{place}.out}}"),
                                "b": format!("${{steps.s{before}-{right}.out}}"),
                            })
                        };
                        spec.steps.push(StepSpec::new(step_name(layer, place), "bench.noop", input));
                    }
                }
                spec
            }
        }
    }

    /// Collects the answers of a run that has ended.
    pub async fn answers(self, work: &backlot_work::Work, run: &str) -> backlot_work::Result<Vec<i64>> {
        let number = |output: &Value| output["out"].as_i64().unwrap_or(-1);
        match self {
            Shape::Map { .. } => {
                let outputs = work.outputs(run, "map").await?;
                Ok(outputs.as_array().map(|all| all.iter().map(number).collect()).unwrap_or_default())
            }
            Shape::Dag { layers, width } => {
                let mut all = Vec::with_capacity(layers * width);
                for layer in 0..layers {
                    for place in 0..width {
                        all.push(number(&work.outputs(run, &step_name(layer, place)).await?));
                    }
                }
                Ok(all)
            }
        }
    }
}

fn step_name(layer: usize, place: usize) -> String {
    format!("s{layer}-{place}")
}

/// The kinds of the benchmark's tasks.
pub fn kinds() -> Kinds {
    Kinds::new()
        .with_fn("bench.list", 1, |task| async move {
            let length = task.input()["length"].as_i64().unwrap_or(0);
            Outputs::new().value("items", (0..length).collect::<Vec<_>>())
        })
        .with_fn("bench.noop", 1, |task| async move {
            let input = task.input();
            if let Some(item) = input.get("item") {
                return Outputs::new().value("out", item);
            }
            let sum = input["a"].as_i64().zip(input["b"].as_i64()).map(|(a, b)| (a + b + 1) % MODULUS);
            let sum = sum.ok_or_else(|| TaskError::Permanent("the two numbers before are missing".into()))?;
            Outputs::new().value("out", sum)
        })
}
