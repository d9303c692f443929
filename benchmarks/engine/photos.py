"""Grey patches cut from the photographs that scikit-image and scikit-learn ship in their wheels: no download."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 28
"""Pixels along one side of a patch, as in the classic 784-component image sets."""

MIN_CONTRAST: Final = 4.0
"""Standard deviation of grey values below which a patch shows nothing (the black frame of a retina, a clear sky)."""

_PHOTOS: Final = {
    "skimage": (
        "data",
        "astronaut.png brick.png camera.png cell.png chelsea.png coffee.png coins.png grass.png gravel.png "
        "hubble_deep_field.jpg ihc.png moon.png motorcycle_left.png motorcycle_right.png retina.jpg rocket.jpg",
    ),
    "sklearn": ("datasets/images", "china.jpg flower.jpg"),
}


def photo_files() -> list[Path]:
    """Return the photographs that are present in the installed packages.

    Raises:
        FileNotFoundError: none is; names the packages to install.
    """
    found = []
    for package, (folder, names) in _PHOTOS.items():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            candidates = (Path(spec.origin).parent / folder / name for name in names.split())
            found += [path for path in candidates if path.is_file()]
    if not found:
        raise FileNotFoundError(
            "No photographs found: install scikit-image and scikit-learn (dependency group `bench`)."
        )
    return found


def cut_patches(count: int, seed: int) -> NDArray[np.float32]:
    """Return patches at random places, the same number from every photograph, shuffled.

    Args:
        count: how many.
        seed: of the places and of the order.

    Returns:
        (count, 784) float32 grey values from 0 to 255.

    Raises:
        FileNotFoundError: there are no photographs.
        ValueError: they do not give as many patches.
    """
    files = photo_files()
    generator = np.random.default_rng(seed)
    share = -(-count // len(files))
    cut = np.concatenate([_patches_of(path, share, generator) for path in files])
    if len(cut) < count:
        raise ValueError(f"The photographs give {len(cut):,} patches, {count:,} were asked for.")
    return np.ascontiguousarray(cut[generator.permutation(len(cut))[:count]])


def _patches_of(path: Path, count: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """`count` different patches of one photograph that show something; fewer when it has no more."""
    pillow: Any = import_module("PIL.Image")
    with pillow.open(path) as image:
        grey = np.asarray(image.convert("L"))
    windows = np.lib.stride_tricks.sliding_window_view(grey, (SIDE, SIDE))
    rows, columns = windows.shape[:2]
    places = generator.permutation(rows * columns)
    kept: list[NDArray[np.uint8]] = []
    for start in range(0, len(places), count):
        some = places[start : start + count]
        patches = windows[some // columns, some % columns].reshape(len(some), SIDE * SIDE)
        kept.append(patches[patches.std(axis=1) >= MIN_CONTRAST])
        if sum(map(len, kept)) >= count:
            break
    return np.concatenate(kept)[:count].astype(np.float32)
