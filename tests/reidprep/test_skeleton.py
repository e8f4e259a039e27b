from itertools import pairwise

import numpy as np
import pytest

from reidprep.skeleton import COCO17_JOINTS, INDEX, JOINTS, MIRROR, PARTS, REGIONS, from_coco17


def test_mirror_swaps_sides_and_is_its_own_inverse() -> None:
    for i, name in enumerate(JOINTS):
        other = {"l_": "r_", "r_": "l_"}.get(name[:2])
        expected = other + name[2:] if other else name
        assert JOINTS[MIRROR[i]] == expected
    assert (MIRROR[MIRROR] == np.arange(18)).all()


def test_regions_cover_all_joints_and_neighbours_share_some() -> None:
    assert set(np.concatenate(list(REGIONS.values()))) == set(range(18))
    for upper, lower in pairwise(PARTS):
        assert set(REGIONS[upper]) & set(REGIONS[lower])


def test_from_coco17_keeps_joints_and_adds_the_neck() -> None:
    rng = np.random.default_rng(0)
    coco = rng.random((5, 17, 3), dtype=np.float32)
    result = from_coco17(coco)
    for k, name in enumerate(COCO17_JOINTS):
        np.testing.assert_array_equal(result[:, INDEX[name]], coco[:, k])
    left, right = COCO17_JOINTS.index("l_shoulder"), COCO17_JOINTS.index("r_shoulder")
    for i in range(5):
        np.testing.assert_allclose(result[i, INDEX["neck"], :2], (coco[i, left, :2] + coco[i, right, :2]) / 2)
        assert result[i, INDEX["neck"], 2] == min(coco[i, left, 2], coco[i, right, 2])


@pytest.mark.parametrize("shape", [(17, 3), (2, 18, 3), (2, 17, 2)])
def test_from_coco17_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="17, 3"):
        from_coco17(np.zeros(shape))
