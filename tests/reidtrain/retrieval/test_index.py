import json
import shutil

import numpy as np
import pytest

from reidprep.errors import ReidError
from reidtrain.retrieval.exact import search
from reidtrain.retrieval.index import FACTS_FILE, FAISS_FILE, build_index, read_facts, search_index

faiss = pytest.importorskip("faiss")

SIZES = {"hnsw": 2000, "ivfpq": 10_000}


@pytest.fixture(autouse=True)
def one_thread():
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


def people(images, dimension=18):
    """Query and gallery features that cluster by person; the gallery in two parts."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(100, dimension))
    pids = rng.integers(0, 100, images + 30)
    features = (centres[pids] + rng.normal(size=(len(pids), dimension))).astype(np.float32)
    return features[:30], [features[30:630], features[630:]]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("kind", list(SIZES))
def test_finds_nearly_what_the_exact_search_finds(kind, metric, tmp_path):
    query, gallery = people(SIZES[kind])
    facts = build_index(gallery, tmp_path / "index", kind=kind, metric=metric)
    assert facts == read_facts(tmp_path / "index")
    assert (facts.kind, facts.metric, facts.images, facts.dimension) == (kind, metric, SIZES[kind], 18)
    exact = search(query, gallery, top=10, metric=metric)
    found = search_index(query, tmp_path / "index", gallery, top=10)
    shared = [len(np.intersect1d(*rows)) for rows in zip(found.indices, exact.indices, strict=True)]
    assert np.mean(shared) > 9
    same = (found.indices == exact.indices).all(axis=1)
    assert same.mean() > 0.5
    np.testing.assert_array_equal(found.distances[same], exact.distances[same])
    few = search_index(query, tmp_path / "index", gallery, top=10, candidates=10, visits=1)
    assert np.mean([len(np.intersect1d(*rows)) for rows in zip(few.indices, exact.indices, strict=True)]) < np.mean(
        shared
    )


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    """Query, gallery and the index of the default kind and seed. Read only."""
    query, gallery = people(SIZES["ivfpq"])
    folder = tmp_path_factory.mktemp("default") / "index"
    build_index(gallery, folder)
    return query, gallery, folder


def test_fewer_than_asked_for(default):
    query, gallery, folder = default
    # One list does not hold this many.
    found = search_index(query, folder, gallery, top=9000, candidates=9000, visits=1)
    missing = found.indices < 0
    assert missing.any() and np.isinf(found.distances[missing]).all()
    assert np.isfinite(found.distances[~missing]).all()
    assert (np.diff(missing.astype(int), axis=1) >= 0).all()


def test_the_same_seed_gives_the_same_index(default, tmp_path):
    _, gallery, folder = default
    for name, seed in (("same", 0), ("other", 1)):
        build_index(gallery, tmp_path / name, seed=seed)
    first, same, other = ((path / FAISS_FILE).read_bytes() for path in (folder, tmp_path / "same", tmp_path / "other"))
    assert first == same != other


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    query, gallery = people(SIZES["hnsw"])
    folder = tmp_path_factory.mktemp("built") / "index"
    build_index(gallery, folder, kind="hnsw")
    return query, gallery, folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "lsh"}, "kind is 'lsh'; it is one of ivfpq, hnsw"),
        ({"metric": "l1"}, "metric is 'l1'"),
        ({"kind": "ivfpq"}, "holds 2,000 images, and ivfpq needs 10000"),
    ],
)
def test_what_cannot_be_built(options, message, built, tmp_path):
    with pytest.raises(ReidError, match=message):
        build_index(built[1], tmp_path / "index", **options)
    assert not (tmp_path / "index").exists()


def test_a_folder_in_use_is_not_touched(built):
    with pytest.raises(ReidError, match="holds an index already; choose another folder, or --overwrite"):
        build_index(built[1], built[2], kind="hnsw")


def test_features_must_be_finite(tmp_path):
    _, gallery = people(SIZES["hnsw"])
    gallery[1][5, 3] = np.nan
    with pytest.raises(ReidError, match="gallery_features holds nan in row 605, column 3"):
        build_index(gallery, tmp_path / "index", kind="hnsw")


def test_an_index_of_another_gallery(built):
    query, gallery, folder = built
    changed = [gallery[0], gallery[1] + 1]
    for other in (gallery[:1], changed, [part[:, :9] for part in gallery]):
        with pytest.raises(ReidError, match="and not of this gallery"):
            search_index(query[:, : other[0].shape[1]], folder, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0}, "top is 0"),
        ({"candidates": 19}, "candidates 19; 1 and 20"),
        ({"visits": 0}, "visits are 0"),
    ],
)
def test_options_of_the_search(options, message, built):
    with pytest.raises(ReidError, match=message):
        search_index(*built[:1], built[2], built[1], **options)


def test_queries_are_checked(built):
    query, gallery, folder = built
    with pytest.raises(ReidError, match="different models"):
        search_index(query[:, :5], folder, gallery)
    with pytest.raises(ReidError, match="query_features holds inf in row 0"):
        search_index(np.full_like(query, np.inf), folder, gallery)


def test_no_index_and_damaged_ones(built, tmp_path):
    query, gallery, folder = built
    with pytest.raises(ReidError, match="holds no index"):
        search_index(query, tmp_path, gallery)
    facts = json.loads((folder / FACTS_FILE).read_bytes())
    for content, message in (
        ("{", "cannot be read"),
        ("{}", "index.json: format: is missing"),
        ("[" * 100_000, "cannot be read"),
        (facts | {"kind": "lsh"}, "index.json: kind: invalid enum value 'lsh'"),
        (facts | {"images": "many"}, "index.json: images: expected int, got str"),
        (facts | {"format": 9}, "format 9"),
    ):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / FACTS_FILE).write_text(text)
        with pytest.raises(ReidError, match=message):
            search_index(query, tmp_path, gallery)
    (tmp_path / FACTS_FILE).write_text(json.dumps(facts))
    for content in (None, b"", (folder / FAISS_FILE).read_bytes()[:5000]):
        if content is not None:
            (tmp_path / FAISS_FILE).write_bytes(content)
        with pytest.raises(ReidError, match="(cannot be read|is damaged or was changed).*build the index again"):
            search_index(query, tmp_path, gallery)
    (tmp_path / FACTS_FILE).write_text(json.dumps({**facts, "file_sha256": None}))  # of before it was kept
    with pytest.raises(ReidError, match="cannot be read.*build the index again"):
        search_index(query, tmp_path, gallery)


@pytest.mark.parametrize("kind", list(SIZES))
def test_facts_of_another_index(kind, built, default, tmp_path):
    """Of another kind of the same images, or of fewer images."""
    if kind == "ivfpq":
        query, gallery, other = default
        build_index(gallery, tmp_path / "index", kind="hnsw")
    else:
        query, gallery, folder = built
        build_index([gallery[0]], other := tmp_path / "other", kind=kind)
        shutil.copytree(folder, tmp_path / "index")
    shutil.copy(other / FAISS_FILE, tmp_path / "index" / FAISS_FILE)
    facts = json.loads((tmp_path / "index" / FACTS_FILE).read_bytes())
    (tmp_path / "index" / FACTS_FILE).write_text(json.dumps({**facts, "file_sha256": None}))
    with pytest.raises(ReidError, match="is not the index that index.json describes"):
        search_index(query, tmp_path / "index", gallery)
