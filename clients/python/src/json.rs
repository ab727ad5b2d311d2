//! JSON as Python has it: dicts, lists, texts, numbers, booleans and `None`.

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde::Serialize;
use serde_json::{Map, Number, Value};

/// As deep as the server reads; a list that holds itself is deeper.
const DEEPEST: usize = 128;

/// A value in the shape of its JSON.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    let value = serde_json::to_value(value).map_err(|error| PyValueError::new_err(error.to_string()))?;
    from_json(py, &value)
}

fn from_json<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(value) => value.into_bound_py_any(py),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => value.into_bound_py_any(py),
            (_, Some(value)) => value.into_bound_py_any(py),
            _ => number.as_f64().into_bound_py_any(py),
        },
        Value::String(value) => value.into_bound_py_any(py),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(from_json(py, item)?)?;
            }
            Ok(list.into_any())
        }
        Value::Object(fields) => {
            let dict = PyDict::new(py);
            for (name, field) in fields {
                dict.set_item(name, from_json(py, field)?)?;
            }
            Ok(dict.into_any())
        }
    }
}

/// A Python value as JSON; `name` says in messages what it is.
pub(crate) fn to_json(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    read(value, &mut Place { path: name.to_owned(), depth: 0 })
}

/// A Python dict as a JSON object.
pub(crate) fn to_object(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Map<String, Value>> {
    match to_json(name, value)? {
        Value::Object(fields) => Ok(fields),
        _ => Err(PyTypeError::new_err(format!("{name} must be a dict, not {}", type_name(value)))),
    }
}

/// Where in the whole a value stands.
struct Place {
    path: String,
    depth: usize,
}

impl Place {
    /// Reads something that lies below here.
    fn below(&mut self, step: &str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
        if self.depth == DEEPEST {
            let message = format!("{} is nested deeper than {DEEPEST} levels", self.path);
            return Err(PyValueError::new_err(message));
        }
        let length = self.path.len();
        self.path.push_str(step);
        self.depth += 1;
        let read = read(value, self)?;
        self.path.truncate(length);
        self.depth -= 1;
        Ok(read)
    }
}

fn read(value: &Bound<'_, PyAny>, place: &mut Place) -> PyResult<Value> {
    if value.is_none() {
        return Ok(Value::Null);
    }
    // Before the integers, among which Python counts its booleans.
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(Value::Bool(value.is_true()));
    }
    if let Ok(value) = value.cast::<PyString>() {
        return Ok(Value::String(value.to_string_lossy().into_owned()));
    }
    if value.is_instance_of::<PyInt>() {
        let number =
            value.extract::<i64>().map(Number::from).or_else(|_| value.extract::<u64>().map(Number::from));
        let too_large =
            |_| PyValueError::new_err(format!("{} does not fit 64 bits; give it as text", place.path));
        return number.map(Value::Number).map_err(too_large);
    }
    if let Ok(value) = value.cast::<PyFloat>() {
        let number = Number::from_f64(value.value());
        let message = || {
            PyValueError::new_err(format!("{} is {}, which JSON does not have", place.path, value.value()))
        };
        return number.map(Value::Number).ok_or_else(message);
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        let mut fields = Map::new();
        for (name, field) in dict {
            let Ok(name) = name.cast::<PyString>() else {
                let message = format!("{} has a key that is a {}; use texts", place.path, type_name(&name));
                return Err(PyTypeError::new_err(message));
            };
            let name = name.to_string_lossy().into_owned();
            let field = place.below(&format!("[{name:?}]"), &field)?;
            fields.insert(name, field);
        }
        return Ok(Value::Object(fields));
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let mut items = Vec::new();
        for (index, item) in value.try_iter()?.enumerate() {
            items.push(place.below(&format!("[{index}]"), &item?)?);
        }
        return Ok(Value::Array(items));
    }
    let mend = "use dict, list, str, int, float, bool or None";
    Err(PyTypeError::new_err(format!(
        "{} is a {}, which JSON does not have; {mend}",
        place.path,
        type_name(value)
    )))
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "value".to_owned(), |name| name.to_string())
}
