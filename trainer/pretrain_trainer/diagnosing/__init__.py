"""What only a try can tell of a store and of a machine, for `pretrain doctor`. No stage works here."""
