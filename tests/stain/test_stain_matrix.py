import numpy as np
import pytest

from jecur.errors import StainError
from jecur.stain import RUIFROK, StainMatrix
from jecur.stain.stain_matrix import order_stains


@pytest.mark.parametrize(
    "rows",
    [
        [[1.0, 0.0, 0.0]],
        [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]],
        [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]],
        [[np.nan, 0.0, 0.0], [0.0, 1.0, 0.0]],
    ],
)
def test_anything_but_two_nonnegative_unit_rows_is_refused(rows):
    with pytest.raises(StainError) as refused:
        StainMatrix(np.array(rows))
    assert refused.value.code == "bad-stain-matrix"


def test_angles_and_separation_are_degrees():
    a = StainMatrix.from_rows([[1, 0, 0], [0, 1, 0]])
    b = StainMatrix.from_rows([[1, 1, 0], [0, 1, 0]])
    np.testing.assert_allclose(a.angle_to(b), [45.0, 0.0], atol=1e-9)
    assert a.separation == pytest.approx(90.0)


def test_a_stain_matrix_cannot_be_changed_from_outside():
    rows = RUIFROK.vectors.copy()
    stains = StainMatrix(rows)
    rows[0] = 0.0
    assert stains == RUIFROK
    assert hash(stains) == hash(RUIFROK)
    with pytest.raises(ValueError, match="read-only"):
        stains.vectors[0, 0] = 1.0


def test_hematoxylin_comes_first_whichever_way_the_rows_arrive():
    np.testing.assert_array_equal(order_stains(RUIFROK.vectors[::-1]), RUIFROK.vectors)
    np.testing.assert_array_equal(order_stains(RUIFROK.vectors), RUIFROK.vectors)
