import numpy as np

from jecur.stain import StainMatrix
from jecur.stain.macenko import extreme_directions
from jecur.stain.optical_density import to_optical_density


def test_planted_stains_are_near(plant):
    errors = []
    for seed in range(6):
        stains, pixels = plant(seed)
        od = to_optical_density(pixels)
        od = od[od.mean(axis=1) > 0.15]
        errors.append(StainMatrix(extreme_directions(od)).angle_to(stains))
    assert (np.median(errors, axis=0) < 5.0).all()


def test_order_of_pixels_does_not_matter(plant):
    _, pixels = plant(0)
    od = to_optical_density(pixels)
    np.testing.assert_allclose(extreme_directions(od[::-1]), extreme_directions(od), atol=1e-9)


def test_one_color_gives_two_equal_rows():
    od = np.linspace(0.2, 2.0, 50)[:, None] * np.array([[0.6, 0.7, 0.3]])
    rows = extreme_directions(od)
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
