//! Chance: ids of cells, besides what kernels are named and signed with.

use backlot_notebooks_model::cell_id;

pub(crate) use backlot_notebooks_kernels::chance::{bytes, hex, uuid};

/// A cell id.
pub(crate) fn new_cell_id() -> String {
    cell_id(fastrand::u32(..))
}
