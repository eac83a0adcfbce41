"""Array types: axes, element type and range, said once.

Images are row-major: axis order (height, width, channel). Colors are R, G, B, 8 bit, white = 255.
"""

import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]
"""(h, w, 3) one image."""
RGBBatch = NDArray[np.uint8]
"""(n, h, w, 3) images of one size."""
Pixels = NDArray[np.uint8]
"""(n, 3) loose pixels."""
OpticalDensity = NDArray[np.float64]
"""(n, 3) -ln(I / I0), non-negative, base e."""
Concentrations = NDArray[np.float64]
"""(n, 2) hematoxylin, eosin; non-negative."""
StainVectors = NDArray[np.float64]
"""(2, 3) hematoxylin (row 0) and eosin (row 1); unit rows, non-negative."""
NucleiBatch = NDArray[np.uint8]
"""(n, h, w) probability of nucleus x 255."""
BagArray = NDArray[np.uint8]
"""(n, 224, 224, 4) R, G, B, nuclei: the tiles of a bag."""
FeatureArray = NDArray[np.float32]
"""(n, d) tiles as another network described them: a bag of frozen features."""
Mask = NDArray[np.bool_]
"""(h, w) True inside."""
LabelImage = NDArray[np.integer]
"""(h, w) 0 = background, k = object k."""
Positions = NDArray[np.int64]
"""(n, 2) x, y in level-0 pixels, upper left corner."""
Vector = NDArray[np.float64]
"""(n,)"""
BoolVector = NDArray[np.bool_]
"""(n,)"""
IntVector = NDArray[np.int64]
"""(n,)"""
Matrix = NDArray[np.float64]
"""(n, p)"""
Logits = NDArray[np.float32]
"""(n,) unbounded tile scores; higher = earlier recurrence."""
