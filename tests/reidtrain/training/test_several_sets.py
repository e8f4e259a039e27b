"""Several shard directories are trained on together, each dataset's people by themselves."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reidprep.errors import ReidError
from reidprep.poses.reader import PoseSet
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.reader import ShardSet
from reidtrain.checkpoints import load_checkpoint
from reidtrain.data.preprocessing import ChannelMeans, resize
from reidtrain.data.sets import open_sets
from reidtrain.evaluation.images import held_out_of_each
from reidtrain.recipes.loading import load_recipe
from reidtrain.training.tasks import identities_task

MadeOnce = Callable[[str, Callable[[Path], object]], Path]
VIEWS = ["whole", "parts"]


@pytest.fixture(scope="session")
def two(drawn_poses: Path, made_once: MadeOnce) -> list[Path]:
    """The drawn people as two datasets with the same ids: the first image of each in one, the others in the other."""
    poses = PoseSet(drawn_poses)
    pids, splits, paths = poses.columns("pids", "splits", "paths")
    first = np.zeros(len(poses), np.bool_)
    for pid in np.unique(pids):
        first[np.flatnonzero((pids == pid) & (splits == "train"))[::2]] = True

    def fill(folder: Path) -> None:
        small = BuildOptions(whole_size=(48, 24), part_size=(16, 24), scale="full")
        large = BuildOptions(whole_size=(64, 32), part_size=(16, 24), scale="full", border=(9, 9, 9))
        build_shards(drawn_poses, folder / "small", small, exclude=paths[first].tolist())
        build_shards(drawn_poses, folder / "large", large, exclude=paths[~first].tolist())

    folder = made_once("two-sets", fill)
    return [folder / "small", folder / "large"]


def test_equal_ids_of_two_datasets_are_different_people(two, tiny) -> None:
    task = identities_task(two, tiny(), VIEWS)
    pids = [ShardSet.open(path, "train").pids for path in two]
    assert task.classes == 4 and sorted(set(task.labels.tolist())) == [0, 1, 2, 3]
    assert task.class_names == ("market1501-1:0002", "market1501-1:0004", "market1501-2:0002", "market1501-2:0004")
    assert len(task.dataset) == len(task.labels) == sum(map(len, pids)) == task.source["images"]
    seen = [(task.dataset[row].label, task.dataset[row].index) for row in range(len(task.labels))]
    assert seen == list(zip(task.labels.tolist(), range(len(task.labels)), strict=True))


def test_names_do_not_hang_on_the_order(two, tiny) -> None:
    one, other = ([(each.name, each.path) for each in open_sets(paths)] for paths in (two, two[::-1]))
    assert one == other and [name for name, _ in one] == ["market1501-1", "market1501-2"]
    held = tiny(validation={"every": 1, "identities": 1})
    task, again = (identities_task(paths, held, VIEWS) for paths in (two, two[::-1]))
    assert task.class_names == again.class_names and task.source == again.source


def test_the_means_are_those_of_all_training_images(two) -> None:
    small, large = (ShardSet.open(path, "train") for path in two)
    mean = ChannelMeans.of(small, large)
    ours, theirs = np.array(ChannelMeans.of(small).parts), np.array(ChannelMeans.of(large).parts)
    expected = (ours * len(small) + theirs * len(large)) / (len(small) + len(large))
    np.testing.assert_allclose(mean.parts, expected, atol=1e-3)
    assert mean.image is None


def test_crops_of_several_sizes_come_in_the_largest(two, tiny) -> None:
    task = identities_task(two, tiny(), VIEWS)
    small, large = (ShardSet.open(path, "train") for path in two)
    comes_first = open_sets(two)[0].path == two[0]
    item = task.dataset[0 if comes_first else len(large)]
    expected = resize(torch.from_numpy(small[0].whole).movedim(-1, 0)[None], (64, 32))[0].movedim(0, -1)
    assert torch.equal(item.whole, expected)
    assert torch.equal(item.parts, torch.from_numpy(small[0].parts))
    assert task.dataset[len(small) if comes_first else 0].whole.shape == (64, 32, 3)


def test_held_out_people_are_drawn_from_all_and_each_set_is_validated_by_itself(two, tiny) -> None:
    recipe = tiny(validation={"every": 1, "identities": 2}, seed=3)
    with pytest.raises(ReidError, match=r"same camera only|no other image|identities"):
        identities_task(two, tiny(validation={"every": 1, "identities": 3}), VIEWS)
    task = identities_task(two, recipe, VIEWS)
    assert task.classes == 2 and task.source["validation"].startswith("held-out identities of market1501-")
    held_out = held_out_of_each(open_sets(two, "train"), recipe, task.class_names)
    assert sum(len(np.unique(images.shards.pids[images.query])) for images in held_out) == 2
    with pytest.raises(ReidError, match="give the shards it was trained on, all of them"):
        held_out_of_each(open_sets(two, "train"), tiny(validation={"identities": 1}), task.class_names)


def copies(two: list[Path], folder: Path) -> list[Path]:
    shutil.copytree(two[0], folder / "copy")
    return [two[0], folder / "copy"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda two, _: [two[0], two[1], two[0]], "small: is given twice; give each shard directory once"),
        (copies, "copy: is given twice"),
        (lambda two, _: [two[0], Path("nowhere")], "nowhere: no such directory"),
    ],
)
def test_the_same_directory_is_refused(given, message, two, tiny, tmp_path) -> None:
    with pytest.raises(ReidError, match=message):
        identities_task(given(two, tmp_path), tiny(), VIEWS)


def test_directories_of_the_same_images_or_of_other_crops_are_refused(two, tiny, drawn_shards, drawn_poses, tmp_path):
    with pytest.raises(ReidError, match=r"holds 4 images that .* holds too, such as bounding_box_train/.*two each"):
        identities_task([drawn_shards, two[1]], tiny(), VIEWS)
    paths = PoseSet(drawn_poses).column("paths").tolist()
    build_shards(drawn_poses, tmp_path / "strips", BuildOptions(alignment="strips"), exclude=paths[:4])
    with pytest.raises(
        ReidError, match=r"has alignment (strips, \S+ pose|pose, \S+ strips); train on shards of one kind"
    ):
        identities_task([two[0], tmp_path / "strips"], tiny(), VIEWS)


def test_a_run_names_every_source_and_goes_on_with_the_same_alone(two, run, tiny, tmp_path, drawn_shards) -> None:
    one = [{"epochs": 1, "batch": {"size": 4}, "optimizer": {"lr": 0.001}}]
    recipe = tiny(stages=one, validation={"every": 1})
    lines: list[str] = []
    result = run(recipe, shards=two, log=lines.append)
    names = {each.path: each.name for each in open_sets(two)}
    assert all(f"{name} ({path}) 4 images" in lines[0] for path, name in names.items())
    assert result.last["val/mAP"] == result.last[f"val/mAP {names[two[0]]}"]  # the other has no images to test on
    about = json.loads((tmp_path / "run" / "run.json").read_text())["source"]
    assert {entry["path"]: name for name, entry in about["sets"].items()} == {str(p): name for p, name in names.items()}
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.source["sets"] == about["sets"] and checkpoint.class_names[3] == "market1501-2:0004"
    moved = [Path(shutil.copytree(path, tmp_path / path.name)) for path in reversed(two)]
    assert run(recipe, shards=moved).last == result.last
    for others in (two[:1], [two[0], drawn_shards]):
        with pytest.raises(ReidError, match="data: |holds too"):
            run(recipe, shards=others)
    assert load_recipe(tmp_path / "run" / "recipe.yaml") == recipe
