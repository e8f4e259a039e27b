"""Labels that features contradict are those that were planted."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from reidprep.datasets.registry import open_dataset, open_images
from reidprep.store.hdf5 import hdf5_bytes
from reidprep.synth.dataset import generate
from reidtrain.explore.contradictions import (
    NOBODY,
    SCHEMA,
    _table,
    find_contradictions,
    halves,
    strays,
    twins,
    two_groups,
)

PEOPLE, IMAGES = 40, 12


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of people, each image somewhat off its person, and their labels."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(PEOPLE), IMAGES)
    features = rng.normal(size=(PEOPLE, 32))[people] + rng.normal(scale=0.4, size=(len(people), 32))
    return features.astype(np.float32), people


def test_neighbours_are_the_nearest_of_the_own_label_and_of_others() -> None:
    rng = np.random.default_rng(0)
    # Whole numbers: many distances are equal.
    features, pids = rng.integers(0, 4, (90, 3)).astype(np.float32), rng.integers(0, 12, 90)
    found = find_contradictions(features, pids, np.arange(90), nobody=(0,))
    for i in range(90):
        far = np.linalg.norm(features - features[i], axis=1)
        far[i] = np.inf
        for which, distance, of in (
            (found.own[i], found.own_distances[i], (pids == pids[i]) & (pids != 0)),
            (found.other[i], found.other_distances[i], pids != pids[i]),
        ):
            of = of & np.isfinite(far)
            assert (which != NOBODY) == of.any()
            if of.any():
                assert of[which] and distance == pytest.approx(far[of].min(), abs=1e-5)
        np.testing.assert_allclose(found.near_distances[i], np.sort(far)[:10], atol=1e-5)
        np.testing.assert_allclose(far[found.near[i]], found.near_distances[i], atol=1e-5)


def test_a_single_image_contradicts_nothing_and_can_be_kept() -> None:
    found = find_contradictions(np.ones((1, 4), np.float32), np.array([7]), np.array([3]))
    assert [len(way(found)[0]) for way in (strays, twins, halves)] == [0, 0, 0]
    near = found.near.shape[1]
    assert hdf5_bytes(SCHEMA, {"samples": 1, "near": near}, _table(near), vars(found))


@pytest.mark.parametrize("seed", range(3))
def test_images_under_a_foreign_label_come_first(seed: int) -> None:
    features, people = drawn(seed)
    planted = np.random.default_rng(seed).choice(len(people), 20, replace=False)
    labels = people.copy()
    labels[planted] = (people[planted] + 7) % PEOPLE
    found, scores = strays(find_contradictions(features, labels, np.arange(len(people))))
    assert len(np.intersect1d(found[:20], planted)) >= 19, "precision of 95 %"
    assert (np.diff(scores) <= 0).all()


def test_foreign_labels_of_drawn_people_are_found_by_the_colours_of_their_clothes(tmp_path: Path) -> None:
    generate(tmp_path / "drawn", identities=10, cameras=2, images_per_camera=3)
    images = open_images("market1501", tmp_path / "drawn")
    records = [record for record in open_dataset(tmp_path / "drawn").records if record.pid > 0]
    features = np.array([strip_colours(images.read(record.path)) for record in records])
    people, planted, precision = np.array([record.pid for record in records]), 4, []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        wrong, labels = rng.choice(len(people), planted, replace=False), people.copy()
        labels[wrong] = [rng.choice(people[people != pid]) for pid in people[wrong]]
        found, _ = strays(find_contradictions(features, labels, np.arange(len(people))))
        precision.append(np.isin(found[:planted], wrong).mean())
    assert np.mean(precision) > 0.5, "4 of 60 by chance"


def strip_colours(image: np.ndarray) -> np.ndarray:
    """Mean colour, without lightness, of twelve strips of the middle of an image."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[:, 20:44]
    return cv2.resize(lab, (1, 12), interpolation=cv2.INTER_AREA)[..., 1:].ravel().astype(np.float32)


def test_a_person_under_two_labels_comes_first() -> None:
    features, people = drawn(1)
    labels = people.copy()
    for person in range(5):
        labels[np.flatnonzero(people == person)[: IMAGES // 2]] = 100 + person
    check = find_contradictions(features, labels, np.arange(len(people)))
    found, scores = twins(check)
    pairs = [tuple(sorted((int(labels[i]), int(labels[check.other[i]])))) for i in found[:5]]
    assert sorted(pairs) == [(person, 100 + person) for person in range(5)] and (scores > 1).all()


def test_two_people_under_a_label_come_first() -> None:
    features, people = drawn(2)
    labels = np.where(people < 10, people // 2, people)
    found, scores = halves(find_contradictions(features, labels, np.arange(len(people))))
    assert sorted(found.tolist()) == [0, 1, 2, 3, 4] and (np.diff(scores) <= 0).all()


def test_two_groups_are_the_widest_apart_of_two_or_more() -> None:
    line = np.array([0, 1, 2, 10, 11, 30.0])[:, None]
    gap, group = two_groups(line)
    assert gap == 8 and group.tolist() == [1, 1, 1, 2, 2, 0]
    assert two_groups(line[:3])[0] == 0
