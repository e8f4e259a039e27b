import numpy as np
import pytest

from reidprep.errors import ReidError
from reidprep.shards.reader import ShardSet
from reidtrain.evaluation.images import RankedImages, protocol_of, query_gallery_images
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


@pytest.mark.parametrize(
    ("name", "options", "protocol"),
    [
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
