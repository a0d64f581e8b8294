"""HOICLIP: model, vocabularies, training and evaluation; torch and NumPy only."""
