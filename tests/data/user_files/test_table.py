from pathlib import Path

import numpy as np
import pyarrow as pa

from beyondlinear.data.user_files.table import float32_block, not_numeric


def test_a_block_has_a_row_a_row_and_nan_where_nothing_is():
    block = float32_block([pa.array([1.0, 2.0], pa.float32()), pa.array([None, 4], pa.float32())])
    assert block.dtype == np.float32
    np.testing.assert_array_equal(block, [[1, np.nan], [2, 4]])


def test_what_is_no_number_is_named():
    message = str(not_numeric(Path("e.csv"), "stage", "II", "s1"))
    expected = "'e.csv', column 'stage': 'II' in row 's1' is not a number."
    assert message.startswith(f"dataset.expression: {expected}")
