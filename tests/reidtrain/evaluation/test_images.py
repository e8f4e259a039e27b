import shutil
from dataclasses import replace

import numpy as np
import pytest

from reidprep.datasets.registry import open_dataset
from reidprep.errors import ReidError
from reidprep.estimators.registry import create_estimator
from reidprep.poses.extract import extract_poses
from reidprep.poses.reader import PoseSet
from reidprep.shards.build import build_shards
from reidprep.shards.reader import ShardSet
from reidtrain.evaluation.images import RankedImages, protocol_of, query_gallery_images
from reidtrain.evaluation.scoring import identical
from reidtrain.features.files import Features


def test_splits_and_junk(drawn_shards) -> None:
    for junk in (False, True):
        images = query_gallery_images(drawn_shards, junk=junk)
        for rows, split in ((images.query, "query"), (images.gallery, "gallery")):
            expected = ShardSet.open(drawn_shards, split).column("paths")
            found = images.shards.column("paths")[rows]
            assert found.tolist() == [path for path in expected.tolist() if junk or "-1_" not in path]


def test_images_without_a_match(drawn_shards) -> None:
    images = query_gallery_images(drawn_shards)
    one = RankedImages("test", images.shards, images.query[:1], images.query[:1], "market1501")
    with pytest.raises(ReidError, match="appear at the same camera only"):
        one.require_match("market1501")


def test_without_cameras_there_is_a_match_and_no_image_finds_itself(drawn_shards) -> None:
    train = ShardSet.open(drawn_shards, "train")
    images = RankedImages.held_out(train, [2, 4])
    one = replace(images, gallery=images.gallery[train.camids[images.gallery] == 1])
    one = replace(one, query=one.query[train.camids[one.query] == 1])
    with pytest.raises(ReidError, match="--protocol no-cameras takes no notice of cameras"):
        one.require_match("market1501")
    taken = one.under("no-cameras")
    taken.require_match("no-cameras")
    assert taken.protocol == "no-cameras" and not {*taken.query} & {*taken.gallery}
    assert {*taken.query, *taken.gallery} == {*one.gallery}
    assert one.under("market1501") is one


def test_without_cameras_nothing_else_of_a_querys_tracklet_counts(drawn_shards) -> None:
    train = ShardSet.open(drawn_shards, "train")
    dataset = replace(train.plan.poses.dataset, options={"tracklets": "yes", "cameras": "none"})
    train.plan = replace(train.plan, poses=replace(train.plan.poses, dataset=dataset))
    images = RankedImages.held_out(train, [2, 4])
    assert images.protocol == "no-cameras"
    taken = images.under(images.protocol)

    def tracklets(rows):
        return {*zip(train.pids[rows], train.camids[rows], train.column("sequences")[rows], strict=True)}

    assert tracklets(taken.query) & tracklets(images.gallery)
    assert not tracklets(taken.query) & tracklets(taken.gallery)


@pytest.mark.parametrize(
    ("name", "options", "protocol"),
    [
        ("folders", {"cameras": "none"}, "no-cameras"),
        ("market1501", {"distractors": "no"}, "market1501"),
        ("msmt17", {}, "market1501"),
        ("cuhk03", {"protocol": "np"}, "cuhk03-np"),
        ("cuhk03", {"protocol": "classic"}, "cuhk03-classic"),
    ],
)
def test_protocol_of_a_dataset(name, options, protocol) -> None:
    assert protocol_of(name, options) == protocol


def test_an_image_that_is_query_and_gallery_is_computed_once(drawn_shards) -> None:
    images = RankedImages.held_out(ShardSet.open(drawn_shards, "train"), [2, 4])
    asked = []

    def extract(shards, rows, progress):
        asked.append(rows)
        return Features.of(shards, rows, {"embedding": rows[:, None].astype(np.float32)})

    query, gallery = images.features(extract)
    assert [*asked[0]] == [*images.gallery] and len(asked) == 1
    np.testing.assert_array_equal(query.arrays["embedding"][:, 0], images.query)
    np.testing.assert_array_equal(gallery.arrays["embedding"][:, 0], images.gallery)
    np.testing.assert_array_equal(query.pids, images.shards.pids[images.query])


def test_a_gallery_of_junk(drawn_shards, drawn_poses, tmp_path) -> None:
    paths = PoseSet(drawn_poses).column("paths").tolist()
    people = [path for path in paths if path.startswith("bounding_box_test") and "-1_" not in path]
    build_shards(drawn_poses, tmp_path / "s", exclude=people)
    for junk in (False, True):
        with pytest.raises(ReidError, match=r"gallery images are of no person \(pid -1\)"):
            query_gallery_images(tmp_path / "s", junk=junk)


def test_queries_that_find_themselves_are_counted(drawn, tmp_path) -> None:
    names = sorted(path.name for path in (drawn / "query").iterdir())[:4]
    lines = ["path,pid,camid,split"]
    for number, name in enumerate(names):
        for folder, camid in (("query", 1), ("gallery", 1 if number == 0 else 2)):
            (tmp_path / folder).mkdir(exist_ok=True)
            shutil.copy(drawn / "query" / name, tmp_path / folder / name)
            lines.append(f"{folder}/{name},{number},{camid},{folder}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    extract_poses(open_dataset(tmp_path / "list.csv"), tmp_path / "poses", create_estimator())
    build_shards(tmp_path / "poses", tmp_path / "shards")
    # The first is its own person at its own camera, which does not count.
    assert query_gallery_images(tmp_path / "shards").identical() == 3


def test_features_at_distance_0_are_counted() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(6, 4)).astype(np.float32)
    query = Features({"embedding": features[:4]}, np.array([1, 2, 3, 4]), np.array([1, 1, 1, 1]))
    gallery = Features({"embedding": features}, np.array([1, 2, 9, -1, 3, 4]), np.array([1, 2, 1, 2, 2, 2]))
    assert identical(query, gallery, "no-cameras") == 3
    assert identical(query, gallery) == 2  # not at the same camera, not junk; but another person's


def test_features_in_another_order_are_refused_where_the_file_names_its_images(drawn_shards, tmp_path) -> None:
    images = query_gallery_images(drawn_shards, junk=True)
    labels = np.stack([images.shards.pids[images.gallery], images.shards.camids[images.gallery]])
    alike = np.flatnonzero((labels[:, :-1] == labels[:, 1:]).all(axis=0))[0]  # of one person at one camera
    sides = {}
    for name, rows in (("query", images.query), ("gallery", images.gallery)):
        features = Features.of(images.shards, rows, {"embedding": rows[:, None].astype(np.float32)})
        sides |= {f"{name}_features": features.embedding, f"{name}_paths": features.paths}
        sides |= {f"{name}_pids": features.pids, f"{name}_camids": features.camids}
    file = tmp_path / "features.npz"
    np.savez(file, **sides)
    np.testing.assert_array_equal(images.read(file)[1].embedding, sides["gallery_features"])
    order = np.arange(len(images.gallery))
    order[[alike, alike + 1]] = alike + 1, alike
    np.savez(file, **sides | {name: sides[name][order] for name in ("gallery_features", "gallery_paths")})
    with pytest.raises(ReidError, match="gallery_paths are not those of the gallery images of"):
        images.read(file)
