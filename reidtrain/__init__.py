"""Train and evaluate the attention models on shards made by `reidprep`.

What a program or notebook needs is here; `help(reidtrain.fit)` and the like show an example of each. From shards to
scores:

    from reidtrain import evaluate, fit

    fit("shards", "run", "attention-driven-market1501")
    evaluation = evaluate("run", "shards")

From images to features, without shards:

    from reidtrain import Embedder

    features = Embedder("run")("people/query").embedding
"""

from reidprep.lazy import lazily

# See `reidprep.__init__`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from reidtrain.checkpoints import load_checkpoint as load_checkpoint
    from reidtrain.data.dataset import BatchLoader as BatchLoader
    from reidtrain.data.dataset import ShardDataset as ShardDataset
    from reidtrain.evaluation.evaluate import evaluate as evaluate
    from reidtrain.features.embedder import Embedder as Embedder
    from reidtrain.features.extract import extract_features as extract_features
    from reidtrain.metrics.ranking import evaluate_features as evaluate_features
    from reidtrain.metrics.reranking import rerank as rerank
    from reidtrain.recipes.loading import load_recipe as load_recipe
    from reidtrain.training.fit import fit as fit
else:
    _HOMES = {
        "BatchLoader": "reidtrain.data.dataset",
        "Embedder": "reidtrain.features.embedder",
        "ShardDataset": "reidtrain.data.dataset",
        "evaluate": "reidtrain.evaluation.evaluate",
        "evaluate_features": "reidtrain.metrics.ranking",
        "extract_features": "reidtrain.features.extract",
        "fit": "reidtrain.training.fit",
        "load_checkpoint": "reidtrain.checkpoints",
        "load_recipe": "reidtrain.recipes.loading",
        "rerank": "reidtrain.metrics.reranking",
    }
    __all__ = list(_HOMES)
    __getattr__, __dir__ = lazily(__name__, _HOMES, extra="train")
