"""Other toolkits on one slide: TIAToolbox's reader and Vahadane, smp's U-Net, timm's MobileNetV2.

    PEERS/bin/python benchmarks/pixels_peer.py SLIDE --tiles TILES

Run by the interpreter of an environment of its own (tiatoolbox, segmentation-models-pytorch, timm); nothing
of jecur is imported. TILES is a file of level-0 corners, ``x y`` a line, side in its first line. Tiles are
read and normalized in as many processes as there are cores; the networks (weights drawn at random, which
costs the same) see batches of 16 with all cores, as the toolkits' own examples do. Prints tiles, seconds with
start-up, and seconds from the first tile asked for to the last score.
"""

import argparse
import os
import time
from pathlib import Path

BEGUN = time.perf_counter()
TILE_PX, SIDE_UM, BATCH = 224, 128.0, 16


def main() -> None:
    """Read, normalize, mark nuclei, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide")
    parser.add_argument("--tiles", required=True)
    asked = parser.parse_args()

    import numpy as np  # noqa: PLC0415 (start-up counts)
    import segmentation_models_pytorch as smp  # noqa: PLC0415
    import timm  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from tiatoolbox.tools.stainnorm import VahadaneNormalizer  # noqa: PLC0415
    from tiatoolbox.wsicore.wsireader import WSIReader  # noqa: PLC0415

    lines = Path(asked.tiles).read_text().splitlines()
    corners = [tuple(map(int, line.split())) for line in lines[1:]]

    def read(reader, corner):
        return np.asarray(
            reader.read_rect(corner, (TILE_PX, TILE_PX), resolution=SIDE_UM / TILE_PX, units="mpp")
        )[..., :3]

    normalizer = VahadaneNormalizer()
    normalizer.fit(read(WSIReader.open(asked.slide), corners[len(corners) // 2]))

    class Tiles(torch.utils.data.Dataset):
        reader = None

        def __len__(self):
            return len(corners)

        def __getitem__(self, k):
            if self.reader is None:
                torch.set_num_threads(1)
                self.reader = WSIReader.open(asked.slide)
            return normalizer.transform(read(self.reader, corners[k]))

    unet = smp.Unet("mobilenet_v2", encoder_weights=None, classes=1).eval()
    encoder = timm.create_model("mobilenetv2_100", in_chans=4, num_classes=1).eval()
    unet, encoder = (net.to(memory_format=torch.channels_last) for net in (unet, encoder))
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    loader = torch.utils.data.DataLoader(Tiles(), batch_size=BATCH, num_workers=cores)
    asked_first, scores = time.perf_counter(), []
    with torch.inference_mode():
        for tiles in loader:
            rgb = tiles.permute(0, 3, 1, 2).float() / 255.0
            nuclei = unet(rgb).sigmoid()
            scores.append(encoder(torch.cat([rgb, nuclei], dim=1)))
    n = len(torch.cat(scores))
    ended = time.perf_counter()
    print(f"{n} {ended - BEGUN:.2f} {ended - asked_first:.2f}")


if __name__ == "__main__":
    main()
