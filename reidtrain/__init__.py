"""Train and evaluate the attention models on shards made by `reidprep`."""
