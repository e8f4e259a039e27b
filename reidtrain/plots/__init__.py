"""Pictures of what a model learnt: learning and CMC curves, ranked lists, attention maps (docs/pictures.md)."""
