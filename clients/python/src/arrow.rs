//! Arrow data without a copy and without linking Arrow: by its C data interface.
//!
//! `__arrow_c_array__` and `__arrow_c_stream__` (Apache Arrow, "The Arrow C data interface" and "The Arrow PyCapsule Interface") hand over structures of pointers. A column of
//! doubles without nulls in one piece is used where it lies; everything else that is a number is copied, null becoming NaN. What NumPy makes of it then is a view: [`Floats`]
//! describes its memory by `__array_interface__` and keeps it alive.
#![expect(unsafe_code, reason = "reads the memory that Arrow's structures describe")]

use std::ffi::{CStr, c_char, c_int, c_void};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

#[repr(C)]
struct Schema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const c_char,
    flags: i64,
    n_children: i64,
    children: *mut *mut Schema,
    dictionary: *mut Schema,
    release: Option<unsafe extern "C" fn(*mut Schema)>,
    private_data: *mut c_void,
}

#[repr(C)]
struct RawArray {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *const *const c_void,
    children: *mut *mut RawArray,
    dictionary: *mut RawArray,
    release: Option<unsafe extern "C" fn(*mut RawArray)>,
    private_data: *mut c_void,
}

#[repr(C)]
struct RawStream {
    get_schema: Option<unsafe extern "C" fn(*mut RawStream, *mut Schema) -> c_int>,
    get_next: Option<unsafe extern "C" fn(*mut RawStream, *mut RawArray) -> c_int>,
    get_last_error: Option<unsafe extern "C" fn(*mut RawStream) -> *const c_char>,
    release: Option<unsafe extern "C" fn(*mut RawStream)>,
    private_data: *mut c_void,
}

/// A structure that is released once, when we are done with it.
struct Owned<T: Release>(T);

trait Release {
    fn empty() -> Self;
    fn release(&mut self);
}

macro_rules! releases {
    ($kind:ty) => {
        impl Release for $kind {
            fn empty() -> Self {
                // SAFETY: all fields are pointers, integers and optional functions, for which zero is a value: a released structure.
                unsafe { std::mem::zeroed() }
            }

            fn release(&mut self) {
                if let Some(release) = self.release.take() {
                    // The producer's function looks at the mark itself.
                    self.release = Some(release);
                    // SAFETY: the producer set this function for this structure, and it has not been called: a released structure has none.
                    unsafe { release(self) };
                    self.release = None;
                }
            }
        }
    };
}

releases!(Schema);
releases!(RawArray);
releases!(RawStream);

impl<T: Release> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.release();
    }
}

// SAFETY: the interface says that a structure may be moved to and released on another thread, by one at a time; ours has one owner.
unsafe impl<T: Release> Send for Owned<T> {}
// SAFETY: shared, it is only read, and the data of an array that was handed over do not change.
unsafe impl<T: Release> Sync for Owned<T> {}

/// Moves a structure out of a capsule, which is left released.
fn take<T: Release>(capsule: &Bound<'_, PyAny>, name: &CStr) -> PyResult<Owned<T>> {
    // SAFETY: the call checks that this is a capsule of this name, and else sets an exception and gives null.
    let pointer = unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), name.as_ptr()) }.cast::<T>();
    if pointer.is_null() {
        return Err(PyErr::fetch(capsule.py()));
    }
    // SAFETY: a capsule of this name holds this structure (the capsule interface), and the interpreter's lock is held, so nobody else uses it.
    Ok(Owned(std::mem::replace(unsafe { &mut *pointer }, T::empty())))
}

/// Columns of 64-bit floats from Arrow.
#[pyclass(frozen, module = "backlot._native")]
pub(crate) struct Floats {
    address: usize,
    shape: Vec<usize>,
    /// Keeps the memory: the producer's, or a copy.
    memory: Memory,
}

enum Memory {
    Theirs { _array: Owned<RawArray> },
    Ours { _values: Vec<f64> },
}

impl Floats {
    /// One column that is ours.
    pub(crate) fn of(values: Vec<f64>) -> Self {
        Self {
            address: values.as_ptr() as usize,
            shape: vec![values.len()],
            memory: Memory::Ours { _values: values },
        }
    }
}

#[pymethods]
impl Floats {
    #[getter(__array_interface__)]
    fn array_interface<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("typestr", if cfg!(target_endian = "little") { "<f8" } else { ">f8" })?;
        interface.set_item("shape", PyTuple::new(py, &self.shape)?)?;
        // Read-only: it may be somebody else's.
        interface.set_item("data", (self.address, true))?;
        Ok(interface)
    }

    /// Whether the producer's memory is used as it lies.
    #[getter]
    fn is_view(&self) -> bool {
        matches!(self.memory, Memory::Theirs { .. })
    }
}

/// The numbers of an Arrow array, or the columns of an Arrow table, one in each row.
#[pyfunction]
pub(crate) fn arrow_floats(source: &Bound<'_, PyAny>) -> PyResult<Floats> {
    let (schema, mut chunks) = if source.hasattr("__arrow_c_array__")? {
        let pair = source.call_method0("__arrow_c_array__")?.cast_into::<PyTuple>()?;
        let schema: Owned<Schema> = take(&pair.get_item(0)?, c"arrow_schema")?;
        (schema, vec![take::<RawArray>(&pair.get_item(1)?, c"arrow_array")?])
    } else {
        let capsule = source.call_method0("__arrow_c_stream__")?;
        let mut stream: Owned<RawStream> = take(&capsule, c"arrow_array_stream")?;
        let mut schema = Owned(Schema::empty());
        check(&mut stream, |stream| {
            // SAFETY: the stream is not released; the functions are the producer's, and write a structure that we own.
            stream.get_schema.map(|get| unsafe { get(stream, &raw mut schema.0) })
        })?;
        let mut chunks = Vec::new();
        loop {
            let mut chunk = Owned(RawArray::empty());
            check(&mut stream, |stream| {
                // SAFETY: as above.
                stream.get_next.map(|get| unsafe { get(stream, &raw mut chunk.0) })
            })?;
            if chunk.0.release.is_none() {
                break;
            }
            chunks.push(chunk);
        }
        (schema, chunks)
    };
    let columns = columns(&schema.0)?;
    if let (None, [only]) = (&columns, &chunks[..])
        && let Some((address, length)) = plain(&schema.0, &only.0)?
    {
        let array = chunks.remove(0);
        return Ok(Floats { address, shape: vec![length], memory: Memory::Theirs { _array: array } });
    }
    let mut values = Vec::new();
    let shape = match columns {
        None => {
            for chunk in &chunks {
                append(&schema.0, &chunk.0, 0, &mut values)?;
            }
            vec![values.len()]
        }
        Some(columns) => {
            let points: i64 = chunks.iter().map(|chunk| chunk.0.length).sum();
            for (place, column) in columns.iter().enumerate() {
                for chunk in &chunks {
                    append(column, child(&chunk.0, place)?, chunk.0.offset, &mut values)?;
                }
            }
            let points = usize::try_from(points).map_err(|_| broken("a negative length"))?;
            if values.len() != points * columns.len() {
                return Err(broken("columns of different lengths"));
            }
            vec![columns.len(), points]
        }
    };
    Ok(Floats { address: values.as_ptr() as usize, shape, memory: Memory::Ours { _values: values } })
}

fn broken(what: &str) -> PyErr {
    PyValueError::new_err(format!("the Arrow data are broken: they have {what}; make them again"))
}

fn check(stream: &mut Owned<RawStream>, call: impl FnOnce(&mut RawStream) -> Option<c_int>) -> PyResult<()> {
    match call(&mut stream.0) {
        Some(0) => Ok(()),
        Some(code) => {
            let told = stream.0.get_last_error.map_or(std::ptr::null(), |get| {
                // SAFETY: the stream is not released; the text is the producer's and lives until the next call.
                unsafe { get(&raw mut stream.0) }
            });
            let told = if told.is_null() {
                String::new()
            } else {
                // SAFETY: not null, so a text that ends with a null byte (the C stream interface).
                unsafe { CStr::from_ptr(told) }.to_string_lossy().into_owned()
            };
            Err(PyValueError::new_err(format!("the Arrow stream ended with error {code}: {told}")))
        }
        None => Err(broken("a stream without functions")),
    }
}

fn format(schema: &Schema) -> PyResult<&str> {
    if schema.format.is_null() {
        return Err(broken("no format"));
    }
    // SAFETY: not null, so a text that ends with a null byte and lives as long as the schema (the C data interface).
    unsafe { CStr::from_ptr(schema.format) }.to_str().map_err(|_| broken("a format that is no text"))
}

/// The columns of a table; `None` for an array that is one column.
fn columns(schema: &Schema) -> PyResult<Option<Vec<&Schema>>> {
    if format(schema)? != "+s" {
        return Ok(None);
    }
    let count = usize::try_from(schema.n_children).map_err(|_| broken("a negative number of columns"))?;
    if count == 0 || schema.children.is_null() {
        return Err(PyValueError::new_err("the Arrow table has no column; give one for each signal"));
    }
    let mut columns = Vec::with_capacity(count);
    for place in 0..count {
        // SAFETY: the schema says that there are so many pointers to schemas, which live as long as it does.
        columns.push(unsafe { &**schema.children.add(place) });
    }
    Ok(Some(columns))
}

fn child(array: &RawArray, place: usize) -> PyResult<&RawArray> {
    let count = usize::try_from(array.n_children).unwrap_or(0);
    if place >= count || array.children.is_null() {
        return Err(broken("fewer columns than they say"));
    }
    // SAFETY: the array says that there are so many pointers to arrays, which live as long as it does.
    Ok(unsafe { &**array.children.add(place) })
}

fn buffer(array: &RawArray, place: usize) -> PyResult<*const c_void> {
    let count = usize::try_from(array.n_buffers).unwrap_or(0);
    if place >= count || array.buffers.is_null() {
        return Err(broken("too few buffers"));
    }
    // SAFETY: the array says that there are so many pointers to buffers.
    Ok(unsafe { *array.buffers.add(place) })
}

fn extent(array: &RawArray) -> PyResult<(usize, usize)> {
    let length = usize::try_from(array.length).map_err(|_| broken("a negative length"))?;
    let offset = usize::try_from(array.offset).map_err(|_| broken("a negative offset"))?;
    Ok((offset, length))
}

/// Address and length of doubles that can be used where they lie.
fn plain(schema: &Schema, array: &RawArray) -> PyResult<Option<(usize, usize)>> {
    if format(schema)? != "g" || !schema.dictionary.is_null() {
        return Ok(None);
    }
    let (offset, length) = extent(array)?;
    let has_nulls = !buffer(array, 0)?.is_null() && array.null_count != 0;
    let values = buffer(array, 1)? as usize;
    let is_usable = !has_nulls && length > 0 && values != 0 && values.is_multiple_of(align_of::<f64>());
    Ok(is_usable.then_some((values + offset * size_of::<f64>(), length)))
}

#[allow(clippy::cast_lossless, clippy::unnecessary_cast, reason = "one form for all types")]
/// Appends the numbers of a column; null becomes NaN. `outer` is the offset of the table that the column is part of.
fn append(schema: &Schema, array: &RawArray, outer: i64, values: &mut Vec<f64>) -> PyResult<()> {
    let kind = format(schema)?;
    if !schema.dictionary.is_null() {
        return Err(PyTypeError::new_err(
            "a dictionary of Arrow is no column of numbers; cast it to float64",
        ));
    }
    let (offset, length) = extent(array)?;
    // A table with an offset has columns that begin earlier than it does.
    let offset = offset + usize::try_from(outer).map_err(|_| broken("a negative offset"))?;
    let length = length.saturating_sub(usize::try_from(outer).unwrap_or(0));
    if length == 0 {
        return Ok(());
    }
    if kind == "n" {
        values.extend(std::iter::repeat_n(f64::NAN, length));
        return Ok(());
    }
    let validity = buffer(array, 0)?.cast::<u8>();
    let data = buffer(array, 1)?;
    if data.is_null() {
        return Err(broken("no values"));
    }
    let is_there = |place: usize| {
        // SAFETY: not null, so a bitmap of at least offset + length bits.
        validity.is_null() || unsafe { *validity.add(place / 8) } >> (place % 8) & 1 == 1
    };
    macro_rules! copied {
        ($kind:ty) => {
            for place in offset..offset + length {
                // SAFETY: the buffer holds at least offset + length values of the type that the format names; unaligned buffers are allowed for.
                let value = unsafe { data.cast::<$kind>().add(place).read_unaligned() };
                values.push(if is_there(place) { value as f64 } else { f64::NAN });
            }
        };
    }
    match kind {
        "g" => copied!(f64),
        "f" => copied!(f32),
        "c" => copied!(i8),
        "C" => copied!(u8),
        "s" => copied!(i16),
        "S" => copied!(u16),
        "i" => copied!(i32),
        "I" => copied!(u32),
        "l" => copied!(i64),
        "L" => copied!(u64),
        "b" => {
            for place in offset..offset + length {
                // SAFETY: the buffer is a bitmap of at least offset + length bits.
                let bit = unsafe { *data.cast::<u8>().add(place / 8) } >> (place % 8) & 1;
                values.push(if is_there(place) { f64::from(bit) } else { f64::NAN });
            }
        }
        other => {
            return Err(PyTypeError::new_err(format!(
                "Arrow's `{other}` is no column of numbers; cast it to float64, or leave it out"
            )));
        }
    }
    Ok(())
}
