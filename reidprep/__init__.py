"""Turn person re-identification datasets into pose-aligned HDF5 shards.

What a program or notebook needs is here; `help(reidprep.align)` and the like show an example of each. From one image to
its crops:

    from reidprep import align, create_estimator, crop_box, draw_pose, read_image

    image = read_image("person.jpg")
    joints = create_estimator()(image)  # (1, 18, 3)
    alignment = align(joints, [image.shape[1::-1]])
    crops = [crop_box(image, box, (96, 48)) for box in alignment.boxes[0]]  # whole body, then the four parts
    picture = draw_pose(image, alignment.joints[0], alignment.boxes[0], filled=alignment.filled[0])

From a dataset to samples:

    from reidprep import ShardSet, build_shards, create_estimator, extract_poses, open_dataset

    extract_poses(open_dataset("Market-1501-v15.09.15"), "poses", create_estimator())
    build_shards("poses", "shards")
    sample = ShardSet.open("shards", "train")[0]
"""

from reidprep.lazy import lazily

__version__ = "0.1.0"

# Type checkers take it for true. Not the one of `typing`, whose import takes longer than all else here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from reidprep.alignment.align import Flag as Flag
    from reidprep.alignment.align import align as align
    from reidprep.alignment.boxes import body_boxes as body_boxes
    from reidprep.datasets.registry import open_dataset as open_dataset
    from reidprep.drawing.pose import draw_pose as draw_pose
    from reidprep.errors import ReidError as ReidError
    from reidprep.estimators.registry import create_estimator as create_estimator
    from reidprep.images import crop_box as crop_box
    from reidprep.images import read_image as read_image
    from reidprep.poses.extract import ExtractOptions as ExtractOptions
    from reidprep.poses.extract import extract_poses as extract_poses
    from reidprep.poses.reader import PoseSet as PoseSet
    from reidprep.shards.build import BuildOptions as BuildOptions
    from reidprep.shards.build import build_shards as build_shards
    from reidprep.shards.format import Sample as Sample
    from reidprep.shards.reader import ShardSet as ShardSet
else:
    _HOMES = {
        "BuildOptions": "reidprep.shards.build",
        "ExtractOptions": "reidprep.poses.extract",
        "Flag": "reidprep.alignment.align",
        "PoseSet": "reidprep.poses.reader",
        "ReidError": "reidprep.errors",
        "Sample": "reidprep.shards.format",
        "ShardSet": "reidprep.shards.reader",
        "align": "reidprep.alignment.align",
        "body_boxes": "reidprep.alignment.boxes",
        "build_shards": "reidprep.shards.build",
        "create_estimator": "reidprep.estimators.registry",
        "crop_box": "reidprep.images",
        "draw_pose": "reidprep.drawing.pose",
        "extract_poses": "reidprep.poses.extract",
        "open_dataset": "reidprep.datasets.registry",
        "read_image": "reidprep.images",
    }
    __all__ = list(_HOMES)
    __getattr__, __dir__ = lazily(__name__, _HOMES)
