"""What stands before the network in an ONNX file, in ONNX's own text: the neighbor search and the tables of its sums.

A table (n, K) lists in its row i the places where an index is i, padded. It comes from one sort of unique keys, in
which a marker follows the places of each owner: the markers are the ends of the rows. This needs no scatter, and memory
that grows linearly.
"""

from __future__ import annotations

import onnx
import onnx.inliner
import onnx.parser

OPSET = 20
IR_VERSION = 10  # ONNX Runtime 1.18 and later read it

TABLE = """
<domain: "assay", opset_import: ["" : 20]>
table (owner, n_owners, pad) => (table)
{
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    first = Constant <value_ints = [0]> ()
    second = Constant <value_ints = [1]> ()
    last = Constant <value_ints = [-1]> ()
    owners = Range (zero, n_owners, one)
    both = Concat <axis = 0> (owner, owners)
    n_places = Shape (owner)
    n_both = Shape (both)
    n_both_scalar = Squeeze (n_both, first)
    place = Range (zero, n_both_scalar, one)
    scaled = Mul (both, n_both)
    key = Add (scaled, place)
    sorted_key, order = TopK <axis = 0, largest = 0, sorted = 1> (key, n_both)
    is_marker = GreaterOrEqual (order, n_places)
    markers = NonZero (is_marker)
    end = Squeeze (markers, first)
    previous_end = Slice (end, first, last, first)
    next_start = Add (previous_end, one)
    start = Concat <axis = 0> (first, next_start)
    length = Sub (end, start)
    longest = ReduceMax <keepdims = 0> (length)
    width = Max (longest, one)
    column = Range (zero, width, one)
    start_column = Unsqueeze (start, second)
    end_column = Unsqueeze (end, second)
    cell = Add (start_column, column)
    cell_or_end = Min (cell, end_column)
    entry = Gather (order, cell_or_end)
    table = Min (entry, pad)
}
"""

MEMBERS = """
<domain: "assay", opset_import: ["" : 20, "assay" : 1]>
structures (batch) => (members)
{
    one = Constant <value_int = 1> ()
    largest = ReduceMax <keepdims = 0> (batch)
    n_structures = Add (largest, one)
    n_atoms = Size (batch)
    members = assay.table (batch, n_structures, n_atoms)
}
"""

# Zeros for finite positions, which become NaN for all others, and for all atoms where an index is negative: such an
# index would count from the end, and put atoms into another structure. Zero stands in its place.
TAINT = """
<domain: "assay", opset_import: ["" : 20]>
taint (positions, indices) => (tainted)
{
    zero = Constant <value_int = 0> ()
    no_length = Constant <value = float {0.0}> ()
    not_a_number = Constant <value = float {nan}> ()
    smallest = ReduceMin <keepdims = 0> (indices)
    is_negative = Less (smallest, zero)
    factor = Where (is_negative, not_a_number, no_length)
    nothing = Mul (positions, factor)
    tainted = Add (positions, nothing)
}
"""

# The search finds every pair of different atoms of one structure within the cutoff, by atom and then by neighbor. A
# distance that is not a number counts as near, so that it reaches the energy.
SEARCH = """
<domain: "assay", opset_import: ["" : 20]>
search (positions, batch, members, cutoff_squared) => (neighbor, atom, shift)
{
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    second = Constant <value_ints = [1]> ()
    third = Constant <value_ints = [2]> ()
    flat = Constant <value_ints = [-1]> ()
    no_shift = Constant <value = float[1] {0.0}> ()
    n_atoms = Size (batch)
    last_atom = Sub (n_atoms, one)
    all_atoms = Range (zero, n_atoms, one)
    here = Unsqueeze (all_atoms, second)
    candidate = Gather (members, batch)
    exists = Less (candidate, n_atoms)
    is_here = Equal (candidate, here)
    is_other = Not (is_here)
    some_atom = Min (candidate, last_atom)
    there = Gather (positions, some_atom)
    position_here = Unsqueeze (positions, second)
    vector = Sub (there, position_here)
    squared = ReduceSumSquare <keepdims = 0> (vector, third)
    is_far = Greater (squared, cutoff_squared)
    is_near = Not (is_far)
    exists_other = And (exists, is_other)
    is_edge = And (exists_other, is_near)
    edges = NonZero (is_edge)
    atom = Gather <axis = 0> (edges, zero)
    column = Gather <axis = 0> (edges, one)
    width = Shape <start = 1, end = 2> (candidate)
    row_start = Mul (atom, width)
    cell = Add (row_start, column)
    candidates = Reshape (candidate, flat)
    neighbor = Gather (candidates, cell)
    n_edges = Shape (atom)
    three = Constant <value_ints = [3]> ()
    shift_shape = Concat <axis = 0> (n_edges, three)
    shift = Expand (no_shift, shift_shape)
}
"""

# The edges with a dummy appended, and the tables of edges by atom and by neighbor.
TABLES = """
<domain: "assay", opset_import: ["" : 20, "assay" : 1]>
tables (some_neighbor, some_atom, some_shift, batch, dummy_shift) => (neighbor, atom, shift, incoming, outgoing)
{
    dummy = Constant <value_ints = [0]> ()
    n_atoms = Size (batch)
    n_edges = Size (some_atom)
    incoming = assay.table (some_atom, n_atoms, n_edges)
    outgoing = assay.table (some_neighbor, n_atoms, n_edges)
    neighbor = Concat <axis = 0> (some_neighbor, dummy)
    atom = Concat <axis = 0> (some_atom, dummy)
    shift = Concat <axis = 0> (some_shift, dummy_shift)
}
"""

RESULTS = """(float[atoms, 3] tainted, int64[edges] neighbor, int64[edges] atom, float[edges, 3] shift,
    int64[atoms, slots_in] incoming,
    int64[atoms, slots_out] outgoing, int64[structures, largest] members)"""

FROM_ATOMS = """
<ir_version: 10, opset_import: ["" : 20, "assay" : 1]>
prelude (float[atoms, 3] positions, int64[atoms] batch) => RESULTS
{
    cutoff_squared = Constant <value = float {CUTOFF_SQUARED}> ()
    dummy_shift = Constant <value = float[1, 3] {TWICE_CUTOFF, 0.0, 0.0}> ()
    zero = Constant <value_int = 0> ()
    structure = Max (batch, zero)
    members = assay.structures (structure)
    tainted = assay.taint (positions, batch)
    found_neighbor, found_atom, found_shift = assay.search (tainted, structure, members, cutoff_squared)
    neighbor, atom, shift, incoming, outgoing =
        assay.tables (found_neighbor, found_atom, found_shift, structure, dummy_shift)
}
"""

FROM_EDGES = """
<ir_version: 10, opset_import: ["" : 20, "assay" : 1]>
prelude (float[atoms, 3] positions, int64[atoms] batch, int64[2, pairs] edge_index, float[pairs, 3] edge_shift)
    => RESULTS
{
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    dummy_shift = Constant <value = float[1, 3] {TWICE_CUTOFF, 0.0, 0.0}> ()
    flat = Constant <value_ints = [-1]> ()
    structure = Max (batch, zero)
    edges = Max (edge_index, zero)
    members = assay.structures (structure)
    flat_edges = Reshape (edge_index, flat)
    indices = Concat <axis = 0> (batch, flat_edges)
    tainted = assay.taint (positions, indices)
    given_neighbor = Gather <axis = 0> (edges, zero)
    given_atom = Gather <axis = 0> (edges, one)
    neighbor, atom, shift, incoming, outgoing =
        assay.tables (given_neighbor, given_atom, edge_shift, structure, dummy_shift)
}
"""


def prelude(cutoff: float, *, search: bool) -> onnx.ModelProto:
    """Return plain ONNX that makes the inputs of a lowered network, with all functions inlined.

    Args:
        cutoff: radius of the neighbor search, angstrom.
        search: whether to find the neighbors from positions and batch, or to read edge_index and edge_shift.
    """
    text = (FROM_ATOMS if search else FROM_EDGES).replace("RESULTS", RESULTS)
    text = text.replace("CUTOFF_SQUARED", f"{cutoff * cutoff:.9g}").replace("TWICE_CUTOFF", f"{2 * cutoff:.9g}")
    model = onnx.parser.parse_model(text)
    model.functions.extend(onnx.parser.parse_function(function) for function in (TABLE, MEMBERS, TAINT, SEARCH, TABLES))
    model = onnx.inliner.inline_local_functions(model)
    del model.opset_import[1]  # the opset of the functions, which are inlined
    return model
