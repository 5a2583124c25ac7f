"""Looking at training data: `pretrain data verify`, `stats` and `peek`. Reads shards and runs, and changes neither."""
