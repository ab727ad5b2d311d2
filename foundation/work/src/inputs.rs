//! From a claimed task to its input: references replaced by values, and the key under which an equal task's result is found.
//!
//! Runs on a reader of the ledger, for a whole batch of claimed tasks at once. The outputs of finished steps never
//! change within a generation of a run, so they are kept in memory between batches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use backlot_ledger::{Tx, params};
use serde_json::{Map, Value};

use crate::condition::Condition;
use crate::error::{Error, Result};
use crate::kind::Kinds;
use crate::plan::{Plan, Plans};
use crate::reference::{Reference, ReferenceError, Root, resolve};
use crate::transition::claim::Claimed;

/// Outputs of steps kept in memory; beyond it the cache is emptied.
const KEPT_OUTPUTS: usize = 64;

/// A claimed task with everything it needs to run.
pub(crate) struct Prepared {
    pub(crate) claimed: Claimed,
    pub(crate) plan: Arc<Plan>,
    pub(crate) input: std::result::Result<Value, String>,
    /// Where the result is to be remembered.
    pub(crate) cache_key: Option<[u8; 32]>,
    /// The outputs of an equal task that has succeeded before, as JSON text.
    pub(crate) hit: Option<String>,
}

/// Works out inputs; keeps the outputs of steps in memory.
#[derive(Default)]
pub(crate) struct Inputs {
    outputs: Mutex<HashMap<(i64, usize, i64), Arc<Value>>>,
}

impl Inputs {
    /// Prepares a batch of claimed tasks.
    pub(crate) fn prepare(
        &self,
        tx: &mut Tx<'_>,
        plans: &Plans,
        kinds: &Kinds,
        batch: Vec<Claimed>,
    ) -> Result<Vec<Prepared>> {
        let mut prepared = Vec::with_capacity(batch.len());
        for claimed in batch {
            let plan = plans.get(tx, claimed.run)?;
            let item: Option<Value> = match &claimed.item {
                Some(text) => Some(
                    serde_json::from_str(text).map_err(|_| Error::Unreadable("an item of a map".into()))?,
                ),
                None => None,
            };
            let template = plan.spec.steps[claimed.step].task_input();
            let mut scope =
                Scope { tx, inputs: self, plan: &plan, generation: claimed.generation, failure: None };
            let resolved =
                resolve(&template, &mut |reference| scope.lookup(reference, item.as_ref(), claimed.index));
            if let Some(failure) = scope.failure {
                return Err(failure);
            }
            let kind = kinds.get(&claimed.kind);
            let mut cache_key = None;
            let mut hit = None;
            if let (Ok(input), Some(kind)) = (&resolved, kind)
                && kind.reusable()
                && plan.caches(claimed.step)
            {
                let key = task_key(kind.name(), kind.version(), input);
                let row =
                    tx.query_opt("SELECT outputs FROM work_cache WHERE key = $1", params![key.as_slice()])?;
                hit = row.map(|row| row.get(0)).transpose()?;
                cache_key = Some(key);
            }
            prepared.push(Prepared {
                claimed,
                plan,
                input: resolved.map_err(|error| error.0),
                cache_key,
                hit,
            });
        }
        Ok(prepared)
    }

    /// Decides a step's condition and works out its list. `Ok(None)`: the condition does not hold.
    pub(crate) fn open(
        &self,
        tx: &mut Tx<'_>,
        plan: &Plan,
        step: usize,
        generation: i64,
    ) -> Result<Option<Value>> {
        let spec = &plan.spec.steps[step];
        let mut scope = Scope { tx, inputs: self, plan, generation, failure: None };
        let mut lookup = |reference: &Reference| scope.lookup(reference, None, 0);
        let result = (|| {
            if let Some(when) = &spec.when
                && !Condition::parse(when)?.holds(&mut lookup)?
            {
                return Ok(None);
            }
            match &spec.map {
                Some(map) => resolve(&map.over, &mut lookup).map(Some),
                None => Ok(Some(Value::Null)),
            }
        })();
        match scope.failure {
            Some(failure) => Err(failure),
            None => Ok(result?),
        }
    }

    /// The keys of one task of a step.
    pub(crate) fn keys(
        &self,
        tx: &mut Tx<'_>,
        plan: &Plan,
        step: usize,
        generation: i64,
        item: Option<&Value>,
        index: i64,
    ) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for key in &plan.spec.steps[step].keys {
            let mut scope = Scope { tx, inputs: self, plan, generation, failure: None };
            let resolved =
                resolve(&Value::String(key.clone()), &mut |reference| scope.lookup(reference, item, index));
            if let Some(failure) = scope.failure {
                return Err(failure);
            }
            let key = match resolved? {
                Value::String(text) => text,
                other => other.to_string(),
            };
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    fn outputs_of(&self, tx: &mut Tx<'_>, plan: &Plan, step: usize, generation: i64) -> Result<Arc<Value>> {
        let key = (plan.run, step, generation);
        if let Some(outputs) = self.outputs.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(outputs.clone());
        }
        let outputs = Arc::new(step_outputs(tx, plan, step)?);
        let mut kept = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_OUTPUTS {
            kept.clear();
        }
        kept.insert(key, outputs.clone());
        Ok(outputs)
    }
}

/// The outputs of a finished step: an object, or for a map the list of them in the order of the items; null where a
/// task has none.
pub(crate) fn step_outputs(tx: &mut Tx<'_>, plan: &Plan, step: usize) -> Result<Value> {
    let rows = tx.query(
        "SELECT outputs FROM work_tasks WHERE run = $1 AND step = $2 ORDER BY idx",
        params![plan.run, step as i64],
    )?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        let text: Option<String> = row.get(0)?;
        all.push(match text {
            Some(text) => {
                serde_json::from_str(&text).map_err(|_| Error::Unreadable("a task's outputs".into()))?
            }
            None => Value::Null,
        });
    }
    Ok(if plan.spec.steps[step].map.is_some() {
        Value::Array(all)
    } else {
        all.into_iter().next().unwrap_or(Value::Null)
    })
}

struct Scope<'a, 'tx> {
    tx: &'a mut Tx<'tx>,
    inputs: &'a Inputs,
    plan: &'a Plan,
    generation: i64,
    /// A failure of the ledger, which is not the spec's fault and must not be reported as such.
    failure: Option<Error>,
}

impl Scope<'_, '_> {
    fn lookup(
        &mut self,
        reference: &Reference,
        item: Option<&Value>,
        index: i64,
    ) -> std::result::Result<Value, ReferenceError> {
        match &reference.root {
            Root::Param(name) => reference.follow(self.plan.params.get(name).unwrap_or(&Value::Null)),
            Root::Item => reference.follow(item.unwrap_or(&Value::Null)),
            Root::Index => Ok(Value::from(index)),
            Root::RunId => Ok(Value::from(self.plan.public_id.as_str())),
            Root::RunName => Ok(Value::from(self.plan.spec.name.as_str())),
            Root::Step(name) => {
                let step = self.plan.spec.steps.iter().position(|step| step.name == *name);
                let step =
                    step.ok_or_else(|| ReferenceError(format!("`{reference}`: there is no such step")))?;
                match self.inputs.outputs_of(self.tx, self.plan, step, self.generation) {
                    Ok(outputs) => follow_outputs(reference, &outputs),
                    Err(error) => {
                        let text = error.to_string();
                        self.failure = Some(error);
                        Err(ReferenceError(text))
                    }
                }
            }
        }
    }
}

/// Outputs of a map are looked at through the output's name: `${steps.encode.clip}` is the list of all clips.
fn follow_outputs(reference: &Reference, outputs: &Value) -> std::result::Result<Value, ReferenceError> {
    match (outputs, reference.path.split_first()) {
        (Value::Null, _) => Ok(Value::Null), // a skipped step has no outputs
        (Value::Array(all), Some((name, rest))) if name.parse::<usize>().is_err() => {
            let column =
                all.iter().map(|outputs| outputs.get(name).cloned().unwrap_or(Value::Null)).collect();
            let rest = Reference { root: reference.root.clone(), path: rest.to_vec() };
            rest.follow(&Value::Array(column))
        }
        _ => reference.follow(outputs),
    }
}

/// The key of a task's result: a digest of the kind, its version and the input. Inputs hold blobs by digest, so equal
/// keys mean equal content.
pub(crate) fn task_key(kind: &str, version: u32, input: &Value) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("backlot work task key v1");
    hash_text(&mut hasher, kind);
    hasher.update(&version.to_le_bytes());
    hash_value(&mut hasher, input);
    *hasher.finalize().as_bytes()
}

fn hash_text(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

/// Every value with a tag and a length, objects by sorted names: no two different values give the same bytes, and
/// the order in which an object was written does not matter.
fn hash_value(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Null => {
            hasher.update(b"0");
        }
        Value::Bool(flag) => {
            hasher.update(if *flag { b"t" } else { b"f" });
        }
        Value::Number(number) => {
            hasher.update(b"n");
            hash_text(hasher, &number.to_string());
        }
        Value::String(text) => {
            hasher.update(b"s");
            hash_text(hasher, text);
        }
        Value::Array(items) => {
            hasher.update(b"a").update(&(items.len() as u64).to_le_bytes());
            for item in items {
                hash_value(hasher, item);
            }
        }
        Value::Object(fields) => {
            hasher.update(b"o").update(&(fields.len() as u64).to_le_bytes());
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            for name in names {
                hash_text(hasher, name);
                hash_value(hasher, &fields[name]);
            }
        }
    }
}

/// Replaces values that are too large for the ledger by blobs in the store.
pub(crate) async fn spill_large(
    store: &backlot_store::Store,
    outputs: Map<String, Value>,
) -> std::result::Result<String, String> {
    /// Larger values live in the store: a row of the ledger is read whole, often, and by everyone.
    const LARGEST_INLINE: usize = 256 << 10;
    let mut text = serde_json::to_string(&outputs).map_err(|error| error.to_string())?;
    if text.len() <= LARGEST_INLINE {
        return Ok(text);
    }
    let mut small = Map::new();
    for (name, value) in outputs {
        let bytes = serde_json::to_vec(&value).map_err(|error| error.to_string())?;
        if bytes.len() <= LARGEST_INLINE / 16 {
            small.insert(name, value);
            continue;
        }
        let blob = store.put(bytes).await.map_err(|error| error.to_string())?;
        let blob = crate::kind::BlobRef {
            digest: blob.digest,
            size: blob.size,
            media_type: "application/json".into(),
        };
        small.insert(name, serde_json::to_value(blob).map_err(|error| error.to_string())?);
    }
    text = serde_json::to_string(&small).map_err(|error| error.to_string())?;
    if text.len() > 16 * LARGEST_INLINE {
        return Err("the task has too many outputs; gather them in one list".into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_depend_on_content_not_on_order() {
        let a: Value = serde_json::from_str(r#"{"a": 1, "b": [1, "x"]}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"b": [1, "x"], "a": 1}"#).unwrap();
        assert_eq!(task_key("k", 1, &a), task_key("k", 1, &b));
        let others = [
            json!({"a": 1, "b": [1, "x", null]}),
            json!({"a": "1", "b": [1, "x"]}),
            json!([["a", 1]]),
            json!(null),
        ];
        for other in others {
            assert_ne!(task_key("k", 1, &a), task_key("k", 1, &other));
        }
        assert_ne!(task_key("k", 1, &a), task_key("k", 2, &a));
        assert_ne!(task_key("k", 1, &a), task_key("kk", 1, &a));
    }

    #[test]
    fn outputs_of_a_map_are_seen_by_column() {
        let outputs = json!([{"n": 1, "m": {"x": 5}}, null, {"n": 3}]);
        let follow = |text: &str| follow_outputs(&Reference::parse(text).unwrap(), &outputs).unwrap();
        assert_eq!(follow("steps.s.n"), json!([1, null, 3]));
        assert_eq!(follow("steps.s.n.2"), json!(3));
        assert_eq!(follow("steps.s.0.m.x"), json!(5));
        assert_eq!(follow("steps.s"), outputs);
        assert_eq!(
            follow_outputs(&Reference::parse("steps.s.n").unwrap(), &Value::Null).unwrap(),
            Value::Null
        );
    }
}
