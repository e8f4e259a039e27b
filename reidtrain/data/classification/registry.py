"""Find out what kind of image classification set a path is."""

from __future__ import annotations

from pathlib import Path

from reidprep.errors import ReidError
from reidtrain.data.classification.base import ClassificationData
from reidtrain.data.classification.cifar import open_cifar100
from reidtrain.data.classification.image_folder import open_image_folder

CIFAR100_FOLDER = "cifar-100-binary"


def open_classification(path: str | Path) -> ClassificationData:
    """Open an image classification set.

    Args:
        path: a folder with CIFAR-100's `train.bin`, directly or in `cifar-100-binary/`; else one with a folder of
            images for each class, or with such folders in `train/` and `val/`.

    Raises:
        ReidError: nothing of the kind, or damaged; the message names the file and the remedy.
    """
    path = Path(path)
    if path.is_file():
        raise ReidError(f"{path} is a file; give the folder it lies in, unpacked if it is an archive")
    if not path.is_dir():
        raise ReidError(f"{path} does not exist")
    for root in (path, path / CIFAR100_FOLDER):
        if (root / "train.bin").exists():
            return open_cifar100(root)
        if (root / "test.bin").exists():
            raise ReidError(f"{root}: test.bin without train.bin; unpack CIFAR-100's binary version again")
    if (path / "meta").is_file() or (path / "cifar-100-python").is_dir():
        raise ReidError(
            f"{path} is the Python version of CIFAR-100, whose pickled files can run code and are not read; "
            "use the binary version, cifar-100-binary.tar.gz"
        )
    return open_image_folder(path)
