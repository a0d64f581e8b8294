"""HOICLIP: a model ready to run, its words and heads in NumPy; the network, conversion and training in torch."""
