//! NumPy arrays without a copy and without linking NumPy: by the array's own description of itself.
//!
//! `__array_interface__` (NumPy, "The array interface protocol", version 3) gives the address, shape, strides and type of an array's memory. The buffer protocol would say the
//! same, but the stable ABI has it only from Python 3.11 on.
#![expect(unsafe_code, reason = "reads and writes the memory that a NumPy array describes")]

use std::marker::PhantomData;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The values of a C-contiguous array of 64-bit floats, borrowed for as long as the call that was given the array.
pub(crate) struct Array<'py> {
    address: usize,
    shape: Vec<usize>,
    is_writable: bool,
    /// Keeps the array, and with it its memory, alive.
    _owner: Bound<'py, PyAny>,
    _lifetime: PhantomData<&'py [f64]>,
}

impl<'py> Array<'py> {
    /// Borrows `array`, which the Python half has made C-contiguous and 64-bit.
    pub(crate) fn of(array: &Bound<'py, PyAny>) -> PyResult<Self> {
        let wrong =
            |what: &str| PyTypeError::new_err(format!("{what}; give a C-contiguous NumPy array of float64"));
        let interface = array.getattr("__array_interface__").map_err(|_| wrong("this is no NumPy array"))?;
        let interface = interface.cast_into::<PyDict>().map_err(|_| wrong("this is no NumPy array"))?;
        let field =
            |name: &str| interface.get_item(name)?.ok_or_else(|| wrong("the array does not describe itself"));
        let expected = if cfg!(target_endian = "little") { "<f8" } else { ">f8" };
        let kind: String = field("typestr")?.extract()?;
        if kind != expected {
            return Err(wrong(&format!("the array holds {kind}")));
        }
        let is_contiguous = interface.get_item("strides")?.is_none_or(|strides| strides.is_none());
        if !is_contiguous {
            return Err(wrong("the array is not C-contiguous"));
        }
        let shape: Vec<usize> = field("shape")?.extract()?;
        let (address, is_read_only): (usize, bool) = field("data")?.extract()?;
        let count = shape.iter().try_fold(1_usize, |count, length| count.checked_mul(*length));
        let count = count.ok_or_else(|| PyValueError::new_err("the array is too large"))?;
        if count > 0 && (address == 0 || !address.is_multiple_of(align_of::<f64>())) {
            return Err(wrong("the array is not aligned"));
        }
        Ok(Self { address, shape, is_writable: !is_read_only, _owner: array.clone(), _lifetime: PhantomData })
    }

    /// The length of each dimension.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All values, row after row.
    pub(crate) fn values(&self) -> &[f64] {
        let count = self.shape.iter().product();
        if count == 0 {
            return &[];
        }
        // SAFETY: NumPy describes `count` values of this type at this address, aligned and contiguous; `_owner` keeps them alive for as long as `self`. That no
        // other thread writes them meanwhile is the caller's part, as it is for NumPy's own functions that release the lock.
        unsafe { std::slice::from_raw_parts(self.address as *const f64, count) }
    }

    /// All values, to be written.
    ///
    /// # Errors
    /// An array that is read-only.
    pub(crate) fn values_mut(&mut self) -> PyResult<&mut [f64]> {
        if !self.is_writable {
            return Err(PyValueError::new_err("the array for the result is read-only; give a fresh one"));
        }
        let count: usize = self.shape.iter().product();
        if count == 0 {
            return Ok(&mut []);
        }
        // SAFETY: as in `values`; the array is writable, and the Python half makes it for this one call, so nobody else holds it.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.address as *mut f64, count) })
    }
}
