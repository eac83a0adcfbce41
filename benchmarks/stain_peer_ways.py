"""Other toolkits' ways to map tiles with a known stain matrix, called through their own packages.

Each maker takes our fitted `StainTransfer` and gives a function from (n, h, w, 3) uint8 to the same.
TIAToolbox and torch-staintools are given the slide's and the reference's stains in place of what
they would estimate a tile; their percentiles a tile stay, for that is how they work. torchstain
cannot be given stains: its Macenko runs as it is, fit a tile.
"""

from collections.abc import Callable

import numpy as np

from jecur.stain.color_map import StainTransfer
from jecur.stain.optical_density import from_optical_density, to_optical_density

Way = Callable[[np.ndarray], np.ndarray]
PIXELS = 4096


def staintools_spams(transfer: StainTransfer, threads: int) -> Way:
    """Concentrations by the SPAMS lasso, then the 99th percentile, one tile at a time."""
    import spams  # noqa: PLC0415 (optional contestant)

    dictionary = np.asfortranarray(transfer.source.vectors.T)

    def run(tiles: np.ndarray) -> np.ndarray:
        out = np.empty_like(tiles)
        for tile, target in zip(tiles, out, strict=True):
            od = np.asfortranarray(to_optical_density(tile.reshape(-1, 3)).T)
            c = spams.lasso(
                od, D=dictionary, mode=2, lambda1=transfer.sparsity, pos=True, numThreads=threads
            )
            scaled = c.toarray().T * transfer.scale
            level = 255.0 * np.exp(-scaled @ transfer.target.vectors)
            target[:] = (level + 0.5).astype(np.uint8).reshape(tile.shape)
        return out

    return run


def reference_picture(transfer: StainTransfer) -> np.ndarray:
    """(64, 64, 3) uint8 with the reference's stains, for peers that want a picture to fit."""
    rng = np.random.default_rng(0)
    amounts = rng.gamma(1.0, (0.8, 0.5), (PIXELS, 2))
    amounts[: PIXELS // 4, 0] = 0.0
    amounts[PIXELS // 4 : PIXELS // 2, 1] = 0.0
    return from_optical_density(amounts @ transfer.target.vectors).reshape(64, 64, 3)


def tiatoolbox(transfer: StainTransfer, threads: int) -> Way:
    """`StainNormalizer.transform` a tile, with the stains given."""
    del threads  # numpy decides
    from tiatoolbox.tools.stainnorm import CustomNormalizer  # noqa: PLC0415

    normalizer = CustomNormalizer(transfer.target.vectors)
    normalizer.fit(reference_picture(transfer))
    normalizer.extractor.stain_matrix = transfer.source.vectors
    return lambda tiles: np.stack([normalizer.transform(tile.copy()) for tile in tiles])


def torchstain_macenko(transfer: StainTransfer, threads: int) -> Way:
    """torchstain's Macenko, torch backend, fit and map a tile."""
    import torch  # noqa: PLC0415
    import torchstain  # noqa: PLC0415

    normalizer = torchstain.normalizers.MacenkoNormalizer(backend="torch")
    normalizer.fit(torch.from_numpy(reference_picture(transfer)).permute(2, 0, 1))

    def run(tiles: np.ndarray) -> np.ndarray:
        torch.set_num_threads(threads)
        out = np.empty_like(tiles)
        for tile, target in zip(tiles, out, strict=True):
            try:
                normal, _, _ = normalizer.normalize(
                    I=torch.from_numpy(tile).permute(2, 0, 1), stains=False
                )
                target[:] = normal.numpy().astype(np.uint8)
            except (RuntimeError, IndexError):  # no tissue on the tile: left as it is
                target[:] = tile
        return out

    return run


def torch_staintools(transfer: StainTransfer, threads: int) -> Way:
    """torch-staintools' Vahadane with the stains given, its default solver, a batch of 16."""
    import torch  # noqa: PLC0415
    from torch_staintools.normalizer import NormalizerBuilder  # noqa: PLC0415

    normalizer = NormalizerBuilder.build("vahadane", rng=0)
    picture = torch.from_numpy(reference_picture(transfer)).permute(2, 0, 1)[None] / 255.0

    def stains(vectors: np.ndarray) -> Callable[..., torch.Tensor]:
        given = torch.from_numpy(vectors.copy()).float()[None]
        return lambda *_, target, **__: given.repeat(len(target), 1, 1)

    normalizer.stain_mat_cached = stains(transfer.target.vectors)
    normalizer.fit(picture)
    normalizer.stain_mat_cached = stains(transfer.source.vectors)

    def run(tiles: np.ndarray) -> np.ndarray:
        torch.set_num_threads(threads)
        out = []
        for at in range(0, len(tiles), 16):
            batch = torch.from_numpy(tiles[at : at + 16]).permute(0, 3, 1, 2) / 255.0
            normal = normalizer.transform(batch).clamp(0, 1).permute(0, 2, 3, 1)
            out.append((normal * 255.0 + 0.5).to(torch.uint8).numpy())
        return np.concatenate(out)

    return run


PEERS: dict[str, Callable[[StainTransfer, int], Way]] = {
    "StainTools-style SPAMS": staintools_spams,
    "TIAToolbox, stains given": tiatoolbox,
    "torchstain Macenko (fits a tile)": torchstain_macenko,
    "torch-staintools, stains given": torch_staintools,
}
