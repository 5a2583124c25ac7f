"""Steps as columns."""

import numpy as np

from pretrain_trainer.reporting.columns import columns_of


class TestColumnsOf:
    def test_no_steps_make_empty_columns(self) -> None:
        columns = columns_of([])
        assert len(columns) == 0
        assert columns.figures["loss"].shape == (0,)
        assert columns.validation == {}

    def test_what_a_step_lacks_is_nan(self) -> None:
        steps = [
            {"step": 1, "loss": None, "bySource": {"a": 2.0}},
            {"step": 2, "loss": 3.0, "bySource": {"b": 4.0}, "validation": {"a": 5.0}},
        ]
        columns = columns_of(steps)
        np.testing.assert_equal(columns.figures["loss"], [np.nan, 3.0])
        np.testing.assert_equal(columns.by_source["a"], [2.0, np.nan])
        np.testing.assert_equal(columns.by_source["b"], [np.nan, 4.0])
        np.testing.assert_equal(columns.validation["a"], [np.nan, 5.0])
